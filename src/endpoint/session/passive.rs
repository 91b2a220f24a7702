//! The end of an observation without a word to the device: it is forgotten here, so its next
//! notification carries a token that nobody knows and is answered with a Reset (RFC 7641 section
//! 3.6). That works while the device sleeps.

use super::attempt::{is_composite, starts_observation};
use super::operate::{accept, created};
use super::wanted::noted;
use super::{Action, CommitStep, Env, Session, Step, Ticket};
use crate::domain::{NewOperation, OperationStatus, same_paths};
use crate::store::Commit;

impl Session {
    /// Drops the observation and confirms the operation, in one commit.
    pub(super) fn cancel_passively(
        &mut self,
        env: &Env<'_>,
        mut new: NewOperation,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        let by = new.by.take();
        let key = new.key.take();
        let mut operation = accept(env, self.endpoint_id, &self.name, new);
        let composite = is_composite(operation.request.kind);
        let paths = operation.request.paths.clone();
        let observed = self
            .observation(composite, &paths)
            .map(|observation| observation.token);
        let is_wanted = self.wishes.position(composite, &paths).is_some();
        let mut commit = Commit::default();
        commit.changes.extend(by.map(|by| created(by, &operation)));
        self.remember_key(env, key, &operation, &mut commit);
        let mut then = Vec::new();
        let mut finished = Vec::new();
        let (status, error) = if observed.is_some() || is_wanted {
            operation.result = Some(noted(if observed.is_some() {
                "nothing was sent; the next notification is answered with a Reset"
            } else {
                "nothing was sent; the device did not observe it"
            }));
            (OperationStatus::Confirmed, None)
        } else {
            (
                OperationStatus::Failed,
                Some("this is not observed".to_owned()),
            )
        };
        // What waits to be asked for was asked for before this.
        let overtaken: Vec<_> = self
            .queue
            .iter()
            .filter(|waiting| {
                let request = &waiting.request;
                starts_observation(request.kind)
                    && is_composite(request.kind) == composite
                    && same_paths(&request.paths, &paths)
            })
            .map(|waiting| waiting.id)
            .collect();
        if status == OperationStatus::Confirmed {
            self.drop_observation(observed, &mut commit, &mut then);
        }
        let operation = self.conclude(env, operation, status, error, &mut commit);
        if status == OperationStatus::Confirmed {
            for id in overtaken {
                if let Some(waiting) = self.queue.remove(id) {
                    let error =
                        format!("operation {} cancelled it before it was sent", operation.id);
                    let waiting = self.conclude(
                        env,
                        waiting,
                        OperationStatus::Cancelled,
                        Some(error),
                        &mut commit,
                    );
                    finished.push(Action::Finished(Box::new(waiting)));
                }
            }
        }
        then.push(Action::Accepted(ticket, Box::new(operation.clone())));
        then.push(Action::Finished(Box::new(operation)));
        then.extend(finished);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }
}
