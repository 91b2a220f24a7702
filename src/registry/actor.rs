//! The supervisor: every message from the network and every wish from above passes here on its way
//! to the actor of one device.

mod gateway;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use actix::dev::SendError;
use actix::prelude::*;
use tokio::sync::oneshot;

use super::deadlines::Deadlines;
use super::firmware::Downloads;
use super::ring::Ring;
use super::tables::{Door, Tables};
use super::teller::Teller;
use crate::coap::{Code, Event, ExchangeId, RequestKey, Response};
use crate::config::{Settings, UnknownEndpoints};
use crate::domain::{
    Denied, EndpointId, EndpointName, LogResource, Peer, Reach, RegistrationId, Rule, Shown,
    Timestamp,
};
use crate::endpoint::{
    Deliver, EndpointActor, Forget, Gate as _, Images, Input, Links, Listening, Loads, Lost,
    MakeRoom, Metrics, RuleSet, SessionSettings, Start, Wire,
};
use crate::lwm2m::ModelLibrary;
use crate::lwm2m::register::{Call, Limits, Refusal, RegisterRequest, classify, discovery};
use crate::security::{Keyring, Refusals, Refused};
use crate::store::{FirmwareShelf, FleetLoader, FleetWriter, ObservationTemplate, StoredFleet};

pub(super) use gateway::ReportOn;

/// What the registry needs of the rest of the house.
pub struct Surroundings {
    /// The network.
    pub wire: Rc<dyn Wire>,
    /// The store's writer.
    pub writer: Arc<dyn FleetWriter>,
    /// Where actors that start anew get their state.
    pub loader: Arc<dyn FleetLoader>,
    /// Object models; others may take their place at any time.
    pub models: ModelLibrary,
    /// What firmware updates know of their images.
    pub images: Rc<dyn Images>,
    /// Which credentials are valid.
    pub keyring: Keyring,
    /// Who was refused; the DTLS layer notes failed handshakes there too.
    pub refusals: Refusals,
    /// What is observed on registration.
    pub templates: Vec<ObservationTemplate>,
    /// What makes events of values.
    pub rules: Vec<Rule>,
    /// Which values are logs.
    pub log_resources: Vec<LogResource>,
    /// Everything that was in force when the server stopped.
    pub fleet: StoredFleet,
    /// The images that devices fetch.
    pub firmware: Arc<dyn FirmwareShelf>,
    /// Counted.
    pub metrics: Metrics,
}

/// The registry's actor.
pub struct RegistryActor {
    pub(super) tables: Rc<Tables>,
    pub(super) links: Rc<Links>,
    pub(super) teller: Teller,
    pub(super) downloads: Downloads,
    /// None: there may be any number of actors.
    ring: Option<Ring>,
    limits: Limits,
    unknown_endpoints: UnknownEndpoints,
    max_endpoints: usize,
    mailbox: usize,
    fleet: Option<StoredFleet>,
    generation: u64,
    lost: mpsc::Sender<Lost>,
    has_lost: mpsc::Receiver<Lost>,
}

impl RegistryActor {
    /// A registry that is not running yet; start it on the arbiter of the socket.
    pub fn new(settings: &Settings, around: Surroundings) -> Self {
        let tables = Tables::new(Deadlines::new(Instant::now()), around.metrics.clone());
        let (lost, has_lost) = mpsc::channel();
        Self {
            tables: Rc::new(tables),
            links: Rc::new(Links {
                wire: around.wire,
                writer: around.writer,
                loads: Loads::new(around.loader),
                models: around.models,
                images: around.images,
                keyring: around.keyring,
                refusals: around.refusals,
                templates: RefCell::new(Arc::new(around.templates)),
                rules: RefCell::new(Arc::new(RuleSet::new(around.rules))),
                log_resources: RefCell::new(Arc::new(around.log_resources)),
                shared: RefCell::default(),
                began: Timestamp::system(),
                settings: SessionSettings::new(settings),
                mailbox: settings.endpoint.mailbox,
                metrics: around.metrics,
            }),
            teller: Teller::default(),
            downloads: Downloads::new(around.firmware, settings.coap.block_size_bytes),
            ring: Ring::new(settings.endpoint.max_active),
            limits: Limits {
                max_objects: settings.registration.max_objects,
                max_links_bytes: settings.coap.max_body_bytes,
                max_attributes: settings.registration.max_attributes,
            },
            unknown_endpoints: settings.registration.unknown_endpoints,
            max_endpoints: settings.registration.max_endpoints,
            mailbox: settings.endpoint.registry_mailbox,
            fleet: Some(around.fleet),
            generation: 0,
            lost,
            has_lost,
        }
    }

