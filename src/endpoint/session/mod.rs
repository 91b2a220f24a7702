//! The state of one device and what everything that happens to it means. Pure: time, randomness
//! and row ids come in, changes and actions go out.
//!
//! A session changes its own state at once and says in [`Step::Commit`] what must be on disk before
//! the actions behind it may be carried out. When a commit fails the session is thrown away and
//! made anew from the store, so the two never differ.

mod action;
mod attempt;
mod awake;
mod backlog;
mod ended;
mod firmware;
mod gateway;
mod input;
mod judge;
mod keys;
mod logs;
mod lost;
mod notify;
mod operate;
mod outcome;
mod passive;
mod profile;
mod push;
mod queue;
mod register;
mod rest;
mod rules;
mod shared;
mod templates;
#[cfg(test)]
mod tests;
mod trust;
mod wanted;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::coap::{ExchangeId, FirstBlock, MessageIds, Window};
use crate::domain::{
    EndpointId, EndpointName, FirmwareUpdate, GatewayState, Learned, LiveBody, LiveEvent, LiveKind,
    LogResource, Node, Now, Observation, Operation, OperationStatus, Path, Profile,
    REGISTRATION_EVENTS, Registration, Selection, Timestamp, Token, Value,
};
use crate::lwm2m::manage::UsedFormats;
use crate::lwm2m::{Device, Models};
use crate::store::{Change, Commit, Ids, ObservationTemplate, StoredEndpoint};

use self::judge::Judge;
use self::keys::Keys;
use self::logs::LogMemory;
use self::push::Push;
use self::queue::Queue;
use self::wanted::Wishes;
use super::settings::SessionSettings;

pub use self::action::{Action, CommitStep, Refusal, Step};
pub use self::backlog::Backlog;
pub use self::firmware::{Images, UpdateRefusal};
pub use self::input::{Input, Ticket};
pub use self::rest::Memo;
pub use self::rules::RuleSet;
pub use self::shared::Shared;
pub use self::trust::{Departure, Gate};

/// What a session is given with each input.
pub struct Env<'a> {
    /// The present.
    pub now: Now,
    /// Limits and times.
    pub settings: &'a SessionSettings,
    /// Object models.
    pub models: &'a Models,
    /// What is observed on registration.
    pub templates: &'a [ObservationTemplate],
    /// What makes events of values.
    pub rules: &'a RuleSet,
    /// Which values are logs.
    pub log_resources: &'a [LogResource],
    /// Who peers are, and whether they can be reached.
    pub gate: &'a dyn Gate,
    /// The images of firmware updates.
    pub images: &'a dyn Images,
    /// Row ids.
    pub ids: &'a Ids,
    /// 16 random bytes.
    pub random: fn() -> [u8; 16],
}

impl Env<'_> {
    fn token(&self) -> Token {
        let [a, b, c, d, e, f, g, h, ..] = (self.random)();
        Token::from([a, b, c, d, e, f, g, h])
    }
}

/// The one exchange that may be outstanding with the device (NSTART = 1, RFC 7252 section 4.7).
#[derive(Debug)]
struct InFlight {
    attempt: u64,
    exchange: Option<ExchangeId>,
    job: Job,
    /// The window that the message layer knows of.
    window: Option<Window>,
    /// The content format that was asked for, and that of what was sent, where the choice was ours.
    formats: UsedFormats,
    /// How long after the last message of a device in queue mode it was sent.
    sent_after: Option<Duration>,
    /// Sent before a restart: only its answer is awaited.
    resumed: bool,
    /// Sent while a session of ours is being made.
    connecting: bool,
    /// The first of its message ids, until it is sent.
    lease: Option<u16>,
    /// Something came back whose token was not that of the request.
    has_wrong_token: bool,
}

#[derive(Debug)]
enum Job {
    /// One block of an image: [`Session::push`] knows which.
    Block,
    Operation(Box<Operation>),
    /// The rest of a blockwise notification.
    Fetch(Fetch),
}

