//! Messages as a file for packet analysers (pcap, `LINKTYPE_RAW`): IP and UDP headers are made up, addresses, ports
//! and times are real.
//!
//! What came through DTLS is in it without, with the port of plain CoAP on the side of the server, so that it is
//! taken for what it is. What is secret is zeros.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::conversation::Line;

/// The file, oldest message first. `plain`, `secure`: where the server listens, plainly and with DTLS.
pub fn write<'a>(
    lines: impl IntoIterator<Item = &'a Line>,
    plain: Option<SocketAddr>,
    secure: Option<SocketAddr>,
) -> Vec<u8> {
    let mut file = Vec::new();
    // Times in microseconds, version 2.4, no correction of the time.
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend([2, 0, 4, 0]);
    file.extend([0; 8]);
    file.extend(LONGEST.to_le_bytes());
    file.extend(LINKTYPE_RAW.to_le_bytes());
    let mut own = None;
    for line in lines {
        let listens = if line.is_secure { secure } else { plain };
        let ip = match own {
            Some((peer, ip)) if peer == line.address.ip() => ip,
            _ => own_ip(listens, line.address),
        };
        own = Some((line.address.ip(), ip));
        let port = match line.is_secure {
            true => COAP,
            false => listens.map_or(COAP, |address| address.port()),
        };
        let server = SocketAddr::new(ip, port);
        let (from, to) = match line.up {
            true => (line.address, server),
            false => (server, line.address),
        };
        packet(&mut file, line, from, to);
    }
    file
}

fn packet(file: &mut Vec<u8>, line: &Line, from: SocketAddr, to: SocketAddr) {
    let length = usize::try_from(line.length).unwrap_or(usize::MAX);
    let udp = udp(&line.bytes, length, from, to);
    // What was not kept is missing at the end, as when a capture cuts packets.
    let whole = length.saturating_add(UDP_HEADER);
    let head = ip_head(whole, from.ip(), to.ip());
    let (micros, second) = (
        line.micros.rem_euclid(1_000_000),
        line.micros.div_euclid(1_000_000),
    );
    for number in [
        u32::try_from(second).unwrap_or(u32::MAX),
        u32::try_from(micros).unwrap_or_default(),
        u32::try_from(head.len() + udp.len()).unwrap_or(LONGEST),
        u32::try_from(head.len().saturating_add(whole)).unwrap_or(LONGEST),
    ] {
        file.extend(number.to_le_bytes());
    }
    file.extend(head);
    file.extend(udp);
}

fn udp(payload: &[u8], length: usize, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut udp = Vec::with_capacity(UDP_HEADER + payload.len());
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    let whole = u16::try_from(length.saturating_add(UDP_HEADER)).unwrap_or(u16::MAX);
    udp.extend(whole.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let mut sum = Sum::default();
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            sum.add(&from.octets());
            sum.add(&to.octets());
        }
        (from, to) => {
            sum.add(&v6(from).octets());
            sum.add(&v6(to).octets());
        }
    }
    sum.add(&[0, PROTOCOL_UDP]);
    sum.add(&whole.to_be_bytes());
    sum.add(&udp);
    // Zero would say that there is none.
    let checksum = match sum.end() {
        0 => u16::MAX,
        sum => sum,
    };
    if let Some(place) = udp.get_mut(6..8) {
        place.copy_from_slice(&checksum.to_be_bytes());
    }
    udp
}

fn ip_head(udp: usize, from: IpAddr, to: IpAddr) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else {
        let length = u16::try_from(udp).unwrap_or(u16::MAX);
        let mut head = vec![0x60, 0, 0, 0];
        head.extend(length.to_be_bytes());
        head.extend([PROTOCOL_UDP, HOPS]);
        head.extend(v6(from).octets());
        head.extend(v6(to).octets());
        return head;
    };
    let length = u16::try_from(udp.saturating_add(20)).unwrap_or(u16::MAX);
    let mut head = vec![0x45, 0];
    head.extend(length.to_be_bytes());
    // No number, not in fragments.
    head.extend([0, 0, 0x40, 0, HOPS, PROTOCOL_UDP, 0, 0]);
    head.extend(from.octets());
    head.extend(to.octets());
    let mut sum = Sum::default();
    sum.add(&head);
    if let Some(place) = head.get_mut(10..12) {
        place.copy_from_slice(&sum.end().to_be_bytes());
    }
    head
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// The address of ours that datagrams to a peer bear: where the server listens everywhere, the system knows. Nothing
/// is sent for it.
fn own_ip(listens: Option<SocketAddr>, peer: SocketAddr) -> IpAddr {
    let listens = listens.map(|address| address.ip().to_canonical());
    if let Some(ip) = listens.filter(|ip| !ip.is_unspecified() && ip.is_ipv4() == peer.is_ipv4()) {
        return ip;
    }
    let any: IpAddr = match peer {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let ask = || {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(peer)?;
        Ok::<_, std::io::Error>(socket.local_addr()?.ip())
    };
    ask().unwrap_or(any)
}

/// The checksum of IP and UDP (RFC 1071).
#[derive(Default)]
struct Sum(u32);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(2) {
            let word = match *pair {
                [high, low] => u16::from_be_bytes([high, low]),
                [high] => u16::from_be_bytes([high, 0]),
                _ => 0,
            };
            self.0 = self.0.wrapping_add(word.into());
            self.0 = (self.0 & 0xffff) + (self.0 >> 16);
        }
    }

    fn end(self) -> u16 {
        !u16::try_from(self.0 & 0xffff).unwrap_or_default()
    }
}

/// Raw IP, of version 4 or 6.
const LINKTYPE_RAW: u32 = 101;
/// The largest packet.
const LONGEST: u32 = 65_535 + 40;
const PROTOCOL_UDP: u8 = 17;
const HOPS: u8 = 64;
const UDP_HEADER: usize = 8;
/// The port of plain CoAP.
const COAP: u16 = 5683;
