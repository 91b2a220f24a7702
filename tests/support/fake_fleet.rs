//! The list of devices, found as the real store finds them, and bulk operations, both in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flownexus::domain::{
    BulkCounts, BulkId, BulkItem, BulkItemState, BulkOperation, BulkState, Doer, EndpointName,
    IdempotencyKey, KeptKey, Operation, OperationId, OperationStatus, Path, Timestamp,
};
use flownexus::store::{
    BulkAdded, BulkSettled, BulkStore, BulkTurn, DeviceFilter, DevicePage, DeviceQuery, DeviceSort,
    DeviceState, EndpointRow, EventQuery, Found, KnownBulk, ListedDevice, Moment, OperationQuery,
    Place, StoreError, StoredEvent,
};

/// Whether a device fits, by what its row says; what only values tell is the manufacturer.
pub(crate) fn fits(row: &EndpointRow, filter: &DeviceFilter, at: Moment) -> bool {
    let registration = row.registration.as_ref();
    let is_awake = registration.is_some_and(|registration| {
        let awake = row.profile.awake.unwrap_or(at.awake);
        let seen = row.last_seen_at.unwrap_or(registration.updated_at);
        at.now.since(seen.max(registration.updated_at)) < awake
    });
    let sleeps = registration.is_some_and(|registration| registration.queue_mode);
    let state = |state| match state {
        DeviceState::Asleep => sleeps && !is_awake,
        DeviceState::Awake => sleeps && is_awake,
        DeviceState::Late => registration.is_some_and(|found| found.expires_at < at.now),
        DeviceState::Offline => !row.is_registered(),
        DeviceState::Registered => row.is_registered(),
    };
    let contains = |text: &String| {
        let text = text.to_lowercase();
        let address = registration.map(|found| found.peer.address.to_string());
        row.name.as_str().to_lowercase().contains(&text)
            || address.is_some_and(|address| address.contains(&text))
            || row
                .profile
                .tags
                .iter()
                .any(|tag| tag.to_lowercase().contains(&text))
    };
    let warnings = registration.map_or(&row.gateway.warnings, |found| &found.warnings);
    filter.search.as_ref().is_none_or(contains)
        && filter.state.is_none_or(state)
        && filter
            .tag
            .as_ref()
            .is_none_or(|tag| row.profile.tags.contains(tag))
        && filter
            .queue_mode
            .is_none_or(|wanted| registration.is_some() && sleeps == wanted)
        && filter
            .secure
            .is_none_or(|wanted| registration.is_some_and(|found| found.peer.is_secure() == wanted))
        && filter
            .lwm2m_version
            .is_none_or(|wanted| registration.is_some_and(|found| found.lwm2m_version == wanted))
        && filter.firmware.is_none()
        && filter.object.is_none_or(|object| {
            registration.is_some_and(|found| found.announces(&Path::object(object)))
        })
        && filter
            .warnings
            .is_none_or(|wanted| warnings.is_empty() != wanted)
}

/// A page of these devices.
pub(crate) fn page(rows: Vec<EndpointRow>, query: &DeviceQuery, at: Moment) -> DevicePage {
    let key = |row: &EndpointRow| {
        let millis = |time: Option<Timestamp>| {
            let millis = time.map_or(-1, Timestamp::as_millis);
            format!("{millis:020}")
        };
        let registration = row.registration.as_ref();
        match query.sort {
            DeviceSort::Firmware => String::new(),
            DeviceSort::LifetimeEnd => millis(registration.map(|found| found.expires_at)),
            DeviceSort::Name => row.name.to_string(),
            DeviceSort::RegisteredAt => millis(registration.map(|found| found.registered_at)),
            DeviceSort::Seen => millis(row.last_seen_at),
        }
    };
    let mut devices: Vec<ListedDevice> = rows
        .into_iter()
        .filter(|row| fits(row, &query.filter, at))
        .map(|row| ListedDevice {
            key: key(&row),
            manufacturer: None,
            model_number: None,
            firmware_version: None,
            row,
        })
        .collect();
    let of = |device: &ListedDevice| (device.key.clone(), device.row.name.clone());
    devices.sort_by_key(of);
    if query.descending {
        devices.reverse();
    }
    let limit = query.limit as usize;
    let Some(place) = &query.place else {
        let has_next = devices.len() > limit;
        devices.truncate(limit);
        return DevicePage {
            devices,
            has_next,
            has_previous: false,
        };
    };
    let at = (place.key.clone(), place.name.clone());
    let is_before = |device: &ListedDevice| match query.descending {
        true => of(device) > at,
        false => of(device) < at,
    };
    if place.is_before {
        devices.retain(is_before);
        let surplus = devices.len().saturating_sub(limit);
        return DevicePage {
            devices: devices.split_off(surplus),
            has_next: true,
            has_previous: surplus > 0,
        };
    }
    devices.retain(|device| !is_before(device) && of(device) != at);
    let has_next = devices.len() > limit;
    devices.truncate(limit);
    DevicePage {
        devices,
        has_next,
        has_previous: true,
    }
}