/// A notification whose first block is stored and whose rest must be fetched.
#[derive(Clone, Debug, PartialEq)]
struct Fetch {
    token: Token,
    /// What came; none after a restart or when the body changed meanwhile: then all is read anew.
    first: Option<(FirstBlock, Vec<u8>)>,
    stale: bool,
}

/// One device.
#[derive(Debug)]
pub struct Session {
    endpoint_id: EndpointId,
    name: EndpointName,
    /// What people say of it.
    profile: Profile,
    /// What was learnt of it.
    learned: Learned,
    registration: Option<Box<Registration>>,
    /// When the lifetime ends, on the clock that never jumps.
    expires: Option<Instant>,
    observations: Vec<Observation>,
    queue: Queue,
    /// With which keys operations were asked for lately.
    keys: Keys,
    fetches: VecDeque<Fetch>,
    in_flight: Option<Box<InFlight>>,
    attempts: u64,
    /// True after an attempt went unanswered, until the device is heard of again.
    silent: bool,
    last_uplink: Option<Instant>,
    /// When a silent device that can be reached at any time is asked again.
    retry_at: Option<Instant>,
    /// True until what was learnt is part of a commit.
    learned_is_new: bool,
    seen_written: Option<Instant>,
    /// The next message id, and the first one that is not reserved on disk.
    message_ids: MessageIds,
    /// What outside gateways told of the device; none until somebody needs it.
    gateway: Option<Box<GatewayState>>,
    /// Where the rules stand.
    judge: Judge,
    /// Which rules were looked at.
    rules_version: u64,
    /// What is wanted to be observed.
    wishes: Wishes,
    logs: LogMemory,
    /// The firmware update, while it is not over.
    update: Option<Box<FirmwareUpdate>>,
    /// Its image, while that is pushed.
    push: Option<Box<Push>>,
    /// It has asked for something since the last look at the queue.
    update_asks: bool,
    /// True once what devices of one kind have in common is shared with them.
    is_shared: bool,
}

impl Session {
    /// A session of what is stored.
    ///
    /// An operation that was SENDING when the server stopped is awaited once more: its answer may
    /// still come, with the token that is stored.
    pub fn restore(
        env: &Env<'_>,
        endpoint_id: EndpointId,
        name: EndpointName,
        stored: StoredEndpoint,
    ) -> (Self, Vec<Step>) {
        let mark = stored
            .registration
            .as_ref()
            .map_or(0, |registration| registration.message_id_mark);
        let mut session = Self {
            endpoint_id,
            name,
            profile: stored.profile,
            learned: stored.learned,
            expires: None,
            registration: None,
            observations: stored.observations,
            queue: Queue::default(),
            keys: Keys::default(),
            fetches: VecDeque::new(),
            in_flight: None,
            attempts: 0,
            silent: false,
            last_uplink: None,
            retry_at: None,
            learned_is_new: false,
            seen_written: None,
            message_ids: MessageIds {
                next: mark,
                end: mark,
            },
            gateway: None,
            judge: Judge::new(env.now, endpoint_id, stored.rule_states),
            rules_version: 0,
            wishes: Wishes::new(stored.wanted, stored.periods, env.now.wall),
            logs: LogMemory::default(),
            update: stored.update.map(Box::new),
            push: None,
            update_asks: false,
            is_shared: false,
        };
        let mut steps = Vec::new();
        for operation in stored.operations {
            if operation.status == OperationStatus::Sending && session.in_flight.is_none() {
                session.resume(env, stored.registration.as_ref(), operation, &mut steps);
            } else {
                session.queue.push_back(operation);
            }
        }
        if let Some(registration) = stored.registration {
            let left = registration.expires_at.since(env.now.wall);
            session.expires = Some(env.now.instant + left);
            steps.push(Step::Do(Action::Registered(
                registration.id.clone(),
                registration.peer,
            )));
            session.registration = Some(Box::new(registration));
        }
        for observation in &session.observations {
            steps.push(Step::Do(Action::Watch(observation.token)));
            if observation.staged.is_some() {
                session.fetches.push_back(Fetch {
                    token: observation.token,
                    first: None,
                    stale: false,
                });
            }
        }
        session.find_unasked();
        // A device in queue mode sleeps until it is heard of; the others may be asked at once.
        if !session.is_queue_mode() {
            steps.push(Step::Do(Action::Pump));
        }
        session.look_at_rules(env, &mut steps);
        (session, steps)
    }

