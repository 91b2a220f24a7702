//! Numbers of records against a store that fails, hesitates and does not know what it has done, and against
//! restarts: over real sockets, with the store in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::io::Interest;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::client::{Client, ClientSettings};
use super::credentials::ClientCredentials;
use super::handshake::Outcome;
use super::kept::Keeper;
use super::{Counters, Happening, KeptSessions, Parts, Secure, fuzzing};
use crate::config::{Coaps, Settings};
use crate::domain::{CredentialId, EndpointName, KeptSession, Peer, SessionId};
use crate::security::{Credential, Keyring, Proof};

/// What becomes of what the store is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Works,
    /// Nothing is written.
    Fails,
    /// It is written, and nobody knows.
    Forgets,
    /// It is written at the next change of this, if ever: a restart comes before it.
    Hesitates,
}

#[derive(Default)]
struct Store {
    rows: RefCell<BTreeMap<SessionId, KeptSession>>,
    disk: Cell<Option<Disk>>,
}

impl Keeper for Rc<Store> {
    fn keep(&self, session: KeptSession) -> BoxFuture<'static, bool> {
        let disk = self.disk.get().unwrap_or(Disk::Works);
        if matches!(disk, Disk::Works | Disk::Forgets) {
            self.rows.borrow_mut().insert(session.mark.id, session);
        }
        match disk {
            Disk::Works => std::future::ready(true).boxed(),
            Disk::Hesitates => std::future::pending().boxed(),
            Disk::Fails | Disk::Forgets => std::future::ready(false).boxed(),
        }
    }

    fn forget(&self, id: SessionId) {
        self.rows.borrow_mut().remove(&id);
    }
}

impl Store {
    /// As `SecureSessionLoader::take_up`.
    fn take_up(&self) -> Vec<KeptSession> {
        let mut rows = self.rows.borrow_mut();
        let before = rows.values().cloned().collect();
        for row in rows.values_mut() {
            row.numbers += STEP;
        }
        before
    }
}

/// The server's side, with a device in a session.
struct House {
    store: Rc<Store>,
    keyring: Keyring,
    settings: Coaps,
    secure: Option<(Secure, mpsc::Receiver<Outcome>)>,
    server: SocketAddr,
    device: UdpSocket,
    peer: Option<Peer>,
    /// Under which numbers the server has sent records.
    numbers: BTreeSet<u64>,
}

impl House {
    async fn start() -> Self {
        let keyring = Keyring::default();
        keyring.add(Credential {
            id: CredentialId(1),
            endpoint: EndpointName::new("device").expect("a name"),
            proof: Proof::Psk {
                identity: "device".to_owned(),
                key: Zeroizing::new(KEY.to_vec()),
            },
        });
        let device = UdpSocket::bind("127.0.0.1:0").expect("a port");
        device
            .set_read_timeout(Some(Duration::from_millis(1)))
            .expect("a time");
        let mut house = Self {
            store: Rc::default(),
            keyring,
            settings: Coaps {
                listen: "127.0.0.1:0".parse().expect("an address"),
                record_number_step: STEP,
                socket_buffer_bytes: 65_536,
                ..Settings::defaults().coaps
            },
            secure: None,
            server: ([127, 0, 0, 1], 0).into(),
            device,
            peer: None,
            numbers: BTreeSet::new(),
        };
        house.restart();
        house.handshake().await;
        house
    }

    /// The server is gone, and another one goes on with what is on disk.
    fn restart(&mut self) {
        self.secure = None;
        let parts = Parts {
            keyring: self.keyring.clone(),
            certificates: fuzzing::certificates(),
            ticket_keys: Zeroizing::new([7; _]),
            keeping: Some(KeptSessions {
                keeper: Rc::new(Rc::clone(&self.store)),
                key: Zeroizing::new([9; _]),
                sessions: self.store.take_up(),
            }),
            counters: Counters::default(),
            amplification: 3,
            on_refused: Box::new(|refused| panic!("{refused:?}")),
        };
        let (secure, outcomes) = Secure::start(&self.settings, parts).expect("it starts");
        self.server = secure.address();
        self.secure = Some((secure, outcomes));
    }

