//! The registry with its actors, a real store and a message layer without a socket.

mod images_are_fetched;
mod who_may_be_whom;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor as _, Addr, AsyncContext as _, Context};
use futures_util::stream;
use tokio::sync::mpsc;

use self::images_are_fetched::MemoryShelf;
use super::{RegistryActor, Surroundings};
use crate::coap::{
    Code, Counters, Endpoint, EndpointConfig, Event, Excerpt, ExchangeId, Message, MessageIds,
    MessageType, NotificationKey, Options, OutgoingRequest, RequestError, RequestKey, Response,
    Window, number,
};
use crate::config::{Settings, UnknownEndpoints};
use crate::domain::{
    CredentialKind, EndpointName, FirmwareId, Identity, ImageBytes, Peer, Reach, SessionId,
    SessionMark, Token, Unreachable, UpdateMethod,
};
use crate::endpoint::{Images, Metrics, Wire};
use crate::lwm2m::{ModelLibrary, Models};
use crate::security::{Keyring, Refusals};
use crate::store::{FleetLoader as _, Store};

/// There are no images of firmware.
struct NoImages;

impl Images for NoImages {
    fn uri(&self, _: FirmwareId, _: UpdateMethod, _: Peer) -> Option<String> {
        None
    }

    fn bytes(&self, _: FirmwareId) -> Option<Arc<dyn ImageBytes>> {
        None
    }
}

/// A message layer whose datagrams go to the test.
struct Cable {
    layer: RefCell<Endpoint>,
    sent: mpsc::UnboundedSender<Message>,
    /// The next answer panics instead of being sent.
    panic_once: Cell<bool>,
    /// DTLS sessions, and who is behind them.
    sessions: RefCell<HashMap<Peer, Arc<Identity>>>,
    /// Why no session of ours can be begun; none: it can, and stands at once.
    refuses: Cell<Option<Unreachable>>,
}

impl Cable {
    fn call<T>(&self, call: impl FnOnce(&mut Endpoint, Instant) -> T) -> T {
        let mut layer = self.layer.borrow_mut();
        let result = call(&mut layer, Instant::now());
        while let Some(transmit) = layer.poll_transmit() {
            let message = Message::decode(&transmit.datagram).expect("a message of ours");
            self.sent.send(message).expect("the test listens");
        }
        result
    }
}

impl Cable {
    /// A handshake has shown who is behind a session.
    fn open(&self, peer: Peer, endpoint: &str) {
        let identity = Identity {
            anchor: None,
            endpoint: EndpointName::new(endpoint).expect("a name"),
            others: Vec::new(),
            kind: CredentialKind::Psk,
            credential: None,
            label: endpoint.to_owned(),
        };
        self.sessions.borrow_mut().insert(peer, Arc::new(identity));
    }
}

impl Wire for Cable {
    fn request(&self, peer: Peer, request: OutgoingRequest) -> Result<ExchangeId, RequestError> {
        self.call(|layer, now| layer.request(now, peer, request))
    }

    fn await_response(
        &self,
        peer: Peer,
        token: Token,
        timeout: Duration,
    ) -> Result<ExchangeId, RequestError> {
        self.call(|layer, now| layer.await_response(now, peer, token, timeout))
    }

    fn cancel(&self, exchange: ExchangeId) {
        self.call(|layer, _| layer.cancel(exchange));
    }

    fn set_window(&self, exchange: ExchangeId, window: Option<Window>) {
        self.call(|layer, _| layer.set_window(exchange, window));
    }

    fn extend_message_ids(&self, exchange: ExchangeId, ids: MessageIds) {
        self.call(|layer, now| layer.extend_message_ids(now, exchange, ids));
    }

    fn encode_response(&self, key: &RequestKey, response: &Response) -> Vec<u8> {
        self.layer.borrow().encode_response(key, response)
    }

    fn respond(&self, key: &RequestKey, response: Response) {
        assert!(!self.panic_once.take(), "the test wants this actor to die");
        self.call(|layer, now| layer.respond(now, key, response));
    }

    fn respond_excerpt(&self, key: &RequestKey, excerpt: Excerpt, response: &Response) -> usize {
        self.call(|layer, now| layer.respond_excerpt(now, key, excerpt, response))
    }

    fn drop_request(&self, key: &RequestKey) {
        self.call(|layer, _| layer.drop_request(key));
    }

    fn acknowledge(&self, key: &NotificationKey) {
        self.call(|layer, now| layer.acknowledge(now, key));
    }

    fn reject(&self, key: &NotificationKey) {
        self.call(|layer, now| layer.reject(now, key));
    }

