//! What each role may do with the fleet as a whole: find and count devices, and ask many of them at once.

use std::collections::HashSet;
use std::time::Duration;

use crate::domain::{
    BulkAction, BulkCounts, BulkId, BulkItem, BulkItemState, BulkOperation, BulkState,
    EndpointName, IdempotencyKey, KeptKey, Timestamp,
};
use crate::store::{
    BulkAdded, DeviceFilter, DevicePage, DeviceQuery, EndpointRow, FleetCounts, KnownBulk, Moment,
};
use crate::web::ApiError;

use super::views::{Operator, Viewer};

/// What failed so long ago does not matter on the overview any more.
const DAY: Duration = Duration::from_secs(86_400);

impl Viewer {
    /// This moment, as devices are looked at.
    pub fn moment(&self) -> Moment {
        Moment {
            now: Timestamp::system(),
            awake: Duration::from_secs(self.settings().queue_mode.awake_s),
        }
    }

    /// A page of the list of devices.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn devices_page(&self, query: &DeviceQuery) -> Result<DevicePage, ApiError> {
        Ok(self.stores().devices.page(query, self.moment()).await?)
    }

    /// How many devices fit, counted up to `most` and one more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn count_devices(&self, filter: &DeviceFilter, most: u64) -> Result<u64, ApiError> {
        let devices = &self.stores().devices;
        Ok(devices.count_matching(filter, self.moment(), most).await?)
    }

    /// How the fleet is now, with what failed in the last day.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn fleet_counts(&self) -> Result<FleetCounts, ApiError> {
        let at = self.moment();
        let day = i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX);
        let since = at.now.earlier_by_millis(day);
        Ok(self.stores().devices.fleet_counts(at, since).await?)
    }

    /// The devices that should have been heard of by now, the longest first, each with since when.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn late_devices(
        &self,
        limit: u64,
    ) -> Result<Vec<(EndpointRow, Timestamp)>, ApiError> {
        Ok(self.stores().devices.late(self.moment(), limit).await?)
    }

    /// The versions of firmware that devices told, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn firmware_versions(&self, limit: u64) -> Result<Vec<String>, ApiError> {
        Ok(self.stores().devices.firmware_versions(limit).await?)
    }

    /// What was asked of many devices at once, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bulks(
        &self,
        before: Option<BulkId>,
        limit: u64,
    ) -> Result<Vec<BulkOperation>, ApiError> {
        Ok(self.stores().bulks.list(before, limit).await?)
    }

    /// Those of them that are under way, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bulks_under_way(&self) -> Result<Vec<BulkOperation>, ApiError> {
        Ok(self.stores().bulks.under_way().await?)
    }

    /// One of them, with how many of its devices stand how.
    ///
    /// # Errors
    /// 404 when there is none of this number.
    pub async fn bulk(&self, id: BulkId) -> Result<(BulkOperation, BulkCounts), ApiError> {
        let bulks = &self.stores().bulks;
        let found = bulks.find(id).await?.ok_or_else(|| unknown_bulk(id))?;
        Ok((found, self.bulk_counts(id).await?))
    }

    /// How many of its devices stand how.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bulk_counts(&self, id: BulkId) -> Result<BulkCounts, ApiError> {
        Ok(self.stores().bulks.counts(id).await?)
    }

    /// Its devices in their order, from this place on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bulk_items(
        &self,
        id: BulkId,
        state: Option<BulkItemState>,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkItem>, ApiError> {
        Ok(self.stores().bulks.items(id, state, from, limit).await?)
    }
}

/// Whom something is asked of.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkTarget {
    /// All that fit.
    Filter(DeviceFilter),
    /// These.
    Names(Vec<EndpointName>),
}

/// What became of a request that is for many devices.
#[derive(Clone, Debug, PartialEq)]
pub struct AskedMany {
    /// The bulk operation as it is now.
    pub bulk: BulkOperation,
    /// It was asked for before, with the same key: nothing was done now.
    pub replayed: bool,
}

