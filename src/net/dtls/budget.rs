//! What one peer can make the server keep before its handshake is finished.
//!
//! DTLS lets datagrams overtake each other, so OpenSSL keeps what comes too early: up to 100 records
//! for keys that are not there yet, each in a read buffer of its own however short it is, and up to
//! 10 messages ahead of their turn, for each of which it makes room as soon as a fragment says how
//! long it will be. That adds up to almost 3 MB for a peer that has shown nothing but its address
//! (the flaw of CVE-2022-29189 in another stack). So the bytes are counted before OpenSSL sees them.
//! Nothing is given back: a handshake that is meant well needs a small part.

use std::collections::BTreeMap;

use super::records::{Fragment, HANDSHAKE, Records};

/// What is left of a handshake's allowance.
#[derive(Debug)]
pub(super) struct Budget {
    left: usize,
    is_over: bool,
    /// Messages that room was made for, by their number.
    messages: BTreeMap<u16, Claim>,
}

/// What the fragments of a message say of it, all of them the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Claim {
    kind: u8,
    length: usize,
}

impl Claim {
    fn of(fragment: &Fragment<'_>) -> Self {
        Self {
            kind: fragment.kind,
            length: fragment.length,
        }
    }
}

/// What is to become of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// OpenSSL may see it; what it will keep of it is counted.
    Fits,
    /// Its fragments contradict themselves, or others before. To be dropped: they could be read in
    /// more than one way, and then the count would be wrong. Who forges one does not end the handshake
    /// of somebody else (RFC 6347 section 4.1.2.7).
    Malformed,
    /// OpenSSL would keep more than is allowed. To be dropped.
    TooMuch,
}

impl Budget {
    /// An allowance of so many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            left: bytes,
            is_over: false,
            messages: BTreeMap::new(),
        }
    }

    /// True once something was too much.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// True when one more record can be kept whose keys are not there yet.
    pub(super) fn keep_record(&mut self) -> bool {
        let left = self.left.checked_sub(KEPT_RECORD);
        self.is_over |= left.is_none();
        self.left = left.unwrap_or(self.left);
        left.is_some()
    }

    /// Looks at the handshake messages of a datagram before OpenSSL does.
    pub(super) fn judge(&mut self, records: Records<'_>) -> Verdict {
        let mut cost = 0_usize;
        let mut claimed: BTreeMap<u16, Claim> = BTreeMap::new();
        // OpenSSL drops a record that is cut, with all that is behind it.
        for record in records {
            let is_read = record.epoch() == 0 && record.kind() == HANDSHAKE;
            if is_read && self.claim(record.body, &mut claimed).is_none() {
                return Verdict::Malformed;
            }
        }
        // The same message once more, or another part of it, needs no more room.
        claimed.retain(|number, _| !self.messages.contains_key(number));
        for claim in claimed.values() {
            cost = cost.saturating_add(kept_message(claim.length));
        }
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                self.messages.append(&mut claimed);
                Verdict::Fits
            }
            None => {
                self.is_over = true;
                Verdict::TooMuch
            }
        }
    }

    /// Notes the messages of a record by their numbers; nothing when they are malformed.
    fn claim(&self, body: &[u8], claimed: &mut BTreeMap<u16, Claim>) -> Option<()> {
        let mut rest = body;
        while !rest.is_empty() {
            let (fragment, after) = Fragment::of(rest)?;
            let (number, claim) = (fragment.message, Claim::of(&fragment));
            let before = claimed.insert(number, claim);
            let before = before.or_else(|| self.messages.get(&number).copied());
            // Of hellos before the cookie there may be several.
            let is_same = number == 0 || before.is_none_or(|before| before == claim);
            if !is_same || !fragment.fits() {
                return None;
            }
            rest = after;
        }
        Some(())
    }
}

/// A message of this length, the bits that say which of its bytes have come, and what holds both.
fn kept_message(length: usize) -> usize {
    if length > LONGEST_MESSAGE {
        return usize::MAX;
    }
    length
        .saturating_add(length / 8)
        .saturating_add(KEPT_BESIDE)
}

