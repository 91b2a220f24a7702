//! The lens between the socket, those who watch, and the store.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::domain::{Day, EndpointName, LiveBody, LiveEvent, LiveKind, Peer, Timestamp, Traffic};
use crate::lens::{Counted, Lens};
use crate::live::Hub;
use crate::net::{Carried, Tap};
use crate::store::{Store, TrafficStore};

/// The lens as the socket has it.
pub(super) struct LensTap(pub(super) Lens);

impl Tap for LensTap {
    fn received(&self, peer: Peer, message: &[u8], wire: usize, is_copy: bool) {
        self.0.received(peer, message, wire, is_copy);
    }

    fn sent(&self, peer: Peer, message: &[u8], wire: usize, again: bool) {
        self.0.sent(peer, message, wire, again);
    }

    fn carried(&self, peer: Peer, endpoint: Option<&EndpointName>, carried: Carried) {
        let traffic = Traffic {
            up_bytes: carried.up_bytes,
            up_messages: carried.up,
            down_bytes: carried.down_bytes,
            down_messages: carried.down,
        };
        self.0.carried(peer, endpoint, traffic);
    }

    fn over(&self, peer: Peer) {
        self.0.over(peer);
    }
}

/// The tasks of the lens.
pub(super) struct Watch {
    telling: JoinHandle<()>,
    writing: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Watch {
    /// Begins to tell those who watch a device that something was said, and to write down what was counted.
    pub(super) fn start(settings: &Settings, lens: Lens, hub: Hub, store: Arc<Store>) -> Self {
        let (stop, is_stopped) = oneshot::channel();
        let every = Duration::from_millis(settings.live.gather_ms.clamp(100, 1_000));
        let telling = actix_rt::spawn(tell(lens.clone(), hub, every));
        let meter = Meter {
            lens,
            store,
            every: Duration::from_secs(settings.lens.flush_s),
            keep_days: settings.lens.keep_days,
        };
        let writing = actix_rt::spawn(meter.run(is_stopped));
        Self {
            telling,
            writing,
            stop,
        }
    }

    /// Ends both; what was counted is written down.
    pub(super) async fn stop(self) {
        self.telling.abort();
        let _ = self.stop.send(());
        let _ = tokio::time::timeout(LAST_WRITE, self.writing).await;
    }
}

/// Looks now and then at those devices that somebody watches: the way of a message knows nothing of it.
async fn tell(lens: Lens, hub: Hub, every: Duration) {
    let mut told: HashMap<EndpointName, u64> = HashMap::new();
    loop {
        tokio::time::sleep(every).await;
        let watched = hub.listened_to();
        told.retain(|name, _| watched.contains(name));
        let mut events = Vec::new();
        for endpoint in watched {
            let Some(newest) = lens.newest(&endpoint) else {
                continue;
            };
            if told.insert(endpoint.clone(), newest) != Some(newest) {
                events.push(LiveEvent {
                    endpoint,
                    kind: LiveKind::Messages,
                    time: Timestamp::system(),
                    body: LiveBody::Fields(json!({ "newest": newest })),
                });
            }
        }
        hub.publish(events);
    }
}

/// Writes down what was counted.
struct Meter {
    lens: Lens,
    store: Arc<Store>,
    every: Duration,
    keep_days: u32,
}

impl Meter {
    async fn run(self, mut is_stopped: oneshot::Receiver<()>) {
        let mut removed = None;
        loop {
            let is_over = tokio::select! {
                _ = &mut is_stopped => true,
                () = tokio::time::sleep(self.every) => false,
            };
            self.write().await;
            if is_over {
                return;
            }
            let today = Day::of(Timestamp::system());
            if self.keep_days > 0 && removed != Some(today) {
                let first = today.earlier(self.keep_days.into());
                match self.store.remove_before(first).await {
                    Ok(()) => removed = Some(today),
                    Err(error) => tracing::warn!("Cannot remove old traffic: {error}"),
                }
            }
        }
    }

    async fn write(&self) {
        let counted = self.lens.take_counted();
        for some in counted.chunks(DEVICES) {
            let rows = some
                .iter()
                .map(|one| (one.endpoint.clone(), one.day, one.traffic))
                .collect();
            match self.store.add(rows).await {
                Ok(unknown) => {
                    // They have shaken hands, and register in a moment.
                    let unknown = |one: &&Counted| unknown.contains(&one.endpoint);
                    self.lens
                        .give_back(some.iter().filter(unknown).cloned().collect());
                }
                Err(error) => {
                    tracing::warn!("Cannot write down the traffic of devices: {error}");
                    self.lens.give_back(some.to_vec());
                }
            }
        }
    }
}

/// Devices of one transaction: other commits come in between.
const DEVICES: usize = 500;
/// How long the last of it may take at the end.
const LAST_WRITE: Duration = Duration::from_secs(10);
