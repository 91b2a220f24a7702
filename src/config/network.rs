//! A range of IP addresses, as settings name it: one address, or an address and how many of its first
//! bits count (CIDR, RFC 4632 section 3.1, RFC 4291 section 2.3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits count.
    prefix: u8,
}

/// Why a text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// What is before the slash, or all of it.
    #[error("`{0}` is no IP address and no network such as 192.0.2.0/24 or 2001:db8::/32")]
    Address(String),
    /// What is behind the slash.
    #[error("`{text}`: the number behind the slash must be from 0 to {most}")]
    Prefix {
        /// The whole text.
        text: String,
        /// 32 or 128.
        most: u8,
    },
    /// Bits behind the prefix are set: most likely one of the two is a slip.
    #[error("`{text}`: bits behind the first {prefix} are set; `{meant}` is the network")]
    HostBits {
        /// The whole text.
        text: String,
        /// How many bits count.
        prefix: u8,
        /// The range that it is in.
        meant: Network,
    },
}

impl Network {
    /// Whether an address is in it. IPv4 addresses in their mapped form count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && masked(address, self.prefix) == bits(self.address)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address.trim().parse::<IpAddr>() else {
            return Err(InvalidNetwork::Address(text.to_owned()));
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix.map(|prefix| prefix.trim().parse::<u8>()) {
            None => most,
            Some(Ok(prefix)) if prefix <= most => prefix,
            Some(_) => {
                let text = text.to_owned();
                return Err(InvalidNetwork::Prefix { text, most });
            }
        };
        let first = masked(address, prefix);
        if first != bits(address) {
            let meant = Self {
                address: from_bits(first, address.is_ipv4()),
                prefix,
            };
            let text = text.to_owned();
            return Err(InvalidNetwork::HostBits {
                text,
                prefix,
                meant,
            });
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let single = if self.address.is_ipv4() { 32 } else { 128 };
        if self.prefix == single {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix)
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// IPv4 addresses are kept in the upper bits, so that one mask serves both.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn from_bits(bits: u128, is_ipv4: bool) -> IpAddr {
    if is_ipv4 {
        let bits = u32::try_from(bits >> 96).unwrap_or_default();
        IpAddr::V4(bits.into())
    } else {
        IpAddr::V6(bits.into())
    }
}

fn masked(address: IpAddr, prefix: u8) -> u128 {
    let mask = u128::MAX
        .checked_shl(128_u32.saturating_sub(u32::from(prefix)))
        .unwrap_or(0);
    bits(address) & mask
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[rstest]
    #[case("192.0.2.7", "192.0.2.7", true)]
    #[case("192.0.2.7", "192.0.2.8", false)]
    #[case("192.0.2.0/24", "192.0.2.255", true)]
    #[case("192.0.2.0/24", "192.0.3.0", false)]
    #[case("192.0.2.0/24", "::ffff:192.0.2.9", true)]
    #[case("0.0.0.0/0", "203.0.113.1", true)]
    #[case("0.0.0.0/0", "2001:db8::1", false)]
    #[case("2001:db8::/32", "2001:db8:ffff::1", true)]
    #[case("2001:db8::/32", "2001:db9::1", false)]
    #[case("::/0", "192.0.2.1", false)]
    #[case("2001:db8::1", "2001:db8::1", true)]
    fn an_address_is_in_it_or_not(
        #[case] network: &str,
        #[case] address: &str,
        #[case] inside: bool,
    ) {
        let network: Network = network.parse().expect("a network");
        assert_eq!(network.contains(ip(address)), inside);
    }

    #[rstest]
    #[case("localhost", "`localhost` is no IP address")]
    #[case("", "`` is no IP address")]
    #[case("192.0.2.0/33", "from 0 to 32")]
    #[case("2001:db8::/129", "from 0 to 128")]
    #[case("192.0.2.0/", "from 0 to 32")]
    #[case("192.0.2.9/24", "`192.0.2.0/24` is the network")]
    fn a_slip_is_named(#[case] text: &str, #[case] says: &str) {
        let error = text.parse::<Network>().expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
}
