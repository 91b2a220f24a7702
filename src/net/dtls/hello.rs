//! The first look at a datagram on the DTLS port, and the cookie exchange (RFC 6347 section 4.2.1).
//!
//! A stranger costs one keyed hash and nothing else: no memory is kept and OpenSSL is not asked
//! before the stranger has shown that it receives what is sent to its address.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use openssl::error::ErrorStack;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::records::{
    ALERT, CHANGE_CIPHER_SPEC, CID, CLIENT_HELLO, Fragment, HANDSHAKE, MESSAGE_HEADER,
    RECORD_HEADER, Record, Records, number,
};
use crate::net::Carried;

/// What the first bytes of a datagram say that it is. Nothing of it is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First<'a> {
    /// Begins a handshake, or begins it again.
    Hello(Hello<'a>),
    /// Another record that is not encrypted: part of a handshake, an alert.
    Plain,
    /// A record under keys, with a connection id (RFC 9146).
    Named,
    /// Another record under keys.
    Protected,
    /// No DTLS 1.x record.
    Foreign,
}

/// A `ClientHello`, as far as it matters before a cookie was returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello<'a> {
    /// Of the record; the answer repeats it.
    record_sequence: u64,
    /// Chosen by the client for this handshake.
    pub(super) random: [u8; 32],
    /// What the client returns of an earlier answer; empty at first.
    pub(super) cookie: &'a [u8],
}

impl<'a> First<'a> {
    /// Looks at a datagram.
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        // How long a connection id is says the session that it names.
        let begins = |begin: &[u8; 3]| matches!(begin, [CID, 0xfe, 0xfd]);
        if datagram.first_chunk().is_some_and(begins) && datagram.len() >= RECORD_HEADER {
            return Self::Named;
        }
        let Some(record) = Records::of(datagram).next().filter(Record::is_dtls) else {
            return Self::Foreign;
        };
        match (record.kind(), record.epoch()) {
            (HANDSHAKE, 0) => match Hello::of(record) {
                Some(hello) => Self::Hello(hello),
                None if is_later_part(record.body) => Self::Plain,
                None if record.body.first() == Some(&CLIENT_HELLO) => Self::Foreign,
                None => Self::Plain,
            },
            (CHANGE_CIPHER_SPEC | ALERT, 0) => Self::Plain,
            (CHANGE_CIPHER_SPEC..=LAST_CONTENT_TYPE, 1..) => Self::Protected,
            _ => Self::Foreign,
        }
    }
}

/// True for a fragment of a `ClientHello` behind its first one: with a ticket it may be longer than a
/// datagram (RFC 6347 section 4.2.3). It is of use to a handshake that has begun, and a stray before.
fn is_later_part(body: &[u8]) -> bool {
    Fragment::of(body).is_some_and(|(part, _)| part.kind == CLIENT_HELLO && part.offset > 0)
}

impl<'a> Hello<'a> {
    /// Reads a handshake message; of one in fragments, the first must hold the cookie.
    fn of(record: Record<'a>) -> Option<Self> {
        let (first, _) = Fragment::of(record.body)?;
        if first.kind != CLIENT_HELLO
            || first.message > 1
            || first.offset != 0
            || !first.fits()
            || first.length > LONGEST_HELLO
        {
            return None;
        }
        let (_version, rest) = first.body.split_first_chunk::<2>()?;
        let (random, rest) = rest.split_first_chunk::<32>()?;
        let (session_id_length, rest) = rest.split_first()?;
        if *session_id_length > 32 {
            return None;
        }
        let rest = rest.get(usize::from(*session_id_length)..)?;
        let (cookie_length, rest) = rest.split_first()?;
        let cookie = rest.get(..usize::from(*cookie_length))?;
        Some(Self {
            record_sequence: record.sequence(),
            random: *random,
            cookie,
        })
    }

