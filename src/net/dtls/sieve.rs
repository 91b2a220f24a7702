//! Takes records out of datagrams that cannot be genuine, before OpenSSL sees them.
//!
//! Invalid records are to be dropped in silence (RFC 6347 section 4.1.2.7), and OpenSSL does so, but for
//! two cases, in which it ends the connection with an alert, also a live one: a record that is too short
//! to hold what its cipher adds, and a wrong MAC where the MAC is over what was encrypted
//! (`dtls_process_record` of its record layer). Whoever can send from a device's address, and knows no
//! key, could end its session that way. The first is kept from it here; the second does not happen,
//! because the extension Encrypt-then-MAC (RFC 7366) is not offered, see [`NO_ENCRYPT_THEN_MAC`].

use openssl::ssl::{SslCipherRef, SslOptions};

use super::records::{Record, Records};

/// Without the records that are not to be kept; `keeps` says what the others look like. What is no whole
/// record is left where it is: OpenSSL drops it.
pub(super) fn sieve(
    mut records: Records<'_>,
    mut keeps: impl FnMut(Record<'_>) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let mut kept = Vec::with_capacity(records.rest().len());
    for record in records.by_ref() {
        if let Some(record) = keeps(record) {
            kept.extend(record);
        }
    }
    kept.extend_from_slice(records.rest());
    kept
}

/// What is read now, and what begins with the first record for later keys than those of this epoch.
pub(super) fn split_early(mut records: Records<'_>, epoch: u16) -> (&[u8], &[u8]) {
    let datagram = records.rest();
    loop {
        if records.next_epoch().is_some_and(|next| next > epoch) {
            return datagram.split_at(datagram.len() - records.rest().len());
        }
        if records.next().is_none() {
            return (datagram, &[]);
        }
    }
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
    use super::super::records::RECORD_HEADER;
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
        let left = sieve(Records::of(&datagram), |record| {
            let keeps = record.epoch() == 0 || record.body.len() >= 16;
            keeps.then(|| record.numbered(record.sequence()))
        });
        assert_eq!(left, [plain, long].concat());
    }

    #[test]
    fn a_record_gets_another_number_and_nothing_else() {
        let before = [record(22, 0, 3), record(22, 0, 2)].concat();
        let mut numbers = 0x0102_0304_0506..;
        let after = sieve(Records::of(&before), |record| {
            assert_eq!(record.sequence(), 9);
            Some(record.numbered(numbers.next()?))
        });
        let first = Records::of(&after).next().expect("a record");
        assert_eq!(first.sequence(), 0x0102_0304_0506);
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
        let (in_time, early) = split_early(Records::of(&flight), 0);
        assert_eq!(
            (in_time, early),
            flight.split_at(flight.len() - record(22, 1, 40).len())
        );
        assert_eq!(split_early(Records::of(&flight), 1), (&flight[..], &[][..]));
        for length in 0..in_time.len() {
            let cut = flight.get(..length).expect("shorter");
            assert_eq!(split_early(Records::of(cut), 0), (cut, &[][..]));
        }
    }

    #[test]
    fn what_is_cut_stays_as_it_is() {
        let whole = record(23, 1, 3);
        for length in 0..whole.len() {
            let cut = whole.get(..length).expect("shorter");
            assert_eq!(sieve(Records::of(cut), |_| None), cut);
        }
        assert!(sieve(Records::of(&whole), |_| None).is_empty());
    }
}
