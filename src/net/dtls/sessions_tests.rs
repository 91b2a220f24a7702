//! The table of sessions: its limits, and that its indexes agree.

use std::sync::Arc;

use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::aead::{Aead, Secret};
use super::super::pipe::Pipe;
use super::super::record::{Numbers, RecordLayer};
use super::super::session::Carrier;
use super::super::takeover::Flight;
use super::super::window::Window;
use super::*;
use crate::domain::{CredentialKind, Identity};

/// One that OpenSSL keeps.
fn session(id: u64, port: u16, endpoint: &str, heard: Instant) -> Session {
    let context = SslContext::builder(SslMethod::dtls()).expect("a context");
    let ssl = Ssl::new(&context.build()).expect("a connection");
    let stream = SslStream::new(ssl, Pipe::default()).expect("a stream");
    carried(id, port, endpoint, heard, Carrier::open_ssl(stream))
}

/// One of our own record layer, with a connection id or without.
fn named(id: u64, port: u16, endpoint: &str, heard: Instant, cid: &[u8]) -> Session {
    let layer = RecordLayer {
        aead: Aead::Aes128Ccm8,
        inbound: Secret::default(),
        outbound: Secret::default(),
        window: Window::default(),
        numbers: Numbers { next: 0, end: 10 },
        own: Cid::new(cid).expect("short"),
        peer: Cid::default(),
    };
    let flight = Some(Box::new(Flight::of_one(b"Finished")));
    carried(id, port, endpoint, heard, Carrier::own(layer, flight))
}

fn carried(id: u64, port: u16, endpoint: &str, heard: Instant, carrier: Carrier) -> Session {
    let identity = Identity {
        anchor: None,
        endpoint: EndpointName::new(endpoint).expect("a name"),
        others: Vec::new(),
        kind: CredentialKind::Psk,
        credential: None,
        label: endpoint.to_owned(),
    };
    let (id, identity) = (SessionId(id), Arc::new(identity));
    Session::new(id, at(port), identity, &[0; 32], carrier, heard)
}

fn at(port: u16) -> SocketAddr {
    ([192, 0, 2, 1], port).into()
}

fn sessions(total: usize, per_endpoint: usize) -> Sessions {
    Sessions::new(SessionLimits {
        total,
        large: total,
        per_endpoint,
        idle: Duration::from_secs(3600),
    })
}

fn ended(out: Result<Vec<Session>, NotTaken>) -> Vec<u64> {
    let out = out.ok().expect("room");
    out.iter().map(|session| session.id.0).collect()
}

fn assert_holds(sessions: &Sessions, ids: &[u64]) {
    let mut held: Vec<u64> = sessions.ids().map(|id| id.0).collect();
    held.sort_unstable();
    assert_eq!(held, ids);
    agree(sessions);
}

/// Every index says the same as the sessions themselves.
fn agree(sessions: &Sessions) {
    let all: Vec<&Session> = sessions.all.values().map(|session| &**session).collect();
    assert!(all.len() <= sessions.limits.total);
    assert_eq!(sessions.of.len(), all.len());
    let [small, large] = &sessions.idle;
    assert_eq!(small.len() + large.len(), all.len());
    assert!(large.len() <= sessions.limits.large);
    let mut lengths = BTreeMap::<usize, usize>::new();
    for session in &all {
        let (id, cid) = (session.id, session.cid());
        *lengths.entry(cid.as_bytes().len()).or_default() += 1;
        let own = sessions.of(&session.identity.endpoint);
        assert!(own.contains(&id) && own.len() <= sessions.limits.per_endpoint);
        let idle = if session.is_large() { large } else { small };
        assert!(idle.contains(&(session.noted, id)));
        assert!(session.noted <= session.heard);
        if cid.is_empty() {
            assert_eq!(sessions.at(session.address), Some(id), "else it is lost");
        } else {
            assert_eq!(sessions.by_cid.get(&cid), Some(&id), "else it is lost");
        }
    }
    assert_eq!(sessions.cid_lengths, lengths);
    let names = all.iter().filter(|session| !session.cid().is_empty());
    assert_eq!(sessions.by_cid.len(), names.count());
    for (address, id) in &sessions.at {
        let session = sessions.get(*id).expect("a session that is there");
        assert_eq!(session.address, *address);
    }
}

