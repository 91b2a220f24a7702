//! Carries out what somebody asks of many devices at once: each has its turn, a few at the same time, and what
//! became of it is stored before the next ones have theirs.
//!
//! It holds nothing that matters: after a restart it goes on with what the store says. An operation that was made
//! and not noted is found again by its origin; tags and forgetting do no harm when they are done twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use serde_json::json;

use super::actor::PATIENCE;
use super::handle::{Devices, OperateError};
use crate::domain::{
    BulkAction, BulkId, BulkItemState, BulkOperation, BulkState, Doer, EndpointName, LiveKind,
    LiveNews, NewOperation, OperationId, Origin, ProfileChange, Selection, Timestamp, Topic,
};
use crate::live::Hub;
use crate::store::{BulkNews, BulkSettled, BulkStore, BulkTurn, EndpointReader, StoreError};

/// Carries bulk operations out.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct BulkRunner {
    /// Where they are kept.
    pub bulks: Arc<dyn BulkStore>,
    /// The devices that are known.
    pub endpoints: Arc<dyn EndpointReader>,
    /// The devices themselves.
    pub devices: Arc<dyn Devices>,
    /// Who listens to how it goes on.
    pub hub: Hub,
    /// Somebody has asked for something.
    pub news: BulkNews,
    /// `operations.max_attempts`
    pub max_attempts: u32,
}

/// What of one bulk operation this process remembers.
#[derive(Debug, Default)]
struct Progress {
    /// Where the next turns are.
    from: u64,
    /// Since when it is not known whether the operation of a device was made.
    in_doubt: HashMap<u64, Instant>,
}

impl Progress {
    /// True while an operation may still be made for this device of which nobody knows.
    fn doubts(&self, turn: &BulkTurn) -> bool {
        let since = self.in_doubt.get(&turn.position);
        turn.operation.is_none() && since.is_some_and(|since| since.elapsed() < DOUBT)
    }
}

/// What came of some turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// There is more to do at once.
    More,
    /// What is left to do can be done in a while.
    Later,
    /// There is nothing left to do.
    Over,
}

impl BulkRunner {
    /// Goes on until nobody polls it any more.
    pub async fn run(self) {
        let mut progress: HashMap<BulkId, Progress> = HashMap::new();
        loop {
            let pause = match self.round(&mut progress).await {
                Ok(true) => continue,
                Ok(false) => EVERY,
                Err(error) => {
                    tracing::warn!("Bulk operations go on in a moment: {error}");
                    PAUSE
                }
            };
            let pause = match progress.is_empty() {
                true => pause,
                false => PAUSE,
            };
            _ = tokio::time::timeout(pause, self.news.heard()).await;
        }
    }

    /// Some turns of each that is under way. True when there is more to do at once.
    async fn round(&self, progress: &mut HashMap<BulkId, Progress>) -> Result<bool, StoreError> {
        let under_way = self.bulks.under_way().await?;
        progress.retain(|id, _| under_way.iter().any(|bulk| bulk.id == *id));
        let mut is_more = false;
        for bulk in under_way {
            let progress = progress.entry(bulk.id).or_default();
            let after = match bulk.state {
                BulkState::Cancelling => self.take_back(&bulk, progress).await?,
                _ => self.go_on(&bulk, progress).await?,
            };
            if after == After::Over {
                let (from, to) = match bulk.state {
                    BulkState::Cancelling => (BulkState::Cancelling, BulkState::Cancelled),
                    _ => (BulkState::Running, BulkState::Finished),
                };
                self.bulks.turn_to(bulk.id, &[from], to, None).await?;
            }
            is_more |= after != After::Later;
            self.tell(bulk.id).await?;
        }
        Ok(is_more)
    }

    /// The next turns.
    async fn go_on(
        &self,
        bulk: &BulkOperation,
        progress: &mut Progress,
    ) -> Result<After, StoreError> {
        let turns = self.bulks.turns(bulk, progress.from, AT_ONCE).await?;
        let Some(last) = turns.last() else {
            return Ok(match std::mem::take(&mut progress.from) {
                0 => After::Over,
                // From the first one again: those that could not be asked have another turn.
                _ if progress.in_doubt.is_empty() => After::More,
                _ => After::Later,
            });
        };
        progress.from = last.position + 1;
        let due = turns.into_iter().filter(|turn| !progress.doubts(turn));
        let outcomes: Vec<(u64, Option<BulkSettled>)> = stream::iter(due.collect::<Vec<_>>())
            .map(|turn| async move { (turn.position, self.ask(bulk, turn).await) })
            .buffer_unordered(TOGETHER)
            .collect()
            .await;
        let mut settled = Vec::with_capacity(outcomes.len());
        for (position, outcome) in outcomes {
            match outcome {
                Some(outcome) => {
                    progress.in_doubt.remove(&position);
                    settled.push(outcome);
                }
                None => {
                    progress.in_doubt.insert(position, Instant::now());
                }
            }
        }
        self.bulks.settle(bulk.id, settled).await?;
        Ok(After::More)
    }

