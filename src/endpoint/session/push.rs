//! An image on its way to 5/0/0 (RFC 7959 section 2.5): each block is an exchange of its own, read from the file when it
//! is due, so that nothing of the image is in memory and whatever else is for the device goes in between.
//!
//! A block that is lost is sent again when the device is heard of, in the same place; a device that has forgotten what
//! came before says 4.08, and gets it all again. After a restart of the server the image begins anew.
//!
//! Where a block is too much for an address that has not proven itself, something small goes before it, whose answer
//! proves the address: a small block at the beginning, and amid the image, where sizes may not change any more, a read
//! of 5/0/3.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::operate::accept;
use super::{Action, CommitStep, Env, Job, Session, Step};
use crate::coap::{Block, Code, Exponent, OutgoingBlock, Response, confirmed_block1};
use crate::domain::{
    ContentFormat, ImageBytes, NewOperation, Node, Operation, OperationKind, OperationRequest,
    OperationStatus, Origin, Progress, Value,
};
use crate::lwm2m::firmware::{Event, PACKAGE, STATE};
use crate::lwm2m::manage;
use crate::store::Commit;

/// A push under way.
#[derive(Debug)]
pub(super) struct Push {
    /// Its operation, SENDING. Between two blocks it is here and not in the queue.
    pub(super) operation: Box<Operation>,
    bytes: Arc<dyn ImageBytes>,
    /// Where the next block begins.
    offset: u64,
    exponent: Exponent,
    /// How often it began anew.
    restarts: u32,
    proof: Proof,
    /// How often the device was asked for something small, since it last took a block.
    asked: u32,
    /// Something else is to go before the next block.
    pub(super) yields: bool,
    /// When it was last told how far it came.
    told: Option<Instant>,
}

/// Whether the first block went as a small one, whose answer proves the address of the device. Then it goes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Awaited,
    Given,
    None,
}

/// What the answer to a block leads to.
enum Next {
    /// The next block, or the first one again.
    Block,
    /// The device has the last word: it has the image, or does not want it.
    Over,
    /// The device does something that cannot be gone on with.
    Broken(&'static str),
}

impl Session {
    /// Begins a push.
    pub(super) fn start_push(
        &mut self,
        env: &Env<'_>,
        mut operation: Operation,
        steps: &mut Vec<Step>,
    ) {
        let bytes = operation
            .request
            .image
            .and_then(|image| env.images.bytes(image));
        let mut commit = Commit::default();
        let Some(bytes) = bytes else {
            let error = "the image was removed from this server".to_owned();
            let operation = self.conclude(
                env,
                operation,
                OperationStatus::Failed,
                Some(error),
                &mut commit,
            );
            steps.push(Step::Commit(Box::new(CommitStep {
                commit,
                then: vec![Action::Finished(Box::new(operation))],
                otherwise: Vec::new(),
            })));
            return;
        };
        operation.status = OperationStatus::Sending;
        operation.attempts = operation.attempts.saturating_add(1);
        operation.last_attempt_at = Some(env.now.wall);
        self.save_operation(env, &operation, &mut commit);
        self.push = Some(Box::new(Push {
            operation: Box::new(operation),
            bytes,
            offset: 0,
            exponent: env.settings.push_block,
            restarts: 0,
            proof: Proof::None,
            asked: 0,
            yields: false,
            told: None,
        }));
        self.send_block(env, commit, steps);
    }

    /// True when the next block goes before what waits.
    pub(super) fn is_block_due(&self) -> bool {
        self.push
            .as_ref()
            .is_some_and(|push| !push.yields || !self.queue.has_next())
    }

