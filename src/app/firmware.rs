//! Where devices find firmware images: what is written to 5/0/1.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use crate::config::{Firmware, FirmwareUri};
use crate::domain::{FirmwareId, ImageBytes, Peer, UpdateMethod};
use crate::endpoint::Images;
use crate::security::ServerCertificates;
use crate::store::{FirmwareShelf as _, Shelf};

/// Where images are served, once it is known: a port may be the system's choice.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// HTTPS.
    pub(super) https: OnceLock<SocketAddr>,
    /// Plain CoAP.
    pub(super) coap: OnceLock<SocketAddr>,
    /// CoAP over DTLS.
    pub(super) coaps: OnceLock<SocketAddr>,
}

/// The images of the shelf, for the actors of devices.
pub(super) struct ImageSource {
    shelf: Arc<Shelf>,
    settings: Firmware,
    places: Arc<Places>,
}

impl ImageSource {
    pub(super) fn new(shelf: Arc<Shelf>, settings: Firmware, places: Arc<Places>) -> Self {
        Self {
            shelf,
            settings,
            places,
        }
    }

    /// The images themselves.
    pub(super) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf)
    }

    /// The host of the settings, or the address that this machine has towards the device.
    fn host(&self, peer: Peer, port: u16, default_port: u16) -> Option<String> {
        let host = match self.settings.host.as_str() {
            "" => address_towards(peer.address)?.to_string(),
            host => host.to_owned(),
        };
        Some(with_port(host, port, default_port))
    }
}

/// Says once when devices will refuse what they are told to fetch over HTTPS: they look for the host of the URI in the
/// certificate.
pub(super) fn check_host(settings: &Firmware, certificates: &ServerCertificates) {
    let host = settings.host.as_str();
    if !settings.enabled || settings.uri != FirmwareUri::Absolute || host.is_empty() {
        return;
    }
    let name = name_of(host);
    if !certificates.is_for(name).unwrap_or(false) {
        tracing::warn!(
            firmware.host = host,
            "Devices that check it will refuse to download firmware over HTTPS: firmware.host has them connect to \
             {name}, which the certificate of the server does not name. Add {name} to certificates.hosts, or put a \
             certificate into data_dir/certs that does"
        );
    }
}

/// The name or the address of a host that may have brackets and a port.
fn name_of(host: &str) -> &str {
    if host.parse::<Ipv6Addr>().is_ok() {
        return host;
    }
    match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// A host as a URI has it (RFC 3986 section 3.2): an IPv6 address in brackets, and the port unless it names one itself
/// or the port is the usual one.
fn with_port(mut host: String, port: u16, default_port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        host = format!("[{host}]");
    }
    let behind_brackets = host.rsplit(']').next().unwrap_or_default();
    if behind_brackets.contains(':') || port == default_port {
        return host;
    }
    format!("{host}:{port}")
}

impl Images for ImageSource {
    fn uri(&self, image: FirmwareId, method: UpdateMethod, peer: Peer) -> Option<String> {
        let image = self.shelf.image(image)?.image;
        let path = self.shelf.path(&image);
        let (place, scheme, default_port) = match method {
            UpdateMethod::PullHttps => (self.places.https.get(), "https", 443),
            UpdateMethod::PullCoap if peer.is_secure() => (self.places.coaps.get(), "coaps", 5684),
            UpdateMethod::PullCoap => (self.places.coap.get(), "coap", 5683),
            UpdateMethod::Push => return None,
        };
        let port = place?.port();
        if self.settings.uri == FirmwareUri::Relative {
            return Some(path);
        }
        let host = self.host(peer, port, default_port)?;
        Some(format!("{scheme}://{host}{path}"))
    }

    fn bytes(&self, image: FirmwareId) -> Option<Arc<dyn ImageBytes>> {
        Some(self.shelf.image(image)?.bytes)
    }
}

/// The address of ours that packets to this one leave from. Nothing is sent: the system only looks up its route.
fn address_towards(peer: SocketAddr) -> Option<IpAddr> {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let any: SocketAddr = if peer.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(peer).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_its_port_unless_it_names_one_or_the_port_is_the_usual_one() {
        for (host, port, expected) in [
            ("fw.example.com", 443, "fw.example.com"),
            ("fw.example.com", 8443, "fw.example.com:8443"),
            ("fw.example.com:9000", 8443, "fw.example.com:9000"),
            ("fw.example.com:443", 8443, "fw.example.com:443"),
            ("192.0.2.1", 8443, "192.0.2.1:8443"),
            ("2001:db8::1", 443, "[2001:db8::1]"),
            ("2001:db8::1", 8443, "[2001:db8::1]:8443"),
            ("[2001:db8::1]", 8443, "[2001:db8::1]:8443"),
            ("[2001:db8::1]:9000", 8443, "[2001:db8::1]:9000"),
        ] {
            assert_eq!(with_port(host.to_owned(), port, 443), expected);
        }
    }

    #[test]
    fn the_name_of_a_host_is_without_its_port() {
        for (host, expected) in [
            ("fw.example.com", "fw.example.com"),
            ("fw.example.com:443", "fw.example.com"),
            ("192.0.2.1:8443", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:443", "2001:db8::1"),
        ] {
            assert_eq!(name_of(host), expected);
        }
    }

    #[test]
    fn the_address_towards_loopback_is_loopback() {
        for text in ["127.0.0.1:5", "[::ffff:127.0.0.1]:5", "[::1]:5"] {
            let peer: SocketAddr = text.parse().expect("an address");
            // A machine may have no IPv6.
            if let Some(address) = address_towards(peer) {
                assert!(address.is_loopback(), "{text}: {address}");
            } else {
                assert!(text.starts_with("[::1]"));
            }
        }
    }
}
