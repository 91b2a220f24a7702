//! Takes records out of datagrams that cannot be genuine, before OpenSSL sees them.
//!
//! Invalid records are to be dropped in silence (RFC 6347 section 4.1.2.7), and OpenSSL does so, but for
//! two cases, in which it ends the connection with an alert, also a live one: a record that is too short
//! to hold what its cipher adds, and a wrong MAC where the MAC is over what was encrypted
//! (`dtls_process_record` of its record layer). Whoever can send from a device's address, and knows no
//! key, could end its session that way. The first is kept from it here; the second does not happen,
//! because the extension Encrypt-then-MAC (RFC 7366) is not offered, see [`NO_ENCRYPT_THEN_MAC`].

use openssl::ssl::{SslCipherRef, SslOptions};

use super::hello::RECORD_HEADER;

/// A record that is whole.
#[derive(Debug)]
pub(super) struct Record<'a> {
    /// The content type.
    pub(super) kind: u8,
    pub(super) epoch: u16,
    pub(super) body: &'a [u8],
    header: &'a mut [u8; RECORD_HEADER],
}

impl Record<'_> {
    /// Gives it another sequence number, of 48 bits.
    pub(super) fn renumber(&mut self, sequence: u64) {
        let [.., s5, s4, s3, s2, s1, s0] = sequence.to_be_bytes();
        let [_, _, _, _, _, place @ .., _, _] = self.header;
        *place = [s5, s4, s3, s2, s1, s0];
    }

    /// All of its bytes.
    pub(super) fn whole(&self) -> Vec<u8> {
        [&self.header[..], self.body].concat()
    }
}

/// Without the records that are not to be kept. What is no whole record is left where it is: OpenSSL
/// drops it.
pub(super) fn sieve(datagram: &[u8], mut keeps: impl FnMut(&mut Record<'_>) -> bool) -> Vec<u8> {
    let mut kept = Vec::with_capacity(datagram.len());
    let mut rest = datagram;
    while let Some((header, after)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let mut header = *header;
        let [kind, _, _, epoch_high, epoch_low, .., high, low] = header;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((body, next)) = after.split_at_checked(length) else {
            break;
        };
        let mut record = Record {
            kind,
            epoch: u16::from_be_bytes([epoch_high, epoch_low]),
            body,
            header: &mut header,
        };
        if keeps(&mut record) {
            kept.extend_from_slice(&header);
            kept.extend_from_slice(body);
        }
        rest = next;
    }
    kept.extend_from_slice(rest);
    kept
}

/// The sequence number of the first record.
pub(super) fn sequence_of(datagram: &[u8]) -> u64 {
    match datagram.first_chunk::<RECORD_HEADER>() {
        Some([_, _, _, _, _, s5, s4, s3, s2, s1, s0, _, _]) => {
            u64::from_be_bytes([0, 0, *s5, *s4, *s3, *s2, *s1, *s0])
        }
        None => 0,
    }
}

/// What is read now, and what begins with the first record for later keys than those of this epoch.
pub(super) fn split_early(datagram: &[u8], epoch: u16) -> (&[u8], &[u8]) {
    let mut rest = datagram;
    while let Some((header, after)) = rest.split_first_chunk::<RECORD_HEADER>() {
        let [_, _, _, high, low, .., length_high, length_low] = *header;
        if u16::from_be_bytes([high, low]) > epoch {
            return datagram.split_at(datagram.len() - rest.len());
        }
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        rest = after.get(length..).unwrap_or_default();
    }
    (datagram, &[])
}

/// Bytes of the shortest record that a cipher suite makes: what it adds to an empty one.
pub(super) fn shortest(cipher: &SslCipherRef) -> usize {
    let name = cipher.name();
    // RFC 5288 section 3, RFC 6655 sections 3 and 4, RFC 7905 section 2.
    let (nonce, tag) = if name.contains("CCM8") {
        (8, 8)
    } else if name.contains("CCM") || name.contains("GCM") {
        (8, 16)
    } else if name.contains("CHACHA20") {
        (0, 16)
    } else {
        // CBC: OpenSSL finds out by itself, and in constant time.
        (0, 1)
    };
    nonce + tag
}

/// `SSL_OP_NO_ENCRYPT_THEN_MAC`, which the crate does not name.
pub(super) const NO_ENCRYPT_THEN_MAC: SslOptions = SslOptions::from_bits_retain(1 << 19);

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, length: u8) -> Vec<u8> {
        let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 9, 0, length];
        record.resize(RECORD_HEADER + usize::from(length), 0x5a);
        record
    }

    #[test]
    fn only_the_records_that_are_not_wanted_are_taken_out() {
        let (short, long, plain) = (record(23, 1, 3), record(23, 1, 40), record(22, 0, 3));
        let datagram = [&short[..], &plain, &long, &short].concat();
        let left = sieve(&datagram, |record| {
            record.epoch == 0 || record.body.len() >= 16
        });
        assert_eq!(left, [plain, long].concat());
    }

    #[test]
    fn a_record_gets_another_number_and_nothing_else() {
        let before = [record(22, 0, 3), record(22, 0, 2)].concat();
        let mut number = 0x0102_0304_0506;
        let after = sieve(&before, |record| {
            record.renumber(number);
            number += 1;
            true
        });
        assert_eq!(sequence_of(&before), 9);
        assert_eq!(sequence_of(&after), 0x0102_0304_0506);
        assert_eq!(after.get(16 + 5..16 + 11), Some(&[1, 2, 3, 4, 5, 7][..]));
        let differs = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other);
        assert_eq!(differs.count(), 12);
    }

    #[test]
    fn what_is_for_later_keys_is_found_behind_the_rest() {
        let flight = [record(22, 0, 5), record(20, 0, 1), record(22, 1, 40)].concat();
        let (in_time, early) = split_early(&flight, 0);
        assert_eq!(
            (in_time, early),
            flight.split_at(flight.len() - record(22, 1, 40).len())
        );
        assert_eq!(split_early(&flight, 1), (&flight[..], &[][..]));
        for length in 0..in_time.len() {
            let cut = flight.get(..length).expect("shorter");
            assert_eq!(split_early(cut, 0), (cut, &[][..]));
        }
    }

    #[test]
    fn what_is_cut_stays_as_it_is() {
        let whole = record(23, 1, 3);
        for length in 0..whole.len() {
            let cut = whole.get(..length).expect("shorter");
            assert_eq!(sieve(cut, |_| false), cut);
        }
        assert!(sieve(&whole, |_| false).is_empty());
    }
}
