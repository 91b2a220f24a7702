//! The start of the registry with what is stored.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use super::actor::RegistryActor;
use crate::domain::{EndpointId, EndpointName, Timestamp};
use crate::endpoint::{Listening, Start};
use crate::store::StoredFleet;

impl RegistryActor {
    /// Sets up what leads to every device that was registered, and remembers the answers that copies of
    /// their requests must get. Actors are started for those that were being asked for something; the
    /// others start when something is for them, when their time has come, or when they are told of the
    /// templates, which is soon: those for which there may be something to do come first.
    pub(super) fn restore(&mut self, fleet: StoredFleet) {
        let now = Timestamp::system();
        let instant = Instant::now();
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
        let busy: HashSet<EndpointId> = fleet.busy.iter().copied().collect();
        let mut names: HashMap<EndpointId, EndpointName> = HashMap::new();
        {
            let mut state = self.tables.state.borrow_mut();
            for (id, name) in fleet.endpoints {
                state.know(name.clone(), id);
                names.insert(id, name);
            }
        }
        for id in fleet.busy {
            if let Some(name) = names.get(&id) {
                self.teller.add(id, Some(name.clone()));
            }
        }
        for stored in fleet.registered {
            let id = stored.endpoint_id;
            let Some(name) = names.get(&id) else {
                continue;
            };
            let mut state = self.tables.state.borrow_mut();
            state.registered(id, name, &stored.location, stored.peer);
            if stored.queue_mode {
                state.listens(id, Listening::Asleep);
            }
            for token in stored.tokens {
                state.watch(id, token);
            }
            drop(state);
            let left = stored.expires_at.since(now);
            self.tables.wakes(id, instant.checked_add(left));
            if !busy.contains(&id) {
                self.teller.add(id, None);
            }
        }
        for (id, stored) in fleet.asked {
            if let Some(name) = names.remove(&id) {
                self.start_actor(id, name, Start::Stored(Box::new(stored)));
            }
        }
        self.tables.count();
    }
}
