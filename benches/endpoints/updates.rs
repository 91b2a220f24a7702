//! Updates of very many devices from one socket, each from the address of its device.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use flownexus::coap::{Code, Message, MessageType, Token, number};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use super::support::Result;
use super::support::fleet::{PORT, address, request};

/// What became of them.
pub(super) struct Updates {
    pub(super) acknowledged: u32,
    pub(super) repeated: u32,
    pub(super) took: Duration,
}

/// One Update of each device, as fast as they are answered.
pub(super) fn send(
    server: SocketAddr,
    count: u32,
    location: impl Fn(u32) -> Vec<Vec<u8>>,
) -> Result<Updates> {
    let SocketAddr::V4(server) = server else {
        return Err("the addresses of the devices are of IPv4".into());
    };
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    let to = SockaddrIn::from(server);
    let mut result = Updates {
        acknowledged: 0,
        repeated: 0,
        took: Duration::ZERO,
    };
    let mut waiting: VecDeque<(u32, Instant)> = VecDeque::new();
    let mut done = vec![false; usize::try_from(count)?];
    let mut next = 0;
    let mut under_way = 0_usize;
    let mut buffer = [0; 2048];
    let begun = Instant::now();
    // Unlike that of the round before.
    let message_id = u16::try_from(
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis()
            & 0xffff,
    )?;
    while result.acknowledged < count {
        while under_way < WINDOW && next < count {
            send_one(&socket, &to, next, message_id, &location)?;
            waiting.push_back((next, Instant::now()));
            under_way += 1;
            next += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let answer = Message::decode(buffer.get(..length).unwrap_or_default())?;
                if answer.kind == MessageType::Confirmable || answer.code.is_request() {
                    continue;
                }
                let token: [u8; 8] = answer.token.as_bytes().try_into().unwrap_or_default();
                let number = u32::try_from(u64::from_be_bytes(token))?;
                if answer.code != Code::CHANGED {
                    return Err(format!("an Update was answered with {}", answer.code).into());
                }
                let was = done
                    .get_mut(usize::try_from(number)?)
                    .ok_or("an unknown token")?;
                if !std::mem::replace(was, true) {
                    result.acknowledged += 1;
                    under_way -= 1;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        while let Some((number, at)) = waiting.front().copied() {
            let is_done = done.get(usize::try_from(number)?) == Some(&true);
            if !is_done && at.elapsed() < RETRY {
                break;
            }
            waiting.pop_front();
            if !is_done {
                send_one(&socket, &to, number, message_id, &location)?;
                waiting.push_back((number, Instant::now()));
                result.repeated += 1;
            }
        }
    }
    result.took = begun.elapsed();
    Ok(result)
}

fn send_one(
    socket: &UdpSocket,
    to: &SockaddrIn,
    device: u32,
    message_id: u16,
    location: &impl Fn(u32) -> Vec<Vec<u8>>,
) -> Result<()> {
    let mut message = request(message_id);
    message.token = Token::from(u64::from(device).to_be_bytes());
    for segment in location(device) {
        message.options.add(number::URI_PATH, &segment);
    }
    let datagram = message.encode();
    let from = libc::in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: libc::in_addr {
            s_addr: u32::from(address(device)).to_be(),
        },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    sendmsg(
        socket.as_raw_fd(),
        &[std::io::IoSlice::new(&datagram)],
        &[ControlMessage::Ipv4PacketInfo(&from)],
        MsgFlags::empty(),
        Some(to),
    )?;
    Ok(())
}

/// Updates that are not answered yet.
const WINDOW: usize = 1_024;
/// Like RFC 7252's first timeout.
const RETRY: Duration = Duration::from_secs(3);
