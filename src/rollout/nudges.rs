//! News of updates that are over and of devices that have come, on their way to rollouts.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::runner::Look;
use crate::domain::{EndpointName, LiveBody, LiveEvent, LiveKind, UpdateResult};

/// Whoever publishes what was committed notes here which updates of rollouts are over, and, while there are rollouts,
/// which devices have registered. It costs nothing to speak of, and never waits.
#[derive(Clone, Debug, Default)]
pub struct Nudges {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    noted: Mutex<Noted>,
    is_noted: Notify,
    follows_registrations: AtomicBool,
}

#[derive(Debug, Default)]
struct Noted {
    devices: HashSet<EndpointName>,
    /// There were too many to remember them.
    all: bool,
}

impl Nudges {
    /// Takes note of those among these messages that a rollout waits for. They are on disk.
    pub fn note(&self, events: &[LiveEvent]) {
        let registrations = self.shared.follows_registrations.load(Ordering::Relaxed);
        let of_rollout = |event: &&LiveEvent| match &event.body {
            LiveBody::FirmwareUpdate(update) => {
                update.facts.rollout_id.is_some()
                    && update.facts.result != UpdateResult::Default.name()
            }
            _ => registrations && event.kind == LiveKind::Registered,
        };
        let mut over = events.iter().filter(of_rollout).peekable();
        if over.peek().is_none() {
            return;
        }
        let mut noted = self.lock();
        for event in over {
            if noted.devices.len() >= MOST {
                noted.all = true;
                noted.devices.clear();
            }
            if !noted.all {
                noted.devices.insert(event.endpoint.clone());
            }
        }
        self.shared.is_noted.notify_one();
    }

    /// Whether devices that register are news.
    pub(super) fn follow_registrations(&self, follow: bool) {
        let follows = &self.shared.follows_registrations;
        follows.store(follow, Ordering::Relaxed);
    }

    /// Waits for the next ones, and a moment longer, as others mostly follow.
    pub(super) async fn next(&self) -> Look {
        loop {
            self.shared.is_noted.notified().await;
            tokio::time::sleep(GATHERED).await;
            let Noted { devices, all } = std::mem::take(&mut *self.lock());
            match (all, devices.is_empty()) {
                (true, _) => return Look::All,
                (false, false) => return Look::At(Arc::new(devices)),
                (false, true) => {}
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Noted> {
        // What it guards is whole after each step.
        let noted = self.shared.noted.lock();
        noted.unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many devices are remembered by name.
const MOST: usize = 10_000;

/// News are gathered for so long.
const GATHERED: Duration = Duration::from_millis(100);