impl Operator {
    /// What was asked of many devices with this key, if something was.
    ///
    /// # Errors
    /// 422 when that was something else.
    pub async fn asked_many(&self, key: IdempotencyKey) -> Result<Option<BulkOperation>, ApiError> {
        let now = Timestamp::system();
        let known = self.stores().bulks.known(key, now).await?;
        known.map(the_same).transpose()
    }

    /// Stores what is asked of many devices at once. All of it is on disk when this returns, and goes on by itself.
    ///
    /// # Errors
    /// 422 when no device is meant, or more than `operations.max_bulk`, or something else was asked with the key.
    pub async fn ask_many(
        &self,
        action: BulkAction,
        target: BulkTarget,
        expires_in: Option<Duration>,
        key: Option<IdempotencyKey>,
    ) -> Result<AskedMany, ApiError> {
        let most = self.settings().operations.max_bulk;
        let (field, devices) = match target {
            BulkTarget::Names(names) => {
                let mut seen = HashSet::with_capacity(names.len());
                let once = names.into_iter().filter(|name| seen.insert(name.clone()));
                ("names", once.collect::<Vec<_>>())
            }
            BulkTarget::Filter(filter) => {
                let devices = &self.stores().devices;
                let limit = most.saturating_add(1);
                let names = devices
                    .names_matching(&filter, self.moment(), limit)
                    .await?;
                ("filter", names)
            }
        };
        if devices.is_empty() {
            return Err(ApiError::invalid(field, "no device is meant"));
        }
        if devices.len() as u64 > most {
            let detail = format!(
                "more than {most} devices are meant, and as many may be asked at once (operations.max_bulk)"
            );
            return Err(ApiError::invalid(field, detail));
        }
        let by = self.identity().doer();
        let now = Timestamp::system();
        let kept = Duration::from_secs(self.settings().operations.idempotency_key_s);
        let key = key.map(|key| KeptKey {
            key,
            expires_at: now.plus(kept),
        });
        let bulk = BulkOperation {
            id: BulkId(0),
            action,
            requested_by: by.actor.clone(),
            state: BulkState::Running,
            devices: 0,
            expires_in,
            created_at: now,
            finished_at: None,
        };
        let (bulk, replayed) = match self.stores().bulks.add(bulk, devices, by, key).await? {
            BulkAdded::New(bulk) => (bulk, false),
            BulkAdded::Known(known) => (the_same(known)?, true),
        };
        self.state.bulk_news.tell();
        Ok(AskedMany { bulk, replayed })
    }

    /// Takes back what can be of it: devices that had no turn yet, and operations that are QUEUED.
    ///
    /// # Errors
    /// 404 when there is none of this number, 409 when it was taken back already.
    pub async fn cancel_bulk(&self, id: BulkId) -> Result<BulkOperation, ApiError> {
        let by = Some(self.identity().doer());
        let bulks = &self.stores().bulks;
        let before = bulks.find(id).await?.ok_or_else(|| unknown_bulk(id))?;
        if matches!(before.state, BulkState::Cancelled | BulkState::Cancelling) {
            let detail = format!("bulk operation {id} is {} already", before.state);
            return Err(ApiError::conflict("not_running", detail));
        }
        let from = [BulkState::Running, BulkState::Finished];
        let turned = bulks.turn_to(id, &from, BulkState::Cancelling, by).await?;
        self.state.bulk_news.tell();
        turned.ok_or_else(|| unknown_bulk(id))
    }
}

/// What is known by a key, where the same is asked.
fn the_same(known: KnownBulk) -> Result<BulkOperation, ApiError> {
    if known.is_same {
        Ok(known.bulk)
    } else {
        let made = format!("bulk operation {}", known.bulk.id);
        Err(ApiError::key_reused(&made))
    }
}

fn unknown_bulk(id: BulkId) -> ApiError {
    ApiError::not_found(format!("there is no bulk operation {id}"))
}
