//! The time, as something that is passed in: a reconciler asks its clock, so that a test can say what time it is.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Tells the time of day. Cheap to clone.
///
/// ```
/// use jiff::Timestamp;
/// use kidp_core::clock::Clock;
///
/// let stopped = Clock::new(|| Timestamp::UNIX_EPOCH);
/// assert_eq!(stopped.now(), Timestamp::UNIX_EPOCH);
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that shows what `now` says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The machine's.
    pub fn system() -> Self {
        Self::new(Timestamp::now)
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}
