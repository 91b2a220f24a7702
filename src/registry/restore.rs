//! The start of the registry with what is stored.

use std::collections::{HashMap, HashSet};

use super::actor::RegistryActor;
use crate::domain::{EndpointId, EndpointName, Timestamp};
use crate::endpoint::Start;
use crate::store::{StoredEndpoint, StoredFleet};

impl RegistryActor {
    /// Starts an actor for every device that was registered or whose values are missed, and remembers
    /// the answers that copies of their requests must get.
    pub(super) fn restore(&mut self, fleet: StoredFleet) {
        let now = Timestamp::system();
        for answer in fleet.answers {
            let lives = answer.expires_at.since(now);
            self.links.wire.restore_answer(
                answer.peer,
                answer.message_id,
                answer.hash,
                answer.answer,
                lives,
            );
        }
        let mut stored: HashMap<EndpointId, (EndpointName, StoredEndpoint)> = HashMap::new();
        // Values of these are missed, whether they are registered or not.
        let missed: HashSet<EndpointId> = fleet
            .rule_states
            .iter()
            .filter(|state| state.clock_at.is_some())
            .map(|state| state.endpoint_id)
            .collect();
        for registration in fleet.registrations {
            let name = registration.endpoint.clone();
            let entry = stored
                .entry(registration.endpoint_id)
                .or_insert_with(|| (name, StoredEndpoint::default()));
            entry.1.registration = Some(registration);
        }
        for known in fleet.endpoints {
            if missed.contains(&known.id) {
                stored
                    .entry(known.id)
                    .or_insert_with(|| (known.name.clone(), StoredEndpoint::default()));
            }
            self.tables.state.borrow_mut().know(known.name, known.id);
            if let Some((_, stored)) = stored.get_mut(&known.id) {
                stored.profile = known.profile;
                stored.learned = known.learned;
                stored.periods = known.periods;
            }
        }
        for observation in fleet.observations {
            if let Some((_, stored)) = stored.get_mut(&observation.endpoint_id) {
                stored.observations.push(observation);
            }
        }
        for wanted in fleet.wanted {
            if let Some((_, stored)) = stored.get_mut(&wanted.endpoint_id) {
                stored.wanted.push(wanted);
            }
        }
        for operation in fleet.operations {
            if let Some((_, stored)) = stored.get_mut(&operation.endpoint_id) {
                stored.operations.push(operation);
            }
        }
        for state in fleet.rule_states {
            if let Some((_, stored)) = stored.get_mut(&state.endpoint_id) {
                stored.rule_states.push(state);
            }
        }
        for (id, (name, stored)) in stored {
            // The routes stand before the first datagram is read, whatever the actor does first.
            if let Some(registration) = &stored.registration {
                let mut state = self.tables.state.borrow_mut();
                state.registered(id, &registration.id, registration.peer);
                for observation in &stored.observations {
                    state.watch(id, observation.token);
                }
            }
            self.start_actor(id, name, Start::Stored(Box::new(stored)));
        }
        self.tables.count();
    }
}
