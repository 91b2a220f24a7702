//! The fleet as people look at it: found by what devices are and how they are, sorted, page by page, counted.
//!
//! A page begins behind a device (a key and its name), never after so many rows, so that the hundredth is as
//! cheap as the first and none is shown twice or left out when devices come and go. Nothing is counted further
//! than somebody wants to know.

mod sql;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use flownexus_entity::{endpoint, registration};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};

use self::sql::{Found, SEEN_OR_NEVER, Sql, TABLES, listed, page_sql};
use super::endpoint::row;
use super::history::snapshot;
use super::sql::statement;
use super::{EndpointRow, Store, StoreError, records};
use crate::domain::{EndpointName, Lwm2mVersion, OperationStatus, RolloutState, Timestamp, names};

/// How a device is, as a filter of the list says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Registered, in queue mode, and asleep now.
    Asleep,
    /// Registered, in queue mode, and listening now.
    Awake,
    /// Registered, and should have been heard of by now.
    Late,
    /// Not registered.
    Offline,
    /// Registered, here or with a gateway.
    Registered,
}

// In the order in which they are offered.
names!(DeviceState, "state of a device", {
    Registered = "registered",
    Awake = "awake",
    Asleep = "asleep",
    Late = "late",
    Offline = "offline",
});

/// What the list is sorted by. Devices that are equal in it are sorted by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceSort {
    /// The version of its firmware, as a text.
    Firmware,
    /// When its registration ends.
    LifetimeEnd,
    /// Its name, by its bytes.
    #[default]
    Name,
    /// When it registered.
    RegisteredAt,
    /// When it was last heard of.
    Seen,
}

names!(DeviceSort, "order of the list", {
    Name = "name",
    Seen = "last_seen",
    RegisteredAt = "registered_at",
    LifetimeEnd = "lifetime_end",
    Firmware = "firmware",
});

impl DeviceSort {
    /// The SQL of the key. It is never NULL: what has none comes first.
    fn key(self) -> &'static str {
        match self {
            Self::Firmware => "COALESCE(endpoint.firmware_version, '')",
            Self::LifetimeEnd => "COALESCE(registration.expires_at, -1)",
            Self::Name => "endpoint.name",
            Self::RegisteredAt => {
                "COALESCE(registration.registered_at, endpoint.gateway_registered_at, -1)"
            }
            Self::Seen => SEEN_OR_NEVER,
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Firmware | Self::Name)
    }
}

/// The moment at which devices are looked at, and how long one in queue mode listens of which nothing else is
/// said: what `awake`, `asleep` and `late` depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// `queue_mode.awake_s`
    pub awake: Duration,
}

/// Which devices; without anything set all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// A part of the name, address, a tag, the manufacturer or the model number, upper and lower case alike;
    /// `/3303` finds those that announced that object.
    pub search: Option<String>,
    /// How they are.
    pub state: Option<DeviceState>,
    /// A tag that they have.
    pub tag: Option<String>,
    /// Whether they are registered with queue mode.
    pub queue_mode: Option<bool>,
    /// Whether they are registered over DTLS.
    pub secure: Option<bool>,
    /// The version of LwM2M that they registered with.
    pub lwm2m_version: Option<Lwm2mVersion>,
    /// The version of their firmware, exactly.
    pub firmware: Option<String>,
    /// An object that they announced.
    pub object: Option<u16>,
    /// Whether they do something wrong that was forgiven.
    pub warnings: Option<bool>,
}

impl DeviceFilter {
    /// True when every device fits.
    pub fn is_everyone(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a page of the list begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlace {
    /// What it is sorted by, of the device at this place.
    pub key: String,
    /// The device at this place. It need not exist any more.
    pub name: EndpointName,
    /// The page ends before it instead of beginning after it.
    pub is_before: bool,
}

/// One page of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceQuery {
    /// Which devices.
    pub filter: DeviceFilter,
    /// In which order.
    pub sort: DeviceSort,
    /// The other way round.
    pub descending: bool,
    /// Where it begins; nothing for the first page.
    pub place: Option<DevicePlace>,
    /// So many devices at most.
    pub limit: u64,
}

/// A device in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedDevice {
    /// What is known of it.
    pub row: EndpointRow,
    /// What it is sorted by.
    pub key: String,
    /// Who made it, where it told.
    pub manufacturer: Option<String>,
    /// Its model number, where it told.
    pub model_number: Option<String>,
    /// The version of its firmware, where it told.
    pub firmware_version: Option<String>,
}

/// Devices of one page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DevicePage {
    /// In order.
    pub devices: Vec<ListedDevice>,
    /// There are more behind the last one.
    pub has_next: bool,
    /// There are more in front of the first one.
    pub has_previous: bool,
}

/// How the fleet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it; see `DeviceState`")]
pub struct FleetCounts {
    pub known: u64,
    pub registered: u64,
    pub awake: u64,
    pub asleep: u64,
    pub late: u64,
    /// Operations that wait.
    pub waiting: u64,
    /// Operations that failed since the moment that was asked for.
    pub failed: u64,
    /// Firmware updates that are not over.
    pub updates: u64,
    /// Rollouts that go on by themselves.
    pub rollouts: u64,
}

