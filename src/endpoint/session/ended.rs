//! What the end of an operation means for what is wanted to be observed.

use super::attempt::{is_composite, starts_observation};
use super::firmware::FIRMWARE_UPDATE;
use super::wanted::ends_observation;
use super::{Env, Session};
use crate::domain::{
    ObservationState, Operation, OperationKind, OperationStatus, Origin, Path, Wanted, WantedState,
};
use crate::store::{Change, Commit};

impl Session {
    /// An operation has its final status: takes note of it, in the same commit.
    pub(super) fn note_end(&mut self, env: &Env<'_>, operation: &Operation, commit: &mut Commit) {
        self.note_update_end(env, operation, commit);
        match operation.request.kind {
            kind if starts_observation(kind) => self.observe_ended(env, operation, commit),
            kind if ends_observation(kind) => self.cancel_ended(env, operation, commit),
            OperationKind::WriteAttributes => self.attributes_ended(env, operation, commit),
            OperationKind::Discover => self.discover_ended(operation, commit),
            _ => {}
        }
    }

    fn observe_ended(&mut self, env: &Env<'_>, operation: &Operation, commit: &mut Commit) {
        let request = &operation.request;
        let composite = is_composite(request.kind);
        let is_active = self
            .observation(composite, &request.paths)
            .is_some_and(|found| found.state == ObservationState::Active);
        let was_tried = matches!(
            operation.status,
            OperationStatus::Confirmed | OperationStatus::Failed
        );
        let known = self.wishes.position(composite, &request.paths);
        if is_active && was_tried {
            let user = asker(&operation.origin);
            let at = match known {
                Some(at) => at,
                None if user.is_none() => {
                    self.wishes.unsettled = true;
                    return;
                }
                None => {
                    let wanted = self.new_wanted(env, composite, request.paths.clone());
                    self.wishes.wanted.push(wanted);
                    self.wishes.wanted.len().saturating_sub(1)
                }
            };
            if let Some(wanted) = self.wishes.wanted.get_mut(at) {
                if user.is_some() {
                    wanted.user = user;
                    wanted.cancelled_by = None;
                    if wanted.template.is_none() {
                        wanted.format = request.format;
                    }
                }
                wanted.retry_at = None;
                wanted.since = env.now.wall;
                // Otherwise nothing more is to be asked for it.
                self.wishes.unsettled |= !wanted.is_wanted() || !wanted.attributes_asked;
            }
            self.move_to(env, at, WantedState::Active, None);
            return self.save_wanted(env, at, commit);
        }
        self.wishes.unsettled = true;
        if operation.status == OperationStatus::Cancelled && operation.attempts == 0 {
            self.abandon_unasked(composite, &request.paths);
        }
        let Some(at) = known else {
            return;
        };
        let error = || operation.error.clone().unwrap_or_default();
        match operation.status {
            // Somebody took back what a template asked for.
            OperationStatus::Cancelled if operation.origin == Origin::Template => {
                self.suppress(env, at, "somebody", commit);
            }
            OperationStatus::Failed if is_refusal(operation) => {
                self.move_to(env, at, WantedState::Refused, Some(error()));
                self.save_wanted(env, at, commit);
            }
            OperationStatus::Failed | OperationStatus::Expired => {
                self.lose(env, at, error(), commit);
            }
            // It was passed by meanwhile: what to do next follows from what is there.
            _ => {
                self.move_to(env, at, WantedState::Missing, None);
                self.save_wanted(env, at, commit);
            }
        }
    }

    /// An observation that the device was never asked for needs no word to it.
    fn abandon_unasked(&mut self, composite: bool, paths: &[Path]) {
        let token = self
            .observation(composite, paths)
            .filter(|found| found.state == ObservationState::Requested)
            .map(|found| found.token);
        self.wishes.abandoned.extend(token);
    }

