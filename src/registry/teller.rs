//! Tells the actors that there are other templates, a few at a time: each of them may have something to
//! store and to ask its device, and a hundred thousand of them at once would keep everything else
//! waiting. Those that rest are started for it, and rest again when there was nothing to do. So it is after
//! a start of the server, too, with all that are registered.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::dev::SendError;
use actix::prelude::*;

use super::actor::RegistryActor;
use crate::domain::{EndpointId, EndpointName};
use crate::endpoint::LookAtTemplates;
use crate::store::ObservationTemplate;

/// Whom there is something to tell.
#[derive(Debug, Default)]
pub(super) struct Teller {
    /// The name is that of one who may not be registered.
    waiting: VecDeque<(EndpointId, Option<EndpointName>)>,
    /// Templates that are new or not what they were.
    changed: BTreeSet<i64>,
    /// True while the next few are due.
    is_busy: bool,
}

impl Teller {
    /// The templates may have changed since this device's actor last ran.
    pub(super) fn add(&mut self, id: EndpointId, name: Option<EndpointName>) {
        self.waiting.push_back((id, name));
    }

    /// Whoever waits from before still does, and before all others.
    fn begin(&mut self, all: impl Iterator<Item = EndpointId>, changed: BTreeSet<i64>) {
        let waiting: HashSet<EndpointId> = self.waiting.iter().map(|(id, _)| *id).collect();
        let others = all.filter(|id| !waiting.contains(id));
        self.waiting.extend(others.map(|id| (id, None)));
        self.changed.extend(changed);
    }
}

impl RegistryActor {
    /// Tells the first few of those who wait, and lets the others wait a little longer.
    pub(super) fn tell_some(&mut self, ctx: &mut Context<Self>) {
        if self.teller.is_busy || self.teller.waiting.is_empty() {
            return;
        }
        let batch = if self.links.loads.are_many() {
            0
        } else {
            BATCH
        };
        let message = LookAtTemplates {
            changed: self.teller.changed.iter().copied().collect(),
        };
        for _ in 0..batch.min(self.teller.waiting.len()) {
            let Some((id, name)) = self.teller.waiting.pop_front() else {
                break;
            };
            // Nobody is told for whom there is nothing to do: it neither runs nor is registered.
            let Some(door) = self.actor(id, name.as_ref()) else {
                continue;
            };
            match door.put(message.clone()) {
                Ok(()) => {}
                Err(SendError::Full(_) | SendError::Closed(_)) => {
                    self.teller.waiting.push_back((id, name));
                }
            }
        }
        if self.teller.waiting.is_empty() {
            self.teller.changed.clear();
            return;
        }
        self.teller.is_busy = true;
        ctx.run_later(PAUSE, |actor, ctx| {
            actor.teller.is_busy = false;
            actor.tell_some(ctx);
        });
    }
}

/// The observation templates changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Templates(pub(super) Vec<ObservationTemplate>);

impl Handler<Templates> for RegistryActor {
    type Result = ();

    fn handle(&mut self, Templates(templates): Templates, ctx: &mut Self::Context) {
        let before = self.links.templates.replace(Arc::new(templates));
        let now = Arc::clone(&self.links.templates.borrow());
        let changed = now
            .iter()
            .filter(|template| !before.contains(template))
            .map(|template| template.id)
            .collect();
        let all = self.tables.all();
        self.teller.begin(all.into_iter(), changed);
        self.tell_some(ctx);
    }
}

/// So many actors are told at once…
const BATCH: usize = 100;
/// …and the next ones after this time: 2,000 in a second, far below what the writer takes.
const PAUSE: Duration = Duration::from_millis(50);