    /// What this input means.
    pub fn handle(&mut self, env: &Env<'_>, input: Input) -> Vec<Step> {
        let mut steps = Vec::new();
        let announces = matches!(input, Input::Register { .. } | Input::Update { .. });
        let leaves = matches!(input, Input::Deregister { .. });
        // One that sleeps is looked at when it wakes.
        let is_sign_of_life = !self.is_queue_mode()
            && matches!(
                input,
                Input::Notification { .. } | Input::Update { .. } | Input::Pump
            );
        match input {
            Input::Register { key, request } => self.register(env, key, *request, &mut steps),
            Input::Update {
                key,
                location,
                update,
            } => self.update(env, key, &location, *update, &mut steps),
            Input::Deregister { key, location } => self.deregister(env, key, &location, &mut steps),
            Input::Send { key, request } => self.receive(env, key, &request, &mut steps),
            Input::Notification {
                key,
                response,
                more,
            } => self.notification(env, key, response, more, &mut steps),
            Input::Response {
                exchange,
                response,
                acknowledge,
                message_ids,
            } => {
                self.response(
                    env,
                    exchange,
                    &response,
                    acknowledge,
                    message_ids,
                    &mut steps,
                );
            }
            Input::Failed {
                exchange,
                failure,
                message_ids,
            } => {
                self.failed(env, exchange, failure, message_ids, &mut steps);
            }
            Input::MessageIdsExhausted { exchange } => {
                self.message_ids_exhausted(env, exchange, &mut steps)
            }
            Input::Stray => self.stray(),
            Input::Operate { operation, ticket } => {
                self.operate(env, *operation, ticket, &mut steps)
            }
            Input::Profile { change, by, ticket } => {
                self.change_profile(env, &change, by, ticket, &mut steps)
            }
            Input::Templates { changed } => self.templates_changed(env, &changed, &mut steps),
            Input::Cancel { id, by, ticket } => self.cancel(env, id, by, ticket, &mut steps),
            Input::UpdateFirmware { new, ticket } => {
                self.begin_update(env, *new, ticket, &mut steps)
            }
            Input::CancelUpdate { id, by, ticket } => {
                self.cancel_update(env, id, by, ticket, &mut steps)
            }
            Input::Served { image, progress } => self.served(env, image, progress, &mut steps),
            Input::Report { report, ticket } => self.report(env, *report, ticket, &mut steps),
            Input::Pump => self.pump(env, &mut steps),
            Input::Tick => self.tick(env, &mut steps),
        }
        let is_sign_of_life = is_sign_of_life && !self.is_queue_mode();
        self.settle_wanted(env, is_sign_of_life, &mut steps);
        if std::mem::take(&mut self.update_asks) {
            steps.push(Step::Do(Action::Pump));
        }
        self.write_waiting(env, &mut steps);
        self.move_window(env, &mut steps);
        if announces || self.has_new_rules(env) {
            self.look_at_rules(env, &mut steps);
        }
        if leaves {
            self.leave_rules(env, &mut steps);
        }
        steps
    }

    /// When [`Input::Tick`] is wanted next.
    pub fn next_deadline(&self, now: Now) -> Option<Instant> {
        let expiry = self.queue.next_expiry();
        let operation = expiry.map(|at| now.instant + at.since(now.wall));
        let others = [
            self.retry_at,
            self.judge.due(),
            self.wishes.due,
            self.update_due(now),
        ];
        [self.expires, operation]
            .into_iter()
            .chain(others)
            .flatten()
            .min()
    }

