//! The task that keeps the history in order: it adds values up, removes what is over age, and makes
//! partitions ahead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::Mutex;

use super::roll::Roller;
use super::{keep, partition};
use crate::config::{self, Settings};
use crate::domain::Timestamp;
use crate::store::open::WeakStore;
use crate::store::{Metrics, Store, StoreError, over_age};

/// How often it looks whether there is something to do.
const TICK: Duration = Duration::from_secs(1);

/// How often it looks for what is over age, and for partitions that are missing.
const TIDY: Duration = Duration::from_secs(600);

/// How long the start has for itself.
const CALM: Duration = Duration::from_secs(10);

/// How long it waits after an error.
const PAUSE: Duration = Duration::from_secs(5);

/// What the store keeps of it. Clones share it.
#[derive(Clone, Debug)]
pub(in crate::store) struct Historian {
    settings: config::History,
    retention: config::Retention,
    metrics: Metrics,
    /// One at a time.
    roller: Arc<Mutex<Roller>>,
    walked: Arc<Mutex<Walked>>,
}

/// What was looked through already.
#[derive(Debug, Default)]
struct Walked {
    values: keep::Walked,
    others: over_age::Walked,
}

impl Historian {
    pub(in crate::store) fn new(settings: &Settings, metrics: Metrics) -> Self {
        let roller = Roller::new(settings.history.clone(), metrics.clone());
        Self {
            settings: settings.history.clone(),
            retention: settings.retention,
            metrics,
            roller: Arc::new(Mutex::new(roller)),
            walked: Arc::default(),
        }
    }

    /// Works until the store is closed or gone.
    pub(in crate::store) async fn run(self, store: WeakStore) {
        // Not at the start, when the devices are read and come back.
        let mut tidied = Instant::now();
        tokio::time::sleep(CALM).await;
        loop {
            let Some(store) = store.upgrade() else { return };
            let worked = self.step(&store, &mut tidied).await;
            drop(store);
            match worked {
                Ok(true) => {}
                Ok(false) => tokio::time::sleep(TICK).await,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "Could not keep the history in order: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// True when there may be more to do at once.
    async fn step(&self, store: &Store, tidied: &mut Instant) -> Result<bool, StoreError> {
        if store.is_closed() {
            return Err(StoreError::Closed);
        }
        if tidied.elapsed() >= TIDY {
            *tidied = Instant::now();
            self.make_partitions(store, Timestamp::system()).await?;
            self.remove_old(store, Timestamp::system()).await?;
        }
        self.roller.lock().await.run(store).await
    }

    async fn remove_old(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let mut walked = self.walked.lock().await;
        let Walked { values, others } = &mut *walked;
        // Events first, whose values go with the others then.
        over_age::remove_old(store, self.retention, &self.metrics, others, now).await?;
        keep::remove_old(store, &self.settings, &self.metrics, values, now).await
    }

    async fn make_partitions(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let (days, next) = (self.settings.partition_days, store.next_row());
        let backend = store
            .write_patiently(move |transaction| {
                async move {
                    partition::ensure(transaction, now, next, days).await?;
                    Ok(sea_orm::ConnectionTrait::get_database_backend(transaction))
                }
                .boxed()
            })
            .await?;
        store.advance_rows(partition::first_row_of(backend, now));
        Ok(())
    }
}

impl Store {
    /// Adds all values up that are on disk now, without waiting for an idle moment. The server does so by
    /// itself; this is for whoever cannot wait.
    ///
    /// # Errors
    /// When the database refuses or the store is closed.
    pub async fn roll_up(&self) -> Result<(), StoreError> {
        let historian = self.historian();
        let mut roller = historian.roller.lock().await;
        roller.run_all(self).await
    }

    /// Removes everything that is over age at this moment, and makes the partitions that are needed then.
    /// The server does so by itself.
    ///
    /// # Errors
    /// When the database refuses or the store is closed.
    pub async fn tidy_history(&self, now: Timestamp) -> Result<(), StoreError> {
        let historian = self.historian();
        historian.make_partitions(self, now).await?;
        historian.remove_old(self, now).await
    }
}
