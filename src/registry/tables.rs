//! Where the actors are, and how each of them changes what leads to it.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use actix::dev::{MessageResponse, SendError, ToEnvelope};
use actix::prelude::*;
use futures_util::{Stream, stream};
use tokio::sync::Notify;

use super::actor::RegistryActor;
use super::deadlines::Deadlines;
use super::state::State;
use crate::coap::ExchangeId;
use crate::domain::{ById, EndpointId, EndpointName, FirmwareId, Peer, RegistrationId, Token};
use crate::endpoint::{EndpointActor, Input, Listening, Loads, Memo, Metrics, Routes};

/// Shared with every endpoint actor of this arbiter, through its [`Route`].
pub(super) struct Tables {
    pub(super) state: RefCell<State>,
    actors: RefCell<ById<EndpointId, Entry>>,
    deadlines: RefCell<Deadlines>,
    /// Another deadline is the first one now.
    earlier: Notify,
    metrics: Metrics,
}

struct Entry {
    generation: u64,
    name: EndpointName,
    door: Rc<Door>,
}

/// What leads into the mailbox of an actor.
pub(super) struct Door {
    /// One sender for all: a clone of an [`Addr`] may always put one message more into a full
    /// mailbox, so cloning it for each message would make the mailbox unbounded.
    address: Addr<EndpointActor>,
    inside: Rc<Cell<usize>>,
    metrics: Metrics,
}

/// How one endpoint's actor changes the tables.
pub(super) struct Route {
    id: EndpointId,
    name: EndpointName,
    generation: u64,
    tables: Rc<Tables>,
    /// Messages in the mailbox.
    inside: Rc<Cell<usize>>,
}

impl Door {
    pub(super) fn new(
        address: Addr<EndpointActor>,
        inside: Rc<Cell<usize>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            address,
            inside,
            metrics,
        }
    }

    /// False when the actor has died.
    pub(super) fn is_open(&self) -> bool {
        self.address.connected()
    }

    /// Puts a message into the mailbox if there is room.
    pub(super) fn put<M>(&self, message: M) -> Result<(), SendError<M>>
    where
        M: Message + Send + 'static,
        M::Result: MessageResponse<EndpointActor, M> + Send,
        EndpointActor: Handler<M>,
        Context<EndpointActor>: ToEnvelope<EndpointActor, M>,
    {
        self.address.try_send(message)?;
        self.count();
        Ok(())
    }

    /// Puts a message into the mailbox as soon as there is room.
    pub(super) fn push<M>(&self, message: M) -> Request<EndpointActor, M>
    where
        M: Message + Send + 'static,
        M::Result: MessageResponse<EndpointActor, M> + Send,
        EndpointActor: Handler<M>,
        Context<EndpointActor>: ToEnvelope<EndpointActor, M>,
    {
        self.count();
        self.address.send(message)
    }

    fn count(&self) {
        self.metrics.put();
        self.inside.set(self.inside.get().saturating_add(1));
    }
}

impl Tables {
    pub(super) fn new(deadlines: Deadlines, metrics: Metrics) -> Self {
        Self {
            state: RefCell::default(),
            actors: RefCell::default(),
            deadlines: RefCell::new(deadlines),
            earlier: Notify::new(),
            metrics,
        }
    }

    pub(super) fn count(&self) {
        let registered = i64::try_from(self.state.borrow().registered_count()).unwrap_or(i64::MAX);
        self.metrics.registrations.set(registered);
    }

    /// The way of an actor that is about to be started.
    pub(super) fn route(
        self: &Rc<Self>,
        id: EndpointId,
        name: EndpointName,
        generation: u64,
    ) -> Route {
        Route {
            id,
            name,
            generation,
            tables: Rc::clone(self),
            inside: Rc::default(),
        }
    }

    /// An actor was started.
    pub(super) fn enter(
        &self,
        id: EndpointId,
        generation: u64,
        name: EndpointName,
        door: Door,
    ) -> Rc<Door> {
        let door = Rc::new(door);
        let entry = Entry {
            generation,
            name,
            door: Rc::clone(&door),
        };
        self.actors.borrow_mut().insert(id, entry);
        door
    }

    /// The actor of an endpoint, as far as it is known; it may have died.
    pub(super) fn door(&self, id: EndpointId) -> Option<(EndpointName, Rc<Door>)> {
        let actors = self.actors.borrow();
        let entry = actors.get(&id)?;
        Some((entry.name.clone(), Rc::clone(&entry.door)))
    }

    /// How many actors there are.
    pub(super) fn running(&self) -> usize {
        self.actors.borrow().len()
    }

    /// True while this actor of an endpoint, of all that it had, is there.
    pub(super) fn is_running(&self, (id, generation): (EndpointId, u64)) -> bool {
        let actors = self.actors.borrow();
        actors
            .get(&id)
            .is_some_and(|entry| entry.generation == generation)
    }

