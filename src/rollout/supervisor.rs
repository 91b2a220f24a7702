//! Keeps an actor for each rollout that is under way, and starts one anew that died.

use std::collections::HashMap;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt as _, Addr, AsyncContext as _, Context, ContextFutureSpawner as _,
    Handler, Message, StreamHandler, WrapFuture as _,
};
use futures_util::stream;

use super::actor::{LookAt, RolloutActor};
use super::nudges::Nudges;
use super::runner::{Look, Parts};
use crate::domain::{Rollout, RolloutId, RolloutState, TargetStatus};

/// Supervises the actors of rollouts.
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Supervisor {
    parts: Parts,
    nudges: Nudges,
    actors: HashMap<RolloutId, Addr<RolloutActor>>,
    /// True while news of which somebody did not hear are about to be repeated.
    repeats: bool,
}

/// The actor of a rollout is asked for; it is started if there is none.
#[derive(Message)]
#[rtype(result = "Addr<RolloutActor>")]
pub(super) struct ActorOf(pub(super) RolloutId);

/// The actor of a rollout has nothing more to do.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Rests(pub(super) RolloutId);

impl Supervisor {
    /// Starts it on this thread, with the rollouts that are under way.
    pub fn start(parts: Parts, nudges: Nudges) -> Addr<Self> {
        Self {
            parts,
            nudges,
            actors: HashMap::new(),
            repeats: false,
        }
        .start()
    }

    fn actor(&mut self, id: RolloutId, ctx: &Context<Self>) -> Addr<RolloutActor> {
        let there = self.actors.get(&id).filter(|actor| actor.connected());
        if let Some(actor) = there {
            return actor.clone();
        }
        let actor = RolloutActor::new(id, self.parts.clone(), ctx.address().recipient()).start();
        self.actors.insert(id, actor.clone());
        self.nudges.follow_registrations(true);
        actor
    }

    /// Starts the actors of those among the rollouts that are not over.
    fn take_up(&self, which: fn(&Rollout) -> bool, ctx: &mut Context<Self>) {
        let parts = self.parts.clone();
        let list = async move { parts.rollouts.not_over().await };
        list.into_actor(self)
            .map(move |rollouts, actor, ctx| match rollouts {
                Ok(rollouts) => {
                    for rollout in rollouts.iter().filter(|rollout| which(rollout)) {
                        actor.actor(rollout.id, ctx);
                    }
                }
                Err(error) => {
                    actor.parts.metrics.failures.inc();
                    tracing::warn!("Cannot list the rollouts that are under way: {error}");
                    ctx.run_later(AGAIN, move |actor, ctx| actor.take_up(which, ctx));
                }
            })
            .spawn(ctx);
    }

    /// Those that did not say that they rest have died.
    fn revive(&mut self, ctx: &Context<Self>) {
        let is_dead =
            |(id, actor): (&RolloutId, &Addr<RolloutActor>)| (!actor.connected()).then_some(*id);
        let dead: Vec<RolloutId> = self.actors.iter().filter_map(is_dead).collect();
        for id in dead {
            tracing::error!(rollout = %id, "The actor of rollout {id} died and is started anew");
            self.parts.metrics.restarts.inc();
            self.actor(id, ctx);
        }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // One that is paused may have updates under way.
        self.take_up(|rollout| rollout.state != RolloutState::Ready, ctx);
        ctx.run_interval(LOST, |actor, ctx| {
            let has_work = |rollout: &Rollout| {
                let active = [TargetStatus::Updating, TargetStatus::RollingBack];
                rollout.state != RolloutState::Ready
                    && (rollout.state != RolloutState::Paused
                        || rollout.counts().of_any(&active) > 0)
            };
            actor.take_up(has_work, ctx);
        });
        let nudges = self.nudges.clone();
        ctx.add_stream(stream::unfold(nudges, async |nudges| {
            let look = nudges.next().await;
            Some((LookAt(look), nudges))
        }));
        ctx.run_interval(AGAIN, |actor, ctx| actor.revive(ctx));
    }
}

impl StreamHandler<LookAt> for Supervisor {
    fn handle(&mut self, look: LookAt, ctx: &mut Self::Context) {
        let mut is_heard = true;
        for actor in self.actors.values().filter(|actor| actor.connected()) {
            is_heard &= actor.try_send(look.clone()).is_ok();
        }
        if !is_heard && !std::mem::replace(&mut self.repeats, true) {
            // A mailbox was full: everything is looked at when there is room again.
            ctx.run_later(REPEAT, |actor, ctx| {
                actor.repeats = false;
                StreamHandler::handle(actor, LookAt(Look::All), ctx);
            });
        }
    }
}

impl Handler<ActorOf> for Supervisor {
    type Result = Addr<RolloutActor>;

    fn handle(&mut self, ActorOf(id): ActorOf, ctx: &mut Self::Context) -> Self::Result {
        self.actor(id, ctx)
    }
}

impl Handler<Rests> for Supervisor {
    type Result = ();

    fn handle(&mut self, Rests(id): Rests, _: &mut Self::Context) {
        // It may have been started anew meanwhile.
        if self.actors.get(&id).is_some_and(|actor| !actor.connected()) {
            self.actors.remove(&id);
        }
        self.nudges.follow_registrations(!self.actors.is_empty());
    }
}

/// Dead actors are looked for, and failures tried again, after so long.
const AGAIN: Duration = Duration::from_secs(2);

/// Rollouts under way without an actor, of which nobody told, are looked for this often.
const LOST: Duration = Duration::from_secs(30);

/// News that found a mailbox full are repeated after so long.
const REPEAT: Duration = Duration::from_millis(250);
