//! What somebody needs to know before the first device is there: where it finds this server.

use std::net::SocketAddr;

use actix_web::HttpRequest;
use serde::Serialize;

use super::chrome::Page;
use crate::config::UnknownEndpoints;
use crate::web::auth::Viewer;
use crate::web::auth::csrf::own_hosts;

/// The ports of CoAP that need not be named (RFC 7252 sections 6.1 and 6.2).
const COAP: u16 = 5683;
const COAPS: u16 = 5684;

/// Where devices find this server, as far as it can be told from here.
#[derive(Debug, Serialize)]
struct FirstSteps {
    coap: Option<String>,
    coaps: Option<String>,
    /// Whether only devices with credentials may register.
    only_known: bool,
    /// A command that starts simulated devices.
    simulate: Option<String>,
}

/// Gives the page `first_steps`: for a fleet without devices what to do, otherwise nothing.
pub(super) fn insert(page: &mut Page, viewer: &Viewer, request: &HttpRequest, is_empty: bool) {
    let settings = viewer.settings();
    // As the proxy was asked, where there is one that is trusted.
    let asked = own_hosts(request).pop();
    let host = host(asked.as_deref().unwrap_or("localhost"));
    let plain = settings.coap.enabled.then_some(settings.coap.listen);
    let secure = settings.coaps.enabled.then_some(settings.coaps.listen);
    let only_known = settings.registration.unknown_endpoints == UnknownEndpoints::Deny;
    let coap = plain
        .filter(|_| !only_known)
        .map(|listen| address("coap", &host, listen, COAP));
    let steps = is_empty.then(|| FirstSteps {
        simulate: coap
            .as_ref()
            .map(|coap| format!("flownexus simulate --server {coap} -n 3")),
        coap,
        coaps: secure.map(|listen| address("coaps", &host, listen, COAPS)),
        only_known,
    });
    page.insert("first_steps", &steps);
}

/// The host under which the browser reaches the server, without its port; brackets around IPv6 stay.
fn host(authority: &str) -> String {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
        _ => authority.to_owned(),
    }
}

/// A listener's address; where it listens everywhere, that of the browser's host.
fn address(scheme: &str, host: &str, listen: SocketAddr, usual: u16) -> String {
    let host = match listen {
        _ if listen.ip().is_unspecified() => host.to_owned(),
        SocketAddr::V4(listen) => listen.ip().to_string(),
        SocketAddr::V6(listen) => format!("[{}]", listen.ip()),
    };
    match listen.port() {
        port if port == usual => format!("{scheme}://{host}"),
        port => format!("{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_one_that_devices_reach() {
        for (authority, listen, shown) in [
            (
                "nexus.example.com:8000",
                "[::]:5683",
                "coap://nexus.example.com",
            ),
            ("192.168.1.5", "0.0.0.0:15683", "coap://192.168.1.5:15683"),
            ("[2001:db8::1]:8000", "[::]:5683", "coap://[2001:db8::1]"),
            ("[2001:db8::1]", "[::]:5683", "coap://[2001:db8::1]"),
            ("localhost:8000", "10.0.0.7:5683", "coap://10.0.0.7"),
            (
                "localhost:8000",
                "[2001:db8::7]:5684",
                "coap://[2001:db8::7]:5684",
            ),
        ] {
            let listen = listen.parse().expect("an address");
            assert_eq!(address("coap", &host(authority), listen, COAP), shown);
        }
    }
}
