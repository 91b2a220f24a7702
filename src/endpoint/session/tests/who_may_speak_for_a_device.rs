//! Update, Deregister, Send and notifications: by the credential, not by the address.

use super::super::{Action, Input};
use super::bench::{Bench, content};
use crate::coap::Code;
use crate::domain::{Denied, OperationKind, Peer, Registration};
use crate::store::Change;

/// A device that registered in DTLS session 1.
fn secure() -> Bench {
    let mut bench = Bench::new();
    bench.handshake(1, "thing");
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3303/0>,</3/0>");
    bench.feed(register);
    bench
}

fn plain() -> Bench {
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3303/0>,</3/0>");
    bench.feed(register);
    bench
}

/// Where requests go, as it is on disk.
fn stored_peer(bench: &Bench) -> Peer {
    let mut peer = None;
    for change in bench.changes() {
        match change {
            Change::Register(registration) | Change::UpdateRegistration(registration) => {
                peer = Some(Registration::clone(registration).peer);
            }
            Change::ExtendRegistration { peer: moved, .. } | Change::Moved { peer: moved, .. } => {
                peer = Some(*moved);
            }
            _ => {}
        }
    }
    peer.expect("a registration")
}

fn last_answer(bench: &Bench) -> Code {
    bench.answers().pop().expect("an answer")
}

#[test]
fn j02_a_new_session_of_the_same_device_is_the_device_and_an_update_moves_it_there() {
    let mut bench = secure();
    let old = bench.peer;
    let new = bench.handshake(2, "thing");
    let send = bench.send_temperature(20.0);
    bench.feed(send);
    assert_eq!(last_answer(&bench), Code::CHANGED);
    assert_eq!(stored_peer(&bench), old, "a Send does not move it");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(last_answer(&bench), Code::CHANGED);
    assert_eq!(stored_peer(&bench), new);
    assert!(bench.denials().is_empty());
}

#[test]
fn j02_notifications_are_taken_in_whatever_session_of_the_device() {
    let mut bench = Bench::new();
    let old = bench.handshake(1, "thing");
    let token = bench.observe();
    bench.handshake(2, "thing");
    let notification = bench.notification(token, 5, "21.5");
    bench.feed(notification);
    assert!(matches!(
        bench
            .actions()
            .filter(|action| !matches!(action, Action::Pump))
            .last(),
        Some(Action::Acknowledge(_))
    ));
    assert_eq!(stored_peer(&bench), old);
}

#[test]
fn j03_by_a_setting_a_notification_moves_the_device_and_the_next_request_goes_there() {
    let mut bench = Bench::new();
    bench.settings.update_on_notification = true;
    bench.handshake(1, "thing");
    let token = bench.observe();
    let new = bench.handshake(2, "thing");
    let notification = bench.notification(token, 5, "21.5");
    bench.feed(notification);
    assert_eq!(stored_peer(&bench), new);
    bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().pop().expect("a request").0, new);
    // A Send is another setting.
    bench.handshake(3, "thing");
    let send = bench.send_temperature(20.0);
    bench.feed(send);
    assert_eq!(stored_peer(&bench), new);
}

#[test]
fn j03_by_a_setting_a_send_moves_the_device_with_the_values_that_it_brings() {
    let mut bench = secure();
    bench.settings.update_on_send = true;
    let old = bench.peer;
    let new = bench.handshake(2, "thing");
    let send = bench.send_temperature(20.0);
    bench.feed_and_fail(send);
    assert_eq!(stored_peer(&bench), old, "nothing is stored");
    let mut bench = secure();
    bench.settings.update_on_send = true;
    bench.handshake(2, "thing");
    let send = bench.send_temperature(20.0);
    bench.feed(send);
    assert_eq!(stored_peer(&bench), new);
    let registered = bench
        .actions()
        .any(|action| matches!(action, Action::Registered(_, peer) if *peer == new));
    assert!(registered, "the registry knows");
    let notified = bench.handshake(3, "thing");
    assert_ne!(stored_peer(&bench), notified);
}

