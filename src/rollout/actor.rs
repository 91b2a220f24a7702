//! The actor of one rollout: a mailbox around [`Runner`]. One thing after the other: while a turn is stored and
//! carried out, what others want waits.

use std::time::Duration;

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, Context,
    ContextFutureSpawner as _, Handler, Message, Recipient, SpawnHandle, WrapFuture as _,
};
use tokio::sync::oneshot;

use super::handle::{Command, RolloutError};
use super::runner::{After, Look, Parts, Runner};
use super::supervisor::Rests;
use crate::domain::{Doer, Rollout, RolloutId};

/// A rollout that is under way, paused, or just being steered.
pub(super) struct RolloutActor {
    id: RolloutId,
    parts: Parts,
    /// Away while a turn is carried out.
    runner: Option<Runner>,
    timer: Option<SpawnHandle>,
    supervisor: Recipient<Rests>,
}

/// Somebody wants something of the rollout.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Steer {
    pub(super) command: Command,
    pub(super) by: Doer,
    pub(super) answer: oneshot::Sender<Result<Rollout, RolloutError>>,
}

/// Something may have become of updates.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub(super) struct LookAt(pub(super) Look);

impl RolloutActor {
    pub(super) fn new(id: RolloutId, parts: Parts, supervisor: Recipient<Rests>) -> Self {
        parts.metrics.actors.inc();
        Self {
            id,
            parts,
            runner: None,
            timer: None,
            supervisor,
        }
    }

    fn turn(&mut self, look: Look, ctx: &mut Context<Self>) {
        let Some(mut runner) = self.runner.take() else {
            return;
        };
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let turn = async move {
            let after = runner.turn(look).await;
            (runner, after)
        };
        turn.into_actor(self)
            .map(|(runner, after), actor, ctx| {
                actor.runner = Some(runner);
                match after {
                    After::Due(wait) => actor.wake_after(wait, ctx),
                    After::Gone => ctx.stop(),
                    After::Rests => actor.rest(ctx),
                }
            })
            .wait(ctx);
    }

    fn wake_after(&mut self, wait: Duration, ctx: &mut Context<Self>) {
        // A moment at least: messages come in between.
        let wait = wait.max(Duration::from_millis(1));
        let look = if wait < PROMPT { Look::Away } else { Look::All };
        let timer = ctx.run_later(wait, move |actor, ctx| {
            actor.timer = None;
            actor.turn(look, ctx);
        });
        self.timer = Some(timer);
    }

    /// Ends a little later: it may have been started for somebody who wants something of it.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        self.timer = Some(ctx.run_later(LINGER, |_, ctx| ctx.stop()));
    }

    fn load(&self, ctx: &mut Context<Self>) {
        let (id, parts) = (self.id, self.parts.clone());
        let load = async move {
            loop {
                match Runner::load(id, parts.clone()).await {
                    Ok(runner) => return runner,
                    Err(error) => {
                        parts.metrics.failures.inc();
                        tracing::warn!(rollout = %id, "Cannot load rollout {id}: {error}");
                        tokio::time::sleep(RELOAD).await;
                    }
                }
            }
        };
        load.into_actor(self)
            .map(|runner, actor, ctx| {
                if runner.is_none() {
                    ctx.stop();
                }
                actor.runner = runner;
                actor.turn(Look::All, ctx);
            })
            .wait(ctx);
    }
}

impl Actor for RolloutActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.load(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if std::thread::panicking() {
            return;
        }
        // A supervisor that is too busy for it starts this one anew, and it rests again.
        let _ = self.supervisor.try_send(Rests(self.id));
    }
}

impl Drop for RolloutActor {
    fn drop(&mut self) {
        // Also when it panics.
        self.parts.metrics.actors.dec();
    }
}

impl Handler<Steer> for RolloutActor {
    type Result = ();

    fn handle(&mut self, steer: Steer, ctx: &mut Self::Context) {
        let Some(mut runner) = self.runner.take() else {
            let _ = steer.answer.send(Err(RolloutError::Unknown(self.id)));
            return;
        };
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let work = async move {
            // Whoever has gone does not know that it is done, and must not find it done later.
            if !steer.answer.is_closed() {
                let outcome = runner.steer(steer.command, steer.by).await;
                let _ = steer.answer.send(outcome);
            }
            runner
        };
        work.into_actor(self)
            .map(|runner, actor, ctx| {
                actor.runner = Some(runner);
                actor.turn(Look::Away, ctx);
            })
            .wait(ctx);
    }
}

impl Handler<LookAt> for RolloutActor {
    type Result = ();

    fn handle(&mut self, LookAt(look): LookAt, ctx: &mut Self::Context) {
        let concerns = |runner: &Runner| match &look {
            Look::At(names) => runner.concerns(names),
            Look::All | Look::Away => true,
        };
        if self.runner.as_ref().is_some_and(concerns) {
            self.turn(look, ctx);
        }
    }
}

/// A turn that is due sooner than this is about what is known already.
const PROMPT: Duration = Duration::from_secs(1);

/// After the rollout could not be loaded it is tried again after so long.
const RELOAD: Duration = Duration::from_secs(5);

/// An actor that has nothing to do ends after so long.
const LINGER: Duration = Duration::from_secs(5);