    fn cancel_ended(&mut self, env: &Env<'_>, operation: &Operation, commit: &mut Commit) {
        self.wishes.unsettled = true;
        let request = &operation.request;
        let composite = is_composite(request.kind);
        let observation = self.observation(composite, &request.paths);
        if let Some(observation) = observation {
            if operation.origin == Origin::Template && operation.status == OperationStatus::Failed {
                // The device cannot be asked: it is left to a Reset.
                self.wishes.abandoned.push(observation.token);
            }
            return;
        }
        let done = matches!(
            operation.status,
            OperationStatus::Confirmed | OperationStatus::Failed
        );
        let Some(who) = asker(&operation.origin).filter(|_| done) else {
            return;
        };
        if let Some(at) = self.wishes.position(composite, &request.paths) {
            self.suppress(env, at, &who, commit);
        }
    }

    /// It is not wanted any more: not by people, and not by the template as it is now.
    fn suppress(&mut self, env: &Env<'_>, at: usize, who: &str, commit: &mut Commit) {
        let Some(wanted) = self.wishes.wanted.get_mut(at) else {
            return;
        };
        wanted.user = None;
        wanted.retry_at = None;
        if wanted.template.is_some() {
            wanted.cancelled_by = Some(who.to_owned());
            self.move_to(env, at, WantedState::Missing, None);
            self.save_wanted(env, at, commit);
            return;
        }
        let wanted = self.wishes.wanted.remove(at);
        commit.changes.push(Change::RemoveWanted {
            endpoint_id: self.endpoint_id,
            id: wanted.id,
        });
        let gone = Wanted {
            state: WantedState::Missing,
            ..wanted
        };
        self.tell_of(env, &gone, commit);
    }

    fn attributes_ended(&mut self, env: &Env<'_>, operation: &Operation, commit: &mut Commit) {
        if operation.status == OperationStatus::Confirmed {
            self.note_attributes(operation, commit);
        }
        if operation.origin != Origin::Template {
            return;
        }
        self.wishes.unsettled = true;
        let paths = &operation.request.paths;
        for at in 0..self.wishes.wanted.len() {
            let Some(wanted) = self
                .wishes
                .wanted
                .get_mut(at)
                .filter(|wanted| paths.iter().all(|path| wanted.paths.contains(path)))
            else {
                continue;
            };
            let error = operation.error.clone();
            match operation.status {
                OperationStatus::Confirmed => {
                    let done = |name: &String| {
                        let asked = operation.request.attributes.iter();
                        asked
                            .clone()
                            .any(|(other, value)| other == name && value.is_none())
                    };
                    wanted.withdrawn.retain(|name| !done(name));
                }
                // The observation is worth having without them too.
                OperationStatus::Failed if is_refusal(operation) => {
                    wanted.attributes_error = error;
                }
                OperationStatus::Failed | OperationStatus::Expired => {
                    wanted.attributes_asked = false;
                    self.lose(env, at, error.unwrap_or_default(), commit);
                    continue;
                }
                _ => {}
            }
            self.save_wanted(env, at, commit);
        }
    }
}

/// Who wants what an operation asks for; a template says so itself.
fn asker(origin: &Origin) -> Option<String> {
    match origin {
        Origin::Bulk(_, name) | Origin::User(name) => Some(name.clone()),
        Origin::Template => None,
        Origin::Firmware => Some(FIRMWARE_UPDATE.to_owned()),
    }
}

/// True when asking again would bring the same: the device said no (4.xx), or does not notify, or
/// the request cannot even be made.
fn is_refusal(operation: &Operation) -> bool {
    match &operation.result {
        Some(result) => !result.code.starts_with("5.") && !AGAIN_LATER.contains(&&*result.code),
        None => operation.attempts == 0,
    }
}

/// What means "not now" among the 4.xx: Request Entity Incomplete (RFC 7959 section 2.9.2) and Too
/// Many Requests (RFC 8516).
const AGAIN_LATER: [&str; 2] = ["4.08", "4.29"];