impl FleetCounts {
    /// Operations are counted up to this number; one more says that there are more.
    pub const MOST: u64 = 10_000;
}

/// Finds and counts devices.
#[async_trait]
pub trait DeviceSearch: Send + Sync {
    /// A page of the list.
    async fn page(&self, query: &DeviceQuery, at: Moment) -> Result<DevicePage, StoreError>;
    /// How many fit, counted up to `most` and one more.
    async fn count_matching(
        &self,
        filter: &DeviceFilter,
        at: Moment,
        most: u64,
    ) -> Result<u64, StoreError>;
    /// The names of those that fit, in order, at most `limit`.
    async fn names_matching(
        &self,
        filter: &DeviceFilter,
        at: Moment,
        limit: u64,
    ) -> Result<Vec<EndpointName>, StoreError>;
    /// How the fleet is, with what failed since `since`.
    async fn fleet_counts(&self, at: Moment, since: Timestamp) -> Result<FleetCounts, StoreError>;
    /// Those that are late, the longest first, at most `limit`, each with since when.
    async fn late(
        &self,
        at: Moment,
        limit: u64,
    ) -> Result<Vec<(EndpointRow, Timestamp)>, StoreError>;
    /// The versions of firmware that devices told, in order, at most `limit`.
    async fn firmware_versions(&self, limit: u64) -> Result<Vec<String>, StoreError>;
}

#[async_trait]
impl DeviceSearch for Store {
    async fn page(&self, query: &DeviceQuery, at: Moment) -> Result<DevicePage, StoreError> {
        let forgiven = self.forgiven().now();
        let page = page_sql(query, at, forgiven)?;
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let query = query.clone();
        self.read(move |database| async move {
            let snapshot = snapshot(&database).await?;
            let found = snapshot
                .query_all_raw(statement(&snapshot, &page.text, page.values))
                .await?;
            let mut found = found
                .iter()
                .map(|row| Found::read(row, query.sort))
                .collect::<Result<Vec<_>, _>>()?;
            let has_more = found.len() > limit;
            found.truncate(limit);
            let ids = found.iter().map(|one| one.id).collect::<Vec<_>>();
            let mut models = HashMap::with_capacity(ids.len());
            for part in ids.chunks(ROWS_AT_ONCE) {
                let both = endpoint::Entity::find()
                    .find_also_related(registration::Entity)
                    .filter(endpoint::Column::Id.is_in(part.iter().copied()))
                    .all(&snapshot)
                    .await?;
                models.extend(both.into_iter().map(|both| (both.0.id, both)));
            }
            snapshot.rollback().await?;
            let mut devices = found
                .into_iter()
                .filter_map(|one| models.remove(&one.id).map(|both| (one, both)))
                .map(|(one, both)| listed(one, both, forgiven))
                .collect::<Result<Vec<_>, StoreError>>()?;
            let is_before = query.place.as_ref().is_some_and(|place| place.is_before);
            if is_before {
                devices.reverse();
            }
            Ok(DevicePage {
                devices,
                has_next: has_more || is_before,
                has_previous: if is_before {
                    has_more
                } else {
                    query.place.is_some()
                },
            })
        })
        .await
    }

    async fn count_matching(
        &self,
        filter: &DeviceFilter,
        at: Moment,
        most: u64,
    ) -> Result<u64, StoreError> {
        let mut sql = Sql::new("SELECT COUNT(*) FROM (SELECT 1 FROM ");
        sql.text.push_str(TABLES);
        sql.filter(filter, at, self.forgiven().now())?;
        let limit = most.saturating_add(1).min(i64::MAX as u64);
        sql.text.push_str(&format!(" LIMIT {limit}) AS found"));
        self.read(move |database| async move {
            let row = database
                .query_one_raw(statement(&database, &sql.text, sql.values))
                .await?;
            let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
            Ok(count.unsigned_abs())
        })
        .await
    }

    async fn names_matching(
        &self,
        filter: &DeviceFilter,
        at: Moment,
        limit: u64,
    ) -> Result<Vec<EndpointName>, StoreError> {
        let mut sql = Sql::new("SELECT endpoint.name FROM ");
        sql.text.push_str(TABLES);
        sql.filter(filter, at, self.forgiven().now())?;
        let limit = limit.min(i64::MAX as u64);
        sql.text
            .push_str(&format!(" ORDER BY endpoint.name LIMIT {limit}"));
        self.read(move |database| async move {
            let rows = database
                .query_all_raw(statement(&database, &sql.text, sql.values))
                .await?;
            let names = rows.iter().map(|row| {
                let name: String = row.try_get_by_index(0)?;
                records::name(&name)
            });
            names.collect()
        })
        .await
    }

