//! How fast the generator is by itself: its requests against a bare echo.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::socket::BUFFER;
use crate::coap::Code;
use crate::net::batch::{Inbox, Outbox};

/// A thread that sends every confirmable message back as its acknowledgement, and does nothing else.
pub(super) struct Echo {
    pub(super) address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// On a free port of this machine.
    pub(super) fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        let _ = options.set_recv_buffer_size(BUFFER);
        let address = socket.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let watched = Arc::clone(&is_over);
        let thread = std::thread::Builder::new()
            .name("echo".to_owned())
            .spawn(move || echo(&socket, &watched))?;
        Ok(Self {
            address,
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn echo(socket: &UdpSocket, is_over: &AtomicBool) {
    let (mut inbox, mut outbox) = (Inbox::new(DATAGRAM), Outbox::default());
    let mut answers: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let mut ready = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut ready, PollTimeout::from(POLL_MS));
        while inbox
            .receive(socket, |from, datagram| {
                answers.extend(answer(datagram).map(|answer| (from, answer)));
            })
            .is_ok()
        {
            while !answers.is_empty() {
                let datagrams = answers
                    .iter()
                    .map(|(to, datagram)| (Some(*to), datagram.as_slice()));
                match outbox.send(socket, datagrams) {
                    Ok(count) => _ = answers.drain(..count),
                    Err(_) => answers.clear(),
                }
            }
        }
    }
}

/// The same bytes, as far as an acknowledgement may have them.
fn answer(datagram: &[u8]) -> Option<Vec<u8>> {
    let mut answer = datagram.to_vec();
    let [first, code, ..] = answer.as_mut_slice() else {
        return None;
    };
    *first = (*first & 0b1100_1111) | 0b0010_0000;
    *code = Code::CHANGED.to_byte();
    Some(answer)
}

const DATAGRAM: usize = 2048;
const POLL_MS: u16 = 50;