    /// True while the device is registered, something is on its way, a rule waits for values that do
    /// not come, or a firmware update is not over.
    pub fn is_needed(&self) -> bool {
        self.registration.is_some()
            || self.in_flight.is_some()
            || self.judge.due().is_some()
            || self.update.is_some()
    }

    /// The exchange of this attempt is known; false when the attempt was given up meanwhile.
    pub fn transmitted(&mut self, attempt: u64, exchange: ExchangeId) -> bool {
        match &mut self.in_flight {
            Some(in_flight) if in_flight.attempt == attempt => {
                in_flight.exchange = Some(exchange);
                in_flight.lease = None;
                true
            }
            _ => false,
        }
    }

    /// True while this attempt may still be sent.
    pub fn wants(&self, attempt: u64) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|in_flight| in_flight.attempt == attempt)
    }

    /// The exchange that is outstanding.
    pub fn exchange(&self) -> Option<ExchangeId> {
        self.in_flight
            .as_ref()
            .and_then(|in_flight| in_flight.exchange)
    }

    /// Tokens whose notifications are for this session.
    pub fn tokens(&self) -> impl Iterator<Item = Token> {
        self.observations
            .iter()
            .map(|observation| observation.token)
    }

    fn device<'a>(&'a self, registration: &'a Registration, models: &'a Models) -> Device<'a> {
        Device {
            version: registration.lwm2m_version,
            root: &registration.root,
            formats: &registration.formats,
            refused: &self.learned.refused,
            objects: &registration.objects,
            models,
        }
    }

    /// True when something with this selection is for the device.
    fn is_selected(&self, selection: &Selection) -> bool {
        selection.selects(&self.name, &self.profile.tags)
    }

    /// Adds "last seen" to a commit when it is due.
    fn note_seen(&mut self, env: &Env<'_>, commit: &mut Commit) {
        self.note_learned(commit);
        let due = self.seen_written.is_none_or(|at| {
            env.now.instant.saturating_duration_since(at) >= env.settings.last_seen_interval
        });
        if due {
            self.seen_written = Some(env.now.instant);
            commit.changes.push(Change::Seen {
                endpoint_id: self.endpoint_id,
                at: env.now.wall,
            });
        }
    }

    fn live(&self, kind: LiveKind, time: Timestamp, body: impl Into<LiveBody>) -> LiveEvent {
        LiveEvent {
            endpoint: self.name.clone(),
            kind,
            time,
            body: body.into(),
        }
    }

    fn live_resources(&self, nodes: &[Node], at: Timestamp) -> impl Iterator<Item = LiveEvent> {
        nodes.iter().map(move |node| {
            self.live(
                LiveKind::Resource,
                node.time.unwrap_or(at),
                LiveBody::Resource {
                    path: node.path,
                    value: node.value.clone(),
                },
            )
        })
    }

    fn live_operation(&self, operation: &Operation, at: Timestamp) -> LiveEvent {
        self.live(LiveKind::Operation, at, operation)
    }

    /// A registration event, as the first flownexus keeps them: object 10240, resource 0
    /// registered, 1 unregistered, 2 updated.
    fn registration_event(&self, env: &Env<'_>, resource: u16) -> Change {
        let seconds = env.now.wall.as_millis().div_euclid(1000);
        Change::Resources {
            endpoint_id: self.endpoint_id,
            nodes: vec![Node {
                path: Path::resource(REGISTRATION_EVENTS, 0, resource),
                value: Value::Time(seconds),
                time: Some(env.now.wall),
            }],
            at: env.now.wall,
            stale: false,
        }
    }

    fn tick(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if self.expires.is_some_and(|at| at <= env.now.instant) {
            self.expire(env, steps);
        }
        self.expire_operations(env, steps);
        self.expire_push(env, steps);
        self.look_at_update(env, steps);
        self.try_the_silent(env, steps);
        self.judge_time(env, steps);
        self.look_at_wanted(env, steps);
    }
}

/// Resources of [`REGISTRATION_EVENTS`].
const REGISTERED: u16 = 0;
const UNREGISTERED: u16 = 1;
const UPDATED: u16 = 2;
