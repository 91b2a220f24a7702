//! The lens as everybody else has it: written to by the arbiter of the socket, read by whoever asks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::registry::Registry;

use super::metrics::Metrics;
use super::room::{Room, Seen};
use crate::config;
use crate::domain::{Day, DayTraffic, EndpointName, Peer, Timestamp, Traffic};

/// See the module. Cheap to clone; every clone is the same lens.
#[derive(Clone, Debug)]
pub struct Lens {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: config::Lens,
    metrics: Metrics,
    room: Mutex<Room>,
}

/// A message as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// Its number, which grows with time; those of the time before a restart were smaller.
    pub id: u64,
    /// When it was seen, in microseconds since 1970.
    pub micros: i64,
    /// True for one of the device.
    pub up: bool,
    /// True when it went through DTLS.
    pub is_secure: bool,
    /// True when the message layer knew it for a copy, or sent it once more.
    pub again: bool,
    /// Where the device was.
    pub address: SocketAddr,
    /// Bytes on the wire, DTLS included; none for a further message of one datagram.
    pub wire: u32,
    /// Bytes of the message.
    pub length: u32,
    /// The message, or its head.
    pub bytes: Box<[u8]>,
}

impl Captured {
    /// True when only the head was kept.
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.length as usize
    }

    /// When it was seen.
    pub fn time(&self) -> Timestamp {
        Timestamp::clamped_from_millis(self.micros.div_euclid(1_000))
    }
}

/// What a device has sent and got on a day since it was last asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The device.
    pub endpoint: EndpointName,
    /// The day.
    pub day: Day,
    /// How much.
    pub traffic: DayTraffic,
}

impl Lens {
    /// A lens that has seen nothing.
    pub fn new(settings: &config::Lens) -> Self {
        // Numbers go on after a restart, so that nobody takes new messages for old ones.
        let first = u64::try_from(micros_now()).unwrap_or_default();
        Self {
            shared: Arc::new(Shared {
                settings: settings.clone(),
                metrics: Metrics::default(),
                room: Mutex::new(Room::new(settings, first)),
            }),
        }
    }

    /// Names what it counts for `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// False when there is nothing to do for it: it neither keeps nor counts.
    pub fn is_on(&self) -> bool {
        self.shared.settings.enabled || self.shared.settings.meter
    }

    /// A message of a peer has come. `wire`: bytes of its datagram; `is_copy`: the same was heard before.
    pub fn received(&self, peer: Peer, message: &[u8], wire: usize, is_copy: bool) {
        self.see(peer, true, message, wire, is_copy);
    }

    /// A message goes to a peer. `wire`: bytes of its datagram; `again`: the same was sent before.
    pub fn sent(&self, peer: Peer, message: &[u8], wire: usize, again: bool) {
        self.see(peer, false, message, wire, again);
    }

    fn see(&self, peer: Peer, up: bool, message: &[u8], wire: usize, again: bool) {
        let Shared {
            settings, metrics, ..
        } = &*self.shared;
        let seen = Seen {
            micros: micros_now(),
            peer,
            up,
            again,
            wire,
            message,
        };
        let mut room = self.lock();
        let dropped = room.see(&seen);
        let bytes = room.bytes();
        drop(room);
        if settings.enabled {
            metrics.messages.inc();
            if dropped > 0 {
                metrics.dropped.inc_by(dropped);
            }
            if message.len() > settings.max_message_bytes {
                metrics.cut.inc();
            }
            metrics.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }

    /// Datagrams of a DTLS session without messages. `endpoint`: the one device that it can be of.
    pub fn carried(&self, peer: Peer, endpoint: Option<&EndpointName>, traffic: Traffic) {
        let day = Day::of(Timestamp::clamped_from_millis(micros_now() / 1_000));
        let mut room = self.lock();
        if let Some(endpoint) = endpoint {
            room.belongs(peer, endpoint);
        }
        room.carried(peer, day, traffic);
    }

    /// The session of a peer is over; what it said stays.
    pub fn over(&self, peer: Peer) {
        self.lock().over(peer);
    }

    /// True while it is not known whose messages those of the peer are, and anything is kept or counted of them.
    pub fn is_stranger(&self, peer: Peer) -> bool {
        self.is_on() && self.lock().is_stranger(peer)
    }

    /// The messages of a peer are those of this device, also those that were seen already.
    pub fn belongs(&self, peer: Peer, endpoint: &EndpointName) {
        if self.is_on() {
            self.lock().belongs(peer, endpoint);
        }
    }

    /// The device is forgotten, and with it what it said.
    pub fn forget(&self, endpoint: &EndpointName) {
        self.lock().forget(endpoint);
    }

    /// The last messages of a device, oldest first.
    pub fn messages(&self, endpoint: &EndpointName) -> Vec<Captured> {
        self.lock().messages(endpoint)
    }

    /// The number of the newest message of a device; none: nothing was seen of it.
    pub fn newest(&self, endpoint: &EndpointName) -> Option<u64> {
        self.lock().newest(endpoint)
    }

    /// What was counted since the last time, to be written down.
    pub fn take_counted(&self) -> Vec<Counted> {
        self.lock().take_counted()
    }

    /// What could not be written down counts again.
    pub fn give_back(&self, counted: Vec<Counted>) {
        let mut room = self.lock();
        for counted in counted {
            room.give_back(counted);
        }
    }

    /// What was counted of a device, or of all of them, since it was last written down.
    pub fn pending(&self, endpoint: Option<&EndpointName>) -> Vec<(Day, DayTraffic)> {
        self.lock().pending(endpoint)
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        self.lock().bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Room> {
        self.shared
            .room
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn micros_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
    })
}
