//! Waiting for the cluster, with a limit and a report of what was seen last.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Error, Result};

const PAUSE: Duration = Duration::from_millis(100);

/// What a look at the cluster found.
pub enum Seen<T> {
    /// It is there.
    Done(T),
    /// Not yet; the text goes into the report if it never comes.
    NotYet(String),
}

/// Looks until `look` is done, at most `limit`. An error of a look counts as "not yet", since an API server
/// under test may be away for a while.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<Seen<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match look().await {
            Ok(Seen::Done(value)) => return Ok(value),
            Ok(Seen::NotYet(last)) => last,
            Err(error) => error.to_string(),
        };
        if start.elapsed() > limit {
            return Err(Error::Timeout {
                what: what.to_owned(),
                last,
                after: limit,
            });
        }
        sleep(PAUSE).await;
    }
}