/// A page of these rows, newest first.
fn newest_first<T: Clone>(
    fitting: impl Iterator<Item = T>,
    id: impl Fn(&T) -> i64,
    place: Option<Place<i64>>,
    limit: u64,
) -> Found<T> {
    let mut found: Vec<T> = fitting.collect();
    found.sort_by_key(&id);
    match place {
        Some(Place::NewerThan(row)) => found.retain(|one| id(one) > row),
        Some(Place::OlderThan(row)) => found.retain(|one| id(one) < row),
        None => {}
    }
    if !matches!(place, Some(Place::NewerThan(_))) {
        found.reverse();
    }
    found.truncate(usize::try_from(limit).expect("a limit") + 1);
    Found::cut(place, limit, found)
}

/// A page of these operations.
pub(crate) fn operations(all: &[Operation], query: &OperationQuery) -> Found<Operation> {
    let fits = |operation: &&Operation| {
        let mut paths = operation.request.paths.iter();
        query.endpoint.is_none_or(|id| operation.endpoint_id == id)
            && query.status.is_none_or(|status| operation.status == status)
            && query.kind.is_none_or(|kind| operation.request.kind == kind)
            && query
                .path
                .is_none_or(|path| paths.any(|one| path.contains(one) || *one == path))
            && query.from.is_none_or(|from| operation.created_at >= from)
            && query.to.is_none_or(|to| operation.created_at < to)
            && query
                .by
                .as_deref()
                .is_none_or(|by| by == operation.origin.asked_by())
    };
    let fitting = all.iter().filter(fits).cloned();
    let begin = query.place.map(|place| place.row(|id| id.0));
    newest_first(fitting, |operation| operation.id.0, begin, query.limit)
}

/// A page of these events; `device` is the name of the one that is asked for.
pub(crate) fn events(
    all: &[StoredEvent],
    device: Option<&EndpointName>,
    query: &EventQuery,
) -> Found<StoredEvent> {
    let fits = |event: &&StoredEvent| {
        let is =
            |wanted: &Option<String>, is: Option<&str>| wanted.is_none() || wanted.as_deref() == is;
        device.is_none_or(|name| event.endpoint == *name)
            && is(&query.event_type, Some(&event.event_type))
            && is(&query.rule, event.rule.as_deref())
            && query
                .severity
                .is_none_or(|least| event.severity >= Some(least))
            && query.from.is_none_or(|from| event.time >= from)
            && query.to.is_none_or(|to| event.time < to)
    };
    let fitting = all.iter().filter(fits).cloned();
    let begin = query.place.map(|place| place.row(|id| id.0));
    newest_first(fitting, |event| event.id.0, begin, query.limit)
}

/// A bulk operation, its devices and the key it came with.
type BulkRow = (BulkOperation, Vec<BulkItem>, Option<KeptKey>);

/// Bulk operations that nobody carries out, unless a test does.
#[derive(Default)]
pub(crate) struct FakeBulks(Mutex<Vec<BulkRow>>);

