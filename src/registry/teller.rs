//! Tells the running actors that there are other templates, a few at a time: each of them may have
//! something to store and to ask its device, and a hundred thousand of them at once would keep
//! everything else waiting.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix::dev::SendError;
use actix::prelude::*;

use super::actor::RegistryActor;
use crate::domain::EndpointId;
use crate::endpoint::LookAtTemplates;
use crate::store::ObservationTemplate;

/// Whom there is something to tell.
#[derive(Debug, Default)]
pub(super) struct Teller {
    waiting: VecDeque<EndpointId>,
    /// Templates that are new or not what they were.
    changed: BTreeSet<i64>,
    /// True while the next few are due.
    is_busy: bool,
}

impl Teller {
    /// An actor was started from what is stored: the templates may have changed since then.
    pub(super) fn add(&mut self, id: EndpointId) {
        self.waiting.push_back(id);
    }

    fn begin(&mut self, all: impl Iterator<Item = EndpointId>, changed: BTreeSet<i64>) {
        self.waiting.clear();
        self.waiting.extend(all);
        self.changed.extend(changed);
    }
}

impl RegistryActor {
    /// Tells the first few of those who wait, and lets the others wait a little longer.
    pub(super) fn tell_some(&mut self, ctx: &mut Context<Self>) {
        if self.teller.is_busy || self.teller.waiting.is_empty() {
            return;
        }
        let message = LookAtTemplates {
            changed: self.teller.changed.iter().copied().collect(),
        };
        for _ in 0..BATCH.min(self.teller.waiting.len()) {
            let Some(id) = self.teller.waiting.pop_front() else {
                break;
            };
            // Who does not run looks at the templates when it starts.
            let Some(address) = self.running(id) else {
                continue;
            };
            self.links.metrics.put();
            match address.try_send(message.clone()) {
                Ok(()) => {}
                Err(SendError::Full(_)) => {
                    self.links.metrics.taken();
                    self.teller.waiting.push_back(id);
                }
                Err(SendError::Closed(_)) => self.links.metrics.taken(),
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
        let all = self.all_running();
        self.teller.begin(all.into_iter(), changed);
        self.tell_some(ctx);
    }
}

/// So many actors are told at once…
const BATCH: usize = 100;
/// …and the next ones after this time: 2,000 in a second, far below what the writer takes.
const PAUSE: Duration = Duration::from_millis(50);
