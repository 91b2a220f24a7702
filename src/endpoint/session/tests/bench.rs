//! One session on a bench: a device that is written by hand, a clock that is turned by hand, a
//! store that says yes or no.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::super::{
    Action, Backlog, CommitStep, Departure, Env, Gate, Input, Session, Step, Ticket,
};
use super::images::FakeImages;
use crate::coap::{
    Code, Counters, Endpoint, EndpointConfig, Event, ExchangeFailure, ExchangeId, Message,
    MessageIds, MessageType, NotificationKey, Options, OutgoingRequest, Request, RequestKey,
    Response, number,
};
use crate::config::Settings;
use crate::domain::{
    CredentialKind, Denied, EndpointId, EndpointName, Identity, LogResource, NewOperation, Now,
    Operation, OperationKind, OperationRequest, OperationStatus, Origin, Path, Peer, Reach,
    RegistrationId, SessionId, Timestamp, Token, Unreachable,
};
use crate::endpoint::{RuleSet, SessionSettings};
use crate::lwm2m::Models;
use crate::lwm2m::register::{Call, Limits, classify};
use crate::store::{Change, Ids, ObservationTemplate, StoredEndpoint};

pub(super) struct Bench {
    pub(super) now: Now,
    pub(super) settings: SessionSettings,
    pub(super) session: Session,
    backlog: Backlog,
    pub(super) templates: Vec<ObservationTemplate>,
    pub(super) rules: RuleSet,
    pub(super) log_resources: Vec<LogResource>,
    /// What the session did, in order.
    pub(super) done: Vec<Done>,
    pub(super) peer: Peer,
    pub(super) gate: FakeGate,
    pub(super) images: FakeImages,
    /// The device's session ends while the next request is on its way to the message layer.
    pub(super) loses_its_session: bool,
    /// The device has not proven its address, which may not get more bytes than these in a block.
    pub(super) room: Option<usize>,
    pub(super) models: Models,
    ids: Ids,
    layer: Endpoint,
    next_message_id: u16,
    exchanges: u64,
}

/// A thing that became visible outside the session.
#[derive(Debug)]
pub(super) enum Done {
    Committed(Vec<Change>),
    Acted(Action),
}

impl Bench {
    pub(super) fn new() -> Self {
        let settings = Settings::defaults();
        let now = Now {
            instant: Instant::now() + Duration::from_secs(1_000_000),
            wall: Timestamp::from_millis(1_700_000_000_000).expect("a time"),
        };
        let mut bench = Self {
            now,
            settings: SessionSettings::new(&settings),
            session: Session::restore(
                &Env {
                    now,
                    settings: &SessionSettings::new(&settings),
                    models: &Models::builtin(),
                    templates: &[],
                    rules: &RuleSet::default(),
                    log_resources: &[],
                    gate: &FakeGate::default(),
                    images: &FakeImages::default(),
                    ids: &Ids::default(),
                    random,
                },
                EndpointId(7),
                name(),
                StoredEndpoint::default(),
            )
            .0,
            backlog: Backlog::default(),
            templates: Vec::new(),
            rules: RuleSet::default(),
            log_resources: Vec::new(),
            done: Vec::new(),
            peer: Peer::udp(([127, 0, 0, 1], 40_000).into()),
            gate: FakeGate::default(),
            images: FakeImages::default(),
            loses_its_session: false,
            room: None,
            models: Models::builtin(),
            ids: Ids::default(),
            layer: Endpoint::new(EndpointConfig::from(&settings.coap), Counters::default(), 1),
            next_message_id: 1,
            exchanges: 0,
        };
        bench.done.clear();
        bench
    }

    /// A session of what is stored.
    pub(super) fn restored(stored: StoredEndpoint) -> Self {
        Self::restored_under(RuleSet::default(), stored)
    }

    /// The same, with rules.
    pub(super) fn restored_under(rules: RuleSet, stored: StoredEndpoint) -> Self {
        let mut bench = Self::new();
        bench.rules = rules;
        let steps = bench.with_env(|env, _| {
            let (session, steps) = Session::restore(env, EndpointId(7), name(), stored);
            (session, steps)
        });
        bench.session = steps.0;
        bench.carry_out(steps.1, true);
        bench
    }