#[test]
fn a_new_session_takes_the_place_of_the_one_at_its_address() {
    let now = Instant::now();
    let mut table = sessions(9, 9);
    assert_eq!(ended(table.insert(now, session(1, 5000, "a", now))), [0; 0]);
    assert_eq!(ended(table.insert(now, session(2, 5000, "b", now))), [1]);
    assert_eq!(table.at(([192, 0, 2, 1], 5000).into()), Some(SessionId(2)));
    assert_holds(&table, &[2]);
}

#[test]
fn of_one_endpoint_the_session_that_was_heard_the_longest_ago_goes_first() {
    let now = Instant::now();
    let mut table = sessions(9, 2);
    let later = now + Duration::from_secs(1);
    ended(table.insert(now, session(1, 1, "a", now)));
    ended(table.insert(now, session(2, 2, "a", now)));
    table.get_mut(SessionId(1)).expect("a session").heard = later;
    assert_eq!(ended(table.insert(later, session(3, 3, "a", later))), [2]);
    assert_holds(&table, &[1, 3]);
}

#[test]
fn a_full_table_gives_up_what_is_idle_and_never_what_is_in_use() {
    let now = Instant::now();
    let mut table = sessions(2, 2);
    ended(table.insert(now, session(1, 1, "a", now)));
    ended(table.insert(now, session(2, 2, "b", now)));
    assert!(table.insert(now, session(3, 3, "c", now)).is_err());
    assert_holds(&table, &[1, 2]);
    // The second was heard meanwhile, the first was not.
    let later = now + IN_USE;
    table.get_mut(SessionId(2)).expect("a session").heard = later;
    assert_eq!(ended(table.insert(later, session(3, 3, "c", later))), [1]);
    assert!(table.insert(later, session(4, 4, "d", later)).is_err());
    assert_holds(&table, &[2, 3]);
}

#[test]
fn what_was_not_heard_for_too_long_is_taken_out() {
    let now = Instant::now();
    let mut table = sessions(9, 9);
    ended(table.insert(now, session(1, 1, "a", now)));
    ended(table.insert(now, session(2, 2, "b", now)));
    let end = now + Duration::from_secs(3600);
    table.get_mut(SessionId(1)).expect("a session").heard = end;
    let idle = table.pop_idle(end).expect("an idle session");
    assert_eq!(idle.id, SessionId(2));
    assert!(table.pop_idle(end).is_none());
    assert_holds(&table, &[1]);
}

#[test]
fn a_connection_id_has_one_session_and_comes_back_when_that_is_over() {
    let now = Instant::now();
    let mut table = sessions(9, 9);
    ended(table.insert(now, named(1, 1, "a", now, b"name")));
    for (port, endpoint) in [(2, "b"), (1, "a"), (1, "b")] {
        assert!(
            table
                .insert(now, named(2, port, endpoint, now, b"name"))
                .is_err()
        );
        assert_holds(&table, &[1]);
    }
    // The same session anew.
    assert_eq!(
        ended(table.insert(now, named(1, 3, "a", now, b"name"))),
        [1]
    );
    assert_holds(&table, &[1]);
    table.remove(SessionId(1)).expect("a session");
    assert_holds(&table, &[]);
    ended(table.insert(now, named(2, 2, "b", now, b"name")));
    assert_holds(&table, &[2]);
}