    async fn handshake(&mut self) {
        let credentials = ClientCredentials::psk("device", KEY.to_vec()).expect("a key");
        let mut client = Client::new(ClientSettings::new(credentials)).expect("a client");
        let end = Instant::now() + SOON;
        while self.peer.is_none() {
            assert!(Instant::now() < end, "a session in time");
            while let Some(datagram) = client.poll_transmit() {
                let sent = self.device.send_to(&datagram, self.server);
                sent.expect("sent");
            }
            self.turn().await;
            for datagram in self.received() {
                client.handle_datagram(&datagram);
            }
            if client.is_connected() {
                client.send(b"hello");
            }
        }
    }

    /// What the device was sent; records under keys are noted.
    fn received(&mut self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2048];
        let mut all = Vec::new();
        while let Ok(length) = self.device.recv(&mut buffer) {
            let datagram = buffer.get(..length).expect("no longer").to_vec();
            let mut records = super::records::Records::of(&datagram);
            for record in records.by_ref().filter(|record| record.epoch() == 1) {
                let number = record.sequence();
                assert!(self.numbers.insert(number), "{number} was used before");
            }
            all.push(datagram);
        }
        all
    }

    /// The server reads what there is.
    async fn turn(&mut self) {
        let Some((secure, outcomes)) = &mut self.secure else {
            panic!("it does not run");
        };
        let ready = secure.ready(Interest::READABLE);
        tokio::select! {
            ready = ready => drop(ready.expect("a socket")),
            () = tokio::time::sleep(Duration::from_millis(2)) => {}
        }
        secure.flush();
        let peer = &mut self.peer;
        let mut take = |happening: Happening<'_>| {
            if let Happening::Message(from, _) = happening {
                *peer = Some(from);
            }
        };
        let mut buffer = [0; 2048];
        let mut told = || outcomes.try_recv().ok();
        let now = Instant::now();
        secure.read(
            now,
            64,
            &mut buffer,
            &mut |_, _, _| true,
            &mut told,
            &mut take,
        );
        while let Some(outcome) = told() {
            secure.outcome(now, outcome, &mut take);
        }
    }

    /// Says something to the device; whether it came.
    async fn say(&mut self) -> bool {
        let peer = self.peer.expect("a session");
        let before = self.numbers.len();
        if let Some((secure, _)) = &self.secure {
            secure.send(peer, b"something");
        }
        self.turn().await;
        self.received();
        self.numbers.len() > before
    }
}

fn run<T>(test: impl AsyncFnOnce() -> T) -> T {
    actix_rt::System::new().block_on(test())
}

#[test]
fn without_a_store_no_more_is_said_than_was_reserved_and_with_it_all_goes_on() {
    run(async || {
        let mut house = House::start().await;
        house.store.disk.set(Some(Disk::Fails));
        let mut said = 0;
        while house.say().await {
            said += 1;
            assert!(said <= 2 * STEP, "more than can be reserved");
        }
        assert!(said >= STEP / 2, "{said}");
        house.store.disk.set(Some(Disk::Works));
        house.say().await;
        for _ in 0..3 * STEP {
            assert!(house.say().await, "it works again");
        }
    });
}

fn step() -> impl Strategy<Value = Result<Disk, u64>> {
    prop_oneof![
        Just(Ok(Disk::Works)),
        Just(Ok(Disk::Fails)),
        Just(Ok(Disk::Forgets)),
        Just(Ok(Disk::Hesitates)),
        (0..2 * STEP).prop_map(Err),
        (0..2 * STEP).prop_map(Err),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever the store does, and wherever the server is killed.
    #[test]
    fn no_number_is_used_twice(
        lives in prop::collection::vec(prop::collection::vec(step(), 0..6), 1..5),
    ) {
        run(async || {
            let mut house = House::start().await;
            for life in lives {
                for step in life {
                    match step {
                        Ok(disk) => house.store.disk.set(Some(disk)),
                        Err(times) => {
                            for _ in 0..times {
                                house.say().await;
                            }
                        }
                    }
                }
                house.restart();
            }
            house.store.disk.set(Some(Disk::Works));
            house.say().await;
            house.say().await;
            // The first row was written before anything failed, so the session was never lost.
            assert!(house.say().await, "it still goes on");
        });
    }
}

const KEY: &[u8] = b"a key of 16 byte";
/// Numbers that are reserved at a time: few, so that they run out.
const STEP: u64 = 6;
const SOON: Duration = Duration::from_secs(20);
