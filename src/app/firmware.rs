//! Where devices find firmware images: what is written to 5/0/1.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, OnceLock};

use crate::config::{Firmware, FirmwareUri};
use crate::domain::{FirmwareId, ImageBytes, Peer, UpdateMethod};
use crate::endpoint::Images;
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

    /// The host of the settings, or the address that this machine has towards the device.
    fn host(&self, peer: Peer, port: u16, default_port: u16) -> Option<String> {
        let host = &self.settings.host;
        if host.is_empty() {
            let address = SocketAddr::new(address_towards(peer.address)?, port);
            return Some(match (port == default_port, address) {
                (false, address) => address.to_string(),
                (true, SocketAddr::V4(address)) => address.ip().to_string(),
                (true, SocketAddr::V6(address)) => format!("[{}]", address.ip()),
            });
        }
        let has_port = match host.rsplit_once(':') {
            // Without brackets, an IPv6 address has more colons.
            Some((front, port)) => {
                (!front.contains(':') || front.ends_with(']')) && port.parse::<u16>().is_ok()
            }
            None => false,
        };
        let is_bare_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
        Some(match (has_port, port == default_port) {
            (true, _) | (false, true) if !is_bare_v6 => host.clone(),
            (_, true) => format!("[{host}]"),
            (_, false) if is_bare_v6 => format!("[{host}]:{port}"),
            (_, false) => format!("{host}:{port}"),
        })
    }
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
