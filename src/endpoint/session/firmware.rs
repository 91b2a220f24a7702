//! The firmware update of the device: [`crate::lwm2m::firmware`] says what is next, this makes an operation of it and
//! stores both with the lines of the timeline in one commit. How an image is pushed is in [`push`](super::push).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::operate::accept;
use super::{Action, CommitStep, Env, Session, Step, Ticket};
use crate::domain::{
    AuditEntry, Doer, FirmwareId, FirmwareUpdate, FirmwareUpdateId, ImageBytes, LiveEvent,
    LiveKind, LiveUpdate, NewOperation, NewUpdate, Node, Now, Operation, OperationId,
    OperationStatus, Origin, Peer, Progress, RolloutId, StepFacts, UpdateFacts, UpdateMethod,
    UpdatePhase, UpdateStep,
};
use crate::lwm2m::firmware::{self, Ask, Event, TooLate};
use crate::store::{Change, Commit};

/// Where the images of updates are.
pub trait Images {
    /// What a device at this address is to fetch an image from (5/0/1); nothing when the image is gone or this way is
    /// not served.
    fn uri(&self, image: FirmwareId, method: UpdateMethod, peer: Peer) -> Option<String>;

    /// What an image is made of; nothing when it is gone.
    fn bytes(&self, image: FirmwareId) -> Option<Arc<dyn ImageBytes>>;
}

/// Why a session does not begin or give up a firmware update.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateRefusal {
    /// One update at a time.
    #[error(
        "the device is being updated to {version} already (update {id}); cancel that or wait for its end"
    )]
    Active {
        /// Which.
        id: FirmwareUpdateId,
        /// To what.
        version: String,
        /// The rollout that it belongs to.
        rollout: Option<RolloutId>,
    },
    /// A rollout means another device, which had the name before this one.
    #[error(
        "the device that was meant was removed from this server, and has registered anew since"
    )]
    Another,
    /// A rollout does not begin with a device that is not there.
    #[error("the device is not registered; its turn comes when it is")]
    Absent,
    /// The device cannot be updated over LwM2M.
    #[error("the device does not announce object 5 (Firmware Update), so it cannot be updated")]
    NoObject,
    /// The image is made for others.
    #[error("{version} is not meant for this device, but for {meant}")]
    NotForDevice {
        /// Of the image.
        version: String,
        /// Whom it is for.
        meant: String,
    },
    /// It is not the one that is under way.
    #[error("update {0} is over")]
    NotActive(FirmwareUpdateId),
    /// It cannot be given up any more.
    #[error(transparent)]
    TooLate(#[from] TooLate),
}

impl Session {
    /// Begins an update.
    pub(super) fn begin_update(
        &mut self,
        env: &Env<'_>,
        new: NewUpdate,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        if let Some(refusal) = self.refuses_update(&new) {
            steps.push(Step::Do(Action::UpdateRefused(ticket, refusal)));
            return;
        }
        let id = env.ids.firmware_update();
        let device = (self.endpoint_id, self.name.clone());
        let update = FirmwareUpdate::new(id, device, &new, env.now.wall);
        let mut commit = Commit::default();
        let line = new
            .by
            .map(|by| AuditEntry::update_created(by, &update, &new.image));
        commit.changes.extend(line.map(Box::new).map(Change::Audit));
        self.update = Some(Box::new(update));
        self.advance_and_tell(env, Event::Begun, ticket, commit, steps);
    }