#[test]
fn another_device_with_a_credential_of_its_own_may_not_speak_for_this_one() {
    let mut bench = Bench::new();
    bench.handshake(1, "thing");
    let token = bench.observe();
    let before = bench.changes().len();
    // At the very address of the device.
    let address = bench.peer.address;
    let thief = Peer::dtls(address, crate::domain::SessionId(9));
    bench.gate.open(thief, "thief");
    bench.peer = thief;
    for input in [
        bench.update("lt=86400"),
        bench.deregister(),
        bench.send_temperature(99.0),
        bench.notification(token, 9, "99"),
    ] {
        bench.feed(input);
    }
    assert_eq!(bench.answers()[1..], [Code::FORBIDDEN; 3]);
    assert_eq!(bench.denials(), vec![Denied::OtherEndpoint; 4]);
    assert_eq!(bench.changes().len(), before, "nothing is stored of it");
    // Nor may it register as the device, should the registry ever let it through.
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    assert_eq!(last_answer(&bench), Code::FORBIDDEN);
}

#[test]
fn once_its_credential_is_gone_nobody_speaks_for_a_device_until_another_one_does() {
    let mut bench = secure();
    let old = bench.peer;
    bench.gate.close(old);
    for input in [
        bench.update(""),
        bench.deregister(),
        bench.send_temperature(20.0),
    ] {
        bench.feed(input);
    }
    assert_eq!(bench.answers()[1..], [Code::FORBIDDEN; 3]);
    assert_eq!(bench.denials(), vec![Denied::NoIdentity; 3]);
    assert!(bench.session.is_needed(), "the registration stays");
    bench.handshake(2, "thing");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(last_answer(&bench), Code::CHANGED);
}

#[test]
fn a_plain_device_that_gets_a_credential_is_led_to_dtls() {
    let mut bench = Bench::new();
    let token = bench.observe();
    let waiting_before = bench.sent().len();
    bench.gate.holds.insert(super::bench::name());
    for input in [
        bench.update(""),
        bench.deregister(),
        bench.send_temperature(20.0),
        bench.notification(token, 5, "21"),
    ] {
        bench.feed(input);
    }
    assert_eq!(bench.answers()[1..], [Code::FORBIDDEN; 3]);
    assert_eq!(bench.denials(), vec![Denied::HasCredentials; 4]);
    // Nothing is told to whoever is at its address now.
    let operation = bench.operate(OperationKind::Read, "/3/0/0");
    assert_eq!(bench.sent().len(), waiting_before);
    // Its location is of the time before: it registers again, and gets what waited.
    let new = bench.handshake(1, "thing");
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(last_answer(&bench), Code::NOT_FOUND);
    let register = bench.register("lwm2m=1.1&lt=300", "</3303/0>,</3/0>");
    bench.feed(register);
    assert_eq!(last_answer(&bench), Code::CREATED);
    let (peer, _) = bench.sent().pop().expect("the request that waited");
    assert_eq!(peer, new);
    while bench.session.in_flight.is_some() {
        bench.answer(content("x"));
    }
    assert_eq!(bench.stored(operation.id).attempts, 1);
}

#[test]
fn over_plain_coap_nobody_speaks_for_a_device_that_registered_over_dtls() {
    // A certificate of our CA leaves no row: only the registration tells how the device speaks.
    let mut bench = Bench::new();
    bench.handshake(1, "thing");
    let token = bench.observe();
    bench.peer = Peer::udp(bench.peer.address);
    for input in [
        bench.update(""),
        bench.deregister(),
        bench.send_temperature(20.0),
        bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>"),
        bench.notification(token, 5, "21"),
    ] {
        bench.feed(input);
    }
    assert_eq!(bench.answers()[1..], [Code::FORBIDDEN; 4]);
    assert_eq!(bench.denials(), vec![Denied::RegisteredSecurely; 5]);
}

#[test]
fn a_device_that_was_plain_may_come_back_with_a_credential() {
    let mut bench = plain();
    let new = bench.handshake(1, "thing");
    let send = bench.send_temperature(20.0);
    bench.feed(send);
    assert_eq!(last_answer(&bench), Code::BAD_REQUEST);
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3/0>");
    bench.feed(register);
    assert_eq!(last_answer(&bench), Code::CREATED);
    assert_eq!(stored_peer(&bench), new);
}

#[test]
fn a_session_that_moved_keeps_speaking_and_its_update_shows_where_it_is() {
    let mut bench = secure();
    let moved = Peer::dtls(
        ([198, 51, 100, 3], 777).into(),
        bench.peer.session.expect("a session"),
    );
    bench.peer = moved;
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(last_answer(&bench), Code::CHANGED);
    assert_eq!(stored_peer(&bench).address, moved.address);
    bench.feed(Input::Tick);
}
