//! Handshakes that OpenSSL makes and our own record layer goes on with, against devices that are bare OpenSSL.

use std::collections::BTreeSet;
use std::time::Duration;

use openssl::ssl::ErrorCode;

use super::cid::Cid;
use super::in_memory::{Device, SUITES, Server, Suite, carry, shake};
use super::record::EPOCH;
use super::records::{ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, CID, HANDSHAKE, Records};
use super::refusal::Refusal;
use super::session::After;

#[test]
fn each_suite_shakes_hands_and_talks_with_and_without_connection_ids() {
    for suite in SUITES {
        for own in cids() {
            let mut server = Server::new(|_| {});
            let mut device = Device::new(suite, own);
            shake(&mut device, &mut server);
            check(&mut device, &mut server, suite, own);
            talk(&mut device, &mut server);
            numbers_rise(&server, own);
            // Taken up again, with new names.
            let before = device.cids();
            let mut device = device.again();
            server.wire.clear();
            shake(&mut device, &mut server);
            assert!(device.stream.ssl().session_reused(), "{suite:?}");
            check(&mut device, &mut server, suite, own);
            assert!(before.is_none() || before != device.cids(), "{suite:?}");
            talk(&mut device, &mut server);
            numbers_rise(&server, own);
        }
    }
}

/// What is agreed upon, and who has the connection.
fn check(device: &mut Device, server: &mut Server, suite: Suite, own: Option<Cid>) {
    let cipher = device.stream.ssl().current_cipher().expect("a suite");
    assert_eq!(cipher.name(), suite.name);
    let session = server.session.as_ref().expect("a session");
    assert_eq!(session.layer().map(|layer| layer.aead), suite.aead);
    assert_eq!(session.is_large(), suite.aead.is_none(), "{suite:?}");
    let wants = own.filter(|_| suite.aead.is_some());
    let agreed = device.cids();
    assert_eq!(agreed.map(|(_, own)| own), wants, "{suite:?}");
    let servers = agreed.map(|(servers, _)| servers).unwrap_or_default();
    assert_eq!(session.cid(), servers);
    assert_eq!(servers.as_bytes().len(), wants.map_or(0, |_| 6));
}

#[test]
fn connection_ids_are_not_used_where_they_are_switched_off_or_longer_than_ours() {
    for (bytes, own) in [(0, Cid::new(b"abc")), (6, None)] {
        let mut server = Server::new(|settings| settings.connection_id_bytes = bytes);
        let mut device = Device::new(PSK, own);
        shake(&mut device, &mut server);
        assert_eq!(device.cids(), None);
        talk(&mut device, &mut server);
    }
}

#[test]
fn a_device_that_lost_the_last_flight_gets_it_again_for_a_while() {
    for tickets in [true, false] {
        for suite in SUITES.into_iter().filter(|suite| suite.aead.is_some()) {
            for own in cids() {
                let mut server = Server::new(|settings| {
                    settings.resumption_s *= u64::from(tickets);
                });
                let mut device = Device::new(suite, own);
                lose_the_last_flight(&mut device, &mut server);
                // Once more, and lost once more.
                for datagram in device.repeats() {
                    server.datagram(&datagram);
                }
                assert_eq!(server.taken, [[0; 0]; 0]);
                let again = device.repeats();
                carry(&mut device, &mut server, again, |_, _| true);
                assert!(device.is_connected(), "{suite:?}, {own:?}");
                numbers_rise(&server, own);
                talk(&mut device, &mut server);

                // Its Finished may come late, and then the device needs no answer any more.
                let mut device = Device::new(suite, own);
                lose_the_last_flight(&mut device, &mut server);
                let session = server.session.as_mut().expect("a session");
                session.carrier.forget_flight();
                for datagram in device.repeats() {
                    assert!(server.datagram(&datagram).is_empty(), "{suite:?}");
                }
                assert!(!device.is_connected());
            }
        }
    }
}

