//! Sessions over restarts, with the real table, the real socket and a disk that fails.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::io::Interest;
use tokio::sync::{mpsc, oneshot};
use zeroize::Zeroizing;

use super::aead::{Aead, Ciphers, Secret};
use super::cid::Cid;
use super::in_memory::noise;
use super::kept::Keeper;
use super::life::Waiting;
use super::outcome::{Established, Outcome};
use super::record::{Numbers, RecordLayer};
use super::records::{APPLICATION_DATA, Records};
use super::session::Carrier;
use super::window::Window;
use super::{Counters, Happening, KeptSessions, Parts, Secure, TICKET_KEYS};
use crate::config::{Coaps, Settings};
use crate::domain::{CredentialId, EndpointName, Identity, KeptSession, Peer, Reach, SessionId};
use crate::net::Carried;
use crate::security::{Credential, Keyring, Proof};

/// Each save may succeed, fail, or succeed without anybody hearing of it.
#[actix_rt::test]
async fn no_number_is_used_twice_over_restarts_whatever_becomes_of_what_is_saved() {
    let device = UdpSocket::bind(LOOPBACK).expect("a free port");
    device.set_nonblocking(true).expect("a socket");
    let disk = Rc::new(Disk::default());
    let mut random = noise(11);
    let mut seen = BTreeSet::new();
    let mut server = Server::start(&disk, |settings| settings.record_number_step = STEP)
        .awake()
        .await;
    let id = server.establish("device", &device, b"abc");
    let mut buffer = [0; 2_000];
    for round in 0..60 {
        let peer = Peer::dtls(device.local_addr().expect("bound"), id);
        for _ in 0..random() % 300 {
            disk.fate.set(random() % 4);
            server.say(peer, b"t=21.5");
            if !random().is_multiple_of(3) {
                // The outcome of a save is heard now or later.
                server.hear().await;
            }
            while let Ok(length) = device.recv(&mut buffer) {
                let mut records = Records::with_cid(&buffer[..length], 3);
                let record = records.next().expect("a record");
                assert!(seen.insert(record.sequence()), "round {round}");
            }
        }
        drop(server);
        server = Server::start(&disk, |settings| settings.record_number_step = STEP)
            .awake()
            .await;
        assert_eq!(server.secure.reach(peer), Reach::Open, "round {round}");
    }
    assert!(seen.len() > 2_000, "{} records", seen.len());
    let highest = seen.last().copied().expect("records");
    assert!(highest < 1_000_000, "numbers are not wasted: {highest}");
}

/// A session that cannot reserve numbers is silent, and goes on when it can.
#[actix_rt::test]
async fn without_numbers_nothing_is_sent_until_there_are_some() {
    let device = UdpSocket::bind(LOOPBACK).expect("a free port");
    device.set_nonblocking(true).expect("a socket");
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |settings| settings.record_number_step = STEP)
        .awake()
        .await;
    let id = server.establish("device", &device, b"");
    let peer = Peer::dtls(device.local_addr().expect("bound"), id);
    let mut buffer = [0; 2_000];
    let mut received = || std::iter::from_fn(|| device.recv(&mut buffer).ok()).count();
    disk.fate.set(FAILED);
    let mut count = 0;
    for _ in 0..2 * STEP {
        server.say(peer, b"t=21.5");
        server.hear().await;
        count += received();
    }
    assert_eq!(u64::try_from(count), Ok(STEP));
    disk.fate.set(WRITTEN);
    server.say(peer, b"lost, and numbers asked for");
    server.hear().await;
    server.say(peer, b"t=21.5");
    assert_eq!(received(), 1);
}