    /// One device has its turn. Nothing when it is not known what came of it.
    async fn ask(&self, bulk: &BulkOperation, turn: BulkTurn) -> Option<BulkSettled> {
        let settled = |state, operation, error| BulkSettled {
            position: turn.position,
            state,
            operation,
            error,
        };
        if let Some(made) = turn.operation {
            return Some(settled(BulkItemState::Asked, Some(made), None));
        }
        let done = match &bulk.action {
            BulkAction::Operate(request) => {
                let operation = NewOperation {
                    request: (**request).clone(),
                    origin: Origin::Bulk(bulk.id, bulk.requested_by.clone()),
                    expires_in: bulk.expires_in,
                    max_attempts: self.max_attempts,
                    // Its row remembers the operation, with the same commit.
                    key: None,
                    by: None,
                };
                let asked = self
                    .devices
                    .operate(&turn.endpoint, operation, Duration::ZERO);
                asked.await.map(|operation| Some(operation.id))
            }
            BulkAction::Forget => {
                // Each has a line of its own: it is by its name that somebody looks for what became of it.
                let by = Doer::from_nowhere(&bulk.requested_by);
                // Nothing to forget: somebody else has done it, or this one before a crash.
                let forgotten = self.devices.forget(&turn.endpoint, Some(by)).await;
                forgotten.map(|_| None)
            }
            BulkAction::Tag(tags) => {
                let change = ProfileChange {
                    with_tags: tags.clone(),
                    ..ProfileChange::default()
                };
                match self.check_tags(&turn.endpoint, &change).await {
                    Ok(()) => self.change(&turn.endpoint, change).await,
                    Err(Unfit::Refused(why)) => {
                        return Some(settled(BulkItemState::Refused, None, Some(why)));
                    }
                    Err(Unfit::Unknown(error)) => Err(error),
                }
            }
            BulkAction::Untag(tags) => {
                let change = ProfileChange {
                    without_tags: tags.clone(),
                    ..ProfileChange::default()
                };
                self.change(&turn.endpoint, change).await
            }
        };
        match done {
            Ok(Some(operation)) => Some(settled(BulkItemState::Asked, Some(operation), None)),
            Ok(None) => Some(settled(BulkItemState::Done, None, None)),
            Err(OperateError::Busy | OperateError::Store(_)) => None,
            Err(error) => Some(settled(
                BulkItemState::Refused,
                None,
                Some(error.to_string()),
            )),
        }
    }

    async fn change(
        &self,
        endpoint: &EndpointName,
        change: ProfileChange,
    ) -> Result<Option<OperationId>, OperateError> {
        // The line of the whole is enough: by its number tags and devices are found, and nothing is lost.
        let changed = self.devices.change_profile(endpoint, change, None);
        changed.await.map(|_| None)
    }

    async fn check_tags(
        &self,
        endpoint: &EndpointName,
        change: &ProfileChange,
    ) -> Result<(), Unfit> {
        let found = self.endpoints.find(endpoint).await;
        let row = found
            .map_err(|error| Unfit::Unknown(error.into()))?
            .ok_or_else(|| Unfit::Unknown(OperateError::UnknownEndpoint(endpoint.clone())))?;
        let many = change.applied_to(&row.profile).tags.len();
        if many > Selection::MAX_ENTRIES {
            let most = Selection::MAX_ENTRIES;
            let why = format!("it would have {many} tags, and a device has at most {most}");
            return Err(Unfit::Refused(why));
        }
        Ok(())
    }

    /// Takes back what can be: first the devices that had no turn yet, then operations that wait.
    async fn take_back(
        &self,
        bulk: &BulkOperation,
        progress: &Progress,
    ) -> Result<After, StoreError> {
        let turns = self.bulks.turns(bulk, 0, AT_ONCE).await?;
        if !turns.is_empty() {
            let mut waits = false;
            let mut settled = Vec::with_capacity(turns.len());
            for turn in turns {
                if progress.doubts(&turn) {
                    waits = true;
                    continue;
                }
                settled.push(BulkSettled {
                    position: turn.position,
                    state: match turn.operation {
                        Some(_) => BulkItemState::Asked,
                        None => BulkItemState::Cancelled,
                    },
                    operation: turn.operation,
                    error: None,
                });
            }
            let is_more = !settled.is_empty();
            self.bulks.settle(bulk.id, settled).await?;
            return Ok(if is_more || !waits {
                After::More
            } else {
                After::Later
            });
        }
        let queued = self.bulks.queued(bulk.id, AT_ONCE).await?;
        if queued.is_empty() {
            return Ok(After::Over);
        }
        let cancelled = stream::iter(queued)
            .map(|id| self.devices.cancel(id, None))
            .buffer_unordered(TOGETHER)
            // One that is on its way meanwhile is not QUEUED any more.
            .filter(|outcome| {
                let failed = matches!(outcome, Err(OperateError::Busy | OperateError::Store(_)));
                std::future::ready(!failed)
            })
            .count()
            .await;
        Ok(if cancelled > 0 {
            After::More
        } else {
            After::Later
        })
    }

    /// Tells who listens how it stands.
    async fn tell(&self, id: BulkId) -> Result<(), StoreError> {
        let Some(bulk) = self.bulks.find(id).await? else {
            return Ok(());
        };
        self.hub.announce(LiveNews {
            topic: Topic::Bulk(id),
            kind: LiveKind::Bulk,
            time: Timestamp::system(),
            fields: json!({"id": id.0, "state": bulk.state.name(), "devices": bulk.devices}),
        });
        Ok(())
    }
}

/// Why a device is not given tags.
enum Unfit {
    /// It cannot have them.
    Refused(String),
    /// That is not known.
    Unknown(OperateError),
}

/// So many devices have their turn before it is noted.
const AT_ONCE: u64 = 200;

/// So many at the same time.
const TOGETHER: usize = 16;

/// How often it is looked for something to do that nobody told of.
const EVERY: Duration = Duration::from_secs(5);

/// How long until what could not be done is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// An operation of which nobody knows whether it was made is there by then, or never.
const DOUBT: Duration = Duration::from_secs(PATIENCE.as_secs() * 3);