#[test]
fn records_find_their_sessions_by_connection_ids_of_any_length() {
    let now = Instant::now();
    let mut table = sessions(9, 9);
    let names: [&[u8]; 5] = [
        b"\x01",
        b"\x01\x02\x03\x04\x05\x06",
        b"\x01\x02\xff\x03",
        &[7; 20],
        b"",
    ];
    let record = |cid: &[u8]| {
        let head = [25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1];
        [&head[..], cid, &[0, 20], &[9; 20]].concat()
    };
    for (id, name) in (1_u16..).zip(names) {
        ended(table.insert(now, named(id.into(), id, "a", now, name)));
    }
    assert_holds(&table, &[1, 2, 3, 4, 5]);
    for (id, name) in (1..).zip(names) {
        let found = table.named_by(&record(name));
        assert_eq!(
            found,
            Some(SessionId(id)).filter(|_| !name.is_empty()),
            "{name:02x?}"
        );
    }
    assert_eq!(table.named_by(&record(&[8; 20])), None);
    for length in 0..record(names[1]).len() {
        assert_eq!(
            table.named_by(&record(names[1])[..length]),
            None,
            "it is cut"
        );
    }
    // Of another type it names nobody.
    let mut plain = record(names[1]);
    plain[0] = 23;
    assert_eq!(table.named_by(&plain), None);
    table.remove(SessionId(2)).expect("a session");
    assert_eq!(table.named_by(&record(names[1])), None);
    assert_holds(&table, &[1, 3, 4, 5]);
}

#[test]
fn a_session_that_follows_takes_nobodys_place_who_is_known_by_the_address_alone() {
    let now = Instant::now();
    let mut table = sessions(9, 9);
    ended(table.insert(now, named(1, 1, "a", now, b"one")));
    ended(table.insert(now, named(2, 2, "b", now, b"two")));
    ended(table.insert(now, named(3, 3, "c", now, b"")));
    table.follow(SessionId(1), at(2));
    assert_eq!(
        (table.at(at(1)), table.at(at(2))),
        (None, Some(SessionId(1)))
    );
    assert_holds(&table, &[1, 2, 3]);
    table.follow(SessionId(1), at(3));
    assert_eq!(
        (table.at(at(2)), table.at(at(3))),
        (None, Some(SessionId(3)))
    );
    assert!(!table.get(SessionId(1)).expect("a session").is_proven);
    assert_holds(&table, &[1, 2, 3]);
    // Back, and away from where somebody else is by now.
    table.follow(SessionId(1), at(1));
    table.follow(SessionId(2), at(1));
    table.follow(SessionId(1), at(4));
    assert_eq!(
        (table.at(at(1)), table.at(at(4))),
        (Some(SessionId(2)), Some(SessionId(1)))
    );
    table.follow(SessionId(9), at(1));
    table.remove(SessionId(1)).expect("a session");
    assert_eq!(table.at(at(4)), None);
    assert_holds(&table, &[2, 3]);
}

/// Nobody can throw somebody else out by a handshake from an address to which a session has moved.
#[test]
fn a_new_session_at_an_address_ends_none_of_another_endpoint_that_has_a_name() {
    let now = Instant::now();
    let mut table = sessions(9, 9);
    ended(table.insert(now, named(1, 1, "a", now, b"one")));
    assert_eq!(ended(table.insert(now, named(2, 1, "b", now, b""))), [0; 0]);
    assert_eq!(table.at(at(1)), Some(SessionId(2)));
    assert_holds(&table, &[1, 2]);
    // Of the same endpoint it is in its place.
    ended(table.insert(now, named(3, 5, "a", now, b"three")));
    assert_eq!(
        ended(table.insert(now, named(4, 5, "a", now, b"four"))),
        [3]
    );
    assert_holds(&table, &[1, 2, 4]);
}

