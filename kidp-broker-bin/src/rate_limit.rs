//! Rate limits: so many requests a minute for each client.
//!
//! A client is its identity; where nobody is asked for one, it is the address of its connection. An attempt to
//! authenticate that fails counts against the address, and an address that has used its share up waits before it may
//! try again, so that keys and tokens cannot be tried out. The address is that of the TCP connection: headers that a
//! client can write itself, such as `X-Forwarded-For`, are not looked at.
//!
//! # Bounds
//! At most [`MAX_TRACKED`] clients and as many addresses are remembered, each for as long as it has not got its full
//! share back. Those above that share one allowance among them: a flood of addresses slows down other strangers, and no
//! client that says who it is.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::auth::identity::Identity;

/// Most clients of a limit that are remembered.
pub const MAX_TRACKED: usize = 10_000;
/// How often room is made at most, since that looks at every client.
const SWEEP: Duration = Duration::from_secs(1);
/// Most different limits that a policy's clients have at a time.
const MAX_RATES: usize = 64;

/// What limits requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The share of a client that is known.
    Client,
    /// The share of an address, where nobody is asked who they are.
    Address,
    /// Attempts to authenticate that failed.
    Authentication,
    /// Places for requests in flight, of all clients together.
    InFlight,
}

impl Limit {
    /// Each.
    pub const ALL: [Self; 4] = [Self::Client, Self::Address, Self::Authentication, Self::InFlight];

    /// For a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Address => "address",
            Self::Authentication => "authentication",
            Self::InFlight => "in_flight",
        }
    }
}

/// How long to wait before the next attempt, at least a second, as `Retry-After` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait(pub Duration);

impl Wait {
    /// Whole seconds, rounded up.
    pub fn seconds(self) -> u64 {
        self.0.as_secs() + u64::from(self.0.subsec_nanos() > 0).max(u64::from(self.0.is_zero()))
    }
}

/// One limit, kept for each key on its own.
struct Keyed<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<Option<K>>,
    clock: DefaultClock,
    swept: Mutex<Option<Instant>>,
    capacity: usize,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(per_minute: NonZeroU32, capacity: usize) -> Self {
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(per_minute)),
            clock: DefaultClock::default(),
            swept: Mutex::default(),
            capacity,
        }
    }

    fn check(&self, key: K) -> Result<(), Wait> {
        // `None` is everybody that there is no room for.
        let key = self.has_room().then_some(key);
        self.limiter
            .check_key(&key)
            .map_err(|until| Wait(until.wait_time_from(self.clock.now())))
    }

    fn has_room(&self) -> bool {
        if self.limiter.len() < self.capacity {
            return true;
        }
        let mut swept = lock(&self.swept);
        if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
            *swept = Some(Instant::now());
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.len() < self.capacity
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limits of a broker.
pub struct RateLimits {
    per_minute: Option<NonZeroU32>,
    peers: Option<Keyed<IpAddr>>,
    /// By limit, since a policy may set other limits for some clients.
    clients: Mutex<HashMap<NonZeroU32, Arc<Keyed<Identity>>>>,
    blocked: Mutex<HashMap<IpAddr, Instant>>,
}

impl RateLimits {
    /// `per_minute` requests for each client; 0 is no limit.
    pub fn new(per_minute: u32) -> Self {
        let per_minute = NonZeroU32::new(per_minute);
        Self {
            per_minute,
            peers: per_minute.map(|rate| Keyed::new(rate, MAX_TRACKED)),
            clients: Mutex::default(),
            blocked: Mutex::default(),
        }
    }

    /// Counts a request of a client. `own` is the limit that the policy sets for it.
    pub fn client(&self, who: &Identity, own: Option<u32>) -> Result<(), Wait> {
        let rate = own.map_or(self.per_minute, NonZeroU32::new);
        let Some(rate) = rate else { return Ok(()) };
        let limit = {
            let mut clients = lock(&self.clients);
            // A policy that was changed often leaves limits behind that nobody has any more.
            if clients.len() >= MAX_RATES && !clients.contains_key(&rate) {
                clients.clear();
            }
            let fresh = || Arc::new(Keyed::new(rate, MAX_TRACKED));
            clients.entry(rate).or_insert_with(fresh).clone()
        };
        limit.check(who.clone())
    }

    /// Counts a request of an address.
    pub fn peer(&self, address: IpAddr) -> Result<(), Wait> {
        self.peers
            .as_ref()
            .map_or(Ok(()), |limit| limit.check(network(address)))
    }

    /// Whether an address may try to authenticate.
    pub fn may_try(&self, address: IpAddr) -> Result<(), Wait> {
        let until = lock(&self.blocked).get(&network(address)).copied();
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(wait) if !wait.is_zero() => Err(Wait(wait)),
            _ => Ok(()),
        }
    }

    /// Counts an attempt to authenticate that failed.
    pub fn failed(&self, address: IpAddr) -> Result<(), Wait> {
        let counted = self.peer(address);
        if let Err(Wait(wait)) = counted {
            let now = Instant::now();
            let mut blocked = lock(&self.blocked);
            if blocked.len() >= MAX_TRACKED {
                blocked.retain(|_, until| *until > now);
            }
            if blocked.len() < MAX_TRACKED {
                blocked.insert(network(address), now + wait);
            }
        }
        counted
    }
}