    pub(super) fn start_actor(
        &mut self,
        id: EndpointId,
        name: EndpointName,
        start: Start,
    ) -> Rc<Door> {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let route = self.tables.route(id, name.clone(), generation);
        let links = Rc::clone(&self.links);
        let inside = route.inside();
        let actor = EndpointActor::new(id, name.clone(), links, Box::new(route), start);
        let door = Door::new(actor.start(), inside, self.links.metrics.clone());
        let door = self.tables.enter(id, generation, name, door);
        self.make_room(id, generation);
        door
    }

    /// An actor was started: when there are too many now, some of the others are asked to rest.
    fn make_room(&mut self, id: EndpointId, generation: u64) {
        let Some(ring) = &mut self.ring else {
            return;
        };
        let tables = &self.tables;
        ring.add((id, generation), |entry| tables.is_running(entry));
        for id in ring.surplus(tables.running(), |entry| tables.is_running(entry)) {
            if let Some((_, door)) = tables.door(id) {
                // One with a full mailbox has no time to rest.
                let _ = door.put(MakeRoom);
            }
        }
    }

    /// The actor of an endpoint; one that died, rests or had nothing to do is started from what is stored.
    /// The name is needed of those that are not registered.
    pub(super) fn actor(
        &mut self,
        id: EndpointId,
        name: Option<&EndpointName>,
    ) -> Option<Rc<Door>> {
        let known = self.tables.door(id);
        if let Some((_, door)) = &known
            && door.is_open()
        {
            return Some(Rc::clone(door));
        }
        let has_died = known.is_some();
        let name = known
            .map(|(name, _)| name)
            .or_else(|| name.cloned())
            .or_else(|| self.tables.state.borrow().name(id))?;
        if has_died {
            tracing::warn!(endpoint.name = %name, "The actor of {name} has died and is started anew");
            self.links.metrics.restarts.inc();
        }
        let memo = self.tables.state.borrow_mut().take_memo(id).map(Box::new);
        Some(self.start_actor(id, name, Start::Load(memo)))
    }

    /// The actor of a device by its name, started if need be.
    pub(super) fn actor_of(&mut self, name: &EndpointName) -> Option<Rc<Door>> {
        let id = self.tables.state.borrow().id(name)?;
        self.actor(id, Some(name))
    }

    pub(super) fn deliver(
        &mut self,
        id: EndpointId,
        name: Option<&EndpointName>,
        input: Input,
        ctx: &mut Context<Self>,
    ) {
        // The end of an exchange comes once and must arrive; there is at most one for each actor.
        let must_arrive = matches!(
            input,
            Input::Response { .. } | Input::Failed { .. } | Input::MessageIdsExhausted { .. }
        );
        let message = Deliver::new(input, &self.lost);
        let Some(door) = self.actor(id, name) else {
            return;
        };
        match door.put(message) {
            Ok(()) => {}
            Err(SendError::Full(message)) if must_arrive => {
                ctx.spawn(door.push(message).into_actor(self).map(|_, _, _| ()));
            }
            Err(SendError::Full(_) | SendError::Closed(_)) => {
                self.links.metrics.refused.inc();
            }
        }
    }

    /// Whoever looks on is told who a peer is that speaks for the first time since the start.
    fn make_known(&self, peer: Peer) {
        if self.links.wire.is_stranger(peer)
            && let Some(id) = self.from(peer)
        {
            self.make_known_as(peer, id);
        }
    }

