//! The record layer against a wire that does what it likes, and against itself over two million records.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::aead::{Aead, Ciphers, Secret};
use super::cid::Cid;
use super::in_memory::noise;
use super::record::{EPOCH, LONGEST_TEXT, Numbers, Opened, RecordLayer, SealError};
use super::records::{ALERT, APPLICATION_DATA, CID, HANDSHAKE, Records};
use super::window::Window;

#[test]
fn texts_of_every_length_pass_and_longer_ones_do_not() {
    let mut ciphers = Ciphers::default();
    for (mut from, mut to) in every_pair() {
        let mut text = Vec::new();
        for length in [0, 1, 15, 16, 17, 63, 64, 65, 1_280, LONGEST_TEXT] {
            // Zeros behind the text could be taken for padding.
            for said in [vec![0; length], vec![0xa5; length]] {
                let record = from.seal(&mut ciphers, APPLICATION_DATA, &said);
                let record = record.expect("a record");
                assert_eq!(record.len(), said.len() + from.overhead());
                let heard = opened(&mut to, &mut ciphers, &record, &mut text);
                assert_eq!(heard, [APPLICATION_DATA], "{length} bytes");
                assert_eq!(text, said);
            }
        }
        let too_long = vec![1; LONGEST_TEXT + 1];
        let refused = from.seal(&mut ciphers, APPLICATION_DATA, &too_long);
        assert_eq!(refused, Err(SealError::Failed));
    }
}

/// Where there is nothing to decrypt the tag is looked at all the same.
#[test]
fn a_forged_record_without_text_is_dropped() {
    let mut ciphers = Ciphers::default();
    for (mut from, mut to) in every_pair() {
        let genuine = if has_cid(&to) {
            with_inner(&mut from, &mut ciphers, b"")
        } else {
            let sealed = from.seal(&mut ciphers, APPLICATION_DATA, b"");
            sealed.expect("a record")
        };
        let window = to.window;
        let tag = from.aead.tag();
        for at in genuine.len() - tag..genuine.len() {
            let mut forged = genuine.clone();
            forged[at] ^= 1;
            let mut text = Vec::new();
            let heard = opened(&mut to, &mut ciphers, &forged, &mut text);
            assert!(heard.is_empty(), "byte {at}");
            assert_eq!(to.window, window);
        }
    }
}

/// RFC 9146 section 4: the type is the last byte that is not zero.
#[test]
fn padding_behind_the_type_is_taken_off_and_nothing_else() {
    let mut ciphers = Ciphers::default();
    for (mut from, mut to) in every_pair().into_iter().filter(|(_, to)| has_cid(to)) {
        let mut text = Vec::new();
        for (inner, expected) in [
            (&b"text\x17"[..], Some((APPLICATION_DATA, &b"text"[..]))),
            (
                b"text\x17\0\0\0\0\0\0\0\0",
                Some((APPLICATION_DATA, b"text")),
            ),
            (b"te\0\0\x17\0", Some((APPLICATION_DATA, b"te\0\0"))),
            (b"\x17", Some((APPLICATION_DATA, b""))),
            (b"\x17\0\0", Some((APPLICATION_DATA, b""))),
            (b"\x01\0\x15\0", Some((ALERT, b"\x01\0"))),
            // Nothing but padding has no type.
            (b"\0\0\0\0", None),
            (b"", None),
        ] {
            let window = to.window;
            let record = with_inner(&mut from, &mut ciphers, inner);
            let mut records = Records::with_cid(&record, to.own.as_bytes().len());
            let record = records.next().expect("a record");
            let heard = to.open(&mut ciphers, record, &mut text);
            assert_eq!(heard.map(|opened| opened.kind), expected.map(|one| one.0));
            match expected {
                Some((_, said)) => assert_eq!(text, said, "{inner:02x?}"),
                None => assert_eq!(to.window, window, "nothing has come"),
            }
        }
    }
}

