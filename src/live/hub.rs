//! The fan-out: sequence numbers, topics, a bounded queue per client, a bounded history.
//!
//! Whoever wants the fleet gathered gets what is in a [`Batch`]: it is put together and written once for all
//! of them, so that many thousand values a second cost each of them a few frames.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::sync::Notify;

use crate::config::Live;
use crate::domain::{EndpointName, LiveEvent, LiveKind, LiveNews, Timestamp, Topic};

use super::gather::{Batch, Gathering};
use super::message::{Fact, Message};

/// A client that has been behind for so long without taking anything is given up, so that it does
/// not keep a place.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// Batches that wait for one client: what it has not taken for three seconds and more. All clients share them.
const MAX_BATCHES: usize = 32;

/// Fans live messages out. Cheap to clone; every clone is the same hub.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

/// What a client gets next.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// Messages that were gathered.
    Batch(Arc<Batch>),
    /// The next message.
    Message(Arc<Message>),
    /// Messages were lost: the client reads the present state anew, and gets those after `seq`.
    Resync {
        /// The last message before the new beginning.
        seq: u64,
    },
}

/// Why nobody can listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The server is shutting down.
    #[error("the server is shutting down")]
    Closed,
    /// Too many listen already.
    #[error("{limit} live clients are connected already (live.max_clients)")]
    TooManyClients {
        /// The limit in force.
        limit: usize,
    },
    /// Too many topics at once.
    #[error("at most {limit} topics at once (live.max_topics)")]
    TooManyTopics {
        /// The limit in force.
        limit: usize,
    },
}

/// What the hub counts.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Clients that listen now.
    pub clients: Gauge,
    /// Messages published.
    pub published: Counter,
    /// Values that were left out of a batch, as a newer one of the same path is in it.
    pub coalesced: Counter,
    /// Messages that were dropped from the queue of a client that fell behind.
    pub dropped: Counter,
    /// How often a client was told to start anew.
    pub resyncs: Counter,
    /// Clients refused since there were too many.
    pub refused: Counter,
    /// Clients given up since they took nothing for a minute.
    pub given_up: Counter,
}

impl Counters {
    /// Makes them known to `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let live = registry.sub_registry_with_prefix("flownexus_live");
        live.register(
            "clients",
            "Clients of the live socket",
            self.clients.clone(),
        );
        live.register(
            "published",
            "Live messages published",
            self.published.clone(),
        );
        live.register(
            "coalesced",
            "Live values left out of a batch that has a newer one of the same path",
            self.coalesced.clone(),
        );
        live.register(
            "dropped",
            "Live messages dropped because a client was too slow",
            self.dropped.clone(),
        );
        live.register(
            "resyncs",
            "Times a live client was told to start anew",
            self.resyncs.clone(),
        );
        live.register(
            "refused",
            "Live clients refused because there were too many",
            self.refused.clone(),
        );
        live.register(
            "given_up",
            "Live clients given up because they took nothing",
            self.given_up.clone(),
        );
    }
}

impl Hub {
    /// A hub with these limits. Sequence numbers begin at the present time in microseconds, so that
    /// they grow across restarts, and a client that comes back after one is told to start anew.
    pub fn new(settings: &Live) -> Self {
        let millis = u64::try_from(Timestamp::system().as_millis()).unwrap_or(0);
        Self::starting_at(settings, millis.saturating_mul(1000))
    }

