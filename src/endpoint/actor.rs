//! The mailbox of one device.

mod asks;

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::in_order::InOrder;
use super::links::Links;
use super::messages::{
    CancelUpdate, ChangeProfile, Deliver, Forget, LookAtTemplates, MakeRoom, NotTaken, Report,
    UpdateFirmware,
};
use super::session::{
    Action, Backlog, CommitStep, Departure, Env, Gate, Input, Memo, Session, Step,
};
use super::waiters::Waiters;
use super::wire::{Listening, Routes};
use crate::coap::Response;
use crate::domain::{
    Denied, EndpointId, EndpointName, FirmwareId, Now, Peer, Shown, StoredAnswer, Timestamp,
    UpdateResult,
};
use crate::registry::OperateError;
use crate::security::Refused;
use crate::store::{Change, Commit, StoreError, StoredEndpoint};

/// What a commit came to, and what is to be done in either case.
type Commitment = (Result<(), StoreError>, Vec<Action>, Vec<Action>);

/// How an actor begins.
#[derive(Debug)]
pub enum Start {
    /// The device was never seen before.
    New,
    /// Its state is here already (a start of the server).
    Stored(Box<StoredEndpoint>),
    /// Its state is read from the store first; what the actor before it left behind is here.
    Load(Option<Box<Memo>>),
}

/// The actor of one device.
pub struct EndpointActor {
    id: EndpointId,
    name: EndpointName,
    links: Rc<Links>,
    routes: Box<dyn Routes>,
    start: Option<Start>,
    session: Option<Session>,
    backlog: Backlog,
    waiters: Waiters,
    /// Whose message was taken last.
    heard: Option<Peer>,
    /// Commits that are not through yet.
    commits: InOrder<Commitment>,
    /// The deadline that the registry knows of.
    armed: Option<Instant>,
    /// When something last came of it or for it; none: it only had to look at something.
    active: Option<Instant>,
    /// What that was when it was last asked to make room.
    asked: Option<Instant>,
    /// When it listens, as the registry knows.
    told: Option<Listening>,
    /// What it is to fetch, as the registry knows.
    fetches: Option<(FirmwareId, IpAddr)>,
    /// Dropped with the actor, which tells whoever waits for its end.
    forgotten: Option<oneshot::Sender<()>>,
}

impl EndpointActor {
    /// An actor that is not running yet.
    pub fn new(
        id: EndpointId,
        name: EndpointName,
        links: Rc<Links>,
        routes: Box<dyn Routes>,
        start: Start,
    ) -> Self {
        Self {
            id,
            name,
            links,
            routes,
            start: Some(start),
            session: None,
            backlog: Backlog::default(),
            waiters: Waiters::default(),
            heard: None,
            commits: InOrder::default(),
            armed: None,
            active: None,
            asked: None,
            told: None,
            fetches: None,
            forgotten: None,
        }
    }