    /// The `HelloVerifyRequest` with this cookie: always shorter than the hello it answers.
    pub(super) fn verify_request(&self, cookie: &[u8; COOKIE]) -> Vec<u8> {
        // DTLS 1.0 whatever will be negotiated, and the sequence number of the hello.
        const BODY: u8 = 2 + 1 + COOKIE as u8;
        let mut datagram = Vec::with_capacity(RECORD_HEADER + MESSAGE_HEADER + usize::from(BODY));
        datagram.extend([HANDSHAKE, 0xfe, 0xff, 0, 0]);
        datagram.extend(number(self.record_sequence));
        datagram.extend([0, MESSAGE_HEADER as u8 + BODY]);
        datagram.extend([HELLO_VERIFY_REQUEST, 0, 0, BODY, 0, 0, 0, 0, 0, 0, 0, BODY]);
        datagram.extend([0xfe, 0xff, COOKIE as u8]);
        datagram.extend(cookie);
        datagram
    }
}

/// What was carried before a hello with its cookie was heard, and that hello: of strangers nothing is
/// remembered, but the hello before was the same without the cookie (RFC 6347 section 4.2.1).
pub(super) fn carried(hello: &[u8]) -> Carried {
    let mut carried = Carried::default();
    carried.up(hello.len().saturating_sub(COOKIE));
    carried.down(RECORD_HEADER + MESSAGE_HEADER + 2 + 1 + COOKIE);
    carried.up(hello.len());
    carried
}

/// A fatal alert that is not encrypted, for a peer whose handshake has failed before it had keys.
pub(super) fn fatal_alert(description: u8) -> [u8; RECORD_HEADER + 2] {
    // Above any sequence number that OpenSSL has used in this handshake.
    [
        ALERT,
        0xfe,
        0xfd,
        0,
        0,
        0,
        0,
        0xff,
        0xff,
        0,
        0,
        0,
        2,
        2,
        description,
    ]
}

/// Makes and checks cookies: a keyed hash of the peer's address. The key changes every few minutes;
/// the one before is still good.
pub(super) struct Cookies {
    keys: [Key; 2],
    rotated: Instant,
}

impl Cookies {
    /// Cookies under random keys.
    ///
    /// # Errors
    /// The system has no randomness.
    pub(super) fn new(now: Instant) -> Result<Self, ErrorStack> {
        Ok(Self {
            keys: [random_key()?, random_key()?],
            rotated: now,
        })
    }

    /// The cookie of an address.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub(super) fn make(
        &mut self,
        now: Instant,
        address: SocketAddr,
    ) -> Result<[u8; COOKIE], ErrorStack> {
        if now.saturating_duration_since(self.rotated) >= ROTATION {
            let fresh = random_key()?;
            self.keys.swap(0, 1);
            self.keys[0] = fresh;
            self.rotated = now;
        }
        Ok(keyed(&self.keys[0], address).finalize().into_bytes().into())
    }

    /// True for a cookie that was made for this address not long ago.
    pub(super) fn are_of(&self, address: SocketAddr, cookie: &[u8]) -> bool {
        self.keys
            .iter()
            .any(|key| keyed(key, address).verify_slice(cookie).is_ok())
    }
}

/// A key that is taken in once, and not anew for each stranger.
type Key = Hmac<Sha256>;

fn random_key() -> Result<Key, ErrorStack> {
    let mut key = Zeroizing::new([0; BLOCK]);
    openssl::rand::rand_bytes(key.as_mut_slice())?;
    Ok(Key::new(&(*key).into()))
}

fn keyed(key: &Key, address: SocketAddr) -> Key {
    let ip = match address.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    key.clone()
        .chain_update(ip.octets())
        .chain_update(address.port().to_be_bytes())
}

/// Bytes of a cookie.
pub(super) const COOKIE: usize = 32;
/// Bytes of a block of SHA-256, which is as long as a key need be.
const BLOCK: usize = 64;
/// Of heartbeats (RFC 6520), the highest content type of DTLS 1.2 without connection ids.
const LAST_CONTENT_TYPE: u8 = 24;
const HELLO_VERIFY_REQUEST: u8 = 3;
/// The longest `ClientHello` that is looked at, in bytes: it may hold a ticket with a certificate.
const LONGEST_HELLO: usize = 16_384;
/// How long a key makes cookies; they are good for one to two times as long.
const ROTATION: Duration = Duration::from_secs(150);

#[cfg(test)]
mod tests {
    use super::*;

