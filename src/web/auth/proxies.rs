//! From where a request comes: the peer, or what a proxy that we trust says.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap};
use actix_web::http::uri::Authority;

/// Headers that proxies add.
const FORWARDING_HEADERS: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// The client's address. `X-Forwarded-For` counts only when the peer is one of `trusted`, and then
/// from the right: the first address that is no trusted proxy is the client, since everything to
/// the left of it is what the client itself may have sent.
pub fn client_address(request: &HttpRequest, trusted: &[IpAddr]) -> IpAddr {
    let peer = peer_address(request);
    client_behind(peer, request.headers(), trusted)
}

/// True when the request comes from this machine, through no proxy, and asks for this machine: a browser here that
/// believes another site's name to be ours (DNS rebinding) asks for that name.
pub fn is_local(request: &HttpRequest) -> bool {
    peer_address(request).is_loopback()
        && asks_for_this_machine(request)
        && FORWARDING_HEADERS
            .iter()
            .all(|name| !request.headers().contains_key(*name))
}

fn asks_for_this_machine(request: &HttpRequest) -> bool {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let authority: Option<Authority> = host.and_then(|host| host.parse().ok());
    authority.is_some_and(|authority| {
        let name = authority.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
    })
}

/// True when the request comes straight from a trusted proxy, so that its `X-Forwarded-Host`
/// counts.
pub fn is_from_trusted_proxy(request: &HttpRequest, trusted: &[IpAddr]) -> bool {
    trusted.contains(&peer_address(request))
}

/// The address at the other end of the connection, IPv4-mapped addresses as IPv4. Connections
/// without an address (tests without a socket) count as coming from nowhere.
fn peer_address(request: &HttpRequest) -> IpAddr {
    request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| {
            address.ip().to_canonical()
        })
}

fn client_behind(peer: IpAddr, headers: &HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    if !trusted.contains(&peer) {
        return peer;
    }
    let hops: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    let mut nearest = peer;
    for hop in hops.iter().rev() {
        let Ok(address) = hop.parse::<IpAddr>() else {
            break;
        };
        nearest = address.to_canonical();
        if !trusted.contains(&nearest) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(peer: &str, forwarded_for: &str, trusted: &[&str]) -> String {
        let request = TestRequest::default()
            .peer_addr(format!("{peer}:1").parse().expect("a peer"))
            .insert_header(("x-forwarded-for", forwarded_for))
            .to_http_request();
        let trusted: Vec<IpAddr> = trusted
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        client_address(&request, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        assert_eq!(client("10.0.0.1", "1.2.3.4", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", "1.2.3.4", &["10.0.0.1"]), "1.2.3.4");
    }

    #[test]
    fn what_the_client_put_in_front_is_not_believed() {
        let trusted = ["10.0.0.1", "10.0.0.2"];
        assert_eq!(
            client("10.0.0.1", "6.6.6.6, 1.2.3.4, 10.0.0.2", &trusted),
            "1.2.3.4"
        );
        assert_eq!(client("10.0.0.1", "6.6.6.6, rubbish", &trusted), "10.0.0.1");
    }

    #[test]
    fn a_forwarded_request_is_not_local() {
        let here = "127.0.0.1:1".parse().expect("a peer");
        let asks = |host: &str| {
            let request = TestRequest::default().peer_addr(here);
            request.insert_header(("host", host)).to_http_request()
        };
        for host in [
            "localhost",
            "LocalHost:8000",
            "127.0.0.1:8000",
            "[::1]:8000",
            "192.0.2.7",
        ] {
            assert!(is_local(&asks(host)), "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example:8000",
            "localhost.evil.example",
            "",
        ] {
            assert!(!is_local(&asks(host)), "{host}");
        }
        let forwarded = TestRequest::default()
            .peer_addr(here)
            .insert_header(("host", "localhost"))
            .insert_header(("forwarded", "for=1.2.3.4"))
            .to_http_request();
        assert!(!is_local(&forwarded));
        let elsewhere = TestRequest::default()
            .peer_addr("192.0.2.1:1".parse().expect("a peer"))
            .insert_header(("host", "localhost"))
            .to_http_request();
        assert!(!is_local(&elsewhere));
    }
}