    /// The server is killed and started again: what was in memory is gone.
    pub(super) fn restart(&mut self) {
        let stored = self.on_disk();
        let (session, steps) =
            self.with_env(|env, _| Session::restore(env, EndpointId(7), name(), stored));
        self.session = session;
        self.carry_out(steps, true);
    }

    /// The actor rests, if nothing keeps it, and is made anew of what is stored: true when it did.
    pub(super) fn rest(&mut self) -> bool {
        let steps = self.session.write_learned();
        self.carry_out(steps, true);
        let Some(memo) = self.session.memo(self.now, &self.settings) else {
            return false;
        };
        let stored = self.on_disk();
        let began = Timestamp::from_millis(1_700_000_000_000).expect("a time");
        let (session, steps) = self.with_env(|env, _| {
            Session::resume_from(env, EndpointId(7), name(), stored, Some(memo), began)
        });
        self.session = session;
        self.carry_out(steps, true);
        true
    }

    fn with_env<T>(&mut self, work: impl FnOnce(&Env<'_>, &mut Session) -> T) -> T {
        let env = Env {
            now: self.now,
            settings: &self.settings,
            models: &self.models,
            templates: &self.templates,
            rules: &self.rules,
            log_resources: &self.log_resources,
            gate: &self.gate,
            images: &self.images,
            ids: &self.ids,
            random,
        };
        work(&env, &mut self.session)
    }

    pub(super) fn wait(&mut self, duration: Duration) {
        self.now = self.now.plus(duration);
    }

    /// Feeds an input; the store does what is asked.
    pub(super) fn feed(&mut self, input: Input) {
        let steps = self.with_env(|env, session| session.handle(env, input));
        self.carry_out(steps, true);
    }

    /// Feeds an input while the store fails.
    pub(super) fn feed_and_fail(&mut self, input: Input) {
        let steps = self.with_env(|env, session| session.handle(env, input));
        self.carry_out(steps, false);
    }

    /// As the actor does it: what waits for a commit is done once everything is handed over.
    fn carry_out(&mut self, steps: Vec<Step>, store_works: bool) {
        if !self.backlog.add(steps) {
            return;
        }
        let mut waiting = VecDeque::new();
        loop {
            while let Some(step) = self.backlog.take() {
                match step {
                    Step::Do(action) => self.act(action),
                    Step::Commit(step) if step.commit.is_empty() => {
                        step.then.into_iter().for_each(|action| self.act(action));
                    }
                    Step::Commit(step) => waiting.push_back(*step),
                    Step::InTurn(action) => waiting.push_back(CommitStep {
                        then: vec![action],
                        ..CommitStep::default()
                    }),
                }
            }
            let Some(step) = waiting.pop_front() else {
                return;
            };
            let begun = self.backlog.add(Vec::new());
            assert!(begun, "nobody else carries out");
            let actions = if store_works {
                // What only waits for its turn writes nothing.
                if !step.commit.is_empty() {
                    self.done.push(Done::Committed(step.commit.changes));
                }
                step.then
            } else {
                step.otherwise
            };
            actions.into_iter().for_each(|action| self.act(action));
        }
    }

    fn act(&mut self, action: Action) {
        let pump = matches!(action, Action::Pump);
        if let Action::Transmit { attempt, peer, .. } = action {
            if std::mem::take(&mut self.loses_its_session) {
                self.gate.close(peer);
            }
            let departure = self.with_env(|env, session| session.depart(env, attempt));
            if let Departure::Stay(steps) = departure {
                return self.carry_out(steps, true);
            }
        }
        if let Action::Transmit {
            attempt, request, ..
        } = &action
            && self
                .room
                .is_some_and(|room| request.request.payload.len() > room)
        {
            let attempt = *attempt;
            let steps = self.with_env(|env, session| session.not_sent(env, attempt));
            return self.carry_out(steps, true);
        }
        if let Action::Transmit { attempt, .. } | Action::Await { attempt, .. } = &action {
            self.exchanges += 1;
            let exchange = exchange(self.exchanges);
            self.session.transmitted(*attempt, exchange);
        }
        self.done.push(Done::Acted(action));
        if pump {
            let steps = self.with_env(|env, session| session.handle(env, Input::Pump));
            self.carry_out(steps, true);
        }
    }

    /// A Register of this query and these links.
    pub(super) fn register(&mut self, query: &str, links: &str) -> Input {
        let (key, call) = self.request(Code::POST, "/rd", query, links.as_bytes());
        let Call::Register(request) = call else {
            panic!("{call:?} is no Register")
        };
        Input::Register {
            key,
            request: Box::new(request),
        }
    }

    pub(super) fn update(&mut self, query: &str) -> Input {
        let location = self.location();
        let (key, call) = self.request(Code::POST, &format!("/rd/{location}"), query, b"");
        let Call::Update { location, update } = call else {
            panic!("{call:?} is no Update")
        };
        Input::Update {
            key,
            location,
            update: Box::new(update),
        }
    }

    /// An Update that announces these links.
    pub(super) fn update_links(&mut self, links: &str) -> Input {
        let location = self.location();
        let path = format!("/rd/{location}");
        let (key, call) = self.request(Code::POST, &path, "", links.as_bytes());
        let Call::Update { location, update } = call else {
            panic!("{call:?} is no Update")
        };
        Input::Update {
            key,
            location,
            update: Box::new(update),
        }
    }

    pub(super) fn deregister(&mut self) -> Input {
        let location = self.location();
        let (key, call) = self.request(Code::DELETE, &format!("/rd/{location}"), "", b"");
        let Call::Deregister { location } = call else {
            panic!("{call:?} is no Deregister")
        };
        Input::Deregister { key, location }
    }

    /// A Send of this body.
    pub(super) fn send(&mut self, format: u16, payload: &[u8]) -> Input {
        let (key, mut request) = self.arrive(Code::POST, "/dp", "", payload);
        request
            .options
            .set_uint(number::CONTENT_FORMAT, format.into());
        Input::Send {
            key,
            request: Box::new(request),
        }
    }

    fn request(
        &mut self,
        code: Code,
        path: &str,
        query: &str,
        payload: &[u8],
    ) -> (RequestKey, Call) {
        let (key, request) = self.arrive(code, path, query, payload);
        let call = classify(&request, key.confirmable, &Limits::default()).expect("a call");
        (key, call)
    }

    fn arrive(
        &mut self,
        code: Code,
        path: &str,
        query: &str,
        payload: &[u8],
    ) -> (RequestKey, Request) {
        let mut options = Options::new();
        options.add_uri_path(path);
        for part in query.split('&').filter(|part| !part.is_empty()) {
            options.add(number::URI_QUERY, part.as_bytes());
        }
        let message_id = self.message_id();
        let message = Message {
            kind: MessageType::Confirmable,
            code,
            message_id,
            token: Token::from(u64::from(message_id).to_be_bytes()),
            options,
            payload: payload.to_vec(),
        };
        self.layer
            .handle_datagram(self.now.instant, self.peer, &message.encode());
        let Some(Event::Request { key, request }) = self.layer.poll_event() else {
            panic!("the request did not arrive")
        };
        // The layer only makes keys; what it keeps of a request would fill up.
        self.layer.drop_request(&key);
        (key, request)
    }

    fn message_id(&mut self) -> u16 {
        self.next_message_id += 1;
        self.next_message_id
    }

    /// The location of the newest registration.
    pub(super) fn location(&self) -> RegistrationId {
        let newest = self
            .changes()
            .into_iter()
            .rev()
            .find_map(|change| match change {
                Change::Register(registration) => Some(registration.id.clone()),
                _ => None,
            });
        newest.expect("a registration")
    }

    /// A notification; the newest observation's token unless another is given.
    pub(super) fn notification(&mut self, token: Token, sequence: u32, value: &str) -> Input {
        let message_id = self.message_id();
        let key = NotificationKey {
            peer: self.peer,
            message_id,
            token,
            confirmable: true,
            hash: i64::from(message_id) * 1000,
        };
        let mut response = content(value);
        response.options.add_uint(number::OBSERVE, sequence);
        Input::Notification {
            key,
            response,
            more: None,
        }
    }

    /// A Send of one temperature.
    pub(super) fn send_temperature(&mut self, value: f64) -> Input {
        self.send(
            110,
            format!(r#"[{{"n":"/3303/0/5700","v":{value}}}]"#).as_bytes(),
        )
    }

    pub(super) fn operate(&mut self, kind: OperationKind, path: &str) -> Operation {
        let before = self.done.len();
        self.feed(Input::Operate {
            operation: Box::new(new_operation(kind, path)),
            ticket: Ticket(1),
        });
        self.done
            .iter()
            .skip(before)
            .find_map(|done| match done {
                Done::Acted(Action::Accepted(_, operation)) => Some((**operation).clone()),
                _ => None,
            })
            .expect("an accepted operation")
    }

    /// The device answers the newest request.
    pub(super) fn answer(&mut self, response: Response) {
        let input = Input::Response {
            exchange: exchange(self.exchanges),
            response,
            acknowledge: None,
            message_ids: Some(self.lease()),
        };
        self.feed(input);
    }

    /// No answer comes to the newest request.
    pub(super) fn fail(&mut self, failure: ExchangeFailure) {
        let input = Input::Failed {
            exchange: exchange(self.exchanges),
            failure,
            message_ids: Some(self.lease()),
        };
        self.feed(input);
    }

    fn lease(&self) -> MessageIds {
        let (_, request) = self.sent().pop().expect("a request");
        let mut ids = request.message_ids.expect("a lease");
        ids.take();
        ids
    }

    /// Every change that was committed.
    pub(super) fn changes(&self) -> Vec<&Change> {
        self.done
            .iter()
            .filter_map(|done| match done {
                Done::Committed(changes) => Some(changes),
                Done::Acted(_) => None,
            })
            .flatten()
            .collect()
    }

    /// Every request that was sent, oldest first.
    pub(super) fn sent(&self) -> Vec<(Peer, OutgoingRequest)> {
        self.actions()
            .filter_map(|action| match action {
                Action::Transmit { peer, request, .. } => Some((*peer, (**request).clone())),
                _ => None,
            })
            .collect()
    }

    pub(super) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.done.iter().filter_map(|done| match done {
            Done::Acted(action) => Some(action),
            Done::Committed(_) => None,
        })
    }

    /// Every answer that a device got.
    pub(super) fn answers(&self) -> Vec<Code> {
        self.actions()
            .filter_map(|action| match action {
                Action::Respond(_, response) => Some(response.code),
                Action::Deny(_, code, _) => Some(*code),
                _ => None,
            })
            .collect()
    }

    /// Why somebody was not let speak for the device, oldest first.
    pub(super) fn denials(&self) -> Vec<Denied> {
        self.actions()
            .filter_map(|action| match action {
                Action::Deny(_, _, reason) | Action::Distrust(_, reason) => Some(reason.clone()),
                _ => None,
            })
            .collect()
    }

    /// What is sent from now on comes from a new DTLS session of this endpoint, at another address.
    pub(super) fn handshake(&mut self, number: u64, endpoint: &str) -> Peer {
        let port = u16::try_from(41_000 + number).expect("a port");
        let peer = Peer::dtls(([192, 0, 2, 7], port).into(), SessionId(number));
        self.gate.open(peer, endpoint);
        self.peer = peer;
        peer
    }

    /// The newest stored state of each operation, by kind and status.
    pub(super) fn operations(&self) -> Vec<(OperationKind, OperationStatus)> {
        let mut newest: Vec<&Operation> = Vec::new();
        for change in self.changes() {
            if let Change::SaveOperation(operation) = change {
                newest.retain(|known| known.id != operation.id);
                newest.push(operation);
            }
        }
        newest.sort_by_key(|operation| operation.id);
        newest
            .into_iter()
            .map(|operation| (operation.request.kind, operation.status))
            .collect()
    }

    /// The newest stored state of one operation.
    pub(super) fn stored(&self, id: crate::domain::OperationId) -> Operation {
        let newest = self
            .changes()
            .into_iter()
            .rev()
            .find_map(|change| match change {
                Change::SaveOperation(operation) if operation.id == id => {
                    Some((**operation).clone())
                }
                _ => None,
            });
        newest.expect("a stored operation")
    }

    /// Registers, observes a temperature and has it accepted; the token of the observation.
    pub(super) fn observe(&mut self) -> Token {
        let register = self.register("ep=thing&lwm2m=1.1&lt=300", "</3303/0>,</3/0>");
        self.feed(register);
        self.operate(OperationKind::Observe, "/3303/0/5700");
        let token = self.sent().pop().expect("an observe request").1.token;
        let mut response = content("20.5");
        response.options.add_uint(number::OBSERVE, 1);
        self.answer(response);
        token
    }
}

/// Sessions and credentials, as the test says.
#[derive(Debug, Default)]
pub(super) struct FakeGate {
    sessions: HashMap<Peer, Arc<Identity>>,
    /// Endpoints with credentials.
    pub(super) holds: HashSet<EndpointName>,
    /// Why no session of ours can be begun; none: it can.
    pub(super) refuses: Option<Unreachable>,
    /// To whom sessions of ours were begun.
    pub(super) called: RefCell<Vec<(Peer, EndpointName)>>,
}

impl FakeGate {
    pub(super) fn open(&mut self, peer: Peer, endpoint: &str) {
        let identity = Identity {
            anchor: None,
            endpoint: EndpointName::new(endpoint).expect("a name"),
            others: Vec::new(),
            kind: CredentialKind::Psk,
            credential: None,
            label: endpoint.to_owned(),
        };
        self.sessions.insert(peer, Arc::new(identity));
    }