    async fn fleet_counts(&self, at: Moment, since: Timestamp) -> Result<FleetCounts, StoreError> {
        let mut fleet = Sql::new("SELECT COUNT(*)");
        for state in [
            DeviceState::Registered,
            DeviceState::Awake,
            DeviceState::Asleep,
            DeviceState::Late,
        ] {
            fleet.text.push_str(", SUM(CASE WHEN ");
            fleet.state(state, at, self.forgiven().now());
            fleet.text.push_str(" THEN 1 ELSE 0 END)");
        }
        fleet.text.push_str(&format!(" FROM {TABLES}"));
        let most = FleetCounts::MOST + 1;
        let of_status = move |text: &str| {
            format!(
                "SELECT COUNT(*) FROM (SELECT 1 FROM endpoint_operation WHERE status = ?{text} LIMIT {most}) \
                 AS found"
            )
        };
        let waiting = Sql {
            text: of_status(""),
            values: vec![OperationStatus::Queued.name().into()],
        };
        let failed = Sql {
            text: of_status(" AND finished_at >= ?"),
            values: vec![
                OperationStatus::Failed.name().into(),
                since.as_millis().into(),
            ],
        };
        let updates = Sql::new("SELECT COUNT(*) FROM firmware_update WHERE finished_at IS NULL");
        let rollouts = Sql {
            text: "SELECT COUNT(*) FROM rollout WHERE is_whole AND state = ?".to_owned(),
            values: vec![RolloutState::Running.name().into()],
        };
        self.read(move |database| async move {
            let mut numbers = Vec::new();
            for sql in [fleet, waiting, failed, updates, rollouts] {
                let found = database
                    .query_one_raw(statement(&database, &sql.text, sql.values))
                    .await?;
                let columns = if numbers.is_empty() { 5 } else { 1 };
                for column in 0..columns {
                    // A sum over no rows is NULL.
                    let number: Option<i64> = match &found {
                        Some(row) => row.try_get_by_index(column)?,
                        None => None,
                    };
                    numbers.push(number.unwrap_or(0).unsigned_abs());
                }
            }
            let number = |at: usize| numbers.get(at).copied().unwrap_or(0);
            Ok(FleetCounts {
                known: number(0),
                registered: number(1),
                awake: number(2),
                asleep: number(3),
                late: number(4),
                waiting: number(5),
                failed: number(6),
                updates: number(7),
                rollouts: number(8),
            })
        })
        .await
    }

    async fn late(
        &self,
        at: Moment,
        limit: u64,
    ) -> Result<Vec<(EndpointRow, Timestamp)>, StoreError> {
        let forgiven = self.forgiven().now();
        let mut sql = Sql::new("SELECT endpoint.id, ");
        // The same moment from both clocks, as time that has passed since.
        sql.text.push_str(
            "CASE WHEN registration.queue_mode AND endpoint.late_at IS NOT NULL \
             THEN ? - endpoint.late_at \
             ELSE ? - registration.expires_at + registration.lifetime_ms / 10 END AS late_for FROM ",
        );
        sql.values.push(at.now.as_millis().into());
        sql.values.push(forgiven.served(at.now).into());
        sql.text.push_str(TABLES);
        sql.text.push_str(" WHERE ");
        sql.state(DeviceState::Late, at, forgiven);
        let limit = limit.min(ROWS_AT_ONCE as u64);
        sql.text.push_str(&format!(
            " ORDER BY late_for DESC, endpoint.name LIMIT {limit}"
        ));
        self.read(move |database| async move {
            let found = database
                .query_all_raw(statement(&database, &sql.text, sql.values))
                .await?;
            let mut since = Vec::with_capacity(found.len());
            for row in &found {
                let (id, late_for): (i64, i64) =
                    (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
                since.push((id, at.now.earlier_by_millis(late_for)));
            }
            let both = endpoint::Entity::find()
                .find_also_related(registration::Entity)
                .filter(endpoint::Column::Id.is_in(since.iter().map(|(id, _)| *id)))
                .all(&database)
                .await?;
            let mut models: HashMap<i64, _> =
                both.into_iter().map(|both| (both.0.id, both)).collect();
            let late = since.into_iter().filter_map(|(id, since)| {
                let both = models.remove(&id)?;
                Some(row(both, forgiven).map(|row| (row, since)))
            });
            late.collect()
        })
        .await
    }

    async fn firmware_versions(&self, limit: u64) -> Result<Vec<String>, StoreError> {
        let limit = limit.min(i64::MAX as u64);
        let sql = format!(
            "SELECT DISTINCT firmware_version FROM endpoint WHERE firmware_version IS NOT NULL \
             ORDER BY firmware_version LIMIT {limit}"
        );
        self.read(move |database| async move {
            let rows = database
                .query_all_raw(statement(&database, &sql, []))
                .await?;
            let versions = rows.iter().map(|row| Ok(row.try_get_by_index(0)?));
            versions.collect()
        })
        .await
    }
}

/// Rows in one statement, at most.
const ROWS_AT_ONCE: usize = 500;