    /// Takes the update on, and tells whoever waits how it stands then.
    fn advance_and_tell(
        &mut self,
        env: &Env<'_>,
        event: Event<'_>,
        ticket: Ticket,
        mut commit: Commit,
        steps: &mut Vec<Step>,
    ) {
        let after = self.advance_update(env, event, &mut commit);
        let then = after.map(|update| Action::UpdateAccepted(ticket, update));
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then: then.into_iter().collect(),
            otherwise: Vec::new(),
        })));
    }

    fn refuses_update(&self, new: &NewUpdate) -> Option<UpdateRefusal> {
        if let Some(step) = &new.rollout
            && step.device != self.endpoint_id
        {
            return Some(UpdateRefusal::Another);
        }
        if let Some(active) = &self.update {
            return Some(UpdateRefusal::Active {
                id: active.id,
                version: active.version.clone(),
                rollout: active.rollout,
            });
        }
        if !self.is_selected(&new.image.selection) {
            return Some(UpdateRefusal::NotForDevice {
                version: new.image.version.clone(),
                meant: new.image.selection.to_string(),
            });
        }
        if self.registration.is_none() && new.rollout.is_some() {
            return Some(UpdateRefusal::Absent);
        }
        // Of one that is not registered it is found out when it comes.
        (self.registration.is_some() && !self.has_firmware_object())
            .then_some(UpdateRefusal::NoObject)
    }

    fn has_firmware_object(&self) -> bool {
        let registration = self.registration.as_ref();
        registration.is_some_and(|registration| registration.announces(&firmware::INSTANCE))
    }

    /// Gives an update up.
    pub(super) fn cancel_update(
        &mut self,
        env: &Env<'_>,
        id: FirmwareUpdateId,
        by: Option<Doer>,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        let may = match self.update.as_ref().filter(|update| update.id == id) {
            None => Err(UpdateRefusal::NotActive(id)),
            Some(update) if self.perhaps_installs(update) => Err(TooLate::Installing.into()),
            Some(update) => firmware::may_cancel(update).map_err(UpdateRefusal::from),
        };
        if let Err(refusal) = may {
            steps.push(Step::Do(Action::UpdateRefused(ticket, refusal)));
            return;
        }
        let who = by.as_ref().map_or("the server", |by| &by.actor).to_owned();
        let mut commit = Commit::default();
        if let (Some(by), Some(update)) = (by, &self.update) {
            let line = AuditEntry::update_cancelled(by, env.now.wall, update);
            commit.changes.push(Change::Audit(Box::new(line)));
        }
        self.advance_and_tell(env, Event::Cancelled { by: &who }, ticket, commit, steps);
    }

    /// True when the device may have been told to install, and has not said whether it does.
    fn perhaps_installs(&self, update: &FirmwareUpdate) -> bool {
        let was_not_sent = |operation: &Operation| {
            Some(operation.id) == update.operation && operation.attempts == 0
        };
        update.phase == UpdatePhase::Install && !self.queue.iter().any(was_not_sent)
    }

    /// Takes the update on by something that happened, in the commit that holds it. Returns the update as it is then.
    pub(super) fn advance_update(
        &mut self,
        env: &Env<'_>,
        event: Event<'_>,
        commit: &mut Commit,
    ) -> Option<Box<FirmwareUpdate>> {
        let mut update = self.update.take()?;
        let awaited = update.operation;
        let limits = &env.settings.update_limits;
        let mut turn = firmware::advance(&mut update, limits, env.now.wall, event);
        if let Some(ask) = turn.ask
            && let Err(why) = self.ask_for_update(env, &mut update, ask, commit)
        {
            let more = firmware::advance(
                &mut update,
                limits,
                env.now.wall,
                Event::Impossible { why: &why },
            );
            turn.told.extend(more.told);
        }
        if turn.changed {
            self.save_update(env, &update, &turn.told, commit);
        }
        if update.is_active() {
            self.update = Some(update.clone());
        } else {
            // It may wait for a device that sleeps, and nobody needs it any more.
            self.withdraw_operation(env, awaited, commit);
            self.push = None;
            self.forget_update_wishes();
        }
        Some(update)
    }

    fn save_update(
        &self,
        env: &Env<'_>,
        update: &FirmwareUpdate,
        told: &[(UpdatePhase, String)],
        commit: &mut Commit,
    ) {
        let step = |(phase, text): &(UpdatePhase, String)| UpdateStep {
            at: env.now.wall,
            phase: *phase,
            text: text.clone(),
        };
        let steps: Vec<UpdateStep> = told.iter().map(step).collect();
        commit.publish.push(self.live_update(env, update, &steps));
        commit
            .changes
            .push(Change::SaveFirmwareUpdate(Box::new(update.clone())));
        let (endpoint_id, id) = (self.endpoint_id, update.id);
        commit
            .changes
            .extend(steps.into_iter().map(|step| Change::FirmwareStep {
                endpoint_id,
                update: id,
                step,
            }));
    }

    fn live_update(
        &self,
        env: &Env<'_>,
        update: &FirmwareUpdate,
        steps: &[UpdateStep],
    ) -> LiveEvent {
        let update = LiveUpdate {
            facts: UpdateFacts::from(update),
            timeline: steps.iter().map(StepFacts::from).collect(),
        };
        self.live(LiveKind::FirmwareUpdate, env.now.wall, update)
    }

    /// Makes an operation of what is to be asked, in the place of the one that was awaited.
    fn ask_for_update(
        &mut self,
        env: &Env<'_>,
        update: &mut FirmwareUpdate,
        ask: Ask,
        commit: &mut Commit,
    ) -> Result<(), String> {
        let awaited = update.operation.take();
        self.withdraw_operation(env, awaited, commit);
        let mut uri = String::new();
        if let Ask::Offer(method) = ask {
            let found = self
                .peer()
                .and_then(|peer| env.images.uri(update.firmware_id, method, peer));
            uri = found.ok_or_else(|| match env.images.bytes(update.firmware_id) {
                None => format!("{} was removed from this server", update.version),
                Some(_) => format!("this server does not serve images by {method}"),
            })?;
        }
        let request = ask.request(update, uri);
        let new = NewOperation {
            request,
            origin: Origin::Firmware,
            expires_in: Some(env.settings.update_limits.wait_for_device),
            max_attempts: env.settings.max_attempts,
            by: None,
            key: None,
        };
        let operation = accept(env, self.endpoint_id, &self.name, new);
        update.operation = Some(operation.id);
        self.save_operation(env, &operation, commit);
        self.queue.push_back(operation);
        self.update_asks = true;
        Ok(())
    }

    /// What waits and is not awaited any more is taken back; what is on its way comes to its end, which nobody heeds.
    fn withdraw_operation(&mut self, env: &Env<'_>, id: Option<OperationId>, commit: &mut Commit) {
        let Some(id) = id else {
            return;
        };
        let pushed = self.push.take_if(|push| push.operation.id == id);
        let waiting = self.queue.remove(id);
        if let Some(operation) = waiting.or_else(|| pushed.map(|push| *push.operation)) {
            let error = "the firmware update does not need it any more".to_owned();
            self.conclude(
                env,
                operation,
                OperationStatus::Cancelled,
                Some(error),
                commit,
            );
        }
    }

    /// What was observed for the update is not wanted for it any more.
    fn forget_update_wishes(&mut self) {
        for wanted in &mut self.wishes.wanted {
            if wanted.user.as_deref() == Some(FIRMWARE_UPDATE) {
                wanted.user = None;
                self.wishes.unsettled = true;
            }
        }
    }

    /// An operation has its final status: the update may have waited for it.
    pub(super) fn note_update_end(
        &mut self,
        env: &Env<'_>,
        operation: &Operation,
        commit: &mut Commit,
    ) {
        let is_awaited = self
            .update
            .as_ref()
            .is_some_and(|update| update.operation == Some(operation.id));
        if is_awaited {
            let code = operation.result.as_ref().map(|result| result.code.as_str());
            let event = Event::Ended {
                status: operation.status,
                code: code.filter(|code| *code != "0.00"),
                error: operation.error.as_deref(),
            };
            self.advance_update(env, event, commit);
        }
    }

    /// Values have come in and are part of the commit.
    pub(super) fn note_update_values(
        &mut self,
        env: &Env<'_>,
        nodes: &[Node],
        commit: &mut Commit,
    ) {
        let is_about_it = |node: &Node| matches!(node.path.ids(), [5, 0, ..] | [3, 0, 3]);
        if self.update.is_some() && nodes.iter().any(is_about_it) {
            self.advance_update(env, Event::Values(nodes), commit);
        }
    }

    /// The device has registered anew.
    pub(super) fn note_update_registered(&mut self, env: &Env<'_>, commit: &mut Commit) {
        if self.update.is_some() {
            let has_object = self.has_firmware_object();
            self.advance_update(env, Event::Registered { has_object }, commit);
        }
    }

    /// Which image the device is to fetch, and from where.
    pub fn fetches(&self) -> Option<(FirmwareId, IpAddr)> {
        let update = self.update.as_ref()?;
        let is_fetching = matches!(
            update.phase,
            UpdatePhase::Deliver | UpdatePhase::Download | UpdatePhase::Cancel
        ) && update.method != Some(UpdateMethod::Push);
        let address = self.peer()?.address;
        is_fetching.then(|| (update.firmware_id, address.ip()))
    }

    /// The device, or something at its address, has fetched a part of an image.
    pub(super) fn served(
        &mut self,
        env: &Env<'_>,
        image: FirmwareId,
        progress: Progress,
        steps: &mut Vec<Step>,
    ) {
        let is_its = |update: &FirmwareUpdate| {
            update.firmware_id == image && update.method != Some(UpdateMethod::Push)
        };
        if self.update.as_deref().is_some_and(is_its) {
            self.note_progress(env, progress, steps);
        }
    }

    /// Stores how far the image came.
    pub(super) fn note_progress(
        &mut self,
        env: &Env<'_>,
        progress: Progress,
        steps: &mut Vec<Step>,
    ) {
        self.advance_alone(env, Event::Served(progress), steps);
    }

    /// Takes the update on in a commit of its own.
    fn advance_alone(&mut self, env: &Env<'_>, event: Event<'_>, steps: &mut Vec<Step>) {
        let mut commit = Commit::default();
        self.advance_update(env, event, &mut commit);
        if !commit.is_empty() {
            steps.push(Step::Commit(Box::new(CommitStep {
                commit,
                ..CommitStep::default()
            })));
        }
    }

    /// Looks at what time has made due.
    pub(super) fn look_at_update(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        let is_due = self
            .update
            .as_ref()
            .and_then(|update| update.until)
            .is_some_and(|until| until <= env.now.wall);
        if is_due {
            self.advance_alone(env, Event::Due, steps);
        }
    }

    /// When [`Session::look_at_update`] finds something.
    pub(super) fn update_due(&self, now: Now) -> Option<Instant> {
        let until = self.update.as_ref()?.until?;
        now.instant.checked_add(until.since(now.wall))
    }
}

/// Who wants what is observed for an update.
pub(super) const FIRMWARE_UPDATE: &str = "firmware update";