    fn ignore(&self, key: &NotificationKey) {
        self.call(|layer, _| layer.ignore(key));
    }

    fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        self.sessions.borrow().get(&peer).cloned()
    }

    fn session_mark(&self, _: Peer) -> Option<SessionMark> {
        None
    }

    fn reach(&self, peer: Peer) -> Reach {
        if !peer.is_secure() || self.sessions.borrow().contains_key(&peer) {
            Reach::Open
        } else {
            Reach::Closed
        }
    }

    fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable> {
        match self.refuses.get() {
            Some(reason) => Err(reason),
            None => {
                self.open(peer, endpoint.as_str());
                Ok(())
            }
        }
    }

    fn proven(&self, _: Peer) {}

    fn was_proven(&self, _: Peer, _: Duration) {}

    fn restore_answer(
        &self,
        peer: Peer,
        message_id: u16,
        hash: i64,
        datagram: Vec<u8>,
        lives: Duration,
    ) {
        self.call(|layer, now| layer.restore_answer(now, peer, message_id, hash, datagram, lives));
    }
}

struct House {
    cable: Rc<Cable>,
    sent: mpsc::UnboundedReceiver<Message>,
    events: mpsc::Sender<Vec<Event>>,
    metrics: Metrics,
    keyring: Keyring,
    refusals: Refusals,
    shelf: Arc<MemoryShelf>,
    store: Store,
    registry: Addr<RegistryActor>,
    next_message_id: u16,
    /// From which port of the device's host datagrams come.
    port: u16,
    /// The DTLS session that they come in, in place of plain UDP.
    session: Option<SessionId>,
    _data: tempfile::TempDir,
}

impl House {
    async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut settings = Settings::defaults();
        settings.data_dir = data.path().to_owned();
        change(&mut settings);
        let store = Store::open(&settings, Arc::new(|_| {}))
            .await
            .expect("a store");
        let (sender, sent) = mpsc::unbounded_channel();
        let cable = Rc::new(Cable {
            layer: RefCell::new(Endpoint::new(
                EndpointConfig::from(&settings.coap),
                Counters::default(),
                7,
            )),
            sent: sender,
            panic_once: Cell::new(false),
            sessions: RefCell::default(),
            refuses: Cell::default(),
        });
        let metrics = Metrics::default();
        let keyring = Keyring::default();
        let refusals = Refusals::new(settings.registration.max_refusals);
        let shelf = Arc::<MemoryShelf>::default();
        let around = Surroundings {
            wire: cable.clone(),
            writer: Arc::new(store.clone()),
            loader: Arc::new(store.clone()),
            images: Rc::new(NoImages),
            keyring: keyring.clone(),
            refusals: refusals.clone(),
            models: ModelLibrary::from(Models::builtin()),
            templates: Vec::new(),
            rules: Vec::new(),
            log_resources: Vec::new(),
            fleet: store.load(Duration::ZERO).await.expect("an empty fleet"),
            firmware: shelf.clone(),
            metrics: metrics.clone(),
        };
        let (events, has_events) = mpsc::channel(16);
        let actor = RegistryActor::new(&settings, around);
        let registry = RegistryActor::create(|ctx: &mut Context<RegistryActor>| {
            ctx.add_stream(stream::unfold(has_events, async |mut events| {
                events.recv().await.map(|batch| (batch, events))
            }));
            actor
        });
        Self {
            cable,
            sent,
            events,
            metrics,
            keyring,
            refusals,
            shelf,
            store,
            registry,
            next_message_id: 100,
            port: 5000,
            session: None,
            _data: data,
        }
    }

    /// A confirmable request of a device.
    async fn send(&mut self, code: Code, path: &str, query: &str, payload: &[u8]) {
        self.next_message_id += 1;
        let mut options = Options::new();
        options.add_uri_path(path);
        for part in query.split('&').filter(|part| !part.is_empty()) {
            options.add(number::URI_QUERY, part.as_bytes());
        }
        let message = Message {
            kind: MessageType::Confirmable,
            code,
            message_id: self.next_message_id,
            token: Token::from([1; 8]),
            options,
            payload: payload.to_vec(),
        };
        self.deliver(&message).await;
    }

    fn peer(&self) -> Peer {
        let address = ([127, 0, 0, 1], self.port).into();
        match self.session {
            Some(session) => Peer::dtls(address, session),
            None => Peer::udp(address),
        }
    }

    async fn deliver(&self, message: &Message) {
        let peer = self.peer();
        let datagram = message.encode();
        self.cable
            .call(|layer, now| layer.handle_datagram(now, peer, &datagram));
        let event = self.cable.layer.borrow_mut().poll_event();
        let batch = event.into_iter().collect();
        self.events.send(batch).await.expect("a registry");
    }

    async fn answer(&mut self) -> Message {
        let answer = tokio::time::timeout(DEADLINE, self.sent.recv()).await;
        answer.expect("an answer in time").expect("an open cable")
    }

    async fn register(&mut self) -> String {
        self.send(Code::POST, "/rd", "ep=thing&lwm2m=1.1&lt=300", b"</1/0>")
            .await;
        let answer = self.answer().await;
        assert_eq!(answer.code, Code::CREATED);
        let segments: Vec<&str> = answer
            .options
            .all(number::LOCATION_PATH)
            .map(|segment| std::str::from_utf8(segment).expect("text"))
            .collect();
        format!("/{}", segments.join("/"))
    }
}