/// In a session that is taken up again the last flight is that of the device: the server repeats its own,
/// and no number of it twice.
#[test]
fn a_server_that_does_not_hear_the_end_repeats_its_flight_under_new_numbers() {
    for own in cids() {
        let mut server = Server::new(|_| {});
        let mut device = Device::new(PSK, own);
        shake(&mut device, &mut server);
        let mut device = device.again();
        server.wire.clear();
        server.session = None;
        let begin = device.advance();
        carry(&mut device, &mut server, begin, |is_servers, datagram| {
            is_servers || !ends_a_handshake(datagram)
        });
        assert!(device.is_connected() && server.session.is_none());
        let end = std::time::Instant::now() + Duration::from_secs(20);
        let repeated = loop {
            let repeated = server.timeouts(Duration::from_millis(20));
            if !repeated.is_empty() {
                break repeated;
            }
            assert!(
                std::time::Instant::now() < end,
                "the server repeats nothing"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        numbers_rise(&server, own);
        let answers = repeated
            .iter()
            .flat_map(|one| device.datagram(one))
            .collect();
        carry(&mut device, &mut server, answers, |_, _| true);
        check(&mut device, &mut server, PSK, own);
        talk(&mut device, &mut server);
    }
}

#[test]
fn data_that_comes_with_the_finished_or_before_it_is_taken_when_it_is_over() {
    for suite in SUITES.into_iter().filter(|suite| suite.aead.is_some()) {
        for own in cids() {
            // Behind the Finished in one datagram; between the keys and it; before the keys.
            for order in [[0, 1, 2, 3], [0, 1, 3, 2], [3, 0, 1, 2]] {
                let mut server = Server::new(|_| {});
                let mut device = Device::new(suite, own);
                let (mut plain, mut finished) = last_flight(&mut device, &mut server);
                let change = plain.pop().expect("a ChangeCipherSpec");
                let data = device.record(1, APPLICATION_DATA, b"early");
                let parts = [plain.concat(), change, std::mem::take(&mut finished), data];
                let (one, other) = order.split_at(if order == [0, 1, 2, 3] { 0 } else { 3 });
                let mut answers = Vec::new();
                for datagram in [one, other] {
                    let datagram: Vec<u8> = datagram
                        .iter()
                        .flat_map(|part| parts[*part].clone())
                        .collect();
                    if !datagram.is_empty() {
                        answers.extend(server.datagram(&datagram));
                    }
                }
                assert_eq!(server.taken, [b"early"], "{suite:?}, {own:?}, {order:?}");
                for answer in answers {
                    device.datagram(&answer);
                }
                assert!(device.is_connected());
                // The same once more is a copy.
                server.datagram(&parts[3]);
                assert_eq!(server.after, Some(After::Unheard));
                server.datagram(&device.record(2, APPLICATION_DATA, b"next"));
                assert_eq!(server.taken, [&b"early"[..], b"next"]);
            }
        }
    }
}

#[test]
fn of_data_before_the_keys_so_much_is_kept_as_may_be() {
    for own in cids() {
        let mut server = Server::new(|_| {});
        let mut device = Device::new(PSK, own);
        let (plain, finished) = last_flight(&mut device, &mut server);
        for number in 1..20 {
            server.datagram(&device.record(number, APPLICATION_DATA, &[7]));
        }
        for datagram in plain.iter().chain([&finished]) {
            for answer in server.datagram(datagram) {
                device.datagram(&answer);
            }
        }
        if server.session.is_none() {
            // There was no room for the Finished: it is repeated.
            let again = device.repeats();
            carry(&mut device, &mut server, again, |_, _| true);
        }
        assert!(device.is_connected(), "{own:?}");
        // 60,000 bytes, at 18 KB for each.
        assert!((1..=3).contains(&server.taken.len()), "{:?}", server.taken);
        server.datagram(&device.record(30, APPLICATION_DATA, b"later"));
        assert_eq!(server.taken.last().map(Vec::as_slice), Some(&b"later"[..]));
    }
}

/// The keys are the same when one record was genuine: a copy of it says nothing of the key, and the device
/// has all the time that there is to repeat its Finished.
#[test]
fn copies_and_forgeries_beside_a_genuine_record_make_no_wrong_key() {
    for own in cids() {
        let mut server = Server::new(|_| {});
        let mut device = Device::new(PSK, own);
        let (plain, _lost) = last_flight(&mut device, &mut server);
        server.datagram(&plain.concat());
        // Behind those of OpenSSL that are to come.
        let data = device.record(10, APPLICATION_DATA, b"early");
        let mut forged = device.record(11, APPLICATION_DATA, b"forged");
        *forged.last_mut().expect("bytes") ^= 1;
        for datagram in [&data, &data, &forged] {
            server.datagram(datagram);
        }
        server.timeouts(Duration::from_secs(30));
        assert!(server.refused.is_empty(), "{:?}", server.refused);
        let again = device.repeats();
        carry(&mut device, &mut server, again, |_, _| true);
        assert!(device.is_connected(), "{own:?}");
        assert_eq!(server.taken, [b"early"]);
    }
}

#[test]
fn a_wrong_key_is_told_from_others_as_before() {
    for suite in SUITES
        .into_iter()
        .filter(|suite| suite.name.contains("PSK"))
    {
        for own in cids() {
            let mut server = Server::new(|_| {});
            let mut device = Device::with_key(suite, own, b"another key 1234");
            let begin = device.advance();
            carry(&mut device, &mut server, begin, |_, _| true);
            assert!(server.session.is_none() && server.refused.is_empty());
            let alerts = server.timeouts(Duration::from_secs(2));
            assert!(
                matches!(&server.refused[..], [Refusal::WrongKey(who)] if who == "device"),
                "{suite:?}: {:?}",
                server.refused
            );
            assert_eq!(
                alerts.iter().map(|alert| alert[0]).collect::<Vec<_>>(),
                [ALERT]
            );
        }
    }
}

#[test]
fn whoever_wants_another_handshake_within_a_session_is_told_no() {
    // ClientHello and HelloRequest (RFC 5246 section 7.4.1).
    for kind in [1, 0] {
        for own in cids() {
            let (mut device, mut server) = session(own);
            let mut asks = vec![kind, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0];
            asks.extend([0; 40]);
            let [answer] = &server.datagram(&device.record(50, HANDSHAKE, &asks))[..] else {
                panic!("one answer");
            };
            // no_renegotiation, a warning.
            assert_eq!(device.read(answer), (ALERT, vec![1, 100]));
            assert_eq!(server.after, Some(After::Heard { is_newest: true }));
            server.datagram(&device.record(51, APPLICATION_DATA, b"goes on"));
            assert_eq!(server.taken, [b"goes on"]);
        }
    }
}

#[test]
fn alerts_that_warn_are_ignored_and_those_that_are_fatal_end_it() {
    for own in cids() {
        let (mut device, mut server) = session(own);
        // What warns, what is of no known type, what is no alert, what belongs into a handshake.
        for (kind, text) in [
            (ALERT, &[1, 90][..]),
            (ALERT, &[1, 255]),
            (ALERT, &[1]),
            (ALERT, &[]),
            (ALERT, &[2, 20, 0]),
            (CHANGE_CIPHER_SPEC, &[1]),
            (HANDSHAKE, &[]),
            (HANDSHAKE, &[11, 0, 0, 0]),
            (24, b"heartbeat"),
            (CID, b"?"),
            (0, b"?"),
        ] {
            if kind == 0 && own.is_some() {
                // It would be padding.
                continue;
            }
            let number = server.wire.len() as u64 + 100;
            server.wire.push(Vec::new());
            let answers = server.datagram(&device.record(number, kind, text));
            assert!(answers.is_empty(), "{kind} {text:02x?}: {answers:02x?}");
            assert!(
                !matches!(server.after, Some(After::Closed(_)) | None),
                "{kind}"
            );
        }
        server.datagram(&device.record(200, APPLICATION_DATA, b"goes on"));
        assert_eq!(server.taken, [b"goes on"]);
        assert!(
            server
                .datagram(&device.record(201, ALERT, &[2, 20]))
                .is_empty()
        );
        assert_eq!(server.after, Some(After::Closed(Some(20))));
    }
}

#[test]
fn a_good_bye_is_answered_and_what_is_behind_it_is_not_read() {
    for own in cids() {
        let (mut device, mut server) = session(own);
        let end = device.record(60, ALERT, &[1, 0]);
        let behind = device.record(61, APPLICATION_DATA, b"too late");
        let answers = server.datagram(&[end, behind].concat());
        assert_eq!(server.after, Some(After::Closed(None)));
        assert_eq!(server.taken, [[0; 0]; 0]);
        let [answer] = &answers[..] else {
            panic!("one answer: {answers:02x?}");
        };
        assert_eq!(device.read(answer), (ALERT, vec![1, 0]));

        // OpenSSL's own, and ours.
        let (mut device, mut server) = session(own);
        let _ = device.stream.shutdown();
        let begin = device.advance();
        carry(&mut device, &mut server, begin, |_, _| true);
        assert_eq!(server.after, Some(After::Closed(None)));
        assert_eq!(device.end, Some(ErrorCode::ZERO_RETURN));
    }
}

/// However often it is asked for within a datagram: what one costs is bounded.
#[test]
fn a_datagram_is_answered_at_most_once() {
    for own in cids() {
        let mut server = Server::new(|_| {});
        let mut device = Device::new(PSK, own);
        lose_the_last_flight(&mut device, &mut server);
        let once = server.datagram(&device.record(70, HANDSHAKE, &[20, 0, 0, 12]));
        assert!(!once.is_empty());
        let many: Vec<u8> = (71..120)
            .flat_map(|number| {
                let kind = [20, 1, 0][usize::try_from(number % 3).expect("small")];
                device.record(number, HANDSHAKE, &[kind, 0, 0, 0])
            })
            .collect();
        let answers = server.datagram(&many);
        assert!(
            (1..=once.len()).contains(&answers.len()),
            "{}",
            answers.len()
        );
        numbers_rise(&server, own);
    }
}

/// A session whose handshake is over.
fn session(own: Option<Cid>) -> (Device, Server) {
    let mut server = Server::new(|_| {});
    let mut device = Device::new(PSK, own);
    shake(&mut device, &mut server);
    (device, server)
}

/// Data passes both ways, as OpenSSL has it.
fn talk(device: &mut Device, server: &mut Server) {
    server.taken.clear();
    device.taken.clear();
    for round in 0..40_u8 {
        let up = vec![round; usize::from(round) + 1];
        let datagram = device.send(&up);
        assert!(server.datagram(&datagram).is_empty());
        assert_eq!(server.taken.pop(), Some(up));
        let down = vec![!round; 3 * usize::from(round) + 1];
        let datagram = server.send(&down);
        assert!(device.datagram(&datagram).is_empty());
        assert_eq!(device.taken.pop(), Some(down));
    }
}

/// The handshake is over for the server, and the device has not heard of it.
fn lose_the_last_flight(device: &mut Device, server: &mut Server) {
    server.wire.clear();
    let (plain, finished) = last_flight(device, server);
    server.datagram(&[plain.concat(), finished].concat());
    assert!(server.session.is_some() && !device.is_connected());
}

/// The handshake up to the last flight of the device: its records without keys, and its Finished.
fn last_flight(device: &mut Device, server: &mut Server) -> (Vec<Vec<u8>>, Vec<u8>) {
    let mut flight = Vec::new();
    let mut is_last = false;
    let begin = device.advance();
    carry(device, server, begin, |is_servers, datagram| {
        // Behind the second hello of the device the server has said everything.
        let is = |kind| datagram.first() == Some(&HANDSHAKE) && datagram.get(13) == Some(&kind);
        let (is_hello, is_server_hello) = (is(1), is(2));
        if is_server_hello {
            Device::becomes_impatient();
        }
        is_last |= !is_servers && !is_hello;
        if is_last && !is_servers {
            flight.extend(datagram.to_vec());
        }
        is_servers || !is_last
    });
    let own = device
        .cids()
        .map(|(servers, _)| servers)
        .unwrap_or_default();
    let mut records = Records::with_cid(&flight, own.as_bytes().len());
    let mut plain = Vec::new();
    // On a slow machine OpenSSL may have repeated it already.
    let finished = loop {
        let record = records.next().expect("a Finished");
        let bytes = record.numbered(record.sequence());
        if record.epoch() == EPOCH {
            break bytes;
        }
        plain.push(bytes);
    };
    (plain, finished)
}

fn ends_a_handshake(datagram: &[u8]) -> bool {
    datagram.first() == Some(&CHANGE_CIPHER_SPEC) || datagram.first() == Some(&CID)
}

/// What the server has sent: no number twice under keys, and without them each above those before.
fn numbers_rise(server: &Server, own: Option<Cid>) {
    let own = own.unwrap_or_default();
    let mut under_keys = BTreeSet::new();
    let mut plain = None;
    for datagram in &server.wire {
        let records = Records::with_cid(datagram, own.as_bytes().len());
        for record in records {
            let number = record.sequence();
            if record.epoch() == EPOCH {
                assert!(under_keys.insert(number), "{number} was used twice");
            } else {
                assert!(plain.is_none_or(|before| before < number), "{number}");
                plain = Some(number);
            }
        }
    }
    assert!(!under_keys.is_empty(), "it has sent something");
}

/// None, one that asks for nothing in its own records, one that wants some.
fn cids() -> [Option<Cid>; 3] {
    [None, Some(Cid::default()), Cid::new(b"\x19\x00dev")]
}

const PSK: Suite = SUITES[1];