/// What counts as one address: a client has a whole IPv6 /64 at its disposal.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The address of a request that came over no connection.
pub const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::identity::Method;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn client(name: &str) -> Identity {
        Identity::new(Method::ApiKey, name)
    }

    #[test]
    fn each_client_has_its_own_share() {
        let limits = RateLimits::new(3);
        let ask = |name, own| limits.client(&client(name), own);
        assert!((0..3).all(|_| ask("a", None).is_ok()));
        let Wait(wait) = ask("a", None).unwrap_err();
        assert!(
            wait > Duration::from_secs(10) && wait <= Duration::from_secs(20),
            "{wait:?}"
        );
        assert!(ask("b", None).is_ok());
        assert!(
            (0..50).all(|_| ask("a", Some(50)).is_ok()),
            "a policy's limit is its own"
        );
        assert!(ask("a", Some(50)).is_err());
        assert!((0..1000).all(|_| ask("a", Some(0)).is_ok()), "and 0 is none");
    }

    #[test]
    fn zero_is_no_limit() {
        let limits = RateLimits::new(0);
        assert!((0..1000).all(|_| limits.client(&client("a"), None).is_ok()));
        assert!((0..1000).all(|_| limits.failed(ip("10.0.0.1")).is_ok()));
    }

    #[test]
    fn failures_block_the_address_and_no_other() {
        let limits = RateLimits::new(2);
        let attacker = ip("2001:db8::1");
        assert!(limits.failed(attacker).is_ok() && limits.failed(attacker).is_ok());
        assert!(limits.may_try(attacker).is_ok());
        assert!(limits.failed(attacker).is_err());
        assert!(limits.may_try(attacker).is_err());
        assert!(limits.may_try(ip("2001:db8::ffff")).is_err(), "of the same /64");
        assert!(limits.may_try(ip("2001:db8:0:1::1")).is_ok());
        assert!(limits.may_try(ip("10.0.0.1")).is_ok());
    }

    #[test]
    fn what_there_is_no_room_for_shares_one_allowance() {
        let limit = Keyed::new(NonZeroU32::new(2).unwrap(), 10);
        assert!((0..10).all(|key| limit.check(key).is_ok()));
        let later: Vec<_> = (100..200).map(|key| limit.check(key).is_ok()).collect();
        assert_eq!(later.iter().filter(|ok| **ok).count(), 2);
        assert!(limit.limiter.len() <= 11, "{}", limit.limiter.len());
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_as_none() {
        let seconds = |ms| Wait(Duration::from_millis(ms)).seconds();
        assert_eq!([0, 1, 1000, 1001].map(seconds), [1, 1, 1, 2]);
    }
}