#[test]
fn large_sessions_have_a_limit_of_their_own_and_never_take_one_that_is_in_use() {
    let now = Instant::now();
    let mut table = sessions(9, 2);
    table.limits.large = 2;
    for id in 1_u16..=2 {
        ended(table.insert(now, session(id.into(), id, &format!("large-{id}"), now)));
    }
    for id in 3_u16..=5 {
        ended(table.insert(now, named(id.into(), id, &format!("small-{id}"), now, b"")));
    }
    assert!(table.insert(now, session(6, 6, "another", now)).is_err());
    assert_holds(&table, &[1, 2, 3, 4, 5]);
    // One of its own makes room, and one at its address.
    assert_eq!(ended(table.insert(now, session(6, 6, "large-1", now))), [1]);
    assert_eq!(ended(table.insert(now, session(7, 6, "another", now))), [6]);
    assert_holds(&table, &[2, 3, 4, 5, 7]);
    // A large one that is idle goes, and no small one however long that was silent.
    let later = now + IN_USE;
    assert!(
        table
            .insert(
                later - Duration::from_millis(1),
                session(8, 8, "third", now)
            )
            .is_err()
    );
    table.get_mut(SessionId(7)).expect("a session").heard = later;
    assert_eq!(
        ended(table.insert(later, session(8, 8, "third", later))),
        [2]
    );
    assert_holds(&table, &[3, 4, 5, 7, 8]);
    // Small ones do not care how many are large.
    ended(table.insert(later, named(9, 9, "small-9", later, b"")));
    assert_holds(&table, &[3, 4, 5, 7, 8, 9]);
}

#[test]
fn a_flight_is_let_go_when_its_time_is_over_and_not_before() {
    let now = Instant::now();
    let second = Duration::from_secs(1);
    let mut table = sessions(9, 9);
    let has_flight = |table: &mut Sessions, id| {
        let session = table.get_mut(SessionId(id)).expect("a session");
        session.carrier.begin(10)
    };
    for id in 1_u16..=3 {
        ended(table.insert(now, named(id.into(), id, "a", now, b"")));
        table.keeps_flight(SessionId(id.into()), now + second * id.into());
    }
    table.remove(SessionId(2)).expect("a session");
    table.forget_flights(now + second - Duration::from_nanos(1));
    assert!(has_flight(&mut table, 1));
    table.forget_flights(now + second * 2);
    assert!(!has_flight(&mut table, 1) && has_flight(&mut table, 3));
    table.forget_flights(now + second * 3);
    assert!(!has_flight(&mut table, 3) && table.flights.is_empty());
}

proptest! {
    /// Whatever happens, in whatever order.
    #[test]
    fn the_tables_agree_whatever_comes(
        steps in vec((0..7_u8, 1..12_u16, 0..6_u16, 0..4_usize, 0..400_u64), 1..120),
    ) {
        let mut now = Instant::now();
        let mut table = sessions(6, 2);
        table.limits.large = 2;
        let names: [&[u8]; 4] = [b"", b"x", b"xy", b"name"];
        for (what, id, port, which, seconds) in steps {
            let endpoint = ["a", "b", "c", "d"][which];
            match what {
                0 => {
                    let _ = table.insert(now, session(id.into(), port, endpoint, now));
                }
                1 | 2 => {
                    let name = [names[usize::from(id) % 4], &[port.to_le_bytes()[0]]].concat();
                    let name = if which == 0 { &[][..] } else { &name };
                    let _ = table.insert(now, named(id.into(), port, endpoint, now, name));
                }
                3 => {
                    // Only one with a name does, see `Secure::open`.
                    let id = SessionId(id.into());
                    if table.get(id).is_some_and(|session| !session.cid().is_empty()) {
                        table.follow(id, at(port));
                    }
                }
                4 => drop(table.remove(SessionId(id.into()))),
                5 => if let Some(session) = table.get_mut(SessionId(id.into())) {
                    session.heard = now;
                },
                _ => {
                    now += Duration::from_secs(seconds * 10);
                    while table.pop_idle(now).is_some() {}
                }
            }
            agree(&table);
        }
    }
}