/// A session that is too long to be kept is nobody's after a restart, and so needs no place to go on from.
#[actix_rt::test]
async fn a_session_that_cannot_be_kept_has_all_the_numbers_that_there_are() {
    let device = UdpSocket::bind(LOOPBACK).expect("a free port");
    device.set_nonblocking(true).expect("a socket");
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |settings| settings.record_number_step = STEP)
        .awake()
        .await;
    let (mut identity, _) = server.keyring.psk("device").expect("a credential");
    identity.others = (0..40)
        .map(|number| EndpointName::new(&format!("{number:0>200}")).expect("a name"))
        .collect();
    let id = server.establish_as(identity, &device, b"", None);
    assert!(disk.sessions.borrow().is_empty());
    let peer = Peer::dtls(device.local_addr().expect("bound"), id);
    let mut buffer = [0; 2_000];
    for _ in 0..5 * STEP {
        server.say(peer, b"t=21.5");
        server.hear().await;
        device.recv(&mut buffer).expect("a record");
    }
}

/// A session of ours that is made again has its name and other keys: what was reserved for those before comes
/// late, and is not reserved for these.
#[actix_rt::test]
async fn numbers_that_were_reserved_for_other_keys_are_not_used() {
    let device = UdpSocket::bind(LOOPBACK).expect("a free port");
    device.set_nonblocking(true).expect("a socket");
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |settings| settings.record_number_step = STEP)
        .awake()
        .await;
    let id = SessionId(77);
    let (identity, _) = server.keyring.psk("device").expect("a credential");
    let peer = Peer::dtls(device.local_addr().expect("bound"), id);
    let mut buffer = [0; 2_000];
    let mut received = || std::iter::from_fn(|| device.recv(&mut buffer).ok()).count();

    server.establish_as(identity.clone(), &device, b"", Some(id));
    server.hear().await;
    disk.fate.set(LATE);
    for _ in 0..STEP {
        server.say(peer, b"t=21.5");
    }
    assert_eq!(disk.late.borrow().len(), 1, "it was asked for once");
    disk.fate.set(WRITTEN);
    // It is over, and the device is called again.
    let before = server.secure.state.borrow_mut().sessions.remove(id);
    assert!(before.is_some());
    server.establish_as(identity, &device, b"", Some(id));
    // The answer to the question of the session before.
    let late = disk.late.borrow_mut().pop().expect("a question");
    late.send(true).expect("it waits");
    server.hear().await;
    received();
    disk.fate.set(FAILED);
    for _ in 0..2 * STEP {
        server.say(peer, b"t=21.5");
        server.hear().await;
    }
    let mark = disk.sessions.borrow()[&id].numbers;
    assert_eq!(mark, STEP, "what a restart begins at");
    assert_eq!(
        u64::try_from(received()),
        Ok(STEP),
        "no number from there on was used"
    );
}

#[actix_rt::test]
async fn with_room_for_fewer_those_that_were_heard_last_are_gone_on_with() {
    // At one address the sessions of an endpoint replace each other.
    let sockets: Vec<UdpSocket> = (0..6)
        .map(|_| UdpSocket::bind(LOOPBACK).expect("a free port"))
        .collect();
    let mut free = sockets.iter();
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |_| {});
    let mut ids = Vec::new();
    for endpoint in ["device", "other"] {
        for cid in [b"1", b"2", b"3"] {
            let cid = [endpoint.as_bytes(), cid].concat();
            let device = free.next().expect("a socket for each");
            ids.push(server.establish(endpoint, device, &cid));
        }
    }
    drop(server);
    let kept: BTreeSet<SessionId> = disk.sessions.borrow().keys().copied().collect();
    // Two of an endpoint at most: the first of each is over.
    assert_eq!(kept.len(), 4);
    let kept: Vec<SessionId> = ids.into_iter().filter(|id| kept.contains(id)).collect();
    // Heard long ago, in an order that is none of the table's: the third the longest ago.
    for (id, minutes) in kept.iter().zip([20, 10, 40, 30]) {
        let mut sessions = disk.sessions.borrow_mut();
        let session = sessions.get_mut(id).expect("kept");
        let ago = Duration::from_secs(60 * minutes);
        session.mark.heard_at = session.mark.heard_at.minus(ago);
    }
    let expect = |change: fn(&mut Coaps), expected: &[usize]| {
        let server = Server::start(&disk, change);
        let open = kept.iter().map(|id| {
            let peer = Peer::dtls(sockets[0].local_addr().expect("bound"), *id);
            server.secure.reach(peer) == Reach::Open
        });
        let open: Vec<usize> = (0..)
            .zip(open)
            .filter(|(_, is)| *is)
            .map(|(n, _)| n)
            .collect();
        assert_eq!(open, expected);
        assert_eq!(
            disk.sessions.borrow().len(),
            expected.len(),
            "the others are forgotten"
        );
    };
    expect(|_| {}, &[0, 1, 2, 3]);
    expect(|settings| settings.max_sessions = 3, &[0, 1, 3]);
    expect(|settings| settings.max_sessions_per_endpoint = 1, &[1, 3]);
    expect(|settings| settings.max_sessions = 1, &[1]);
}

