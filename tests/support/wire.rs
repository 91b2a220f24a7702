//! The socket of a scripted device as OpenSSL sees it, with every datagram written down.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::cid::Shim;

/// Larger than any record.
const DATAGRAM: usize = 65_536;

/// A socket for OpenSSL: one write is one datagram.
#[derive(Clone)]
pub(super) struct Wire {
    state: Arc<Mutex<WireState>>,
    pub(super) shim: Shim,
}

pub(super) struct WireState {
    pub(super) socket: UdpSocket,
    pub(super) server: SocketAddr,
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) received: Vec<Vec<u8>>,
    /// Whoever speaks is the other side.
    pub(super) follows: bool,
    /// Instead of being sent.
    pub(super) held: Option<Vec<Vec<u8>>>,
}

impl Wire {
    pub(super) fn new(socket: UdpSocket, server: SocketAddr, shim: Shim) -> Self {
        let state = WireState {
            socket,
            server,
            sent: Vec::new(),
            received: Vec::new(),
            follows: false,
            held: None,
        };
        let state = Arc::new(Mutex::new(state));
        Self { state, shim }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, WireState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn wait_at_most(&self, time: Duration) {
        let set = self.state().socket.set_read_timeout(Some(time));
        set.expect("a time above zero");
    }

    /// The next datagram as it comes.
    pub(super) fn receive(&self) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match state.socket.recv_from(&mut buffer) {
                Ok((length, from)) if state.follows || from == state.server => {
                    state.server = from;
                    buffer.truncate(length);
                    state.received.push(buffer.clone());
                    return Ok(buffer);
                }
                Ok(_) => {}
                // A time-out; or "port unreachable" while the server is down.
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::TimedOut | ErrorKind::ConnectionRefused
                    ) =>
                {
                    return Err(ErrorKind::WouldBlock.into());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let datagram = self.shim.incoming(&self.receive()?);
            // OpenSSL would take nothing for the end.
            if !datagram.is_empty() {
                return (&datagram[..]).read(buffer);
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        let datagram = self.shim.outgoing(written);
        let mut state = self.state();
        if let Some(held) = &mut state.held {
            held.push(datagram);
            return Ok(written.len());
        }
        state.socket.send_to(&datagram, state.server)?;
        state.sent.push(datagram);
        Ok(written.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
