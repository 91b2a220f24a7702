//! What an outside gateway reports of the device. Its values go the way of the device's own; that
//! the device spoke to the gateway says nothing of whether it can be reached from here, so nothing
//! is sent and its awake window does not begin.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Action, CommitStep, Env, Session, Step, Ticket};
use crate::domain::{
    GatewayReport, GatewayState, LiveKind, Node, RegistrationEvent, Timestamp, Warning,
};
use crate::store::{Change, Commit};

use super::register::MAX_WARNINGS;

impl Session {
    /// True once it is known what gateways told of the device before; see
    /// [`Session::recall_gateway`].
    pub fn knows_gateway(&self) -> bool {
        self.gateway.is_some()
    }

    /// What gateways told of the device before, from the store. To be called before the first
    /// [`Input::Report`](super::Input::Report).
    pub fn recall_gateway(&mut self, state: GatewayState) {
        self.gateway.get_or_insert_with(|| Box::new(state));
    }

    /// Takes what a gateway reports: all of it in one commit.
    pub(super) fn report(
        &mut self,
        env: &Env<'_>,
        report: GatewayReport,
        ticket: Ticket,
        steps: &mut Vec<Step>,
    ) {
        let mut commit = Commit::default();
        let presence = self.note_presence(env, &report.nodes);
        let mut values = Commit::default();
        if report.composite {
            let mut objects: BTreeMap<u16, Vec<Node>> = BTreeMap::new();
            for node in report.nodes {
                let object = node.path.object_id().unwrap_or_default();
                objects.entry(object).or_default().push(node);
            }
            for (object, nodes) in objects {
                let nodes = self.entering(env, nodes, &mut values);
                self.event(env, object.to_string(), nodes, false, &mut values);
            }
        } else {
            let nodes = self.entering(env, report.nodes, &mut values);
            self.keep(env, &nodes, false, &mut values);
        }
        // The device's row comes first, for everything else belongs to it; by now its warnings are
        // known.
        commit.changes.push(Change::Gateway {
            endpoint_id: self.endpoint_id,
            endpoint: self.name.clone(),
            state: self.gateway.clone().unwrap_or_default(),
            at: env.now.wall,
        });
        if self.registration.is_none() {
            commit.changes.push(Change::Seen {
                endpoint_id: self.endpoint_id,
                at: env.now.wall,
            });
            commit.publish.extend(presence);
        }
        commit.changes.append(&mut values.changes);
        commit.publish.append(&mut values.publish);
        steps.push(Step::Commit(Box::new(CommitStep {
            commit,
            then: vec![Action::Reported(ticket)],
            otherwise: vec![Action::NotReported(ticket)],
        })));
    }

    /// Takes over registration events, and returns what the page is told of them.
    fn note_presence(&mut self, env: &Env<'_>, nodes: &[Node]) -> Option<crate::domain::LiveEvent> {
        let state = self.gateway.get_or_insert_default();
        let before = state.registered_since();
        let mut updated = false;
        for (event, at) in nodes.iter().filter_map(RegistrationEvent::of) {
            state.note(event, at);
            updated |= event == RegistrationEvent::Updated;
        }
        let after = state.registered_since();
        let kind = match (before, after) {
            (Some(_), None) => LiveKind::Deregistered,
            (before, Some(after)) if before != Some(after) => LiveKind::Registered,
            (Some(_), Some(_)) if updated => LiveKind::Updated,
            _ => return None,
        };
        let body = json!({
            "gateway": true,
            "registered_at": after.map(|at: Timestamp| at.to_string()),
        });
        Some(self.live(kind, env.now.wall, body))
    }

    /// Remembers something that came wrongly while the device is not registered here, once.
    pub(super) fn warn_of_gateway(&mut self, code: &str, message: String) -> bool {
        let Some(state) = &mut self.gateway else {
            return false;
        };
        let warning = Warning {
            code: code.to_owned(),
            message,
        };
        let new = state.warnings.len() < MAX_WARNINGS && !state.warnings.contains(&warning);
        if new {
            state.warnings.push(warning);
        }
        new
    }
}