    /// A hub whose first message gets the number after `last_seq`.
    pub fn starting_at(settings: &Live, last_seq: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                limits: settings.clone(),
                counters: Counters::default(),
                next_client: AtomicU64::new(0),
                state: Mutex::new(State {
                    last_seq,
                    began_at: last_seq,
                    forgotten_up_to: last_seq,
                    closed: false,
                    history: VecDeque::new(),
                    clients: HashMap::new(),
                    fleet: HashSet::new(),
                    gathered: HashSet::new(),
                    gathering: Gathering::new(settings.history),
                    topics: HashMap::new(),
                }),
            }),
        }
    }

    /// What is counted.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// Sends facts to everybody who asked for them. Never waits.
    pub fn publish(&self, events: Vec<LiveEvent>) {
        self.tell(events.into_iter().map(Fact::Device));
    }

    /// The same with a fact that is about no device.
    pub fn announce(&self, news: LiveNews) {
        self.tell(std::iter::once(Fact::News(news)));
    }

    fn tell(&self, facts: impl ExactSizeIterator<Item = Fact>) {
        if facts.len() == 0 {
            return;
        }
        self.shared.counters.published.inc_by(facts.len() as u64);
        let mut state = self.shared.lock();
        let now = Instant::now();
        for fact in facts {
            state.last_seq += 1;
            let message = Message::new(state.last_seq, fact);
            state.deliver(&message, now, &self.shared);
            state.gather(&message, now, &self.shared);
            state.remember(message, self.shared.limits.history);
        }
    }

    /// Begins to listen to these topics: from now, or with what came after the message `after`.
    /// Where that is no longer known, the first delivery is a [`Delivery::Resync`]; after a restart of the server
    /// what came since then follows it.
    ///
    /// # Errors
    /// When there are too many clients, or topics.
    pub fn subscribe(
        &self,
        topics: Vec<Topic>,
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        self.add(topics, false, after)
    }

    /// The same for the whole fleet, in batches: messages are gathered for `live.gather_ms`, and of several
    /// values of one path that come meanwhile the newest is told.
    ///
    /// # Errors
    /// When there are too many clients.
    pub fn subscribe_gathered(&self, after: Option<u64>) -> Result<Subscription, SubscribeError> {
        self.add(vec![Topic::Fleet], true, after)
    }

    fn add(
        &self,
        topics: Vec<Topic>,
        is_gathered: bool,
        after: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        let limits = &self.shared.limits;
        if topics.len() > limits.max_topics {
            let limit = limits.max_topics;
            return Err(SubscribeError::TooManyTopics { limit });
        }
        let mut state = self.shared.lock();
        if state.closed {
            return Err(SubscribeError::Closed);
        }
        if state.clients.len() >= limits.max_clients {
            self.shared.counters.refused.inc();
            let limit = limits.max_clients;
            return Err(SubscribeError::TooManyClients { limit });
        }
        let mut client = Client {
            is_gathered,
            ..Client::default()
        };
        if is_gathered {
            // What came before is of the past, which `after` is about.
            state.flush(Instant::now(), &self.shared);
        }
        for topic in topics {
            match topic {
                Topic::Fleet => client.fleet = true,
                one => _ = client.topics.insert(one),
            }
        }
        if let Some(after) = after {
            match state.missed(&client, after, limits.queue_length) {
                Some(missed) => client.queue = missed,
                // From before a restart: what happened since is known all the same, while none of it is forgotten. It
                // follows in the queue, so that what comes meanwhile comes behind it.
                None if after < state.began_at => {
                    let room = limits.queue_length.saturating_sub(1);
                    match state.missed(&client, state.began_at, room) {
                        Some(since) => {
                            let seq = state.began_at;
                            client.queue = since;
                            client.queue.push_front(Delivery::Resync { seq });
                            self.shared.counters.resyncs.inc();
                        }
                        None => client.lost = Some(state.last_seq),
                    }
                }
                None => client.lost = Some(state.last_seq),
            }
        }
        let id = self
            .shared
            .next_client
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let wake = client.wake.clone();
        state.add(id, client);
        self.shared.counters.clients.inc();
        Ok(Subscription {
            hub: self.clone(),
            id,
            wake,
        })
    }

    /// Sends everybody away, for good: open sockets would hold up the end of the server.
    pub fn close(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        let ids: Vec<u64> = state.clients.keys().copied().collect();
        for id in ids {
            if let Some(client) = state.clients.get(&id) {
                client.wake.notify_one();
            }
            if state.remove(id) {
                self.shared.counters.clients.dec();
            }
        }
    }

    /// True once [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// The devices whose messages somebody listens to.
    pub fn listened_to(&self) -> Vec<EndpointName> {
        let state = self.shared.lock();
        let topics = state.topics.keys();
        let named = topics.filter_map(|topic| match topic {
            Topic::Messages(name) => Some(name.clone()),
            _ => None,
        });
        named.collect()
    }

    /// The number of the newest message.
    pub fn last_seq(&self) -> u64 {
        self.shared.lock().last_seq
    }
}

/// One client's place. Dropping it frees the place.
#[derive(Debug)]
pub struct Subscription {
    hub: Hub,
    id: u64,
    wake: Arc<Notify>,
}

