//! What the writer removes when it has nothing better to do: answers and keys that nobody can ask for again,
//! and lines of logs that are old or too many. In pieces, so that commits come in between. (Values that are
//! over age are removed by the task of the history.)

use std::collections::HashSet;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbErr};

use super::device_log::{prune_many, prune_old};
use super::sql::statement;
use super::{Change, Commit, idempotency};
use crate::config;
use crate::domain::{EndpointId, Timestamp};

/// When what is removed, and of whom.
#[derive(Debug)]
pub(super) struct Pruner {
    logs: config::Logs,
    /// None until the first time.
    done_at: Option<Instant>,
    /// Devices that may have too many lines: those that sent some since they were looked at.
    logged: HashSet<EndpointId>,
}

/// So many answers are removed at a time.
const ROWS: u64 = 5_000;

/// So many devices' logs are looked at at a time.
const DEVICES: usize = 10;

impl Pruner {
    pub(super) fn new(logs: config::Logs) -> Self {
        Self {
            logs,
            done_at: None,
            logged: HashSet::new(),
        }
    }

    /// True when it was done longer ago than this; at the start only when idle.
    pub(super) fn is_due(&self, interval: Duration, idle: bool) -> bool {
        self.done_at
            .map_or(idle, |done_at| done_at.elapsed() >= interval)
    }

    /// These commits are on disk.
    pub(super) fn written(&mut self, commits: &[&Commit]) {
        for change in commits.iter().flat_map(|commit| &commit.changes) {
            if let Change::Log { endpoint_id, .. } = change {
                self.logged.insert(*endpoint_id);
            }
        }
    }

    /// Removes a piece of each. While there may be more it stays due.
    pub(super) async fn run(&mut self, database: &DatabaseConnection, now: Timestamp) {
        match self.piece(database, now).await {
            Ok(true) => {}
            Ok(false) => self.done_at = Some(Instant::now()),
            Err(error) => {
                self.done_at = Some(Instant::now());
                tracing::warn!(%error, "Could not remove old answers and logs: {error}");
            }
        }
    }

    /// True when there may be more.
    async fn piece(
        &mut self,
        database: &DatabaseConnection,
        now: Timestamp,
    ) -> Result<bool, DbErr> {
        let answers = prune_answers(database, now).await?;
        let keys = idempotency::prune(database, now, ROWS).await?;
        let old = prune_old(database, &self.logs, now).await?;
        let devices: Vec<EndpointId> = self.logged.iter().copied().take(DEVICES).collect();
        for device in devices {
            if !prune_many(database, &self.logs, device).await? {
                self.logged.remove(&device);
            }
        }
        Ok(answers || keys || old || !self.logged.is_empty())
    }
}

/// Removes some of the answers that have expired. True when there may be more.
async fn prune_answers(database: &DatabaseConnection, now: Timestamp) -> Result<bool, DbErr> {
    let sql = format!(
        "DELETE FROM stored_answer WHERE (transport, address, message_id, hash) IN (\
        SELECT transport, address, message_id, hash FROM stored_answer \
        WHERE expires_at <= ? LIMIT {ROWS})"
    );
    let removed = database
        .execute_raw(statement(database, &sql, [now.as_millis().into()]))
        .await?;
    Ok(removed.rows_affected() >= ROWS)
}
