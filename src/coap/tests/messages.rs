//! Bytes and messages: vectors of the RFCs, and everything that is refused.

use proptest::prelude::*;
use rstest::rstest;

use super::*;

#[test]
fn the_request_of_rfc_7252_figure_16_is_read_and_written() {
    // CON, GET, MID 0x7d34, Uri-Path "temperature".
    let datagram = hex("40 01 7d34 bb 74656d7065726174757265");
    let message = Message::decode(&datagram).expect("valid");
    assert_eq!(message.kind, MessageType::Confirmable);
    assert_eq!(message.code, Code::GET);
    assert_eq!(message.message_id, 0x7d34);
    assert_eq!(message.token, Token::default());
    assert_eq!(message.options.uri_path(), Some(vec!["temperature"]));
    assert_eq!(message.encode(), datagram);
}

#[test]
fn the_response_of_rfc_7252_figure_16_is_read_and_written() {
    // ACK, 2.05, MID 0x7d34, "22.3 C".
    let datagram = hex("60 45 7d34 ff 32322e332043");
    let message = Message::decode(&datagram).expect("valid");
    assert_eq!(message.kind, MessageType::Acknowledgement);
    assert_eq!(message.code, Code::CONTENT);
    assert_eq!(message.payload, b"22.3 C");
    assert_eq!(message.encode(), datagram);
}

#[test]
fn the_token_of_rfc_7252_figure_17_is_read_and_written() {
    let datagram = hex("41 01 7d35 20 bb 74656d7065726174757265");
    let message = Message::decode(&datagram).expect("valid");
    assert_eq!(message.token, token(&[0x20]));
    assert_eq!(message.encode(), datagram);
}

#[test]
fn the_notification_of_rfc_7641_figure_2_is_read_and_written() {
    // NON, 2.05, token 0x4a, Observe 12, Max-Age 15, "22.9 Cel".
    let datagram = hex("51 45 4f01 4a 61 0c 81 0f ff 32322e392043656c");
    let message = Message::decode(&datagram).expect("valid");
    assert_eq!(message.kind, MessageType::NonConfirmable);
    assert_eq!(message.options.observe(), Some(12));
    assert_eq!(message.options.uint(number::MAX_AGE), Some(15));
    assert_eq!(message.encode(), datagram);
}

#[test]
fn the_late_block_of_rfc_7959_figure_4_is_read_and_written() {
    // CON GET /status with 2:2/0/64.
    let datagram = hex("40 01 1236 b6 737461747573 c1 22");
    let message = Message::decode(&datagram).expect("valid");
    assert_eq!(block_of(&message, number::BLOCK2), Some((2, false, 64)));
    assert_eq!(message.encode(), datagram);
}

#[rstest]
#[case::nothing("", DecodeError::TooShort)]
#[case::three_bytes("40 01 00", DecodeError::TooShort)]
#[case::version_0("00 01 0001", DecodeError::Version(0))]
#[case::version_2("80 01 0001", DecodeError::Version(2))]
#[case::version_3("c0 01 0001", DecodeError::Version(3))]
#[case::token_of_9("49 01 0001 010203040506070809", DecodeError::TokenLength)]
#[case::token_of_15("4f 01 0001 010203040506070809", DecodeError::TokenLength)]
#[case::token_cut_off("48 01 0001 01020304", DecodeError::Truncated)]
#[case::empty_with_token("41 00 0001 01", DecodeError::EmptyWithContent)]
#[case::empty_with_a_byte("40 00 0001 00", DecodeError::EmptyWithContent)]
#[case::empty_with_long_token("4f 00 0001", DecodeError::EmptyWithContent)]
#[case::marker_alone("40 01 0001 ff", DecodeError::PayloadMarker)]
#[case::marker_after_option("40 01 0001 b1 61 ff", DecodeError::PayloadMarker)]
#[case::delta_15("40 01 0001 f1 61", DecodeError::ReservedNibble)]
#[case::length_15("40 01 0001 1f 61", DecodeError::ReservedNibble)]
#[case::delta_cut_off("40 01 0001 d0", DecodeError::Truncated)]
#[case::long_delta_cut_off("40 01 0001 e0 00", DecodeError::Truncated)]
#[case::length_cut_off("40 01 0001 1d", DecodeError::Truncated)]
#[case::value_cut_off("40 01 0001 b4 616263", DecodeError::Truncated)]
#[case::long_value_cut_off("40 01 0001 0e ffff 00", DecodeError::Truncated)]
#[case::number_above_16_bits("40 01 0001 e0 fef2 e0 0000", DecodeError::OptionNumber)]
#[case::number_far_above("40 01 0001 e0 ffff", DecodeError::OptionNumber)]
#[case::class_1("40 21 0001", DecodeError::ReservedCode(Code::new(1, 1)))]
#[case::class_3("40 61 0001", DecodeError::ReservedCode(Code::new(3, 1)))]
#[case::class_6("40 c1 0001", DecodeError::ReservedCode(Code::new(6, 1)))]
#[case::class_7("40 e1 0001", DecodeError::ReservedCode(Code::new(7, 1)))]
#[case::a_request_in_an_ack("60 01 0001", DecodeError::ReservedCode(Code::GET))]
#[case::a_request_in_a_reset("70 01 0001", DecodeError::ReservedCode(Code::GET))]
#[case::a_response_in_a_reset("70 45 0001", DecodeError::ReservedCode(Code::CONTENT))]
fn these_are_no_messages(#[case] datagram: &str, #[case] error: DecodeError) {
    assert_eq!(Message::decode(&hex(datagram)), Err(error));
}

