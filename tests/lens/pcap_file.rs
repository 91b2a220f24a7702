//! A reader of pcap files, by the letter of the formats: nothing of the server's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A packet of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) micros: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
    /// Bytes that are missing at the end.
    pub(crate) cut: usize,
}

/// The packets of a file, whose headers and checksums must be right.
#[track_caller]
pub(crate) fn packets(file: &[u8]) -> Vec<Packet> {
    let (head, mut rest) = file.split_at(24);
    assert_eq!(word(head, 0), 0xa1b2_c3d4, "the magic number");
    assert_eq!(head[4..8], [2, 0, 4, 0], "the version");
    assert_eq!(word(head, 20), 101, "LINKTYPE_RAW");
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (head, behind) = rest.split_at(16);
        let (kept, whole) = (word(head, 8) as usize, word(head, 12) as usize);
        let (packet, behind) = behind.split_at(kept);
        rest = behind;
        let micros = u64::from(word(head, 0)) * 1_000_000 + u64::from(word(head, 4));
        packets.push(read(packet, micros, whole - kept));
    }
    packets
}

fn read(packet: &[u8], micros: u64, cut: usize) -> Packet {
    let (from, to, udp): (IpAddr, IpAddr, &[u8]) = match packet[0] >> 4 {
        4 => {
            assert_eq!(packet[0], 0x45, "no options");
            assert_eq!(sum(&[&packet[..20]]), 0xffff, "the checksum of the header");
            assert_eq!(usize::from(short(packet, 2)), packet.len() + cut);
            assert_eq!(packet[9], 17, "UDP");
            let ip =
                |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).expect("4"));
            (ip(12).into(), ip(16).into(), &packet[20..])
        }
        6 => {
            assert_eq!(usize::from(short(packet, 4)), packet.len() - 40 + cut);
            assert_eq!(packet[6], 17, "UDP");
            let ip =
                |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).expect("16"));
            (ip(8).into(), ip(24).into(), &packet[40..])
        }
        other => panic!("IP {other}"),
    };
    assert_eq!(usize::from(short(udp, 4)), udp.len() + cut);
    if cut == 0 {
        let octets = |ip: IpAddr| match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let pseudo = [octets(from), octets(to), vec![0, 17], udp[4..6].to_vec()].concat();
        assert_eq!(sum(&[&pseudo, udp]), 0xffff, "the checksum of UDP");
    }
    Packet {
        micros,
        from: (from, short(udp, 0)).into(),
        to: (to, short(udp, 2)).into(),
        payload: udp[8..].to_vec(),
        cut,
    }
}

/// The sum of RFC 1071: all ones where the checksum in it is right.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
