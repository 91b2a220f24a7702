//! How many handshakes each source has: an IPv4 address, or an IPv6 /64.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use crate::net::admission::origin;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shares(HashMap<Ipv6Addr, usize>);

impl Shares {
    /// One more.
    pub(super) fn add(&mut self, address: IpAddr) {
        let held = self.0.entry(origin(address)).or_default();
        *held = held.saturating_add(1);
    }

    /// One less; a source without any is forgotten.
    pub(super) fn remove(&mut self, address: IpAddr) {
        let origin = origin(address);
        let Some(held) = self.0.get_mut(&origin) else {
            return;
        };
        *held = held.saturating_sub(1);
        if *held == 0 {
            self.0.remove(&origin);
        }
    }

    /// How many the source of this address has.
    pub(super) fn of(&self, address: IpAddr) -> usize {
        self.0.get(&origin(address)).copied().unwrap_or_default()
    }

    /// How many the source has that has most of them.
    pub(super) fn most(&self) -> usize {
        self.0.values().copied().max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_one_customer_is_one_source_and_nothing_is_left_of_it() {
        let [one, neighbour, other, v4] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "192.0.2.1"]
                .map(|text| text.parse::<IpAddr>().expect("an address"));
        let mut shares = Shares::default();
        for address in [one, neighbour, other, v4] {
            shares.add(address);
        }
        assert_eq!(
            [one, other, v4].map(|address| shares.of(address)),
            [2, 1, 1]
        );
        assert_eq!(shares.most(), 2);
        for address in [one, neighbour, other, v4, v4] {
            shares.remove(address);
        }
        assert_eq!((shares.most(), shares.0.len()), (0, 0));
    }
}
