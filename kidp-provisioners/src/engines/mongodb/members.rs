//! A replica set of three members.
//!
//! ```text
//! ask.sh       what a server says that it is, over the wire protocol
//! start.sh     the key of the members, and which of them makes the user
//! join.sh      startup probe: of the set; the first member makes it, once
//! ready.sh     readiness probe: primary or secondary, and the login works
//! alive.sh     liveness probe: any answer
//! initiate.js  the command that makes the set
//! ```
//!
//! # How the set is made
//! All members start without one, the first with the user and any data, the others empty: a set can be made of members
//! of which one has data (`replSetInitiate`, <https://www.mongodb.com/docs/manual/reference/command/replSetInitiate/>).
//! The first makes it in its startup probe, when both others say that they know of none. From then on the set is in
//! every member's data, and the first does not come there again; if it loses its volume, the others know the set and
//! bring it in. So one member becomes three with its data, too: the two that are new wait, and count as ready, while
//! the first still runs alone.
//!
//! # What clients see
//! `uri` names all members and the set. The Service's address leads to any member: good to find the others from, which
//! drivers do by themselves. Writes are acknowledged by a majority, MongoDB's default for such a set
//! (<https://www.mongodb.com/docs/manual/reference/write-concern/#implicit-default-write-concern>), and a primary that
//! is stopped hands over first (<https://www.mongodb.com/docs/manual/reference/parameters/#mongodb-parameter-param.shutdownTimeoutMillisForSignaledShutdown>).
//!
//! Three members cannot become one: the two left out would be missed for a majority.
//!
//! No server that these tests can start has replication, so that rendering and scripts are tested, and the set itself
//! only where a cluster can pull the official image: `docs/mongodb-stand-in.md`.

use super::PORT;
use crate::instance::Instance;
use crate::resources::config_map::Files;
use crate::resources::meta::Scope;

/// How many members there are: the fewest of which one can be away.
pub(super) const COUNT: i32 = 3;

/// The set's name. Sets are told apart by their members.
pub(super) const SET_NAME: &str = "rs0";

/// Folder of the members' key; in memory.
pub(super) const FOLDER: &str = "/run/kidp";

/// The members' key.
pub(super) const KEY_FILE: &str = "/run/kidp/keyfile";

/// Whether the instance is a set.
pub(super) fn wanted(instance: &Instance) -> bool {
    instance.spec.high_availability
}

/// The scripts, beside what a server alone has.
pub(super) fn files(instance: &Instance) -> Files {
    if !wanted(instance) {
        return Files::new();
    }
    [
        ("ask.sh", include_str!("members/ask.sh")),
        ("start.sh", include_str!("members/start.sh")),
        ("join.sh", include_str!("members/join.sh")),
        ("ready.sh", include_str!("members/ready.sh")),
        ("alive.sh", include_str!("members/alive.sh")),
        ("initiate.js", include_str!("members/initiate.js")),
    ]
    .into_iter()
    .map(|(name, text)| (name.to_owned(), text.to_owned()))
    .collect()
}

/// Names of the pods.
pub(super) fn names(scope: &Scope<'_>) -> Vec<String> {
    (0..COUNT)
        .map(|ordinal| format!("{}-{ordinal}", scope.base))
        .collect()
}

/// The domain of the members' names, without the cluster's, which is not ours to know.
pub(super) fn domain(scope: &Scope<'_>) -> String {
    format!("{}.{}.svc", scope.name("headless"), scope.instance.namespace)
}

/// Every member's address, as the set and its clients know it.
pub(super) fn hosts(scope: &Scope<'_>) -> String {
    let domain = domain(scope);
    let hosts: Vec<_> = names(scope)
        .iter()
        .map(|name| format!("{name}.{domain}:{}", PORT.number))
        .collect();
    hosts.join(",")
}