/// The store was busy when a device registered, which then sleeps for a day.
#[actix_rt::test]
async fn a_session_that_could_not_be_kept_is_kept_in_a_while() {
    let device = UdpSocket::bind(LOOPBACK).expect("a free port");
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |_| {}).awake().await;
    disk.fate.set(FAILED);
    let id = server.establish("device", &device, b"");
    server.hear().await;
    server
        .secure
        .end_idle(std::time::Instant::now(), &mut |_| {});
    server.hear().await;
    assert!(disk.sessions.borrow().is_empty());
    disk.fate.set(WRITTEN);
    server
        .secure
        .end_idle(std::time::Instant::now(), &mut |_| {});
    server.hear().await;
    assert!(disk.sessions.borrow().contains_key(&id));
    assert!(server.secure.state.borrow().unkept.is_empty());
}

/// Its last record may have come from a forged address, and has paid for no good-bye.
#[actix_rt::test]
async fn no_good_bye_goes_to_where_a_session_has_moved_unless_it_has_answered_from_there() {
    let sockets = [(); 2].map(|()| UdpSocket::bind(LOOPBACK).expect("a free port"));
    let [home, away] = &sockets;
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |_| {}).awake().await;
    let moved = server.establish("device", home, b"abc");
    server.establish("other", home, b"def");
    let at = away.local_addr().expect("bound");
    server.secure.state.borrow_mut().sessions.follow(moved, at);
    for id in [1, 2] {
        server.keyring.remove(CredentialId(id));
    }
    server.secure.end_without_credential(&mut |_| {});
    assert!(server.secure.socket().flush());
    let received = |socket: &UdpSocket| {
        socket.set_nonblocking(true).expect("a socket");
        socket.recv(&mut [0; 2_000]).is_ok()
    };
    assert!(received(home), "the other one is where it was");
    assert!(!received(away));
}

/// It moves nothing, so it must not raise what may go to where the session is.
#[actix_rt::test]
async fn what_comes_late_from_elsewhere_is_read_and_pays_for_nothing() {
    let home = UdpSocket::bind(LOOPBACK).expect("a free port");
    let (secure, _outcomes, _, id) = serving(&home, b"abc");
    let at = home.local_addr().expect("bound");
    let elsewhere = "192.0.2.1:5000".parse().expect("an address");
    for (from, number, pays) in [(at, 9, true), (elsewhere, 8, false), (at, 7, true)] {
        let datagram = record(b"abc", number, b"late");
        let (mut messages, mut heard) = (0, 0);
        let now = std::time::Instant::now();
        secure.open(
            now,
            id,
            (from, &datagram),
            &mut |happening| match happening {
                Happening::Message(peer, b"late", _) if peer.address == at => messages += 1,
                Happening::Heard(peer, bytes) if peer.address == at => heard += bytes,
                _ => panic!("it moves nothing"),
            },
        );
        assert_eq!(messages, 1, "{number}");
        assert_eq!(heard, if pays { datagram.len() } else { 0 }, "{number}");
    }
}

