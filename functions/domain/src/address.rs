//! Addresses of callers: which of them count as one, and which are refused.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// An address as limits and lists identify it: IPv6 by its /64, which usually belongs to one
/// caller.
pub fn network(address: &str) -> String {
    let Ok(IpAddr::V6(parsed)) = address.parse() else {
        return address.to_owned();
    };
    if let Some(mapped) = parsed.to_ipv4_mapped() {
        return mapped.to_string();
    }
    let network = u128::from(parsed) >> 64 << 64;
    format!("{}/64", Ipv6Addr::from(network))
}

/// Refused networks, each with the time since which it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Blocked {
    /// Keyed by [`network`].
    pub since: BTreeMap<String, UnixMillis>,
}

impl Blocked {
    /// The most networks that the list may hold: every authorizer reads all of them every few
    /// seconds.
    pub const MOST: usize = 5_000;

    /// Whether `address` is refused.
    pub fn holds(&self, address: &str) -> bool {
        !self.since.is_empty() && self.since.contains_key(&network(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stands_for_its_network() {
        for (address, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("unknown", "unknown"),
        ] {
            assert_eq!(network(address), expected);
        }
        let mut blocked = Blocked::default();
        assert!(!blocked.holds("192.0.2.1"));
        blocked
            .since
            .insert(network("2001:db8:1:2::9"), UnixMillis(0));
        assert!(blocked.holds("2001:db8:1:2:3:4:5:6"));
        assert!(!blocked.holds("2001:db8:1:3::1"));
    }
}
