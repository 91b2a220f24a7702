//! The URL of an LwM2M server.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};

/// Where the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// Over DTLS.
    pub(super) is_secure: bool,
    /// A name or an address.
    pub(super) host: &'a str,
    port: u16,
}

impl<'a> Url<'a> {
    /// `coap://HOST[:PORT]` or `coaps://HOST[:PORT]`.
    pub(super) fn parse(url: &'a str) -> anyhow::Result<Self> {
        let plain = url.strip_prefix(COAP);
        let secure = url.strip_prefix(COAPS);
        let is_secure = secure.is_some();
        let rest = plain
            .or(secure)
            .with_context(|| format!("--server {url}: must be coap://HOST:PORT"))?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest
                    .split_once(']')
                    .with_context(|| format!("--server {url}: the bracket is not closed"))?;
                (
                    host,
                    rest.strip_prefix(':')
                        .or_else(|| (!rest.is_empty()).then_some(rest)),
                )
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            bail!("--server {url}: must be coap://HOST:PORT");
        }
        let port = match port {
            None if is_secure => COAPS_PORT,
            None => COAP_PORT,
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .with_context(|| format!("--server {url}: `{port}` is no port"))?,
        };
        Ok(Self {
            is_secure,
            host,
            port,
        })
    }

    /// `coap://` or `coaps://`
    pub(super) fn scheme(self) -> &'static str {
        if self.is_secure { COAPS } else { COAP }
    }

    /// The address; IPv4 is preferred where a name has both.
    pub(super) async fn resolve(self) -> anyhow::Result<SocketAddr> {
        let host = self.host;
        let mut addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, self.port))
            .await
            .with_context(|| format!("cannot resolve {host}"))?
            .collect();
        addresses.sort_by_key(SocketAddr::is_ipv6);
        addresses
            .first()
            .copied()
            .with_context(|| format!("{host} has no address"))
    }
}

const COAP: &str = "coap://";
const COAPS: &str = "coaps://";
/// RFC 7252 section 6.1
const COAP_PORT: u16 = 5683;
/// RFC 7252 section 6.2
const COAPS_PORT: u16 = 5684;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_a_coap_url_with_or_without_a_port() {
        for (url, is_secure, host, port) in [
            ("coap://localhost:5683", false, "localhost", 5683),
            ("coap://example.org", false, "example.org", 5683),
            ("coap://192.0.2.1:7000/", false, "192.0.2.1", 7000),
            ("coap://[2001:db8::1]:7000", false, "2001:db8::1", 7000),
            ("coap://[::1]", false, "::1", 5683),
            ("coaps://example.org", true, "example.org", 5684),
            ("coaps://[::1]", true, "::1", 5684),
            ("coaps://192.0.2.1:5683", true, "192.0.2.1", 5683),
        ] {
            let expected = Url {
                is_secure,
                host,
                port,
            };
            assert_eq!(Url::parse(url).expect(url), expected);
        }
    }

    #[test]
    fn what_is_no_server_is_refused_in_one_line() {
        for url in [
            "localhost:5683",
            "coap://",
            "coap://:5683",
            "coap://host:0",
            "coap://host:coap",
            "coap://host:1:2",
            "coap://[::1",
            "coap://[::1]5683x",
            "coap://host/rd",
            "coaps://",
            "http://host",
        ] {
            let error = format!("{:#}", Url::parse(url).expect_err(url));
            assert!(error.contains(url) && !error.contains('\n'), "{error}");
        }
    }
}