    /// A `ClientHello` as a small client writes it, with this cookie.
    fn hello(cookie: &[u8]) -> Vec<u8> {
        let mut body = vec![0xfe, 0xfd];
        body.extend([7; 32]);
        body.push(0);
        body.push(u8::try_from(cookie.len()).expect("short"));
        body.extend(cookie);
        body.extend([0, 2, 0xc0, 0xa8, 1, 0]);
        let length = u8::try_from(body.len()).expect("short");
        let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 12 + length];
        datagram.extend([1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length]);
        datagram.extend(body);
        datagram
    }

    #[test]
    fn a_hello_is_read_and_answered_with_fewer_bytes() {
        let mut cookies = Cookies::new(Instant::now()).expect("randomness");
        let address = "192.0.2.1:5000".parse().expect("an address");
        let cookie = cookies.make(Instant::now(), address).expect("a cookie");
        let datagram = hello(&[]);
        let First::Hello(found) = First::of(&datagram) else {
            panic!("no hello: {:?}", First::of(&datagram));
        };
        assert_eq!((found.random, found.cookie), ([7; 32], &[][..]));
        let answer = found.verify_request(&cookie);
        assert_eq!(answer.len(), 60);
        assert!(answer.len() <= datagram.len());
        assert_eq!(answer.get(5..11), Some(&[0, 0, 0, 0, 0, 9][..]));
        let again = hello(&cookie);
        let First::Hello(found) = First::of(&again) else {
            panic!("no hello");
        };
        assert!(cookies.are_of(address, found.cookie));
    }

    #[test]
    fn a_cookie_is_good_for_its_address_and_its_time() {
        let now = Instant::now();
        let mut cookies = Cookies::new(now).expect("randomness");
        let (here, there) = (
            "192.0.2.1:5000".parse().expect("an address"),
            "192.0.2.1:5001".parse().expect("an address"),
        );
        let cookie = cookies.make(now, here).expect("a cookie");
        assert!(cookies.are_of(here, &cookie));
        assert!(!cookies.are_of(there, &cookie));
        assert!(!cookies.are_of(here, &[]));
        let mapped = "[::ffff:192.0.2.1]:5000".parse().expect("an address");
        assert!(
            cookies.are_of(mapped, &cookie),
            "one name on a dual-stack socket"
        );
        cookies.make(now + ROTATION, here).expect("a cookie");
        assert!(
            cookies.are_of(here, &cookie),
            "the key before is still good"
        );
        cookies.make(now + 2 * ROTATION, here).expect("a cookie");
        assert!(!cookies.are_of(here, &cookie));
    }

    #[test]
    fn cut_and_spoilt_hellos_are_no_hellos() {
        let datagram = hello(&[1, 2, 3]);
        for length in 0..datagram.len() {
            let cut = datagram.get(..length).expect("shorter");
            assert_eq!(First::of(cut), First::Foreign, "{length} bytes");
        }
        // The rest of one is no hello, and no stranger's garbage either.
        let mut rest = datagram.clone();
        if let Some(offset) = rest.get_mut(13 + 8) {
            *offset = 1;
        }
        assert_eq!(First::of(&rest), First::Plain);
        // A message number above 1, a fragment longer than its message.
        for (place, value) in [(13 + 5, 2), (13 + 3, 1), (13 + 1, 0xff)] {
            let mut spoilt = datagram.clone();
            if let Some(byte) = spoilt.get_mut(place) {
                *byte = value;
            }
            assert!(
                !matches!(First::of(&spoilt), First::Hello(_)),
                "byte {place}"
            );
        }
    }

    #[test]
    fn other_records_are_told_apart() {
        let record = |kind, epoch| [kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0, 0, 1, 16];
        assert_eq!(First::of(&record(22, 0)), First::Plain);
        assert_eq!(First::of(&record(21, 0)), First::Plain);
        assert_eq!(
            First::of(&record(23, 0)),
            First::Foreign,
            "data without keys"
        );
        assert_eq!(First::of(&record(23, 1)), First::Protected);
        assert_eq!(First::of(&record(25, 1)), First::Named);
        assert_eq!(First::of(&record(64, 1)), First::Foreign);
        assert_eq!(
            First::of(b"\x44\x02\x12\x34coap over the wrong port"),
            First::Foreign
        );
    }
}