impl Subscription {
    /// The next messages, or that messages were lost; nothing once the client was given up since it
    /// took nothing for too long, or the hub was closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            // A permit is stored when the notification comes before the await, so none is missed.
            if let Some(next) = self.try_next()? {
                return Some(next);
            }
            match self.due()? {
                // Whoever is there first ends the batch for all.
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(due.into()) => {
                        let shared = &self.hub.shared;
                        shared.lock().flush_due(Instant::now(), shared);
                    }
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// What is there already: `Some(None)` when nothing is, `None` when the client was given up.
    #[expect(clippy::option_option, reason = "gone and empty are different")]
    fn try_next(&self) -> Option<Option<Delivery>> {
        let shared = &self.hub.shared;
        let mut state = shared.lock();
        let client = state.clients.get_mut(&self.id)?;
        client.behind_since = None;
        if let Some(seq) = client.lost.take() {
            shared.counters.resyncs.inc();
            return Some(Some(Delivery::Resync { seq }));
        }
        Some(client.queue.pop_front())
    }

    /// When the batch ends that is being gathered for this client, if one is.
    #[expect(
        clippy::option_option,
        reason = "gone and nothing to wait for are different"
    )]
    fn due(&self) -> Option<Option<Instant>> {
        let state = self.hub.shared.lock();
        let client = state.clients.get(&self.id)?;
        Some(state.gathering.due().filter(|_| client.is_gathered))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let shared = &self.hub.shared;
        let mut state = shared.lock();
        if state.remove(self.id) {
            shared.counters.clients.dec();
        }
    }
}

#[derive(Debug)]
struct Shared {
    limits: Live,
    counters: Counters,
    next_client: AtomicU64,
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    last_seq: u64,
    /// The number before the first message since the server started.
    began_at: u64,
    /// The newest message that is not in the history any more.
    forgotten_up_to: u64,
    /// Nobody may listen any more.
    closed: bool,
    history: VecDeque<Arc<Message>>,
    clients: HashMap<u64, Client>,
    /// Who listens to everything.
    fleet: HashSet<u64>,
    /// Who listens to everything in batches.
    gathered: HashSet<u64>,
    /// The next batch.
    gathering: Gathering,
    /// Who listens to something other than everything.
    topics: HashMap<Topic, HashSet<u64>>,
}

#[derive(Debug, Default)]
struct Client {
    fleet: bool,
    is_gathered: bool,
    topics: HashSet<Topic>,
    queue: VecDeque<Delivery>,
    /// Messages were lost; the last one of them.
    lost: Option<u64>,
    /// When it was first behind since it last took something.
    behind_since: Option<Instant>,
    wake: Arc<Notify>,
}

impl Client {
    fn wants(&self, message: &Message) -> bool {
        (self.fleet && message.is_for_fleet()) || self.topics.contains(&message.topic())
    }

    /// How many deliveries may wait for it.
    fn limit(&self, limits: &Live) -> usize {
        if self.is_gathered {
            MAX_BATCHES
        } else {
            limits.queue_length
        }
    }

    /// Something more for it, whose last message has this number. False when it took nothing for too long.
    fn put(&mut self, delivery: Delivery, seq: u64, now: Instant, shared: &Shared) -> bool {
        if let Some(lost) = &mut self.lost {
            // It has not yet taken the news that it fell behind.
            *lost = seq;
            shared.counters.dropped.inc_by(delivery.messages());
        } else if self.queue.len() >= self.limit(&shared.limits) {
            let waiting: u64 = self.queue.iter().map(Delivery::messages).sum();
            shared
                .counters
                .dropped
                .inc_by(waiting + delivery.messages());
            self.queue = VecDeque::new();
            self.lost = Some(seq);
            self.behind_since = self.behind_since.or(Some(now));
        } else {
            self.queue.push_back(delivery);
        }
        self.wake.notify_one();
        self.behind_since
            .is_none_or(|since| now.duration_since(since) < GIVE_UP_AFTER)
    }
}

impl Delivery {
    /// How many messages it has.
    fn messages(&self) -> u64 {
        match self {
            Self::Batch(batch) => batch.messages().len() as u64,
            Self::Message(_) => 1,
            Self::Resync { .. } => 0,
        }
    }
}

