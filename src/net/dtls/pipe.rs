//! What OpenSSL reads from and writes to: whole datagrams in memory, no socket.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Datagrams to be read, and datagrams that were written: one write is one datagram.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Pipe {
    /// A datagram of the peer. An empty one says nothing, and would look like an end.
    pub(super) fn push(&mut self, datagram: Vec<u8>) {
        if !datagram.is_empty() {
            self.incoming.push_back(datagram);
        }
    }

    /// The next datagram for the peer.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }
}

impl Read for Pipe {
    /// One datagram; what does not fit is lost, as with a socket.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(datagram) = self.incoming.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        (&datagram[..]).read(buffer)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