    fn with_session(
        &mut self,
        now: Now,
        ctx: &mut Context<Self>,
        input: impl FnOnce(&mut Session, &Env<'_>) -> Vec<Step>,
    ) {
        let links = Rc::clone(&self.links);
        let templates = Arc::clone(&links.templates.borrow());
        let rules = Arc::clone(&links.rules.borrow());
        let log_resources = Arc::clone(&links.log_resources.borrow());
        let models = links.models.current();
        let env = links.env(now, &models, &templates, &rules, &log_resources);
        let Some(session) = &mut self.session else {
            return;
        };
        let steps = input(session, &env);
        self.carry_out(steps, ctx);
    }

    fn feed(&mut self, input: Input, ctx: &mut Context<Self>) {
        let now = Now::system();
        match input {
            Input::Tick => self.armed = None,
            Input::Templates { .. } => {}
            _ => self.active = Some(now.instant),
        }
        let asked = || self.session.as_ref()?.peer();
        self.heard = input.peer().or_else(asked);
        self.with_session(now, ctx, |session, env| session.handle(env, input));
        self.settle(now, ctx);
        self.links.metrics.handled(now.instant.elapsed());
    }

    /// Commits are handed over in the order in which the session found them, so that what is written
    /// last is what it knows.
    fn carry_out(&mut self, steps: Vec<Step>, ctx: &mut Context<Self>) {
        if !self.backlog.add(steps) {
            return;
        }
        while let Some(step) = self.backlog.take() {
            match step {
                Step::Do(action) => self.act(action, ctx),
                Step::Commit(step) => self.commit(*step, ctx),
                Step::InTurn(action) if self.commits.is_empty() => self.act(action, ctx),
                Step::InTurn(action) => {
                    let number = self.commits.begin();
                    self.commits.end(number, (Ok(()), vec![action], Vec::new()));
                }
            }
        }
    }

    fn commit(&mut self, step: CommitStep, ctx: &mut Context<Self>) {
        let CommitStep {
            mut commit,
            mut then,
            otherwise,
        } = step;
        then.extend(ended_updates(&commit).map(Action::UpdateEnded));
        for action in &then {
            if let Action::Respond(key, response) = action
                && key.confirmable
            {
                commit
                    .changes
                    .push(Change::RememberAnswer(Box::new(StoredAnswer {
                        peer: key.peer,
                        message_id: key.message_id,
                        hash: key.hash,
                        answer: self.links.wire.encode_response(key, response),
                        expires_at: Timestamp::system().plus(self.links.settings.exchange_lifetime),
                    })));
            }
        }
        if commit.is_empty() {
            for action in then {
                self.act(action, ctx);
            }
            return;
        }
        // What a record brought and that it has come are on disk together, so that a copy of it has no
        // effect after a restart either.
        if !commit.changes.is_empty() {
            let mark = self
                .heard
                .and_then(|peer| self.links.wire.session_mark(peer));
            commit.changes.extend(mark.map(Change::MarkSession));
        }
        let number = self.commits.begin();
        let written = self.links.writer.commit(commit).into_actor(self);
        ctx.spawn(written.map(move |result, actor, ctx| {
            // The results of one transaction come at once, and actix takes them in any order.
            actor.commits.end(number, (result, then, otherwise));
            while let Some((result, then, otherwise)) = actor.commits.next() {
                actor.committed(result, then, otherwise, ctx);
            }
        }));
    }

    fn committed(
        &mut self,
        result: Result<(), StoreError>,
        then: Vec<Action>,
        otherwise: Vec<Action>,
        ctx: &mut Context<Self>,
    ) {
        match result {
            Ok(()) => {
                for action in then {
                    self.act(action, ctx);
                }
                self.settle(Now::system(), ctx);
            }
            Err(error) => {
                tracing::error!(endpoint.name = %self.name, "Cannot store what {} did: {error}", self.name);
                for action in otherwise {
                    self.act(action, ctx);
                }
                self.waiters.fail(&error);
                // What is in memory is not what is on disk: the next message starts an actor anew.
                self.abandon();
                self.settle(Now::system(), ctx);
            }
        }
    }

    fn act(&mut self, action: Action, ctx: &mut Context<Self>) {
        let wire = &self.links.wire;
        match action {
            Action::Respond(key, response) => wire.respond(&key, response),
            Action::Deny(key, code, reason) => {
                wire.respond(&key, Response::refusal(code, &reason.to_string()));
                self.denied(key.peer, reason);
            }
            Action::Distrust(key, reason) => {
                self.denied(key.peer, reason);
                wire.ignore(&key);
            }
            Action::Acknowledge(key) => wire.acknowledge(&key),
            Action::Reject(key) => wire.reject(&key),
            Action::Ignore(key) => wire.ignore(&key),
            Action::CancelExchange(exchange) => {
                wire.cancel(exchange);
                self.routes.exchange_ended(exchange);
            }
            Action::SetWindow(exchange, window) => wire.set_window(exchange, window),
            Action::ExtendMessageIds(exchange, ids) => wire.extend_message_ids(exchange, ids),
            Action::Proven(peer) => wire.proven(peer),
            Action::Watch(token) => self.routes.watch(token),
            Action::Unwatch(token) => self.routes.unwatch(token),
            Action::Registered(location, peer) => {
                self.routes.registered(&location, peer);
                self.links.wire.belongs(peer, &self.name);
                // It may have been made just now.
                self.told = None;
                self.fetches = None;
                if let Some(session) = &mut self.session {
                    session.share(&mut self.links.shared.borrow_mut());
                }
            }
            Action::Unregistered => self.routes.unregistered(),
            Action::Transmit {
                attempt,
                peer,
                request,
            } => {
                let wanted = self
                    .session
                    .as_ref()
                    .is_some_and(|session| session.wants(attempt));
                if wanted && self.departs(attempt, ctx) {
                    let sent = self.links.wire.request(peer, *request);
                    self.sent(attempt, sent, ctx);
                }
            }
            Action::Await {
                attempt,
                peer,
                token,
                timeout,
            } => {
                let sent = wire.await_response(peer, token, timeout);
                self.sent(attempt, sent, ctx);
            }
            Action::Accepted(ticket, operation) => self.waiters.accepted(ticket, *operation),
            Action::Profiled(ticket, profile) => self.waiters.profiled(ticket, *profile),
            Action::UpdateAccepted(ticket, update) => self.waiters.updated(ticket, Ok(*update)),
            Action::UpdateRefused(ticket, refusal) => self.waiters.updated(ticket, Err(refusal)),
            Action::UpdateEnded(result) => self.links.metrics.update_ended(result),
            Action::Refused(ticket, refusal) => self.waiters.refused(ticket, refusal),
            Action::Finished(operation) => self.waiters.finished(&operation),
            Action::Reported(ticket) => self.waiters.reported(ticket, Ok(())),
            Action::NotReported(ticket) => self.waiters.reported(ticket, Err(NotTaken::NotStored)),
            Action::Pump => self.with_session(Now::system(), ctx, |session, env| {
                session.handle(env, Input::Pump)
            }),
        }
    }

    fn sent(
        &mut self,
        attempt: u64,
        sent: Result<crate::coap::ExchangeId, crate::coap::RequestError>,
        ctx: &mut Context<Self>,
    ) {
        match sent {
            Ok(exchange) => {
                self.routes.exchange(exchange);
                if let Some(session) = &mut self.session {
                    session.transmitted(attempt, exchange);
                }
            }
            // Strangers could fill the log with it; it is counted.
            Err(error @ crate::coap::RequestError::Unproven) => {
                tracing::debug!(endpoint.name = %self.name, "Cannot send to {}: {error}", self.name);
                self.with_session(Now::system(), ctx, |session, env| {
                    session.not_sent(env, attempt)
                });
            }
            Err(error) => {
                tracing::warn!(endpoint.name = %self.name, "Cannot send to {}: {error}", self.name);
                self.with_session(Now::system(), ctx, |session, env| {
                    session.not_sent(env, attempt)
                });
            }
        }
    }

    /// Whether the request of an attempt can go out now; what it means when it cannot is done.
    fn departs(&mut self, attempt: u64, ctx: &mut Context<Self>) -> bool {
        let mut goes = false;
        self.with_session(Now::system(), ctx, |session, env| {
            match session.depart(env, attempt) {
                Departure::Go => {
                    goes = true;
                    Vec::new()
                }
                Departure::Stay(steps) => steps,
            }
        });
        goes
    }

    fn denied(&self, peer: Peer, reason: Denied) {
        self.links.refusals.note(Refused {
            endpoint: Some(self.name.clone()),
            peer,
            reason,
            shown: Shown::of(self.links.identity(peer), Some(&self.name)),
        });
    }

    fn report(&mut self, message: Report, ctx: &mut Context<Self>) {
        let Some((report, answer)) = message.take() else {
            return;
        };
        let ticket = self.waiters.add_report(answer);
        self.feed(Input::Report { report, ticket }, ctx);
    }

    /// A message was taken from the mailbox.
    fn taken(&self) {
        self.links.metrics.taken();
        self.routes.taken();
    }

    /// After each change of the session: its deadline, what others see of it, and whether it is still
    /// needed.
    fn settle(&mut self, now: Now, ctx: &mut Context<Self>) {
        let Some(session) = &mut self.session else {
            // Commits under way still answer their devices.
            if self.commits.is_empty() {
                ctx.stop();
            }
            return;
        };
        let refused = session.take_refused_by_rules();
        self.links.metrics.rule_states_refused.inc_by(refused);
        let listens = session.listens(now, &self.links.settings);
        if self.told.replace(listens) != Some(listens) {
            self.routes.listens(listens);
        }
        let fetches = session.fetches();
        if self.fetches != fetches {
            self.fetches = fetches;
            self.routes.fetches(fetches);
        }
        let deadline = session.next_deadline(now);
        let is_free = self.commits.is_empty() && self.waiters.are_gone();
        if !session.is_needed() && is_free && self.routes.is_quiet() {
            self.routes.wakes(None);
            self.abandon();
            ctx.stop();
            return;
        }
        let settings = &self.links.settings;
        let rests_at = settings.idle.map(|idle| match self.active {
            Some(active) => active + idle,
            None => now.instant,
        });
        let is_time = rests_at.is_some_and(|at| at <= now.instant);
        if is_free && is_time && self.routes.is_quiet() && self.waiters.are_none() {
            let steps = session.write_learned();
            if !steps.is_empty() {
                // It is looked at once more when that is on disk.
                return self.carry_out(steps, ctx);
            }
            if let Some(memo) = session.memo(now, settings) {
                self.routes.wakes(deadline);
                self.routes.rests(memo);
                ctx.stop();
                return;
            }
        }
        // What keeps it from resting does so for a while: it is not looked at every moment.
        let again = settings.idle.unwrap_or_default();
        let rests_at = rests_at.map(|at| {
            if at > now.instant {
                at
            } else {
                now.instant + again
            }
        });
        let next = [deadline, rests_at].into_iter().flatten().min();
        let is_news = |armed: Instant| next.is_some_and(|next| next < armed);
        if next.is_some() && self.armed.is_none_or(|at| at <= now.instant || is_news(at)) {
            self.armed = next;
            self.routes.wakes(next);
        }
    }

    /// Lets go of the session. What leads to it stays, so that the next message for the device
    /// starts an actor anew.
    fn abandon(&mut self) {
        if let Some(session) = self.session.take()
            && let Some(exchange) = session.exchange()
        {
            self.links.wire.cancel(exchange);
            self.routes.exchange_ended(exchange);
        }
    }

    fn begin(&mut self, stored: StoredEndpoint, memo: Option<Memo>, ctx: &mut Context<Self>) {
        let links = Rc::clone(&self.links);
        let templates = Arc::clone(&links.templates.borrow());
        let rules = Arc::clone(&links.rules.borrow());
        let log_resources = Arc::clone(&links.log_resources.borrow());
        let models = links.models.current();
        let env = links.env(Now::system(), &models, &templates, &rules, &log_resources);
        let (name, began) = (self.name.clone(), links.began);
        let (session, steps) = Session::resume_from(&env, self.id, name, stored, memo, began);
        self.session = Some(session);
        self.carry_out(steps, ctx);
    }
}

impl Actor for EndpointActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(self.links.mailbox);
        self.links.metrics.actors.inc();
        match self.start.take() {
            Some(Start::Stored(stored)) => {
                self.begin(*stored, None, ctx);
                self.settle(Now::system(), ctx);
            }
            Some(Start::Load(memo)) => {
                let load = self.links.loads.load(self.id);
                let load = async { load.await.unwrap_or(Err(StoreError::Closed)) };
                // Nothing is taken from the mailbox before the state is here.
                ctx.wait(load.into_actor(self).map(move |loaded, actor, ctx| match loaded {
                    Ok(stored) => {
                        actor.begin(stored, memo.map(|memo| *memo), ctx);
                        actor.settle(Now::system(), ctx);
                    }
                    Err(error) => {
                        tracing::error!(endpoint.name = %actor.name, "Cannot load {}: {error}", actor.name);
                        if let Some(memo) = memo {
                            actor.routes.rests(*memo);
                        }
                        // Its lifetime goes on all the same.
                        actor.routes.wakes(Some(Instant::now() + LOAD_AGAIN));
                        ctx.stop();
                    }
                }));
            }
            Some(Start::New) | None => self.begin(StoredEndpoint::default(), None, ctx),
        }
    }
}