#[test]
fn the_largest_option_number_is_read() {
    let datagram = hex("40 01 0001 e1 fef2 07");
    let message = Message::decode(&datagram).expect("valid");
    assert_eq!(message.options.first(65_535), Some(&[7][..]));
    assert_eq!(message.encode(), datagram);
}

#[test]
fn a_thousand_options_are_too_many() {
    let mut datagram = hex("40 01 0001");
    datagram.extend([0x00; 256]);
    assert!(Message::decode(&datagram).is_ok());
    datagram.extend([0x00; 744]);
    assert_eq!(Message::decode(&datagram), Err(DecodeError::TooManyOptions));
}

#[test]
fn every_truncation_of_a_message_is_refused_or_another_message() {
    let mut whole = con(Code::POST, 1, "/rd/abc");
    whole.options.add(number::URI_QUERY, &bytes(300));
    whole.options.add(65_000, b"x");
    whole.payload = bytes(40);
    let datagram = whole.encode();
    for length in 0..datagram.len() {
        let part = datagram.get(..length).expect("shorter");
        if let Ok(message) = Message::decode(part) {
            assert_ne!(message, whole);
            assert_eq!(Message::decode(&message.encode()), Ok(message));
        }
    }
}

#[rstest]
#[case::reserved_class("40 e1 abcd")]
#[case::marker_without_payload("40 01 abcd ff")]
#[case::empty_with_content("40 00 abcd 01")]
#[case::long_token("4f 01 abcd")]
#[case::cut_off("44 01 abcd 01")]
fn a_confirmable_message_that_cannot_be_read_is_reset(#[case] datagram: &str) {
    let mut solo = Solo::new();
    solo.receive(&hex(datagram));
    assert_eq!(solo.sent_bytes(), hex("70 00 abcd"));
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.malformed.get(), 1);
}

#[rstest]
#[case::other_version("80 01 abcd")]
#[case::short("40 01 ab")]
#[case::not_confirmable("50 e1 abcd")]
#[case::acknowledgement("60 e1 abcd")]
#[case::reset("70 e1 abcd")]
#[case::empty_not_confirmable("50 00 abcd")]
fn other_rubbish_is_ignored(#[case] datagram: &str) {
    let mut solo = Solo::new();
    solo.receive(&hex(datagram));
    assert!(solo.sent().is_empty());
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.malformed.get(), 1);
}

#[test]
fn a_ping_is_answered_with_a_reset() {
    let mut solo = Solo::new();
    solo.receive(&hex("40 00 1234"));
    assert_eq!(solo.sent_bytes(), hex("70 00 1234"));
}

#[test]
fn acknowledgements_and_resets_of_unknown_messages_are_ignored() {
    let mut solo = Solo::new();
    solo.receive(&hex("60 00 1234"));
    solo.receive(&hex("70 00 1234"));
    solo.receive(&hex("60 45 1234 ff 01"));
    assert!(solo.sent().is_empty());
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.unmatched.get(), 3);
}

#[rstest]
#[case::port_0([192, 0, 2, 1], 0)]
#[case::multicast([224, 0, 1, 187], 5683)]
#[case::broadcast([255, 255, 255, 255], 5683)]
#[case::unspecified([0, 0, 0, 0], 5683)]
fn sources_that_are_no_single_sender_are_dropped(#[case] address: [u8; 4], #[case] port: u16) {
    let mut solo = Solo::new();
    let peer = Peer::udp((address, port).into());
    solo.receive_from(peer, &con(Code::GET, 1, "/").encode());
    solo.receive_from(peer, &hex("40 00 1234"));
    assert!(solo.sent().is_empty());
    assert!(solo.events().is_empty());
    assert_eq!(solo.counters.refused.get(), 2);
}