    pub(super) fn close(&mut self, peer: Peer) {
        self.sessions.remove(&peer);
    }
}

impl Gate for FakeGate {
    fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        self.sessions.get(&peer).cloned()
    }

    fn reach(&self, peer: Peer) -> Reach {
        if !peer.is_secure() || self.sessions.contains_key(&peer) {
            Reach::Open
        } else if self
            .called
            .borrow()
            .iter()
            .any(|(called, _)| *called == peer)
        {
            Reach::Connecting
        } else {
            Reach::Closed
        }
    }

    fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable> {
        if let Some(reason) = self.refuses {
            return Err(reason);
        }
        self.called.borrow_mut().push((peer, endpoint.clone()));
        Ok(())
    }

    fn has_credentials(&self, endpoint: &EndpointName) -> bool {
        self.holds.contains(endpoint)
    }
}

pub(super) fn name() -> EndpointName {
    EndpointName::new("thing").expect("a name")
}

/// 2.05 with text.
pub(super) fn content(text: &str) -> Response {
    let mut response = Response::new(Code::CONTENT);
    response.options.add_uint(number::CONTENT_FORMAT, 0);
    response.payload = text.as_bytes().to_vec();
    response
}

pub(super) fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

pub(super) fn new_operation(kind: OperationKind, at: &str) -> NewOperation {
    NewOperation {
        request: OperationRequest::new(kind, vec![path(at)]),
        origin: Origin::User("me".to_owned()),
        expires_in: None,
        max_attempts: 3,
        by: None,
        key: None,
    }
}

/// Exchange ids come from the message layer; a layer of its own makes some.
fn exchange(number: u64) -> ExchangeId {
    let mut layer = Endpoint::new(
        EndpointConfig::from(&Settings::defaults().coap),
        Counters::default(),
        1,
    );
    let mut last = None;
    for count in 0..number {
        let token = Token::from((count + 1).to_be_bytes());
        let peer = Peer::udp(([127, 0, 0, 1], 1).into());
        last = layer
            .await_response(Instant::now(), peer, token, Duration::from_secs(1))
            .ok();
    }
    last.expect("an exchange")
}

fn random() -> [u8; 16] {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&count.to_be_bytes());
    bytes
}