/// A longer text than a record may have is no text, even of a peer with the keys.
#[test]
fn a_record_with_a_longer_text_is_dropped() {
    let mut ciphers = Ciphers::default();
    for (mut from, mut to) in every_pair().into_iter().filter(|(_, to)| has_cid(to)) {
        let mut text = Vec::new();
        for (length, is_taken) in [(LONGEST_TEXT, true), (LONGEST_TEXT + 1, false)] {
            let mut inner = vec![9; length];
            inner.push(APPLICATION_DATA);
            let record = with_inner(&mut from, &mut ciphers, &inner);
            let heard = opened(&mut to, &mut ciphers, &record, &mut text);
            assert_eq!(!heard.is_empty(), is_taken, "{length}");
        }
    }
}

#[test]
fn what_is_meant_for_others_is_dropped() {
    let mut ciphers = Ciphers::default();
    for (mut from, mut to) in every_pair() {
        let genuine = from.seal(&mut ciphers, APPLICATION_DATA, b"for one only");
        let genuine = genuine.expect("a record");
        let before = to.clone();
        let mut text = Vec::new();
        // Of the other direction, of another version, of other epochs.
        let mut mirror = from.clone();
        assert!(opened(&mut mirror, &mut ciphers, &genuine, &mut text).is_empty());
        for (at, byte) in [(2, 0xff), (1, 3), (3, 1), (4, 0), (4, 2)] {
            let mut other = genuine.clone();
            other[at] = byte;
            assert!(opened(&mut to, &mut ciphers, &other, &mut text).is_empty());
        }
        // With a connection id where none was agreed upon, without where one was, with another.
        for (cid, _) in CIDS {
            let cid = Cid::new(cid).expect("short");
            if cid != from.peer {
                let mut other = RecordLayer {
                    peer: cid,
                    ..from.clone()
                };
                let other = other.seal(&mut ciphers, APPLICATION_DATA, b"?");
                let other = other.expect("a record");
                assert!(opened(&mut to, &mut ciphers, &other, &mut text).is_empty());
            }
        }
        assert_eq!(to, before);
        assert_eq!(opened(&mut to, &mut ciphers, &genuine, &mut text).len(), 1);
    }
}

