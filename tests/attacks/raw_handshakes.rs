//! DTLS handshakes by hand, as far as a peer gets that has no key: every byte chosen by the test.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Handshake messages (RFC 5246 section 7.4, RFC 6347 section 4.3.2).
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
pub(super) const HELLO_VERIFY_REQUEST: u8 = 3;
pub(super) const CERTIFICATE: u8 = 11;
pub(super) const SERVER_HELLO_DONE: u8 = 14;
pub(super) const CERTIFICATE_VERIFY: u8 = 15;
pub(super) const CLIENT_KEY_EXCHANGE: u8 = 16;
/// Content types of records.
pub(super) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
/// `TLS_PSK_WITH_AES_128_CCM_8`
pub(super) const PSK_CCM_8: u16 = 0xc0a8;
/// `TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8`
const ECDSA_CCM_8: u16 = 0xc0ae;
/// What a client with a certificate says of itself: P-256 (RFC 8422 section 5.1), and ECDSA with
/// SHA-256 (RFC 5246 section 7.4.1.4.1).
const P256: [u8; 24] = [
    0, 22, 0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3,
];
/// Fits into a record.
const LARGE_PART: usize = 14_000;
const PATIENCE: Duration = Duration::from_secs(15);

/// A peer at an address of its own that gets as far as the `ServerHello`.
pub(super) struct RawPeer {
    pub(super) socket: UdpSocket,
    server: SocketAddr,
    sequence: u8,
}

impl RawPeer {
    /// Nothing is sent.
    pub(super) fn new(local: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((local, 0)).expect("a free port");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time");
        Self {
            socket,
            server,
            sequence: 0,
        }
    }

    pub(super) fn send(&self, datagram: &[u8]) {
        let sent = self.socket.send_to(datagram, self.server);
        sent.expect("loopback takes it");
    }

    pub(super) fn receive(&self) -> Option<Vec<u8>> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    }

    /// A record of this peer that is not encrypted, with the next sequence number.
    pub(super) fn record(&mut self, kind: u8, body: &[u8]) -> Vec<u8> {
        self.sequence = self.sequence.wrapping_add(1);
        record(kind, 0, self.sequence, body)
    }

    /// The two hellos. The first datagram of the answer to the second.
    pub(super) fn hello(&mut self, suites: &[u16]) -> Vec<u8> {
        self.hello_with(suites, &[])
    }

    fn hello_with(&mut self, suites: &[u16], extensions: &[u8]) -> Vec<u8> {
        let random = rand_of(self.socket.local_addr().expect("bound"));
        let hello =
            |sequence, cookie: &[u8]| hello_with(sequence, random, cookie, suites, extensions);
        let first = self.record(HANDSHAKE, &hello(0, &[]));
        self.send(&first);
        let asked = self.receive().expect("a HelloVerifyRequest");
        assert_eq!((asked[0], asked[13]), (HANDSHAKE, HELLO_VERIFY_REQUEST));
        let second = self.record(HANDSHAKE, &hello(1, &asked[28..]));
        self.send(&second);
        self.receive().expect("an answer to the second hello")
    }

    /// The two hellos, up to the `ServerHello`.
    pub(super) fn begin(&mut self) {
        let answer = self.hello(&[PSK_CCM_8]);
        assert_eq!((answer[0], answer[13]), (HANDSHAKE, SERVER_HELLO));
    }

    /// The two hellos of a peer with a certificate, up to the `ServerHelloDone`.
    pub(super) fn begin_with_certificate(&mut self) {
        let mut answer = self.hello_with(&[ECDSA_CCM_8], &P256);
        assert_eq!((answer[0], answer[13]), (HANDSHAKE, SERVER_HELLO));
        while !records(&answer).any(|record| record[13] == SERVER_HELLO_DONE) {
            answer = self.receive().expect("the rest of the server's flight");
        }
    }

    /// Sends a message of any length in datagrams that are not too large.
    pub(super) fn send_message(&mut self, kind: u8, sequence: u8, body: &[u8]) {
        for part in parts(kind, sequence, body, LARGE_PART) {
            let record = self.record(HANDSHAKE, &part);
            self.send(&record);
        }
    }

    /// The alert by which the server ends the handshake; none when it does not.
    pub(super) fn alert(&self) -> Option<u8> {
        loop {
            let answer = self.receive()?;
            if answer[0] == ALERT {
                return Some(answer[14]);
            }
        }
    }

    /// Ends the handshake: `handshake_failure`.
    pub(super) fn give_up(&mut self) {
        let alert = self.record(ALERT, &[2, 40]);
        self.send(&alert);
    }
}

/// The records of a datagram, each with its header.
pub(super) fn records(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = rest.get(11..13)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        let (record, next) = rest.split_at(13 + length);
        rest = next;
        Some(record)
    })
}

/// A message in fragments of this size, with their headers.
pub(super) fn parts(kind: u8, sequence: u8, body: &[u8], size: usize) -> Vec<Vec<u8>> {
    let length = u32::try_from(body.len()).expect("short");
    if body.is_empty() {
        return vec![message(kind, sequence, body)];
    }
    let number = |at: usize| u32::try_from(at).expect("short");
    let chunks = body.chunks(size).enumerate();
    let part = |(at, part): (usize, &[u8])| {
        let numbers = [length, number(at * size), number(part.len())];
        fragment(kind, sequence, numbers, part)
    };
    chunks.map(part).collect()
}

/// A record of these bytes.
pub(super) fn record(kind: u8, epoch: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, sequence];
    record.extend(length);
    record.extend(body);
    record
}

/// A fragment that claims what it likes.
pub(super) fn fragment(
    kind: u8,
    sequence: u8,
    [length, offset, fragment_length]: [u32; 3],
    body: &[u8],
) -> Vec<u8> {
    let mut message = vec![kind];
    message.extend(&length.to_be_bytes()[1..]);
    message.extend([0, sequence]);
    message.extend(&offset.to_be_bytes()[1..]);
    message.extend(&fragment_length.to_be_bytes()[1..]);
    message.extend(body);
    message
}

/// A handshake message in one piece.
pub(super) fn message(kind: u8, sequence: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("short");
    fragment(kind, sequence, [length, 0, length], body)
}

/// The message of a `ClientHello`.
pub(super) fn hello(sequence: u8, random: [u8; 32], cookie: &[u8], suites: &[u16]) -> Vec<u8> {
    hello_with(sequence, random, cookie, suites, &[])
}

fn hello_with(
    sequence: u8,
    random: [u8; 32],
    cookie: &[u8],
    suites: &[u16],
    extensions: &[u8],
) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend(random);
    body.push(0);
    body.push(u8::try_from(cookie.len()).expect("short"));
    body.extend(cookie);
    body.extend(u16::try_from(2 * suites.len()).expect("few").to_be_bytes());
    body.extend(suites.iter().flat_map(|suite| suite.to_be_bytes()));
    body.extend([1, 0]);
    body.extend(extensions);
    message(CLIENT_HELLO, sequence, &body)
}

/// A `ClientKeyExchange` with a PSK identity.
pub(super) fn key_exchange(identity: &[u8]) -> Vec<u8> {
    let mut body = u16::try_from(identity.len())
        .expect("short")
        .to_be_bytes()
        .to_vec();
    body.extend(identity);
    message(CLIENT_KEY_EXCHANGE, 2, &body)
}

fn rand_of(address: SocketAddr) -> [u8; 32] {
    let mut byte = super::noise(u64::from(address.port()) << 8);
    std::array::from_fn(|_| byte())
}