/// A forged datagram from our own address and port: what we say to it comes back to us. Nothing that we
/// send of ourselves is answered, so it ends there.
#[rstest]
#[case::a_ping("40 00 1234")]
#[case::rubbish("49 01 1234 00")]
#[case::a_request("41 01 1234 07 b2 72 64")]
#[case::a_request_that_is_not_confirmable("51 01 1234 07 b2 72 64")]
#[case::a_notification("41 45 1234 07 61 05 ff 31")]
#[case::an_acknowledgement("60 00 1234")]
fn what_comes_from_our_own_address_does_not_go_round(#[case] forged: &str) {
    let mut solo = Solo::new();
    let ourselves = Peer::udp(([192, 0, 2, 100], 5683).into());
    let mut coming = vec![hex(forged)];
    let mut turns = 0;
    while !coming.is_empty() {
        turns += 1;
        assert!(turns < 4, "it goes round");
        for datagram in std::mem::take(&mut coming) {
            solo.receive_from(ourselves, &datagram);
        }
        for event in solo.events() {
            match event {
                Event::Request { key, .. } => solo.respond(&key, content(b"an answer")),
                Event::Notification { key, .. } => solo.endpoint.reject(solo.now, &key),
                other => panic!("{other:?}"),
            }
        }
        coming = solo.sent().iter().map(Message::encode).collect();
    }
}

#[test]
fn fingerprints_tell_datagrams_apart_and_never_change() {
    use crate::coap::message::fingerprint;
    assert_eq!(fingerprint(b"abc"), fingerprint(b"abc"));
    assert_ne!(fingerprint(b"abc"), fingerprint(b"abd"));
    assert_ne!(fingerprint(b"abc"), fingerprint(b"abc\0"));
    assert_ne!(fingerprint(b""), fingerprint(b"\0"));
    // Stored in databases: a change of the function makes every stored answer useless.
    assert_eq!(fingerprint(b"flownexus coap"), STORED);
}

/// `fingerprint(b"flownexus coap")`, as it was when the first answer was stored.
const STORED: i64 = 7_775_709_126_554_422_026;

fn any_message() -> impl Strategy<Value = Message> {
    let code = prop_oneof![1_u8..=31, 64_u8..=95, 128_u8..=191];
    let options = prop::collection::vec(
        (any::<u16>(), prop::collection::vec(any::<u8>(), 0..300)),
        0..8,
    );
    let payload = prop::collection::vec(any::<u8>(), 0..80);
    let token = prop::collection::vec(any::<u8>(), 0..=8);
    (any::<bool>(), code, any::<u16>(), token, options, payload).prop_map(
        |(confirmable, code, message_id, token, options, payload)| {
            let kind = if confirmable {
                MessageType::Confirmable
            } else {
                MessageType::NonConfirmable
            };
            let mut all = Options::new();
            for (number, value) in &options {
                all.add(*number, value);
            }
            Message {
                kind,
                code: Code::from_byte(code),
                message_id,
                token: Token::new(&token).expect("short"),
                options: all,
                payload,
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(message in any_message()) {
        prop_assert_eq!(Message::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn it_is_written_and_read_as_by_coap_lite(message in any_message()) {
        fuzzing::decode(&message.encode());
        fuzzing::decode(&fuzzing::write_by_coap_lite(&message));
    }

    #[test]
    fn options_come_in_the_order_of_their_numbers(
        options in prop::collection::vec((0_u16..6, any::<u8>()), 0..20), gone in 0_u16..6,
    ) {
        let mut sorted: Vec<(u16, [u8; 1])> =
            options.iter().map(|(number, value)| (*number, [*value])).collect();
        let all = |sorted: &[(u16, [u8; 1])]| -> Options {
            sorted.iter().map(|(number, value)| (*number, &value[..])).collect()
        };
        let mut collected = all(&sorted);
        let mut added = Options::new();
        for (number, value) in &sorted {
            added.add(*number, value);
        }
        sorted.sort_by_key(|(number, _)| *number);
        prop_assert_eq!(&collected, &added);
        let read: Vec<_> = collected.iter().map(|(number, value)| (number, [value[0]])).collect();
        prop_assert_eq!(&read, &sorted);
        collected.remove(gone);
        sorted.retain(|(number, _)| *number != gone);
        prop_assert_eq!(collected, all(&sorted));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        fuzzing::decode(&bytes);
    }

    #[test]
    fn no_bytes_behind_a_good_header_make_reading_panic(
        head in 0x40_u8..=0x7f, code in any::<u8>(), rest in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut datagram = vec![head, code, 0, 1];
        datagram.extend(rest);
        fuzzing::decode(&datagram);
    }

    #[test]
    fn a_flipped_byte_never_makes_reading_panic(
        message in any_message(), at in any::<prop::sample::Index>(), value in any::<u8>(),
    ) {
        let mut datagram = message.encode();
        let at = at.index(datagram.len());
        datagram[at] = value;
        fuzzing::decode(&datagram);
    }
}