/// The store is away, and devices come and go.
#[actix_rt::test]
async fn of_sessions_that_are_over_nothing_is_left_that_waits_for_the_store() {
    let device = UdpSocket::bind(LOOPBACK).expect("a free port");
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |_| {}).awake().await;
    disk.fate.set(FAILED);
    for _ in 0..100 {
        // Each takes the place of the one before.
        server.establish("device", &device, b"");
        server.hear().await;
    }
    let state = server.secure.state.borrow();
    assert!(state.unkept.len() <= 2 * state.sessions.len());
}

/// Whoever has a session with a connection id can have it move to where somebody else is, and be heard last.
#[actix_rt::test]
async fn a_restart_ends_no_session_at_whose_address_another_one_was_seen() {
    let sockets = [(); 2].map(|()| UdpSocket::bind(LOOPBACK).expect("a free port"));
    let [victim, other] = &sockets;
    let disk = Rc::new(Disk::default());
    let mut server = Server::start(&disk, |_| {});
    let known_by_its_address = server.establish("device", victim, b"");
    let moved = server.establish("other", other, b"abc");
    drop(server);
    let at = victim.local_addr().expect("bound");
    for (id, minutes) in [(known_by_its_address, 10), (moved, 5)] {
        let mut sessions = disk.sessions.borrow_mut();
        let mark = &mut sessions.get_mut(&id).expect("kept").mark;
        mark.address = at;
        mark.is_proven = id != moved;
        mark.heard_at = mark.heard_at.minus(Duration::from_secs(60 * minutes));
    }
    let server = Server::start(&disk, |_| {});
    for id in [known_by_its_address, moved] {
        let peer = Peer::dtls(at, id);
        assert_eq!(server.secure.reach(peer), Reach::Open, "{id:?}");
    }
    let found = server.secure.state.borrow().sessions.at(at);
    assert_eq!(found, Some(known_by_its_address));
}

/// A socket with a session of a device at this address, for the tests of what is above.
pub(in crate::net) fn serving(
    device: &UdpSocket,
    cid: &[u8],
) -> (Secure, mpsc::Receiver<Outcome>, Keyring, SessionId) {
    let mut server = Server::start(&Rc::default(), |_| {});
    let id = server.establish("device", device, cid);
    (server.secure, server.outcomes, server.keyring, id)
}

/// A record of the device in a session of [`serving`].
pub(in crate::net) fn record(cid: &[u8], number: u64, message: &[u8]) -> Vec<u8> {
    let mut layer = layer(cid);
    layer.numbers = Numbers {
        next: number,
        end: number + 1,
    };
    let sealed = layer.seal(&mut Ciphers::default(), APPLICATION_DATA, message);
    sealed.expect("a record")
}

/// Both directions have the same keys.
fn layer(cid: &[u8]) -> RecordLayer {
    RecordLayer {
        aead: Aead::Aes128Ccm8,
        inbound: Secret::default(),
        outbound: Secret::default(),
        window: Window::default(),
        numbers: Numbers { next: 0, end: 0 },
        own: Cid::new(cid).expect("short"),
        peer: Cid::new(cid).expect("short"),
    }
}

/// What a store keeps, as far as it is about DTLS sessions.
#[derive(Default)]
struct Disk {
    sessions: RefCell<BTreeMap<SessionId, KeptSession>>,
    /// What becomes of the next write.
    fate: Cell<u64>,
    /// Writes that nobody has heard of yet.
    late: RefCell<Vec<oneshot::Sender<bool>>>,
}

impl Keeper for Rc<Disk> {
    fn keep(&self, session: KeptSession) -> BoxFuture<'static, bool> {
        let fate = self.fate.get();
        if fate != FAILED {
            self.sessions.borrow_mut().insert(session.mark.id, session);
        }
        if fate == LATE {
            let (tell, told) = oneshot::channel();
            self.late.borrow_mut().push(tell);
            return told.map(|told| told.unwrap_or(false)).boxed();
        }
        ready(matches!(fate, WRITTEN | 3)).boxed()
    }

    fn forget(&self, id: SessionId) {
        self.sessions.borrow_mut().remove(&id);
    }
}

