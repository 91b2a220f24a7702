//! What people say of the device.

use serde_json::json;

use super::templates::Reading;
use super::{Action, CommitStep, Env, Session, Step, Ticket};
use crate::domain::{AuditEntry, Doer, LiveKind, ProfileChange};
use crate::store::{Change, Commit};

impl Session {
    /// Changes the profile. It counts at once: for the time in which the device may be asked, and
    /// for the templates that choose it by its tags.
    pub(super) fn change_profile(
        &mut self,
        env: &Env<'_>,
        change: &ProfileChange,
        by: Option<Doer>,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        let profile = change.applied_to(&self.profile);
        let before = std::mem::replace(&mut self.profile, profile.clone());
        let line =
            by.map(|by| AuditEntry::endpoint_updated(by, env.now.wall, &self.name, &profile));
        let mut commit = Commit::default();
        commit.changes.extend(line.map(Box::new).map(Change::Audit));
        let mut then = vec![Action::Profiled(ticket, Box::new(profile.clone()))];
        if profile != before {
            let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
            commit.publish.push(self.live(
                LiveKind::Profile,
                env.now.wall,
                json!({
                    "tags": profile.tags,
                    "awake_s": seconds(profile.awake),
                    "edrx_cycle_s": seconds(profile.edrx_cycle),
                }),
            ));
            commit.changes.push(Change::Profile {
                endpoint_id: self.endpoint_id,
                profile: Box::new(profile),
            });
            self.read_by_templates(env, Reading::Profiled(&before), &mut commit);
            self.reconcile(env, &mut commit, &mut then);
            then.push(Action::Pump);
        }
        let is_retagged = self.profile.tags != before.tags;
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
        if is_retagged {
            // Rules choose devices by their tags too.
            self.look_at_rules(env, steps);
        }
    }

    /// The templates are others.
    pub(super) fn templates_changed(
        &mut self,
        env: &Env<'_>,
        changed: &[i64],
        steps: &mut Vec<Step>,
    ) {
        let mut commit = Commit::default();
        let mut then = Vec::new();
        self.read_by_templates(env, Reading::Changed(changed), &mut commit);
        self.reconcile(env, &mut commit, &mut then);
        if commit.is_empty() && then.is_empty() && !self.queue.has_unwritten() {
            return;
        }
        then.push(Action::Pump);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        })));
    }
}
