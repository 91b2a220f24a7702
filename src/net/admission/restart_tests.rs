//! Proofs of the time before a restart.

use super::*;
use crate::config::Settings;

fn books(now: Instant) -> Shared {
    let settings = Settings::defaults().admission;
    let books = Admission::new(&settings, AdmissionCounters::default(), [3; 32], now);
    Shared(Rc::new(RefCell::new(books)))
}

fn peer(port: u16) -> Peer {
    Peer::udp(SocketAddr::from(([192, 0, 2, 1], port)))
}

#[test]
fn what_is_left_of_a_proof_counts_and_the_grace_comes_behind_it() {
    let now = Instant::now();
    let minute = Duration::from_secs(60);
    let mut books = books(now);
    assert_eq!(books.room(now, peer(1)), Some(0));
    let known = |books: &Shared, port, ago| {
        let address = peer(port).address;
        books.0.borrow_mut().was_proven(now, address, ago);
    };
    known(&books, 1, minute * 50);
    assert_eq!(books.room(now, peer(1)), None);
    assert_eq!(books.room(now, peer(2)), Some(0), "another port");
    assert_eq!(books.room(now + minute * 9, peer(1)), None);
    assert_eq!(books.room(now + minute * 10, peer(1)), Some(0));
    assert_eq!(books.room_to_ask(now + minute * 10, peer(1)), Some(136));
    // Of two devices behind one address the newer proof counts; an old one is none.
    known(&books, 3, minute * 50);
    known(&books, 3, minute * 10);
    known(&books, 3, minute * 55);
    assert_eq!(books.room(now + minute * 49, peer(3)), None);
    known(&books, 4, minute * 60);
    assert_eq!(books.room(now, peer(4)), Some(0));
}