/// What the wire does next.
#[derive(Clone, Debug)]
enum Step {
    /// The sender makes so many records of so many bytes; some numbers are skipped before.
    Make(u8, u16, u8),
    /// A datagram of records that were made: so many before the newest.
    Deliver(Vec<u16>),
    /// One of them, with a byte of it spoilt, or cut.
    Spoil(u16, prop::sample::Index, u8),
    Cut(u16, prop::sample::Index),
    Garbage(Vec<u8>),
    /// The receiver begins again from what was kept of it.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let back = || prop_oneof![8 => 0_u16..4, 4 => 0_u16..70, 1 => 0_u16..300];
    prop_oneof![
        4 => (1_u8..40, 0_u16..300, 0_u8..3).prop_map(|(n, len, skip)| Step::Make(n, len, skip)),
        8 => vec(back(), 1..6).prop_map(Step::Deliver),
        1 => (back(), any::<prop::sample::Index>(), 1_u8..).prop_map(|(back, at, by)| Step::Spoil(back, at, by)),
        1 => (back(), any::<prop::sample::Index>()).prop_map(|(back, at)| Step::Cut(back, at)),
        1 => vec(any::<u8>(), 0..80).prop_map(Step::Garbage),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Against a model that remembers every number.
    #[test]
    fn what_is_taken_is_what_a_window_of_64_numbers_takes_each_text_once(
        aead in 0..Aead::ALL.len(), cids in 0..CIDS.len(), steps in vec(step(), 1..80),
    ) {
        let mut ciphers = Ciphers::default();
        let (mut from, mut to) = pair(Aead::ALL[aead], CIDS[cids]);
        let (mut made, mut taken) = (Vec::<(u64, Vec<u8>, Vec<u8>)>::new(), BTreeSet::<u64>::new());
        let mut text = Vec::new();
        for step in steps {
            match step {
                Step::Make(count, length, skip) => for n in 0..count {
                    from.numbers.next += u64::from(skip);
                    let said = vec![n; length.into()];
                    let number = from.numbers.next;
                    let record = from.seal(&mut ciphers, APPLICATION_DATA, &said).expect("a record");
                    made.push((number, said, record));
                },
                Step::Deliver(backs) => {
                    let chosen: Vec<_> = backs.iter().filter_map(|back| {
                        made.iter().rev().nth((*back).into())
                    }).collect();
                    let datagram: Vec<u8> = chosen.iter().flat_map(|(_, _, record)| record.clone()).collect();
                    let mut records = Records::with_cid(&datagram, to.own.as_bytes().len());
                    for (number, said, _) in chosen {
                        let highest = taken.last().copied();
                        let is_fresh = !taken.contains(number) && highest.is_none_or(|highest| number + 64 > highest);
                        let expected = is_fresh.then_some(Opened {
                            kind: APPLICATION_DATA,
                            is_newest: highest.is_none_or(|highest| *number > highest),
                        });
                        let heard = to.open(&mut ciphers, records.next().expect("as many"), &mut text);
                        prop_assert_eq!(heard, expected);
                        if is_fresh {
                            prop_assert_eq!(&text, said);
                            taken.insert(*number);
                        }
                    }
                    prop_assert!(records.next().is_none());
                }
                Step::Spoil(back, at, by) => if let Some((_, _, record)) = made.iter().rev().nth(back.into()) {
                    let mut spoilt = record.clone();
                    spoilt[at.index(record.len())] ^= by;
                    let before = to.window;
                    prop_assert!(opened(&mut to, &mut ciphers, &spoilt, &mut text).is_empty());
                    prop_assert_eq!(to.window, before);
                },
                Step::Cut(back, at) => if let Some((_, _, record)) = made.iter().rev().nth(back.into()) {
                    let cut = &record[..at.index(record.len())];
                    prop_assert!(opened(&mut to, &mut ciphers, cut, &mut text).is_empty());
                },
                Step::Garbage(bytes) => {
                    prop_assert!(opened(&mut to, &mut ciphers, &bytes, &mut text).is_empty());
                }
                Step::Restart => to.window = Window::from_kept(to.window.kept()),
            }
        }
    }
}

/// Half of them with each kind of name. Now and then the server ends and goes on from its mark, which is
/// behind all numbers that it may have used: also when the last mark was not written, or nobody knows.
#[test]
fn two_million_records_have_two_million_nonces() {
    let mut ciphers = Ciphers::default();
    let mut random = noise(7);
    let mut seen = Bits::default();
    let step = 1_000;
    let (mut from, _) = pair(Aead::Aes128Ccm8, CIDS[0]);
    from.numbers = Numbers { next: 0, end: step };
    // What is on disk, and what the server thinks that is there.
    let mut disk = step;
    let mut made = 0;
    let mut restarts = 0;
    while made < 2_000_000 {
        let (cid, _) = CIDS[usize::from(made > 1_000_000)];
        from.peer = Cid::new(cid).expect("short");
        match from.seal(&mut ciphers, APPLICATION_DATA, b"t=21.5") {
            Ok(record) => {
                let mut records = Records::with_cid(&record, cid.len());
                let record = records.next().expect("a record");
                let mut nonce = [0; 8];
                nonce.copy_from_slice(&record.body[..8]);
                let nonce = u64::from_be_bytes(nonce);
                assert_eq!(nonce >> 48, u64::from(EPOCH));
                assert!(seen.insert(nonce & ((1 << 48) - 1)), "{nonce:x} once more");
                made += 1;
            }
            Err(SealError::NoNumbers) => {}
            Err(error) => panic!("{error:?}"),
        }
        let Numbers { next, end } = from.numbers;
        if end - next <= step / 2 {
            let wanted = end + step;
            match random() % 4 {
                // Written; the outcome is known or is not.
                0 => disk = wanted,
                1 | 2 => {
                    disk = wanted;
                    from.numbers.end = wanted;
                }
                // Not written.
                _ => {}
            }
        }
        if random().is_multiple_of(20_000) {
            restarts += 1;
            from.numbers = Numbers {
                next: disk,
                end: disk + step,
            };
            disk += step;
        }
    }
    assert!(restarts > 50, "{restarts}");
}

#[test]
fn no_number_beyond_48_bits_is_used() {
    let mut ciphers = Ciphers::default();
    for (mut from, mut to) in every_pair() {
        from.numbers = Numbers {
            next: (1 << 48) - 2,
            end: u64::MAX,
        };
        for _ in 0..2 {
            let record = from
                .seal(&mut ciphers, HANDSHAKE, b"last words")
                .expect("a record");
            assert_eq!(
                opened(&mut to, &mut ciphers, &record, &mut Vec::new()),
                [HANDSHAKE]
            );
        }
        for _ in 0..2 {
            assert_eq!(
                from.seal(&mut ciphers, HANDSHAKE, b"!"),
                Err(SealError::NoNumbers)
            );
        }
    }
}

/// What a layer takes of a datagram: the types.
fn opened(
    layer: &mut RecordLayer,
    ciphers: &mut Ciphers,
    datagram: &[u8],
    text: &mut Vec<u8>,
) -> Vec<u8> {
    Records::with_cid(datagram, layer.own.as_bytes().len())
        .filter_map(|record| layer.open(ciphers, record, text))
        .map(|opened| opened.kind)
        .collect()
}

/// A record with a connection id around this, as it is: OpenSSL's own cipher, and the rest by hand.
fn with_inner(layer: &mut RecordLayer, ciphers: &mut Ciphers, inner: &[u8]) -> Vec<u8> {
    let number = layer.numbers.next;
    layer.numbers.next += 1;
    let sequence = (u64::from(EPOCH) << 48 | number).to_be_bytes();
    let cid = layer.peer.as_bytes();
    let length = u16::try_from(inner.len()).expect("short").to_be_bytes();
    let [cid_length, ..] = cid.len().to_le_bytes();
    let head = [CID, cid_length, CID, 0xfe, 0xfd];
    let beside = [&[0xff; 8][..], &head, &sequence, cid, &length].concat();
    let with = super::aead::Use {
        aead: layer.aead,
        secret: &layer.outbound,
        explicit: sequence,
        beside: &beside,
    };
    let mut body = sequence[..layer.aead.explicit()].to_vec();
    ciphers.seal(with, inner, &mut body).expect("OpenSSL works");
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[CID, 0xfe, 0xfd][..], &sequence, cid, &length, &body].concat()
}