impl Drop for EndpointActor {
    fn drop(&mut self) {
        // Also after a panic, where `stopped` is not called.
        self.links.metrics.actors.dec();
        self.routes.ended();
    }
}

impl Handler<Deliver> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: Deliver, ctx: &mut Self::Context) {
        self.taken();
        if self.session.is_some() {
            self.feed(message.input, ctx);
            message.guard.taken();
        }
    }
}

impl Handler<MakeRoom> for EndpointActor {
    type Result = ();

    fn handle(&mut self, _: MakeRoom, ctx: &mut Self::Context) {
        self.taken();
        if self.active == self.asked {
            self.active = None;
        }
        self.asked = self.active;
        self.settle(Now::system(), ctx);
    }
}

impl Handler<Report> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: Report, ctx: &mut Self::Context) {
        self.taken();
        match &self.session {
            None => {}
            Some(session) if session.knows_gateway() => self.report(message, ctx),
            Some(_) => {
                let loader = Arc::clone(self.links.loads.loader());
                let id = self.id;
                let load = async move { loader.load_gateway(id).await };
                // Nothing else is taken from the mailbox before this.
                ctx.wait(load.into_actor(self).map(|loaded, actor, ctx| {
                    match (loaded, &mut actor.session) {
                        (Ok(state), Some(session)) => {
                            session.recall_gateway(state);
                            actor.report(message, ctx);
                        }
                        (Ok(_), None) => {}
                        (Err(error), _) => {
                            tracing::error!(endpoint.name = %actor.name, "Cannot load what gateways told of {}: {error}", actor.name);
                            if let Some((_, answer)) = message.take() {
                                let _ = answer.send(Err(NotTaken::NotStored));
                            }
                        }
                    }
                    actor.settle(Now::system(), ctx);
                }));
            }
        }
    }
}

