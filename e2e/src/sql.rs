//! SQL to a PostgreSQL from a client pod.

use kidp_core::crd::Database;
use kube::Client;

use crate::{Result, client};

/// The statements are test data; the credentials come from files, never from arguments. A Service made anew has a new
/// address while DNS still answers with the old one for some seconds, and nothing at the old one ever answers: hence
/// the limit, in seconds.
const PSQL: &str = "export PGPASSWORD=\"$(cat /binding/password)\" PGCONNECT_TIMEOUT=5; exec psql -X -A -t -q -v ON_ERROR_STOP=1 \
    -h \"$(cat /binding/host)\" -p \"$(cat /binding/port)\" -U \"$(cat /binding/username)\" \
    -d \"$(cat /binding/database)\" -c \"$0\"";

/// Runs statements against a Ready database and gives what `psql` printed.
pub async fn run(client: &Client, database: &Database, statements: &str) -> Result<String> {
    client::run(client, database, PSQL, statements).await
}