/// A read buffer of OpenSSL, for the longest record (RFC 5246 section 6.2.3) and its header.
const KEPT_RECORD: usize = 18 * 1024;
/// OpenSSL takes no longer ones (`SSL_MAX_CERT_LIST_DEFAULT`).
const LONGEST_MESSAGE: usize = 100 * 1024;
/// Bytes of bookkeeping for each message.
const KEPT_BESIDE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("short").to_be_bytes();
        let mut record = vec![kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 0];
        record.extend(length);
        record.extend(body);
        record
    }

    /// Four bytes of a message of 1,000.
    fn fragment(number: u8, offset: u8) -> Vec<u8> {
        let header = [11, 0, 3, 0xe8, 0, number, 0, 0, offset, 0, 0, 4];
        [&header[..], &[0x5a; 4]].concat()
    }

    #[test]
    fn records_for_later_keys_cost_a_buffer_each_however_short() {
        let mut budget = Budget::new(3 * KEPT_RECORD + kept_message(1_000));
        assert!((0..3).all(|_| budget.keep_record()) && !budget.is_over());
        assert!(!budget.keep_record() && budget.is_over());
        let message = record(22, 0, &fragment(2, 0));
        assert_eq!(
            budget.judge(Records::of(&message)),
            Verdict::Fits,
            "there is room for it"
        );
        let empty = record(22, 0, &[]);
        assert_eq!(
            budget.judge(Records::of(&empty)),
            Verdict::Fits,
            "it is not kept"
        );
    }

    #[test]
    fn a_message_costs_the_length_that_it_claims_and_only_once() {
        let mut budget = Budget::new(2 * kept_message(1_000));
        let mut judge =
            |fragments: &[Vec<u8>]| budget.judge(Records::of(&record(22, 0, &fragments.concat())));
        for offset in [0, 4, 8, 0] {
            assert_eq!(judge(&[fragment(2, offset)]), Verdict::Fits);
        }
        assert_eq!(judge(&[fragment(3, 0), fragment(3, 4)]), Verdict::Fits);
        for _ in 0..2 {
            assert_eq!(judge(&[fragment(4, 0)]), Verdict::TooMuch);
        }
        assert_eq!(judge(&[fragment(2, 12)]), Verdict::Fits);
        assert_eq!(budget.left, 0);
    }

    #[test]
    fn what_contradicts_itself_is_malformed_and_costs_nothing() {
        let right = fragment(2, 0);
        let mut budget = Budget::new(kept_message(1_000));
        for (what, place, value) in [
            ("behind the end", 6, 1),
            ("longer than the record", 11, 5),
            ("shorter than the record", 11, 3),
        ] {
            let mut lying = right.clone();
            if let Some(byte) = lying.get_mut(place) {
                *byte = value;
            }
            let verdict = budget.judge(Records::of(&record(22, 0, &lying)));
            assert_eq!(verdict, Verdict::Malformed, "{what}");
        }
        assert_eq!(
            budget.judge(Records::of(&record(22, 0, &right))),
            Verdict::Fits
        );
        for (what, place) in [("another type", 0), ("another length", 3)] {
            let mut other = right.clone();
            if let Some(byte) = other.get_mut(place) {
                *byte = byte.wrapping_add(1);
            }
            let verdict = budget.judge(Records::of(&record(22, 0, &other)));
            assert_eq!(verdict, Verdict::Malformed, "{what} than before");
            let verdict = budget.judge(Records::of(&record(22, 1, &other)));
            assert_eq!(
                verdict,
                Verdict::Fits,
                "under keys it is not to be read here"
            );
        }
    }

    #[test]
    fn what_is_cut_or_claims_the_most_neither_panics_nor_passes() {
        let huge = record(22, 0, &[11, 255, 255, 255, 0, 1, 0, 0, 0, 0, 0, 0]);
        for length in 0..huge.len() {
            let cut = huge.get(..length).expect("shorter");
            assert_eq!(Budget::new(0).judge(Records::of(cut)), Verdict::Fits);
        }
        assert_eq!(
            Budget::new(1 << 30).judge(Records::of(&huge)),
            Verdict::TooMuch
        );
    }
}