#[actix_rt::test]
async fn an_actor_that_dies_of_a_panic_is_started_anew_from_what_is_stored() {
    let mut house = House::new(|_| {}).await;
    let location = house.register().await;
    assert_eq!(house.metrics.actors.get(), 1);

    house.cable.panic_once.set(true);
    house.send(Code::POST, &location, "", b"").await;
    house.send(Code::POST, &location, "lt=600", b"").await;

    // The first Update died with its actor. Whoever sends again reaches the next one.
    let answer = loop {
        match tokio::time::timeout(Duration::from_millis(500), house.sent.recv()).await {
            Ok(answer) => break answer.expect("an open cable"),
            Err(_) => house.send(Code::POST, &location, "lt=600", b"").await,
        }
    };
    assert_eq!(answer.code, Code::CHANGED);
    assert_eq!(house.metrics.restarts.get(), 1);
    assert_eq!(house.metrics.actors.get(), 1);
    let fleet = house.store.load(Duration::ZERO).await.expect("the fleet");
    let id = fleet.registered[0].endpoint_id;
    let stored = house.store.load_endpoint(id).await.expect("stored");
    let registration = stored.registration.expect("a registration");
    assert_eq!(registration.lifetime.as_secs(), 600);
}

#[actix_rt::test]
async fn a_device_that_leaves_takes_its_actor_along() {
    let mut house = House::new(|_| {}).await;
    let location = house.register().await;
    assert_eq!(
        (
            house.metrics.actors.get(),
            house.metrics.registrations.get()
        ),
        (1, 1)
    );
    house.send(Code::DELETE, &location, "", b"").await;
    assert_eq!(house.answer().await.code, Code::DELETED);
    // What comes next passes the registry after the end of the actor.
    house.send(Code::POST, &location, "", b"").await;
    assert_eq!(house.answer().await.code, Code::NOT_FOUND);
    assert_eq!(
        (
            house.metrics.actors.get(),
            house.metrics.registrations.get()
        ),
        (0, 0)
    );
    assert!(house.registry.connected());
}

#[actix_rt::test]
async fn strangers_are_refused_where_the_settings_say_so() {
    let mut house =
        House::new(|settings| settings.registration.unknown_endpoints = UnknownEndpoints::Deny)
            .await;
    house
        .send(Code::POST, "/rd", "ep=thing&lwm2m=1.1&lt=300", b"</1/0>")
        .await;
    assert_eq!(house.answer().await.code, Code::FORBIDDEN);
    assert_eq!(house.metrics.actors.get(), 0);
}

#[actix_rt::test]
async fn no_more_endpoints_are_taken_than_the_limit_allows() {
    let mut house = House::new(|settings| settings.registration.max_endpoints = 2).await;
    for name in ["a", "b"] {
        let query = format!("ep={name}&lwm2m=1.1&lt=300");
        house.send(Code::POST, "/rd", &query, b"</1/0>").await;
        assert_eq!(house.answer().await.code, Code::CREATED);
    }
    house
        .send(Code::POST, "/rd", "ep=c&lwm2m=1.1&lt=300", b"</1/0>")
        .await;
    assert_eq!(house.answer().await.code, Code::SERVICE_UNAVAILABLE);
    house
        .send(Code::POST, "/rd", "ep=a&lwm2m=1.1&lt=300", b"</1/0>")
        .await;
    assert_eq!(house.answer().await.code, Code::CREATED);
}

