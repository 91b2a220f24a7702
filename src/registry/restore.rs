//! The start of the registry with what is stored.

use std::collections::HashSet;
use std::time::Instant;

use super::actor::RegistryActor;
use crate::domain::{EndpointId, Timestamp};
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
        let mut endpoints = fleet.endpoints;
        // As they come.
        endpoints.sort_unstable_by_key(|(id, _)| *id);
        let name = |id: EndpointId| {
            let at = endpoints.binary_search_by_key(&id, |(id, _)| *id).ok()?;
            endpoints.get(at).map(|(_, name)| name)
        };
        for id in fleet.busy {
            if let Some(name) = name(id) {
                self.teller.add(id, Some(name.clone()));
            }
        }
        let tokens = fleet.registered.iter().map(|stored| stored.tokens.len());
        self.tables.state.borrow_mut().reserve(
            endpoints.len(),
            fleet.registered.len(),
            tokens.sum(),
        );
        for stored in fleet.registered {
            let id = stored.endpoint_id;
            let Some(name) = name(id) else {
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
            if let Some(at) = stored.proven_at {
                self.links.wire.was_proven(stored.peer, now.since(at));
            }
            let left = stored.expires_at.since(now);
            self.tables.wakes(id, instant.checked_add(left));
            if !busy.contains(&id) {
                self.teller.add(id, None);
            }
        }
        let asked: Vec<_> = fleet
            .asked
            .into_iter()
            .filter_map(|(id, stored)| Some((id, name(id)?.clone(), stored)))
            .collect();
        {
            let mut state = self.tables.state.borrow_mut();
            for (id, name) in endpoints {
                state.know(name, id);
            }
        }
        for (id, name, stored) in asked {
            self.start_actor(id, name, Start::Stored(Box::new(stored)));
        }
        self.tables.count();
    }
}