    /// Sends the block that is due.
    pub(super) fn send_block(&mut self, env: &Env<'_>, mut commit: Commit, steps: &mut Vec<Step>) {
        let (Some(push), Some(registration)) = (&mut self.push, &self.registration) else {
            return;
        };
        push.yields = true;
        let whole = push.bytes.size();
        let exponent = match push.proof {
            Proof::Awaited => Exponent::at_most(SMALL).min(push.exponent),
            Proof::Given | Proof::None => push.exponent,
        };
        let mut payload = vec![0; exponent.size()];
        let read = push.bytes.read(push.offset, &mut payload);
        let block = read.map_err(|error| format!("the image cannot be read: {error}"));
        let block = block.and_then(|length| {
            payload.truncate(length);
            let end = push.offset.saturating_add(length as u64);
            usize::try_from(push.offset)
                .ok()
                .and_then(|offset| Block::at(offset, end < whole, exponent))
                .ok_or_else(|| {
                    "the image has more blocks of this size than there are numbers".to_owned()
                })
        });
        let mut request = push.operation.request.clone();
        request.format = Some(ContentFormat::Opaque);
        request.values = vec![Node {
            path: PACKAGE,
            value: Value::Opaque(Vec::new()),
            time: None,
        }];
        let device = self.device(registration, env.models);
        let built = block.and_then(|block| {
            let request = manage::build(&request, &device).map_err(|error| error.to_string())?;
            Ok((request, block))
        });
        match built {
            Ok((mut request, block)) => {
                request.payload = payload;
                let token = env.token();
                let mut outgoing = self.outgoing(env, request, token, &mut commit);
                outgoing.block1 = Some(OutgoingBlock {
                    block,
                    whole: u32::try_from(whole).ok(),
                });
                self.send(env, outgoing, Job::Block, commit, Vec::new(), steps);
            }
            Err(error) => {
                let then = self.end_push(env, OperationStatus::Failed, Some(error), &mut commit);
                steps.push(Step::Commit(Box::new(CommitStep {
                    commit,
                    then,
                    otherwise: Vec::new(),
                })));
            }
        }
    }

    /// The block could not be sent. True when it goes out as a small one instead.
    pub(super) fn sends_small_block(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) -> bool {
        let Some(push) = &mut self.push else {
            return false;
        };
        let is_of_use = push.offset == 0 && push.bytes.size() > SMALL as u64;
        if push.proof != Proof::None || !is_of_use {
            return false;
        }
        push.proof = Proof::Awaited;
        self.send_block(env, Commit::default(), steps);
        true
    }

    /// The block could not be sent, amid the image: smaller ones may not be put between large ones, as devices count
    /// their blocks. But an answer to something small proves the address as well. True when that goes instead.
    pub(super) fn asks_for_proof(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) -> bool {
        let Some(push) = &mut self.push else {
            return false;
        };
        if push.offset == 0 || push.asked >= env.settings.update_limits.tries {
            return false;
        }
        push.asked = push.asked.saturating_add(1);
        let max_attempts = push.operation.max_attempts;
        let mut commit = Commit::default();
        // What waits goes before the block in any case, and does as well.
        if !self.queue.has_next() {
            let new = NewOperation {
                request: OperationRequest::new(OperationKind::Read, vec![STATE]),
                origin: Origin::Firmware,
                expires_in: Some(env.settings.update_limits.wait_for_device),
                max_attempts,
                by: None,
                key: None,
            };
            let operation = accept(env, self.endpoint_id, &self.name, new);
            self.save_operation(env, &operation, &mut commit);
            self.queue.push_back(operation);
        }
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then: vec![Action::Pump],
            otherwise: Vec::new(),
        })));
        true
    }

    /// The device answered a block. The operation when the push is over, and the answer is that to the whole.
    pub(super) fn block_answered(
        &mut self,
        env: &Env<'_>,
        response: &Response,
        commit: &mut Commit,
        then: &mut Vec<Action>,
        steps: &mut Vec<Step>,
    ) -> Option<Operation> {
        let push = self.push.as_mut()?;
        // It answers: what got lost before counts no more.
        push.operation.attempts = 1;
        push.asked = 0;
        match push.answered(response, env.settings.update_limits.tries) {
            Next::Over => {
                let push = self.push.take()?;
                if response.code.is_success() {
                    let progress = Progress {
                        done: push.bytes.size(),
                        ..push.progress()
                    };
                    self.advance_update(env, Event::Served(progress), commit);
                }
                Some(*push.operation)
            }
            Next::Broken(why) => {
                let error = format!("{why} (it answered {})", response.code);
                then.extend(self.end_push(env, OperationStatus::Failed, Some(error), commit));
                None
            }
            Next::Block => {
                let is_due = push
                    .told
                    .is_none_or(|at| env.now.instant.saturating_duration_since(at) >= TELL_EVERY);
                if is_due && push.offset > 0 {
                    push.told = Some(env.now.instant);
                    let progress = push.progress();
                    self.note_progress(env, progress, steps);
                }
                None
            }
        }
    }

    /// No answer to a block: it is sent again when the device is heard of, until that was in vain too often.
    pub(super) fn block_failed(
        &mut self,
        env: &Env<'_>,
        is_harmless: bool,
        why: &str,
        commit: &mut Commit,
    ) -> Vec<Action> {
        let Some(push) = &mut self.push else {
            return Vec::new();
        };
        if is_harmless {
            return Vec::new();
        }
        let operation = &mut push.operation;
        if operation.attempts >= operation.max_attempts {
            let progress = push.progress();
            let error = format!("{why}, at {progress}");
            return self.end_push(env, OperationStatus::Failed, Some(error), commit);
        }
        operation.attempts = operation.attempts.saturating_add(1);
        Vec::new()
    }

    /// Gives up a push for which the device was not heard of in time.
    pub(super) fn expire_push(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        let is_over = |push: &Push| {
            push.operation
                .expires_at
                .is_some_and(|at| at <= env.now.wall)
        };
        if self.in_flight.is_some() || !self.push.as_deref().is_some_and(is_over) {
            return;
        }
        let mut commit = Commit::default();
        let error = "its time ran out before the device had the image".to_owned();
        let then = self.end_push(env, OperationStatus::Expired, Some(error), &mut commit);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }

    fn end_push(
        &mut self,
        env: &Env<'_>,
        status: OperationStatus,
        error: Option<String>,
        commit: &mut Commit,
    ) -> Vec<Action> {
        let Some(push) = self.push.take() else {
            return Vec::new();
        };
        let operation = self.conclude(env, *push.operation, status, error, commit);
        vec![Action::Finished(Box::new(operation))]
    }
}