    /// An endpoint is forgotten: nothing leads to its actor any more.
    pub(super) fn close(&self, id: EndpointId) -> Option<Rc<Door>> {
        self.deadlines.borrow_mut().set(id, None);
        let entry = self.actors.borrow_mut().remove(&id);
        entry.map(|entry| entry.door)
    }

    /// Whoever has an actor or is registered: each of them can be looked at.
    pub(super) fn all(&self) -> Vec<EndpointId> {
        let actors = self.actors.borrow();
        let state = self.state.borrow();
        let resting = state.registered_ids().filter(|id| !actors.contains_key(id));
        actors.keys().copied().chain(resting).collect()
    }

    /// When a device is to be looked at; never any more: none.
    pub(super) fn wakes(&self, id: EndpointId, at: Option<Instant>) {
        // What is due by the clock on the wall is due by then, too.
        let at = at.and_then(|at| at.checked_add(TIMER_SLACK));
        if self.deadlines.borrow_mut().set(id, at) {
            self.earlier.notify_one();
        }
    }

    /// A device whose time has come.
    fn take_due(&self) -> Option<EndpointId> {
        self.deadlines.borrow_mut().take_due(Instant::now())
    }

    /// An item each time when devices are due. It waits while so many actors are being read from the store
    /// that those of devices which are heard of would have to wait.
    pub(super) fn alarms(self: &Rc<Self>, loads: Rc<Loads>) -> impl Stream<Item = Due> + use<> {
        stream::unfold((Rc::clone(self), loads), async |(tables, loads)| {
            tables.wait_for_the_first().await;
            while loads.are_many() {
                tokio::time::sleep(BREATH).await;
            }
            Some((Due, (tables, loads)))
        })
    }

    async fn wait_for_the_first(&self) {
        loop {
            let first = self.deadlines.borrow().first();
            let earlier = self.earlier.notified();
            match first {
                None => earlier.await,
                Some(at) => {
                    let due = tokio::time::sleep_until(at.into());
                    tokio::select! {
                        () = due => return,
                        () = earlier => {}
                    }
                }
            }
        }
    }
}

/// The deadline of at least one device has passed.
pub(super) struct Due;

impl StreamHandler<Due> for RegistryActor {
    fn handle(&mut self, _: Due, ctx: &mut Self::Context) {
        for _ in 0..AT_ONCE {
            let Some(id) = self.tables.take_due() else {
                return;
            };
            self.deliver(id, None, Input::Tick, ctx);
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {}
}

impl Route {
    /// Messages in the mailbox.
    pub(super) fn inside(&self) -> Rc<Cell<usize>> {
        Rc::clone(&self.inside)
    }
}

impl Routes for Route {
    fn watch(&self, token: Token) {
        self.tables.state.borrow_mut().watch(self.id, token);
    }

    fn unwatch(&self, token: Token) {
        self.tables.state.borrow_mut().unwatch(token);
    }

    fn exchange(&self, exchange: ExchangeId) {
        self.tables
            .state
            .borrow_mut()
            .begin_exchange(self.id, exchange);
    }

    fn exchange_ended(&self, exchange: ExchangeId) {
        self.tables.state.borrow_mut().end_exchange(exchange);
    }

    fn registered(&self, location: &RegistrationId, peer: Peer) {
        self.tables
            .state
            .borrow_mut()
            .registered(self.id, &self.name, location, peer);
        self.tables.count();
    }

    fn unregistered(&self) {
        self.tables.state.borrow_mut().unregistered(self.id);
        self.tables.count();
    }

    fn listens(&self, listening: Listening) {
        self.tables.state.borrow_mut().listens(self.id, listening);
    }

    fn fetches(&self, what: Option<(FirmwareId, IpAddr)>) {
        self.tables.state.borrow_mut().fetches(self.id, what);
    }

    fn taken(&self) {
        self.inside.set(self.inside.get().saturating_sub(1));
    }

    fn is_quiet(&self) -> bool {
        self.inside.get() == 0
    }

    fn wakes(&self, at: Option<Instant>) {
        self.tables.wakes(self.id, at);
    }

    fn rests(&self, memo: Memo) {
        self.tables.state.borrow_mut().rests(self.id, memo);
    }

    fn ended(&self) {
        let mut actors = self.tables.actors.borrow_mut();
        let orderly = !std::thread::panicking();
        if orderly
            && actors
                .get(&self.id)
                .is_some_and(|entry| entry.generation == self.generation)
        {
            actors.remove(&self.id);
        }
    }
}

/// Timers fire a little after their deadline, so that it has passed when they are looked at.
const TIMER_SLACK: Duration = Duration::from_millis(2);
/// So many devices are looked at before something else has its turn.
const AT_ONCE: usize = 500;
/// How long is waited when many actors are being read.
const BREATH: Duration = Duration::from_millis(10);
