//! The names that a certificate can carry beside its common name (`subjectAltName`, RFC 5280
//! section 4.2.1.6).

use std::fmt;
use std::net::IpAddr;

use crate::domain::EndpointName;

/// One entry of `subjectAltName`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AltName {
    /// `dNSName`
    Dns(String),
    /// `iPAddress`
    Ip(IpAddr),
    /// `uniformResourceIdentifier`
    Uri(String),
}

/// Why a text names no host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is neither an IP address nor a host name; international names are written as `xn--…`"
)]
pub struct InvalidHost(String);

impl AltName {
    /// The name of a server: an IP address, a DNS name, or a DNS name that begins with `*.`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn host(text: &str) -> Result<Self, InvalidHost> {
        if let Ok(ip) = text.parse() {
            return Ok(Self::Ip(ip));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        // Four numbers that are no address are a mistake, not a name.
        let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        if !is_dns_name(name) || name.split('.').all(is_number) {
            return Err(InvalidHost(text.escape_debug().to_string()));
        }
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }

    /// The entry that says an endpoint's name, where one can: a URI (such as `urn:imei:…`) or a DNS
    /// name. The spelling is kept, as endpoint names are compared byte by byte.
    pub fn endpoint(name: &EndpointName) -> Option<Self> {
        let name = name.as_str();
        if is_uri(name) {
            Some(Self::Uri(name.to_owned()))
        } else if is_dns_name(name) && name.parse::<IpAddr>().is_err() {
            Some(Self::Dns(name.to_owned()))
        } else {
            None
        }
    }
}

impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) => write!(f, "{}", text.escape_debug()),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The preferred name syntax that RFC 5280 asks for (RFC 1034 section 3.5, RFC 1123 section 2.1).
fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// An absolute URI (RFC 3986 section 4.3), as far as its characters go.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_rest = !rest.is_empty()
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte));
    let is_escaped = rest.split('%').skip(1).all(|after| {
        after
            .get(..2)
            .is_some_and(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    is_scheme && is_rest && is_escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_or_names() {
        let host = |text| AltName::host(text).ok().map(|name| format!("{name:?}"));
        assert_eq!(host("::1").as_deref(), Some("Ip(::1)"));
        assert_eq!(host("10.0.0.1").as_deref(), Some("Ip(10.0.0.1)"));
        assert_eq!(
            host("FW.Example.org"),
            Some("Dns(\"fw.example.org\")".into())
        );
        assert_eq!(host("*.example.org"), Some("Dns(\"*.example.org\")".into()));
        for wrong in [
            "",
            "*",
            "*.",
            "10.0.0.256",
            "1.2.3",
            "a b",
            "a..b",
            "-a",
            "a-",
            "a\0b",
            "ä.de",
            "a_b.de",
            "https://a.de",
            "a.de:5684",
            "a.de.",
            "[::1]",
        ] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
        assert_eq!(host(&"a".repeat(64)), None);
    }

    #[test]
    fn an_endpoint_name_is_a_uri_a_dns_name_or_neither() {
        let of = |text: &str| AltName::endpoint(&EndpointName::new(text).expect("a name"));
        for uri in [
            "urn:imei:490154203237518",
            "urn:dev:mac:0024befffe804ff1",
            "a:b%20c",
        ] {
            assert_eq!(of(uri), Some(AltName::Uri(uri.to_owned())));
        }
        for dns in ["device-7", "Device-7.plant.example", "490154203237518"] {
            assert_eq!(of(dns), Some(AltName::Dns(dns.to_owned())));
        }
        for neither in [
            "my device",
            "gerät",
            "a_b",
            "10.0.0.1",
            "urn:",
            ":x",
            "1a:b",
            "a:b c",
            "a:%zz",
            "a:%2",
            "*.example.org",
            "a:ü",
        ] {
            assert_eq!(of(neither), None, "{neither}");
        }
    }
}
