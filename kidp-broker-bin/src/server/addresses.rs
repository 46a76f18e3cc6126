//! How many connections each address has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by address. Holds as many addresses as there are connections, so it is bounded as those are.
#[derive(Clone)]
pub(super) struct Addresses {
    most: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection's part of what its address may have; given back when it is dropped.
pub(super) struct Share {
    addresses: Addresses,
    address: IpAddr,
}

impl Addresses {
    /// At most so many for each.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            counts: Arc::default(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more connection, unless the address has enough.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Share> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Share {
            addresses: self.clone(),
            address,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.addresses.counts();
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_gives_it_back() {
        let addresses = Addresses::new(2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let held = [addresses.enter(a).unwrap(), addresses.enter(a).unwrap()];
        assert!(addresses.enter(a).is_none());
        let other = addresses.enter(b);
        assert!(other.is_some());
        drop(held);
        assert!(addresses.enter(a).is_some());
        drop(other);
        assert!(
            addresses.counts().is_empty(),
            "nothing is remembered of those that left"
        );
    }
}