impl FakeBulks {
    fn rows(&self) -> MutexGuard<'_, Vec<BulkRow>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of<T>(&self, id: BulkId, read: impl FnOnce(&mut BulkRow) -> T) -> Option<T> {
        self.rows()
            .iter_mut()
            .find(|(bulk, ..)| bulk.id == id)
            .map(read)
    }
}

#[async_trait]
impl BulkStore for FakeBulks {
    async fn add(
        &self,
        mut bulk: BulkOperation,
        devices: Vec<EndpointName>,
        _: Doer,
        key: Option<KeptKey>,
    ) -> Result<BulkAdded, StoreError> {
        if let Some(kept) = key
            && let Some(known) = self.known(kept.key, bulk.created_at).await?
        {
            return Ok(BulkAdded::Known(known));
        }
        let mut rows = self.rows();
        bulk.id = BulkId(rows.len() as i64 + 1);
        bulk.devices = devices.len() as u64;
        let items = (0..).zip(devices).map(|(position, endpoint)| BulkItem {
            position,
            endpoint,
            state: BulkItemState::Pending,
            operation: None,
            status: None,
            error: None,
        });
        rows.push((bulk.clone(), items.collect(), key));
        Ok(BulkAdded::New(bulk))
    }

    async fn known(
        &self,
        key: IdempotencyKey,
        now: Timestamp,
    ) -> Result<Option<KnownBulk>, StoreError> {
        let rows = self.rows();
        let known = rows.iter().find_map(|(bulk, _, kept)| {
            let kept = kept.filter(|kept| kept.key.key == key.key && now < kept.expires_at)?;
            Some(KnownBulk {
                bulk: bulk.clone(),
                is_same: kept.key.request == key.request,
            })
        });
        Ok(known)
    }

    async fn list(
        &self,
        before: Option<BulkId>,
        limit: u64,
    ) -> Result<Vec<BulkOperation>, StoreError> {
        let rows = self.rows();
        let bulks = rows.iter().rev().map(|(bulk, ..)| bulk);
        let older = bulks.filter(|bulk| before.is_none_or(|before| bulk.id < before));
        Ok(older.take(limit as usize).cloned().collect())
    }

    async fn under_way(&self) -> Result<Vec<BulkOperation>, StoreError> {
        let is_under_way = |bulk: &&BulkOperation| {
            matches!(bulk.state, BulkState::Running | BulkState::Cancelling)
        };
        let rows = self.rows();
        let bulks = rows.iter().map(|(bulk, ..)| bulk);
        Ok(bulks.filter(is_under_way).cloned().collect())
    }

    async fn find(&self, id: BulkId) -> Result<Option<BulkOperation>, StoreError> {
        Ok(self.of(id, |(bulk, ..)| bulk.clone()))
    }

    async fn counts(&self, id: BulkId) -> Result<BulkCounts, StoreError> {
        let counted = self.of(id, |(_, items, _)| {
            let mut counts = BulkCounts::default();
            for item in items {
                counts.add(item.state, item.status.or(Some(OperationStatus::Queued)), 1);
            }
            counts
        });
        Ok(counted.unwrap_or_default())
    }