    /// The same for one that is known by something else.
    pub(super) fn make_known_as(&self, peer: Peer, id: EndpointId) {
        let name = self.tables.state.borrow().name(id);
        if let Some(name) = name.filter(|_| self.links.wire.is_stranger(peer)) {
            self.links.wire.belongs(peer, &name);
        }
    }

    fn event(&mut self, event: Event, ctx: &mut Context<Self>) {
        match &event {
            Event::Request { key, .. } => self.make_known(key.peer),
            Event::Notification { key, .. } => self.make_known(key.peer),
            _ => {}
        }
        match event {
            Event::Request { key, request } => {
                match classify(&request, key.confirmable, &self.limits) {
                    Ok(Call::Register(register)) => self.register(key, register, ctx),
                    Ok(Call::Update { location, update }) => {
                        self.links.metrics.updates.inc();
                        let input = |key, location| Input::Update {
                            key,
                            location,
                            update: Box::new(update),
                        };
                        self.deliver_to_location(key, location, input, ctx);
                    }
                    Ok(Call::Deregister { location }) => {
                        self.links.metrics.deregisters.inc();
                        self.deliver_to_location(
                            key,
                            location,
                            |key, location| Input::Deregister { key, location },
                            ctx,
                        );
                    }
                    Ok(Call::Send) => self.send(key, &request, ctx),
                    Ok(Call::Discovery) => self.links.wire.respond(&key, discovery()),
                    Ok(Call::Image { path }) => self.fetch_image(key, &request, &path),
                    Err(refusal) => self.refuse(&key, refusal),
                }
            }
            Event::Notification {
                key,
                response,
                more,
            } => {
                let observer = self.tables.state.borrow().observer(key.token);
                match observer {
                    Some(id) => {
                        self.links.metrics.notifications.inc();
                        self.deliver(
                            id,
                            None,
                            Input::Notification {
                                key,
                                response,
                                more,
                            },
                            ctx,
                        );
                    }
                    // All stored observations are in the tables since before the first datagram
                    // was read, so this token is unknown for good.
                    None => {
                        let from = self.from(key.peer);
                        if let Some(id) = from.filter(|_| response.options.observe().is_none()) {
                            self.deliver(id, None, Input::Stray, ctx);
                        }
                        self.links.wire.reject(&key);
                    }
                }
            }
            Event::Response {
                exchange,
                response,
                acknowledge,
                message_ids,
            } => match self.take_exchange(exchange) {
                Some(id) => {
                    self.deliver(
                        id,
                        None,
                        Input::Response {
                            exchange,
                            response,
                            acknowledge,
                            message_ids,
                        },
                        ctx,
                    );
                }
                None => {
                    if let Some(key) = acknowledge {
                        self.links.wire.acknowledge(&key);
                    }
                }
            },
            Event::Failed {
                exchange,
                failure,
                message_ids,
            } => {
                if let Some(id) = self.take_exchange(exchange) {
                    self.deliver(
                        id,
                        None,
                        Input::Failed {
                            exchange,
                            failure,
                            message_ids,
                        },
                        ctx,
                    );
                }
            }
            Event::MessageIdsExhausted { exchange } => {
                let id = self.tables.state.borrow().exchange(exchange);
                if let Some(id) = id {
                    self.deliver(id, None, Input::MessageIdsExhausted { exchange }, ctx);
                }
            }
            // A server sends no notifications.
            Event::NotificationAcknowledged { .. }
            | Event::NotificationReset { .. }
            | Event::NotificationTimedOut { .. } => {}
        }
    }

    /// What never reached a session counts as never arrived.
    fn let_go_of_the_lost(&self) {
        for lost in self.has_lost.try_iter() {
            self.links.wire.ignore(&lost.0);
        }
    }

    fn take_exchange(&self, exchange: ExchangeId) -> Option<EndpointId> {
        let mut state = self.tables.state.borrow_mut();
        let id = state.exchange(exchange);
        state.end_exchange(exchange);
        id
    }