impl Handler<ChangeProfile> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: ChangeProfile, ctx: &mut Self::Context) {
        self.taken();
        if self.session.is_none() {
            let _ = message.answer.send(Err(OperateError::Busy));
            return;
        }
        let ticket = self.waiters.add_profile(message.answer);
        let input = Input::Profile {
            change: message.change,
            by: message.by,
            ticket,
        };
        self.feed(input, ctx);
    }
}

impl Handler<UpdateFirmware> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: UpdateFirmware, ctx: &mut Self::Context) {
        self.taken();
        if self.session.is_none() {
            let _ = message.answer.send(Err(OperateError::Busy));
            return;
        }
        // Whoever asked has given up and may ask again once it is sure that this was not begun: a device is not
        // updated twice.
        if message.answer.is_closed() {
            return;
        }
        let ticket = self.waiters.add_update(message.answer);
        let new = message.new;
        self.feed(Input::UpdateFirmware { new, ticket }, ctx);
    }
}

impl Handler<CancelUpdate> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: CancelUpdate, ctx: &mut Self::Context) {
        self.taken();
        if self.session.is_none() {
            let _ = message.answer.send(Err(OperateError::Busy));
            return;
        }
        let ticket = self.waiters.add_update(message.answer);
        let input = Input::CancelUpdate {
            id: message.id,
            by: message.by,
            ticket,
        };
        self.feed(input, ctx);
    }
}

impl Handler<LookAtTemplates> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: LookAtTemplates, ctx: &mut Self::Context) {
        self.taken();
        let changed = message.changed;
        self.feed(Input::Templates { changed }, ctx);
    }
}

impl Handler<Forget> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: Forget, ctx: &mut Self::Context) {
        self.taken();
        self.forgotten = Some(message.done);
        for token in self.session.iter().flat_map(Session::tokens) {
            self.routes.unwatch(token);
        }
        self.routes.unregistered();
        self.abandon();
        self.settle(Now::system(), ctx);
    }
}

/// How the firmware updates went that are over with a commit.
fn ended_updates(commit: &Commit) -> impl Iterator<Item = UpdateResult> {
    commit.changes.iter().filter_map(|change| match change {
        Change::SaveFirmwareUpdate(update) if !update.is_active() => Some(update.result),
        _ => None,
    })
}

#[expect(
    clippy::expect_used,
    reason = "a system without randomness cannot make tokens that nobody guesses"
)]
pub(super) fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random bytes");
    bytes
}

/// When it is tried again to read a device that could not be read.
const LOAD_AGAIN: Duration = Duration::from_secs(5);