    async fn items(
        &self,
        id: BulkId,
        state: Option<BulkItemState>,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkItem>, StoreError> {
        let found = self.of(id, |(_, items, _)| {
            let fits = |item: &&BulkItem| {
                item.position >= from && state.is_none_or(|state| item.state == state)
            };
            items
                .iter()
                .filter(fits)
                .take(limit as usize)
                .cloned()
                .collect()
        });
        Ok(found.unwrap_or_default())
    }

    async fn turns(
        &self,
        bulk: &BulkOperation,
        from: u64,
        limit: u64,
    ) -> Result<Vec<BulkTurn>, StoreError> {
        let pending = self.items(bulk.id, Some(BulkItemState::Pending), from, limit);
        let turns = pending.await?.into_iter().map(|item| BulkTurn {
            position: item.position,
            endpoint: item.endpoint,
            operation: None,
        });
        Ok(turns.collect())
    }

    async fn queued(&self, _: BulkId, _: u64) -> Result<Vec<OperationId>, StoreError> {
        Ok(Vec::new())
    }

    async fn settle(&self, id: BulkId, settled: Vec<BulkSettled>) -> Result<(), StoreError> {
        self.of(id, |(_, items, _)| {
            let mut by_place: HashMap<u64, BulkSettled> =
                settled.into_iter().map(|one| (one.position, one)).collect();
            for item in items {
                if let Some(one) = by_place.remove(&item.position) {
                    item.state = one.state;
                    item.operation = one.operation;
                    item.error = one.error;
                }
            }
        });
        Ok(())
    }

    async fn turn_to(
        &self,
        id: BulkId,
        from: &[BulkState],
        to: BulkState,
        _: Option<Doer>,
    ) -> Result<Option<BulkOperation>, StoreError> {
        Ok(self.of(id, |(bulk, ..)| {
            if from.contains(&bulk.state) {
                bulk.state = to;
            }
            bulk.clone()
        }))
    }
}

/// Finds devices and keeps bulk operations: for something with the methods `all_rows` and `all_operations`, and the
/// field `bulks`.
macro_rules! finds_devices {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl flownexus::store::DeviceSearch for $type {
            async fn page(
                &self,
                query: &flownexus::store::DeviceQuery,
                at: flownexus::store::Moment,
            ) -> Result<flownexus::store::DevicePage, flownexus::store::StoreError> {
                Ok($crate::support::fake_fleet::page(
                    self.all_rows(),
                    query,
                    at,
                ))
            }

            async fn count_matching(
                &self,
                filter: &flownexus::store::DeviceFilter,
                at: flownexus::store::Moment,
                most: u64,
            ) -> Result<u64, flownexus::store::StoreError> {
                let fits = |row: &&flownexus::store::EndpointRow| {
                    $crate::support::fake_fleet::fits(row, filter, at)
                };
                let many = self.all_rows().iter().filter(fits).count() as u64;
                Ok(many.min(most + 1))
            }

            async fn names_matching(
                &self,
                filter: &flownexus::store::DeviceFilter,
                at: flownexus::store::Moment,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::EndpointName>, flownexus::store::StoreError> {
                let mut names: Vec<_> = self
                    .all_rows()
                    .into_iter()
                    .filter(|row| $crate::support::fake_fleet::fits(row, filter, at))
                    .map(|row| row.name)
                    .collect();
                names.sort();
                names.truncate(limit as usize);
                Ok(names)
            }

            async fn fleet_counts(
                &self,
                at: flownexus::store::Moment,
                _: flownexus::domain::Timestamp,
            ) -> Result<flownexus::store::FleetCounts, flownexus::store::StoreError> {
                use flownexus::domain::OperationStatus;
                use flownexus::store::{DeviceFilter, DeviceState};
                let rows = self.all_rows();
                let many = |state: DeviceState| {
                    let filter = DeviceFilter {
                        state: Some(state),
                        ..DeviceFilter::default()
                    };
                    let fits = |row: &&flownexus::store::EndpointRow| {
                        $crate::support::fake_fleet::fits(row, &filter, at)
                    };
                    rows.iter().filter(fits).count() as u64
                };
                let of_status = |status: OperationStatus| {
                    let operations = self.all_operations();
                    let of_it = operations.iter().filter(|one| one.status == status);
                    of_it.count() as u64
                };
                Ok(flownexus::store::FleetCounts {
                    known: rows.len() as u64,
                    registered: many(DeviceState::Registered),
                    awake: many(DeviceState::Awake),
                    asleep: many(DeviceState::Asleep),
                    late: many(DeviceState::Late),
                    waiting: of_status(OperationStatus::Queued),
                    failed: of_status(OperationStatus::Failed),
                    updates: 0,
                    rollouts: 0,
                })
            }

            async fn late(
                &self,
                at: flownexus::store::Moment,
                limit: u64,
            ) -> Result<
                Vec<(flownexus::store::EndpointRow, flownexus::domain::Timestamp)>,
                flownexus::store::StoreError,
            > {
                let rows = self.all_rows().into_iter().filter_map(|row| {
                    let since = row.registration.as_ref()?.expires_at;
                    (since < at.now).then_some((row, since))
                });
                Ok(rows.take(limit as usize).collect())
            }

            async fn firmware_versions(
                &self,
                _: u64,
            ) -> Result<Vec<String>, flownexus::store::StoreError> {
                Ok(vec!["1.0 <b>".to_owned()])
            }
        }

        #[async_trait::async_trait]
        impl flownexus::store::OperationSearch for $type {
            async fn search(
                &self,
                query: &flownexus::store::OperationQuery,
            ) -> Result<
                flownexus::store::Found<flownexus::domain::Operation>,
                flownexus::store::StoreError,
            > {
                let all = self.all_operations();
                Ok($crate::support::fake_fleet::operations(&all, query))
            }
        }

        #[async_trait::async_trait]
        impl flownexus::store::BulkStore for $type {
            async fn add(
                &self,
                bulk: flownexus::domain::BulkOperation,
                devices: Vec<flownexus::domain::EndpointName>,
                by: flownexus::domain::Doer,
                key: Option<flownexus::domain::KeptKey>,
            ) -> Result<flownexus::store::BulkAdded, flownexus::store::StoreError> {
                flownexus::store::BulkStore::add(&self.bulks, bulk, devices, by, key).await
            }

            async fn known(
                &self,
                key: flownexus::domain::IdempotencyKey,
                now: flownexus::domain::Timestamp,
            ) -> Result<Option<flownexus::store::KnownBulk>, flownexus::store::StoreError> {
                self.bulks.known(key, now).await
            }

            async fn list(
                &self,
                before: Option<flownexus::domain::BulkId>,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::BulkOperation>, flownexus::store::StoreError> {
                flownexus::store::BulkStore::list(&self.bulks, before, limit).await
            }

            async fn under_way(
                &self,
            ) -> Result<Vec<flownexus::domain::BulkOperation>, flownexus::store::StoreError> {
                self.bulks.under_way().await
            }

            async fn find(
                &self,
                id: flownexus::domain::BulkId,
            ) -> Result<Option<flownexus::domain::BulkOperation>, flownexus::store::StoreError>
            {
                flownexus::store::BulkStore::find(&self.bulks, id).await
            }

            async fn counts(
                &self,
                id: flownexus::domain::BulkId,
            ) -> Result<flownexus::domain::BulkCounts, flownexus::store::StoreError> {
                self.bulks.counts(id).await
            }

            async fn items(
                &self,
                id: flownexus::domain::BulkId,
                state: Option<flownexus::domain::BulkItemState>,
                from: u64,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::BulkItem>, flownexus::store::StoreError> {
                self.bulks.items(id, state, from, limit).await
            }

            async fn turns(
                &self,
                bulk: &flownexus::domain::BulkOperation,
                from: u64,
                limit: u64,
            ) -> Result<Vec<flownexus::store::BulkTurn>, flownexus::store::StoreError> {
                self.bulks.turns(bulk, from, limit).await
            }

            async fn queued(
                &self,
                id: flownexus::domain::BulkId,
                limit: u64,
            ) -> Result<Vec<flownexus::domain::OperationId>, flownexus::store::StoreError> {
                self.bulks.queued(id, limit).await
            }

            async fn settle(
                &self,
                id: flownexus::domain::BulkId,
                settled: Vec<flownexus::store::BulkSettled>,
            ) -> Result<(), flownexus::store::StoreError> {
                self.bulks.settle(id, settled).await
            }

            async fn turn_to(
                &self,
                id: flownexus::domain::BulkId,
                from: &[flownexus::domain::BulkState],
                to: flownexus::domain::BulkState,
                by: Option<flownexus::domain::Doer>,
            ) -> Result<Option<flownexus::domain::BulkOperation>, flownexus::store::StoreError>
            {
                self.bulks.turn_to(id, from, to, by).await
            }
        }
    };
}

pub(crate) use finds_devices;

impl super::fake_store::FakeStore {
    pub(super) fn all_rows(&self) -> Vec<EndpointRow> {
        self.tables().endpoints.values().cloned().collect()
    }

    pub(super) fn all_operations(&self) -> Vec<Operation> {
        self.tables().operations.clone()
    }
}