impl State {
    fn deliver(&mut self, message: &Arc<Message>, now: Instant, shared: &Shared) {
        if self.clients.is_empty() {
            return;
        }
        let direct = self.topics.get(&message.topic());
        let fleet = message.is_for_fleet().then_some(&self.fleet);
        let others = direct.into_iter().flatten();
        let others = others.filter(|id| fleet.is_none_or(|fleet| !fleet.contains(id)));
        let mut given_up = Vec::new();
        for id in fleet.into_iter().flatten().chain(others) {
            let delivery = Delivery::Message(message.clone());
            if let Some(client) = self.clients.get_mut(id)
                && !client.put(delivery, message.seq, now, shared)
            {
                given_up.push(*id);
            }
        }
        self.give_up(&given_up, shared);
    }

    /// One more for the batch of those who want one.
    fn gather(&mut self, message: &Arc<Message>, now: Instant, shared: &Shared) {
        if self.gathered.is_empty() || !message.is_for_fleet() {
            return;
        }
        let due = self.gathering.due();
        let wait = Duration::from_millis(shared.limits.gather_ms);
        if self.gathering.add(message, now + wait) {
            shared.counters.coalesced.inc();
        }
        if due.is_none() {
            // Each may be the one that waits for the end of it: nobody knows which of them is read from.
            for id in &self.gathered {
                if let Some(client) = self.clients.get(id) {
                    client.wake.notify_one();
                }
            }
        }
        if self.gathering.is_full() {
            self.flush(now, shared);
        }
        self.flush_due(now, shared);
    }

    fn flush_due(&mut self, now: Instant, shared: &Shared) {
        if self.gathering.due().is_some_and(|due| due <= now) {
            self.flush(now, shared);
        }
    }

    /// Ends the batch that is being gathered.
    fn flush(&mut self, now: Instant, shared: &Shared) {
        let Some(batch) = self.gathering.take() else {
            return;
        };
        let seq = batch.last_seq();
        let batch = Arc::new(batch);
        let mut given_up = Vec::new();
        for id in &self.gathered {
            let delivery = Delivery::Batch(batch.clone());
            if let Some(client) = self.clients.get_mut(id)
                && !client.put(delivery, seq, now, shared)
            {
                given_up.push(*id);
            }
        }
        self.give_up(&given_up, shared);
    }

    fn give_up(&mut self, ids: &[u64], shared: &Shared) {
        for id in ids {
            if self.remove(*id) {
                shared.counters.given_up.inc();
                shared.counters.clients.dec();
            }
        }
    }

    fn remember(&mut self, message: Arc<Message>, limit: usize) {
        // Whoever missed that something was said reads all of it anyway.
        if matches!(message.fact(), Fact::Device(event) if event.kind == LiveKind::Messages) {
            return;
        }
        self.history.push_back(message);
        while self.history.len() > limit {
            if let Some(forgotten) = self.history.pop_front() {
                self.forgotten_up_to = forgotten.seq;
            }
        }
    }

    /// What a client missed after the message `after`; nothing when that is not known any more, was
    /// never sent, or is more than its queue takes.
    fn missed(&self, client: &Client, after: u64, limit: usize) -> Option<VecDeque<Delivery>> {
        if after < self.forgotten_up_to || after > self.last_seq {
            return None;
        }
        let limit = if client.is_gathered {
            usize::MAX
        } else {
            limit
        };
        let mut missed = VecDeque::new();
        for message in self.history.iter().rev() {
            if message.seq <= after {
                break;
            }
            if client.wants(message) {
                if missed.len() >= limit {
                    return None;
                }
                missed.push_front(message.clone());
            }
        }
        if !client.is_gathered {
            return Some(missed.into_iter().map(Delivery::Message).collect());
        }
        let batch = Batch::of(missed.into());
        Some(
            batch
                .into_iter()
                .map(Arc::new)
                .map(Delivery::Batch)
                .collect(),
        )
    }

    fn add(&mut self, id: u64, client: Client) {
        if client.is_gathered {
            self.gathered.insert(id);
        } else if client.fleet {
            self.fleet.insert(id);
        }
        for topic in &client.topics {
            self.topics.entry(topic.clone()).or_default().insert(id);
        }
        self.clients.insert(id, client);
    }

    fn remove(&mut self, id: u64) -> bool {
        let Some(client) = self.clients.remove(&id) else {
            return false;
        };
        self.fleet.remove(&id);
        self.gathered.remove(&id);
        if self.gathered.is_empty() {
            self.gathering.take();
        }
        for topic in &client.topics {
            if let Some(ids) = self.topics.get_mut(topic) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.topics.remove(topic);
                }
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "hub_tests.rs"]
mod tests;