    fn register(&mut self, key: RequestKey, request: RegisterRequest, ctx: &mut Context<Self>) {
        self.links.metrics.registers.inc();
        let name = match self.claim(key.peer, request.endpoint.as_ref()) {
            Ok(name) => name,
            Err(reason) => return self.deny(&key, request.endpoint, reason),
        };
        let known = self.tables.state.borrow().id(&name);
        let id = match known {
            Some(id) => id,
            None => {
                if self.tables.state.borrow().known() >= self.max_endpoints {
                    let reason = "no more endpoints are taken (registration.max_endpoints)";
                    return self.refuse(
                        &key,
                        Refusal {
                            code: Code::SERVICE_UNAVAILABLE,
                            reason: reason.to_owned(),
                        },
                    );
                }
                let id = self.links.writer.ids().endpoint();
                self.tables.state.borrow_mut().know(name.clone(), id);
                self.start_actor(id, name.clone(), Start::New);
                id
            }
        };
        self.deliver(
            id,
            Some(&name),
            Input::Register {
                key,
                request: Box::new(request),
            },
            ctx,
        );
    }

    fn deliver_to_location(
        &mut self,
        key: RequestKey,
        location: RegistrationId,
        input: impl FnOnce(RequestKey, RegistrationId) -> Input,
        ctx: &mut Context<Self>,
    ) {
        let at = self.tables.state.borrow().at(&location);
        match at {
            Some(id) => self.deliver(id, None, input(key, location), ctx),
            None => {
                let reason = "there is no such registration; register again".to_owned();
                self.refuse(
                    &key,
                    Refusal {
                        code: Code::NOT_FOUND,
                        reason,
                    },
                );
            }
        }
    }

    fn send(&mut self, key: RequestKey, request: &crate::coap::Request, ctx: &mut Context<Self>) {
        self.links.metrics.sends.inc();
        if key.peer.is_secure() && self.links.identity(key.peer).is_none() {
            return self.deny(&key, None, Denied::NoIdentity);
        }
        let Some(id) = self.from(key.peer) else {
            let reason = "no device is registered from this address".to_owned();
            return self.refuse(
                &key,
                Refusal {
                    code: Code::BAD_REQUEST,
                    reason,
                },
            );
        };
        let request = Box::new(request.clone());
        self.deliver(id, None, Input::Send { key, request }, ctx);
    }

    /// Which endpoint a Register is for: over DTLS the one whose credential it is, over plain CoAP
    /// the one that it names, unless that could prove itself.
    fn claim(&self, peer: Peer, named: Option<&EndpointName>) -> Result<EndpointName, Denied> {
        if peer.is_secure() {
            let identity = self.links.identity(peer).ok_or(Denied::NoIdentity)?;
            return match named {
                Some(named) if identity.speaks_for(named) => Ok(named.clone()),
                Some(_) => Err(Denied::OtherEndpoint),
                None => Ok(identity.endpoint.clone()),
            };
        }
        let named = named.ok_or(Denied::Anonymous)?;
        if self.links.has_credentials(named) {
            return Err(Denied::HasCredentials);
        }
        if self.unknown_endpoints == UnknownEndpoints::Deny {
            return Err(Denied::Stranger);
        }
        Ok(named.clone())
    }

    /// The registered device that a peer speaks for: over DTLS by its identity, in whatever session;
    /// over plain CoAP by its address.
    pub(super) fn from(&self, peer: Peer) -> Option<EndpointId> {
        let state = self.tables.state.borrow();
        if !peer.is_secure() {
            return state.from(peer);
        }
        let identity = self.links.identity(peer)?;
        std::iter::once(&identity.endpoint)
            .chain(&identity.others)
            .filter_map(|name| state.id(name))
            .find(|id| state.peer(*id).is_some())
    }

    /// Refuses somebody who may not speak for an endpoint.
    fn deny(&self, key: &RequestKey, endpoint: Option<EndpointName>, reason: Denied) {
        let response = Refusal {
            code: Code::FORBIDDEN,
            reason: reason.to_string(),
        };
        let is_ours = |name: &EndpointName| {
            self.tables.state.borrow().id(name).is_some() || self.links.has_credentials(name)
        };
        let shown = Shown::of(self.links.identity(key.peer), endpoint.as_ref());
        self.links.refusals.note(Refused {
            endpoint: endpoint.filter(is_ours),
            peer: key.peer,
            reason,
            shown,
        });
        self.refuse(key, response);
    }

