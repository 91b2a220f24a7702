//! The room keeps its limits whatever comes, and knows whose messages are whose.

use super::*;
use crate::config::Settings;

fn room(change: impl FnOnce(&mut config::Lens)) -> Room {
    let mut settings = Settings::defaults().lens;
    change(&mut settings);
    Room::new(&settings, 0)
}

fn peer(number: u16) -> Peer {
    Peer::udp(([192, 0, 2, (number >> 8) as u8], 1_000 + number).into())
}

fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

fn see(room: &mut Room, from: u16, message: &[u8]) -> u64 {
    room.see(&Seen {
        micros: 0,
        peer: peer(from),
        up: true,
        again: false,
        wire: message.len(),
        message,
    })
}

#[test]
fn what_was_said_before_it_was_known_who_speaks_is_kept() {
    let mut room = room(|_| {});
    see(&mut room, 1, b"register");
    assert!(room.is_stranger(peer(1)));
    room.belongs(peer(1), &name("a"));
    assert!(!room.is_stranger(peer(1)));
    see(&mut room, 1, b"more");
    // It comes back from elsewhere.
    see(&mut room, 2, b"again");
    room.belongs(peer(2), &name("a"));
    let said: Vec<_> = room.messages(&name("a"));
    let said: Vec<&[u8]> = said.iter().map(|captured| &*captured.bytes).collect();
    assert_eq!(said, [&b"register"[..], b"more", b"again"]);
    let counted = room.take_counted();
    assert_eq!(counted.len(), 1);
    let all = counted.first().map(|counted| counted.traffic.total());
    assert_eq!(
        all.map(|all| (all.up_messages, all.up_bytes)),
        Some((3, 17))
    );
    assert!(room.take_counted().is_empty(), "they are counted once");
}

#[test]
fn an_address_that_another_device_takes_over_is_that_device_s_from_then_on() {
    let mut room = room(|_| {});
    see(&mut room, 1, b"one");
    room.belongs(peer(1), &name("a"));
    room.belongs(peer(1), &name("b"));
    see(&mut room, 1, b"two");
    assert_eq!(room.messages(&name("a")).len(), 1);
    assert_eq!(room.messages(&name("b")).len(), 1);
}

#[test]
fn a_device_has_so_many_messages_and_all_have_so_many_bytes() {
    let mut room = room(|settings| {
        settings.messages_per_device = 10;
        settings.max_bytes = 100_000;
        settings.max_message_bytes = 100;
    });
    let mut dropped = 0;
    for round in 0..50 {
        for device in 0..50 {
            dropped += see(&mut room, device, &[round; 300]);
            room.belongs(peer(device), &name(&device.to_string()));
            assert!(room.bytes() <= 100_000);
        }
    }
    assert!(dropped > 0);
    let kept: Vec<usize> = (0..50)
        .map(|device| room.messages(&name(&device.to_string())).len())
        .collect();
    assert!(kept.iter().all(|kept| *kept <= 10));
    let messages: usize = kept.iter().sum();
    assert!(messages > 100, "{messages} of 50 devices");
    // The newest stay, whoever's they are.
    let rest = room.messages(&name("7"));
    let last = rest.last().expect("a message");
    assert_eq!((&*last.bytes, last.length), (&[49; 100][..], 300));
    assert!(last.is_cut());
    let held: usize = room.books.iter().map(|book| book.bytes).sum();
    assert_eq!(held, room.bytes());
}

#[test]
fn strangers_push_nobody_out_and_are_bounded() {
    let mut room = room(|settings| settings.max_bytes = 1_000_000);
    see(&mut room, 1, b"a device");
    room.belongs(peer(1), &name("a"));
    for stranger in 2..20_000 {
        see(&mut room, stranger, &[0; 500]);
        assert!(room.strange_bytes <= 1_000_000 / STRANGERS_SHARE);
    }
    assert_eq!(room.messages(&name("a")).len(), 1);
    assert!(room.books.len() <= STRANGERS + 2);
    assert!(room.peers.len() <= STRANGERS + 2);
    assert!(room.strangers.len() <= 2 * STRANGERS + 1);
    assert!(room.oldest.len() <= 2 * room.books.len() + LEAST_HEAP + 1);
    let strange = room.books.iter().filter(|book| !book.peers.is_empty());
    assert_eq!(strange.count() - 1, room.strange_books);
}

#[test]
fn a_forgotten_device_leaves_nothing() {
    let mut room = room(|_| {});
    see(&mut room, 1, b"one");
    room.belongs(peer(1), &name("a"));
    let taken = room.take_counted();
    see(&mut room, 1, b"two");
    room.forget(&name("a"));
    for counted in taken {
        room.give_back(counted);
    }
    assert_eq!(room.bytes(), 0);
    assert!(room.messages(&name("a")).is_empty());
    assert!(room.take_counted().is_empty());
    assert!(room.is_stranger(peer(1)));
}

#[test]
fn days_are_kept_apart_until_they_are_written() {
    let mut room = room(|_| {});
    room.belongs(peer(1), &name("a"));
    for day in [0, 0, 1, 3] {
        room.see(&Seen {
            micros: day * DAY_MICROS + 5,
            peer: peer(1),
            up: false,
            again: true,
            wire: 10,
            message: b"again",
        });
    }
    let counted = room.take_counted();
    let days: Vec<_> = counted
        .iter()
        .map(|counted| {
            let again = counted.traffic.of(TrafficKind::Retransmission);
            (counted.day.0, again.down_bytes)
        })
        .collect();
    assert_eq!(days, [(0, 20), (1, 10), (3, 10)]);
    for one in counted.clone() {
        room.give_back(one);
    }
    let mut again = room.take_counted();
    again.sort_by_key(|counted| counted.day);
    assert_eq!(again, counted);
}

/// How long a message of ten thousand devices takes, in nanoseconds: `cargo test --release --lib lens -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement"]
fn what_a_message_costs() {
    const DEVICES: u16 = 10_000;
    let lens = crate::lens::Lens::new(&Settings::defaults().lens);
    // A notification: head, token, Observe, Content-Format, a payload of 22 bytes.
    let mut message = vec![
        0x48, 0x45, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x61, 9, 0x61, 112, 0xff,
    ];
    message.extend([7; 22]);
    let mut best = f64::MAX;
    for round in 0..40_u16 {
        let begun = std::time::Instant::now();
        for number in 0..DEVICES {
            let [high, low] = round.to_be_bytes();
            if let Some(id) = message.get_mut(2..4) {
                id.copy_from_slice(&[high, low]);
            }
            lens.received(peer(number), &message, message.len() + 40, false);
            lens.sent(peer(number), &[0x60, 0, high, low], 44, false);
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(2 * DEVICES));
        if round == 0 {
            for number in 0..DEVICES {
                lens.belongs(peer(number), &name(&number.to_string()));
            }
        }
    }
    println!("{best:.0} ns a message, {} bytes held", lens.bytes());
}
