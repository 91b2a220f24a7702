//! When the device listens, and what is learnt of that.
//!
//! A device in queue mode listens for a while after each message of its own and then sleeps until
//! its next one (OMA-TS-LightweightM2M Core 1.0 section 8.3, transport binding 1.1 section 6.5).
//! Nothing is sent to it while it sleeps. How long it listens is, in this order: what its profile
//! says, what was learnt from requests that stayed unanswered, what is set for all.
//!
//! A device with eDRX listens at any time, but only once in each of its cycles: it is sent to at
//! any time and given as long to answer.

use std::time::{Duration, Instant};

use super::{Action, Env, Session, Step};
use crate::coap::{Patience, Window};
use crate::domain::Now;
use crate::endpoint::{Listening, SessionSettings};
use crate::store::{Change, Commit};

impl Session {
    /// True for a device that sleeps between its messages.
    pub fn is_queue_mode(&self) -> bool {
        self.registration
            .as_ref()
            .is_some_and(|registration| registration.queue_mode)
            && self.profile.edrx_cycle.is_none()
    }

    /// Until when the device listens; nothing when it always does or when it sleeps already.
    pub fn awake_until(&self, now: Now, settings: &SessionSettings) -> Option<Instant> {
        if !self.is_queue_mode() || self.silent {
            return None;
        }
        let heard = self.last_uplink?;
        Some(heard + self.awake_for(now, settings))
    }

    /// When the device listens.
    pub fn listens(&self, now: Now, settings: &SessionSettings) -> Listening {
        if !self.is_queue_mode() {
            return Listening::Always;
        }
        self.awake_until(now, settings)
            .map_or(Listening::Asleep, Listening::Until)
    }

    /// How long the device listens after a message of its own.
    fn awake_for(&self, now: Now, settings: &SessionSettings) -> Duration {
        self.profile
            .awake
            .or_else(|| {
                let learnt = self.learned.window(now.wall, settings.relearn_after);
                learnt.filter(|_| settings.learn_awake)
            })
            .unwrap_or(settings.awake)
    }

    /// True when a request may be sent now.
    pub(super) fn is_reachable(&self, env: &Env<'_>) -> bool {
        if self.silent || !self.may_be_asked(env) {
            return false;
        }
        !self.is_queue_mode()
            || self
                .awake_until(env.now, env.settings)
                .is_some_and(|until| env.now.instant < until)
    }

    /// The device was heard of.
    pub(super) fn heard(&mut self, env: &Env<'_>) {
        if self.is_queue_mode() {
            let gap = self
                .last_uplink
                .map(|at| env.now.instant.saturating_duration_since(at));
            let window = self.awake_for(env.now, env.settings);
            let slept = match gap {
                None => true,
                Some(gap) => gap >= window || (self.silent && gap >= env.settings.least_awake),
            };
            if slept {
                self.learned.woke(env.now.wall, gap.is_some());
                self.learned_is_new = true;
                self.queue.release();
            }
        }
        self.last_uplink = Some(env.now.instant);
        self.silent = false;
        self.retry_at = None;
    }

    /// How long after its last message a request to a device in queue mode goes out.
    pub(super) fn sent_after(&self, env: &Env<'_>) -> Option<Duration> {
        let heard = self.last_uplink.filter(|_| self.is_queue_mode())?;
        Some(env.now.instant.saturating_duration_since(heard))
    }

    /// A request that was sent so long after its last message was answered, or at least acknowledged.
    pub(super) fn learn_answered(&mut self, sent_after: Option<Duration>) {
        if let Some(after) = sent_after {
            self.learned_is_new |= self.learned.answered(after);
        }
    }

    /// A request that was sent so long after its last message stayed without any sign.
    pub(super) fn learn_silent(&mut self, env: &Env<'_>, sent_after: Option<Duration>) {
        if let Some(after) = sent_after.filter(|_| env.settings.learn_awake) {
            let least = env.settings.least_awake;
            self.learned.silent(after, least, env.now.wall);
            self.learned_is_new = true;
        }
    }

    /// Adds what is newly learnt to a commit.
    pub(super) fn note_learned(&mut self, commit: &mut Commit) {
        if std::mem::take(&mut self.learned_is_new) {
            commit.changes.push(Change::Learned {
                endpoint_id: self.endpoint_id,
                learned: Box::new(self.learned.clone()),
            });
        }
    }

    /// The times in which a request may be sent and sent again.
    pub(super) fn window(&self, env: &Env<'_>) -> Option<Window> {
        let until = self.awake_until(env.now, env.settings)?;
        Some(Window {
            until,
            length: self.awake_for(env.now, env.settings),
        })
    }

    /// What a device with eDRX needs: a message reaches it after a cycle at the latest.
    pub(super) fn patience(&self, env: &Env<'_>) -> Option<Patience> {
        let cycle = self.profile.edrx_cycle?;
        Some(Patience {
            first_timeout: cycle.saturating_add(env.settings.ack_timeout),
            max_retransmit: EDRX_RETRANSMISSIONS,
        })
    }

    /// Nobody answered: the device is not asked again before it is heard of, or, when it can be
    /// reached at any time, before another cycle.
    pub(super) fn fall_silent(&mut self, env: &Env<'_>) {
        self.silent = true;
        self.retry_at = self
            .profile
            .edrx_cycle
            .and_then(|cycle| env.now.instant.checked_add(cycle));
    }

    /// A device that can be reached at any time is asked again.
    pub(super) fn try_the_silent(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if self.retry_at.take_if(|at| *at <= env.now.instant).is_some() {
            self.silent = false;
            self.queue.release();
            steps.push(Step::Do(Action::Pump));
        }
    }

    /// Tells the message layer when the device was heard of while a request is on its way.
    pub(super) fn move_window(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        let window = self.window(env);
        if let Some(in_flight) = &mut self.in_flight
            && let Some(exchange) = in_flight.exchange
            && window.is_some()
            && in_flight.window != window
        {
            in_flight.window = window;
            steps.push(Step::Do(Action::SetWindow(exchange, window)));
        }
    }
}

/// One retransmission takes another two cycles; with more of them a single lost device would keep
/// its exchange for hours.
const EDRX_RETRANSMISSIONS: u32 = 1;