fn has_cid(layer: &RecordLayer) -> bool {
    !layer.own.is_empty()
}

/// What is sent, and where it comes.
fn pair(aead: Aead, (there, back): (&[u8], &[u8])) -> (RecordLayer, RecordLayer) {
    let secret = |byte| Secret {
        key: [byte; 32],
        fixed: {
            let mut fixed = [0; 12];
            fixed[..aead.fixed()].fill(byte);
            fixed
        },
    };
    let cid = |bytes| Cid::new(bytes).expect("short");
    let from = RecordLayer {
        aead,
        inbound: secret(1),
        outbound: secret(2),
        window: Window::default(),
        numbers: Numbers {
            next: 0,
            end: u64::MAX,
        },
        own: cid(back),
        peer: cid(there),
    };
    let to = RecordLayer {
        inbound: secret(2),
        outbound: secret(1),
        own: cid(there),
        peer: cid(back),
        ..from
    };
    (from, to)
}

fn every_pair() -> Vec<(RecordLayer, RecordLayer)> {
    let all = Aead::ALL.into_iter();
    all.flat_map(|aead| CIDS.map(|cids| pair(aead, cids)))
        .collect()
}

/// Numbers that were seen.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// False when it is there already.
    fn insert(&mut self, number: u64) -> bool {
        let place = usize::try_from(number / 64).expect("small");
        if place >= self.0.len() {
            self.0.resize(place + 1, 0);
        }
        let is_new = self.0[place] & (1 << (number % 64)) == 0;
        self.0[place] |= 1 << (number % 64);
        is_new
    }
}

/// What stands in the records, and in those of the other direction.
const CIDS: [(&[u8], &[u8]); 5] = [
    (b"", b""),
    (b"\x01\x02\x03\x04\x05\x06", b""),
    (b"", b"abc"),
    (b"\0", b"\0"),
    (&[0x19; Cid::LONGEST], b"abc"),
];