impl Push {
    fn progress(&self) -> Progress {
        Progress {
            done: self.offset.min(self.bytes.size()),
            total: self.bytes.size(),
            block: u32::try_from(self.exponent.size()).unwrap_or_default(),
        }
    }

    fn answered(&mut self, response: &Response, tries: u32) -> Next {
        let confirmed = confirmed_block1(response);
        if self.proof == Proof::Awaited {
            self.proof = Proof::Given;
            if response.code == Code::CONTINUE {
                return Next::Block;
            }
        }
        let sent = u64::try_from(self.exponent.size()).unwrap_or_default();
        if response.code == Code::REQUEST_ENTITY_TOO_LARGE
            && let Some(smaller) = confirmed.map(|block| block.exponent)
            && smaller < self.exponent
        {
            // With smaller blocks it may work (RFC 7959 section 2.9.3). Sizes only shrink, so this ends.
            self.exponent = smaller;
            self.offset = 0;
            return Next::Block;
        }
        if response.code == Code::REQUEST_ENTITY_INCOMPLETE && self.restarts < tries {
            self.restarts = self.restarts.saturating_add(1);
            self.offset = 0;
            return Next::Block;
        }
        let next = self.offset.saturating_add(sent);
        if next >= self.bytes.size() {
            return match response.code {
                Code::CONTINUE => Next::Broken("the device wants more than there is"),
                _ => Next::Over,
            };
        }
        if !response.code.is_success() {
            return Next::Over;
        }
        // 2.31, or 2.04 of a device that takes each block by itself.
        let Some(confirmed) = confirmed else {
            return Next::Broken("the device answered before it had the whole image");
        };
        let number = usize::try_from(self.offset)
            .ok()
            .and_then(|offset| Block::at(offset, true, self.exponent))
            .map(|block| block.number());
        if number != Some(confirmed.number()) {
            return Next::Broken("the device confirmed another block than was sent");
        }
        self.offset = next;
        self.exponent = self.exponent.min(confirmed.exponent);
        Next::Block
    }
}

/// Bytes of a block that is not too much for an address that has proven nothing.
const SMALL: usize = 16;
/// How often it is told and stored how far a push came.
const TELL_EVERY: Duration = Duration::from_secs(2);
