//! Many datagrams by one system call: `recvmmsg` and `sendmmsg`.
//!
//! On a socket of a busy server, and on those of a generator of load, the way into the kernel costs as much
//! as what is done there.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd as _};

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, sendmmsg};
use smallvec::SmallVec;

/// The most datagrams of one call.
pub const BATCH: usize = 64;

/// Room for the datagrams of one call, for sockets of one family: for the addresses of the next datagrams there
/// is as much room as the last ones took.
pub struct Inbox {
    headers: MultiHeaders<SockaddrStorage>,
    buffer: Vec<u8>,
    /// Of each datagram.
    bytes: usize,
}

impl Inbox {
    /// For datagrams of at most so many bytes; of longer ones the rest is cut off.
    pub fn new(bytes: usize) -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffer: vec![0; BATCH * bytes],
            bytes,
        }
    }

    /// Takes what has arrived at a socket that does not block: at most [`BATCH`] datagrams, each with where
    /// it came from. Returns how many.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when there is nothing; or what the kernel has to say of the socket, an
    /// ICMP error for an earlier datagram for example.
    pub fn receive(
        &mut self,
        socket: &impl AsFd,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> io::Result<usize> {
        let mut places = self.buffer.chunks_exact_mut(self.bytes);
        let mut slices: [_; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(places.next().unwrap_or_default())]);
        let fd = socket.as_fd().as_raw_fd();
        let arrived: SmallVec<[(Option<SocketAddr>, usize); BATCH]> = recvmmsg(
            fd,
            &mut self.headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        )?
        .map(|message| (message.address.as_ref().and_then(address), message.bytes))
        .collect();
        for (place, (from, length)) in self.buffer.chunks_exact(self.bytes).zip(&arrived) {
            if let (Some(from), Some(datagram)) = (from, place.get(..*length)) {
                take(*from, datagram);
            }
        }
        Ok(arrived.len())
    }
}

/// What the kernel needs to take many datagrams at once.
pub struct Outbox {
    headers: MultiHeaders<SockaddrStorage>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
        }
    }
}

impl Outbox {
    /// Sends the first [`BATCH`] of these on a socket that does not block; without an address, to the peer
    /// that it is connected to. Returns how many the kernel took, from the first one on.
    ///
    /// # Errors
    /// The kernel did not even take the first one: [`io::ErrorKind::WouldBlock`] when its buffer is full,
    /// others when that datagram cannot go there.
    pub fn send<'a>(
        &mut self,
        socket: &impl AsFd,
        datagrams: impl Iterator<Item = (Option<SocketAddr>, &'a [u8])>,
    ) -> io::Result<usize> {
        let mut slices: [_; BATCH] = std::array::from_fn(|_| [IoSlice::new(&[])]);
        let mut addresses: SmallVec<[Option<SockaddrStorage>; BATCH]> = SmallVec::new();
        for ((to, datagram), slice) in datagrams.zip(&mut slices) {
            *slice = [IoSlice::new(datagram)];
            addresses.push(to.map(SockaddrStorage::from));
        }
        if addresses.is_empty() {
            return Ok(0);
        }
        let fd = socket.as_fd().as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(fd, &mut self.headers, &slices, &addresses, [], flags)?;
        Ok(sent.count())
    }
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = || Some(SocketAddrV4::from(*storage.as_sockaddr_in()?).into());
    let v6 = || Some(SocketAddrV6::from(*storage.as_sockaddr_in6()?).into());
    v6().or_else(v4)
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    fn socket(address: &str) -> UdpSocket {
        let socket = UdpSocket::bind(address).expect("a socket");
        socket.set_nonblocking(true).expect("that does not block");
        socket
    }

    fn arrived(inbox: &mut Inbox, at: &UdpSocket) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut all = Vec::new();
        let count = inbox.receive(at, |from, datagram| all.push((from, datagram.to_vec())));
        assert_eq!(count.expect("datagrams"), all.len());
        all
    }

    #[test]
    fn datagrams_arrive_in_order_whole_and_with_where_they_came_from() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let (here, there) = (socket(host), socket(host));
            let to = there.local_addr().expect("an address");
            let sent: Vec<Vec<u8>> = (0..BATCH).map(|n| vec![n as u8; n * 20]).collect();
            let mut outbox = Outbox::default();
            let datagrams = sent.iter().map(|datagram| (Some(to), datagram.as_slice()));
            assert_eq!(outbox.send(&here, datagrams).expect("sent"), BATCH);
            let from = here.local_addr().expect("an address");
            let mut inbox = Inbox::new(65_535);
            let expected: Vec<_> = sent
                .iter()
                .map(|datagram| (from, datagram.clone()))
                .collect();
            assert_eq!(arrived(&mut inbox, &there), expected);
            // The same room again, for one from elsewhere, through a socket that is connected.
            let other = socket(host);
            other.connect(to).expect("connected");
            let datagrams = [(None, &b"once more"[..])].into_iter();
            assert_eq!(outbox.send(&other, datagrams).expect("sent"), 1);
            let from = other.local_addr().expect("an address");
            assert_eq!(arrived(&mut inbox, &there), [(from, b"once more".to_vec())]);
            let nothing = inbox
                .receive(&there, |_, _| {})
                .expect_err("nothing is left");
            assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn a_datagram_that_cannot_go_where_it_should_is_an_error_when_it_is_the_first() {
        let here = socket("127.0.0.1:0");
        let to = here.local_addr().expect("an address");
        let too_long = vec![0; 70_000];
        let mut outbox = Outbox::default();
        let one = |datagram| (Some(to), datagram);
        let sent = outbox.send(&here, [one(&b"short"[..]), one(&too_long)].into_iter());
        assert_eq!(sent.expect("the first"), 1);
        let refused = outbox.send(&here, [one(&too_long)].into_iter());
        assert_ne!(
            refused.expect_err("too long").kind(),
            io::ErrorKind::WouldBlock
        );
        assert_eq!(outbox.send(&here, std::iter::empty()).expect("nothing"), 0);
    }
}
