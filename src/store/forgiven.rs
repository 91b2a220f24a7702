//! Served time: by which the ends of registrations and the clocks of rules are stored.
//!
//! It is the clock of the system less all downtime that was ever forgiven in this database, so it stands still
//! while the server does. A restart forgives by adding to that sum, one row of `server_state`, whatever the
//! number of registrations; what is stored stays as it is (docs/adr/0013). Outside of this room all times
//! are of the system's clock: a commit is converted before it is queued, and rows when they are read.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flownexus_entity::server_state;
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait as _};

use super::records;
use super::sequence::save;
use super::{Change, Commit, StoreError};
use crate::domain::Timestamp;

/// The key in `server_state` of what was forgiven so far, in milliseconds.
const FORGIVEN: &str = "forgiven_ms";

/// What was forgiven so far, for the whole process.
#[derive(Debug)]
pub(super) struct Sum(AtomicI64);

impl Sum {
    /// What the database says.
    pub(super) async fn read(database: &impl ConnectionTrait) -> Result<Self, StoreError> {
        Ok(Self(AtomicI64::new(stored(database).await?.0)))
    }

    /// What it is now. It changes at the start only.
    pub(super) fn now(&self) -> Forgiven {
        Forgiven(self.0.load(Ordering::Relaxed))
    }

    /// This much is on disk.
    pub(super) fn is(&self, forgiven: Forgiven) {
        self.0.store(forgiven.0, Ordering::Relaxed);
    }
}

/// Between the clock of the system and served time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forgiven(i64);

impl Forgiven {
    /// Forgives so much more, on disk once this transaction is. A database from before has forgiven nothing: there
    /// its rows were changed instead.
    pub(super) async fn add(
        transaction: &DatabaseTransaction,
        more: Duration,
    ) -> Result<Self, StoreError> {
        let more = i64::try_from(more.as_millis()).unwrap_or(i64::MAX);
        let sum = stored(transaction).await?.0.saturating_add(more);
        save(transaction, FORGIVEN.to_owned(), sum).await?;
        Ok(Self(sum))
    }

    /// A stored time. What never ends does not end later.
    pub(super) fn time(self, stored: i64) -> Timestamp {
        if stored == Timestamp::MAX.as_millis() {
            return Timestamp::MAX;
        }
        records::time(stored.saturating_add(self.0))
    }

    /// A time of the system's clock as it would be stored, in milliseconds.
    pub(super) fn served(self, time: Timestamp) -> i64 {
        time.earlier_by_millis(self.0).as_millis()
    }

    /// Converts what a commit has of such times.
    pub(super) fn convert(self, commit: &mut Commit) {
        for change in &mut commit.changes {
            match change {
                Change::Register(registration) | Change::UpdateRegistration(registration) => {
                    self.to_served(&mut registration.expires_at);
                }
                Change::ExtendRegistration { expires_at, .. } => self.to_served(expires_at),
                Change::SaveRuleState(state) => {
                    if let Some(at) = &mut state.clock_at {
                        self.to_served(at);
                    }
                }
                _ => {}
            }
        }
    }

    fn to_served(self, time: &mut Timestamp) {
        if *time != Timestamp::MAX {
            *time = time.earlier_by_millis(self.0);
        }
    }
}

async fn stored(database: &impl ConnectionTrait) -> Result<Forgiven, StoreError> {
    let row = server_state::Entity::find_by_id(FORGIVEN.to_owned())
        .one(database)
        .await?;
    Ok(Forgiven(row.map_or(0, |row| row.value)))
}