#[actix_rt::test]
async fn what_finds_a_mailbox_full_is_answered_when_it_is_sent_again() {
    let mut house = House::new(|settings| {
        settings.endpoint.mailbox = 1;
        settings.coap.dedup_per_peer = 64;
    })
    .await;
    let location = house.register().await;
    let requests: Vec<Message> = (0..12_u16)
        .map(|count| {
            let mut options = Options::new();
            options.add_uri_path(&location);
            Message {
                kind: MessageType::Confirmable,
                code: Code::POST,
                message_id: 1000 + count,
                token: Token::from([2; 8]),
                options,
                payload: Vec::new(),
            }
        })
        .collect();
    let peer = Peer::udp(([127, 0, 0, 1], 5000).into());
    let mut batch = Vec::new();
    for request in &requests {
        house
            .cable
            .call(|layer, now| layer.handle_datagram(now, peer, &request.encode()));
        batch.extend(house.cable.layer.borrow_mut().poll_event());
    }
    assert_eq!(batch.len(), requests.len());
    // All at once: the actor's mailbox cannot hold them.
    house.events.send(batch).await.expect("a registry");
    let mut answered = std::collections::HashSet::new();
    while answered.len() < requests.len() {
        match tokio::time::timeout(Duration::from_millis(150), house.sent.recv()).await {
            Ok(answer) => {
                let answer = answer.expect("an open cable");
                assert_eq!(answer.code, Code::CHANGED);
                answered.insert(answer.message_id);
            }
            // Devices send again what was not answered.
            Err(_) => {
                assert!(house.metrics.refused.get() > 0);
                for request in &requests {
                    if !answered.contains(&request.message_id) {
                        house.deliver(request).await;
                    }
                }
            }
        }
    }
    assert!(
        house.metrics.refused.get() > 0,
        "the mailbox was never full"
    );
    assert_eq!(house.metrics.waiting(), 0);
}

#[actix_rt::test]
async fn every_actor_hears_of_new_templates_a_few_at_a_time() {
    use crate::domain::{OperationKind, Path, Selection};
    use crate::store::ObservationTemplate;
    // More than are told at once.
    const DEVICES: u16 = 230;
    let mut house = House::new(|_| {}).await;
    for number in 0..DEVICES {
        let query = format!("ep=thing-{number}&lwm2m=1.1&lt=300");
        // Message ids belong to an address, so each device has one of its own.
        house.port = 5000 + number;
        house.send(Code::POST, "/rd", &query, b"</3303/0>").await;
        assert_eq!(house.answer().await.code, Code::CREATED);
    }
    let template = ObservationTemplate {
        id: 1,
        paths: vec![Path::resource(3303, 0, 5700)],
        kind: OperationKind::Observe,
        selection: Selection::default(),
        attributes: Vec::new(),
        format: None,
        enabled: true,
        revision: 0,
    };
    let told = house
        .registry
        .send(super::teller::Templates(vec![template]));
    told.await.expect("a registry");
    let mut tokens = std::collections::HashSet::new();
    while tokens.len() < usize::from(DEVICES) {
        let request = house.answer().await;
        assert_eq!(request.options.observe(), Some(0), "{request:?}");
        tokens.insert(request.token);
    }
    assert_eq!(house.metrics.waiting(), 0);
}

#[actix_rt::test]
async fn a_profile_of_a_device_that_is_not_registered_is_stored_and_its_actor_ends() {
    use crate::domain::{EndpointName, ProfileChange};
    let mut house = House::new(|_| {}).await;
    let location = house.register().await;
    house.send(Code::DELETE, &location, "", b"").await;
    assert_eq!(house.answer().await.code, Code::DELETED);
    let name = EndpointName::new("thing").expect("a name");
    let (answer, is_answered) = tokio::sync::oneshot::channel();
    let change = ProfileChange {
        tags: Some(vec!["lab".to_owned()]),
        ..ProfileChange::default()
    };
    let asked = house.registry.send(super::asks::ProfileOf {
        endpoint: name.clone(),
        change,
        by: None,
        answer,
    });
    asked.await.expect("a registry");
    let profile = is_answered.await.expect("an answer").expect("a profile");
    assert_eq!(profile.tags, ["lab"]);
    let fleet = house.store.load(Duration::ZERO).await.expect("the fleet");
    let (id, _) = fleet.endpoints[0];
    let stored = house.store.load_endpoint(id).await.expect("stored");
    assert_eq!(stored.profile, profile);
    while house.metrics.actors.get() > 0 {
        tokio::task::yield_now().await;
    }
    let (answer, is_answered) = tokio::sync::oneshot::channel();
    let nobody = EndpointName::new("nobody").expect("a name");
    let asked = house.registry.send(super::asks::ProfileOf {
        endpoint: nobody,
        change: ProfileChange::default(),
        by: None,
        answer,
    });
    asked.await.expect("a registry");
    assert!(is_answered.await.expect("an answer").is_err());
}

const DEADLINE: Duration = Duration::from_secs(20);
