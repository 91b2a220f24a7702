//! The rules, which all actors share and which are replaced as a whole when somebody changes them.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;

use super::actor::RegistryActor;
use crate::domain::{EndpointId, LogResource, Rule};
use crate::endpoint::Input;

/// Which values are logs changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct LogResources(pub(super) Vec<LogResource>);

impl Handler<LogResources> for RegistryActor {
    type Result = ();

    fn handle(&mut self, LogResources(resources): LogResources, _: &mut Self::Context) {
        self.links.log_resources.replace(Arc::new(resources));
    }
}

/// The rules changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Rules(pub(super) Vec<Rule>);

impl Handler<Rules> for RegistryActor {
    type Result = ();

    fn handle(&mut self, Rules(rules): Rules, ctx: &mut Self::Context) {
        let next = self.links.rules.borrow().replaced_by(rules);
        self.links.rules.replace(Arc::new(next));
        let all = self.tables.all();
        self.look(all, ctx);
    }
}

impl RegistryActor {
    /// Lets actors look at what has changed, also those whose devices are silent; not all at once,
    /// so that devices are answered in between. Whose mailbox is full will look by itself.
    fn look(&mut self, mut left: Vec<EndpointId>, ctx: &mut Context<Self>) {
        // Those that rest are read from the store first.
        let count = if self.links.loads.are_many() {
            0
        } else {
            LOOK_AT_ONCE
        };
        for id in left.split_off(left.len().saturating_sub(count)) {
            self.deliver(id, None, Input::Tick, ctx);
        }
        if !left.is_empty() {
            ctx.run_later(LOOK_PAUSE, |actor, ctx| actor.look(left, ctx));
        }
    }
}

/// So many actors look at new rules at a time, and the pause between them.
const LOOK_AT_ONCE: usize = 500;
const LOOK_PAUSE: Duration = Duration::from_millis(20);