struct Server {
    secure: Secure,
    outcomes: mpsc::Receiver<Outcome>,
    keyring: Keyring,
}

impl Server {
    /// Goes on with what is on the disk.
    fn start(disk: &Rc<Disk>, change: impl FnOnce(&mut Coaps)) -> Self {
        let mut settings = Settings::defaults().coaps;
        settings.listen = LOOPBACK.parse().expect("an address");
        change(&mut settings);
        let keyring = Keyring::default();
        for (id, name) in (1..).zip(["device", "other"]) {
            keyring.add(Credential {
                id: CredentialId(id),
                endpoint: EndpointName::new(name).expect("a name"),
                proof: Proof::Psk {
                    identity: name.to_owned(),
                    key: Zeroizing::new(vec![7; 16]),
                },
            });
        }
        let sessions: Vec<_> = disk.sessions.borrow().values().cloned().collect();
        // As the store does it, before anything is sent.
        for session in disk.sessions.borrow_mut().values_mut() {
            session.numbers += settings.record_number_step;
        }
        let keeping = KeptSessions {
            keeper: Rc::new(Rc::clone(disk)),
            key: Zeroizing::new([5; 32]),
            sessions,
        };
        let parts = Parts {
            keyring: keyring.clone(),
            certificates: super::in_memory::certificates(),
            ticket_keys: Zeroizing::new([6; TICKET_KEYS]),
            keeping: Some(keeping),
            counters: Counters::default(),
            amplification: 3,
            on_refused: Box::new(|_| {}),
        };
        let (secure, outcomes) = Secure::start(&settings, parts).expect("a free port");
        Self {
            secure,
            outcomes,
            keyring,
        }
    }

    /// As soon as its socket takes what is sent.
    async fn awake(self) -> Self {
        let ready = self.secure.socket().ready(Interest::WRITABLE).await;
        assert!(ready.expect("a socket").is_writable());
        self
    }

    /// A device has shaken hands.
    fn establish(&mut self, endpoint: &str, device: &UdpSocket, cid: &[u8]) -> SessionId {
        let (identity, _) = self.keyring.psk(endpoint).expect("a credential");
        self.establish_as(identity, device, cid, None)
    }

    /// This one has, perhaps because we called it.
    fn establish_as(
        &mut self,
        identity: Identity,
        device: &UdpSocket,
        cid: &[u8],
        call: Option<SessionId>,
    ) -> SessionId {
        if let Some(call) = call {
            let mut state = self.secure.state.borrow_mut();
            state.calls.insert(call, Waiting::default());
        }
        let before: BTreeSet<_> = self.secure.state.borrow().sessions.ids().collect();
        let established = Established {
            address: device.local_addr().expect("bound"),
            identity,
            carrier: Carrier::own(layer(cid), None),
            contents: Vec::new(),
            client_random: [1; 32],
            call,
            carried: Carried::default(),
        };
        let outcome = Outcome::Established(Box::new(established));
        self.secure
            .outcome(std::time::Instant::now(), outcome, &mut |_| {});
        let state = self.secure.state.borrow();
        let mut new = state.sessions.ids().filter(|id| !before.contains(id));
        call.or_else(|| new.next()).expect("a session")
    }

    /// Sends a message at once.
    fn say(&self, peer: Peer, message: &[u8]) {
        self.secure.send(peer, message, false);
        assert!(self.secure.socket().flush());
    }

    /// What became of saves.
    async fn hear(&mut self) {
        tokio::task::yield_now().await;
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.secure
                .outcome(std::time::Instant::now(), outcome, &mut |_| {});
        }
    }
}

const STEP: u64 = 20;
/// What becomes of a write; any other: it is written, and nobody hears of it.
const WRITTEN: u64 = 0;
const FAILED: u64 = 1;
/// It is written, and that is heard of when the test says so.
const LATE: u64 = 9;
/// Of its own: on 127.0.0.1 somebody may have taken every port.
const LOOPBACK: &str = "127.0.0.2:0";