    pub(super) fn refuse(&self, key: &RequestKey, refusal: Refusal) {
        self.links.metrics.refusals.inc();
        tracing::debug!(peer = %key.peer, "Refused a request of {} with {}: {:?}", key.peer, refusal.code, refusal.reason);
        self.links.wire.respond(key, Response::from(refusal));
    }
}

impl Actor for RegistryActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.mailbox);
        if let Some(fleet) = self.fleet.take() {
            self.restore(fleet);
        }
        ctx.run_interval(LOST_INTERVAL, |actor, ctx| {
            actor.let_go_of_the_lost();
            actor.tell_some(ctx);
        });
        ctx.add_stream(self.tables.alarms(Rc::clone(&self.links.loads)));
        self.tell_some(ctx);
    }
}

impl StreamHandler<Vec<Event>> for RegistryActor {
    fn handle(&mut self, events: Vec<Event>, ctx: &mut Self::Context) {
        for event in events {
            self.event(event, ctx);
        }
        self.read_images(ctx);
        self.let_go_of_the_lost();
    }

    fn finished(&mut self, ctx: &mut Self::Context) {
        // The socket is closed: the server shuts down.
        ctx.stop();
    }
}

/// A DTLS handshake was refused, of a peer that named these endpoints.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HandshakeRefused {
    /// Whom it claimed to be; one that was never seen and has no credentials does not count.
    pub claimed: Vec<EndpointName>,
    /// Where it came from.
    pub peer: Peer,
    /// Why, in words.
    pub reason: String,
}

impl Handler<HandshakeRefused> for RegistryActor {
    type Result = ();

    fn handle(&mut self, refused: HandshakeRefused, _: &mut Self::Context) {
        let endpoint = refused.claimed.into_iter().find(|name| {
            self.tables.state.borrow().id(name).is_some() || self.links.has_credentials(name)
        });
        self.links.refusals.note(Refused {
            endpoint,
            peer: refused.peer,
            reason: Denied::Handshake(refused.reason),
            shown: None,
        });
    }
}

/// A device is forgotten. The answer is its row's id, and a receiver that resolves when its actor
/// is gone.
#[derive(Debug, Message)]
#[rtype(result = "Option<(EndpointId, oneshot::Receiver<()>)>")]
pub(super) struct ForgetOne(pub(super) EndpointName);

impl Handler<ForgetOne> for RegistryActor {
    type Result = MessageResult<ForgetOne>;

    fn handle(&mut self, ForgetOne(name): ForgetOne, ctx: &mut Self::Context) -> Self::Result {
        let Some(id) = self.tables.state.borrow_mut().forget(&name) else {
            return MessageResult(None);
        };
        let (done, gone) = oneshot::channel();
        self.links.refusals.forget(&name);
        self.links.wire.forgotten(&name);
        if let Some(door) = self.tables.close(id) {
            // Waits for a place in the mailbox; when the actor is gone already, so much the better.
            let told = door.push(Forget { done });
            ctx.spawn(told.into_actor(self).map(|_, _, _| ()));
        }
        self.tables.count();
        MessageResult(Some((id, gone)))
    }
}

/// Asks whether a device listens.
#[derive(Debug, Message)]
#[rtype(result = "Option<bool>")]
pub(super) struct IsAwake(pub(super) EndpointName);

impl Handler<IsAwake> for RegistryActor {
    type Result = Option<bool>;

    fn handle(&mut self, IsAwake(name): IsAwake, _: &mut Self::Context) -> Self::Result {
        let state = self.tables.state.borrow();
        let id = state.id(&name)?;
        let listening = state.listening(id)?;
        // A device that sleeps cannot be called: without its session it is not heard.
        let lost = listening != Listening::Always
            && state
                .peer(id)
                .is_some_and(|peer| self.links.wire.reach(peer) == Reach::Closed);
        Some(listening.now(Instant::now()) && !lost)
    }
}

/// What was lost without anything else happening is let go of this often.
const LOST_INTERVAL: Duration = Duration::from_millis(500);
/// How long the handle waits for the registry and an actor to take a message.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
