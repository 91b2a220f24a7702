//! Removes what is over age: values by the time of their arrival, oldest first, and stretches by their
//! day, in pieces that leave the writer time for the devices.
//!
//! The latest value of a path and the values of events stay, whatever their age, and so does what is not
//! rolled up yet.

use std::collections::HashMap;

use flownexus_entity::resource_type;
use futures_util::FutureExt as _;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ConnectionTrait, DatabaseConnection,
    DatabaseTransaction, DbBackend, EntityTrait as _, QueryOrder as _, Value as Bind,
};

use super::Retention;
use super::merge::Progress;
use super::partition::{has_newer, outliving, partitions, replace};
use super::tier::{SeriesKey, Tier, unpack};
use crate::config;
use crate::domain::Timestamp;
use crate::store::resource::{TYPE, type_of};
use crate::store::sql::statement;
use crate::store::{Metrics, ResourceType, Store, StoreError};

/// So many values are removed at a time.
const ROWS: usize = 500;

/// Of so many hours (or days) of one path the finer rows are removed at a time.
const STRETCHES: usize = 20;

/// So many paths are looked at at a time.
const SERIES: usize = 200;

/// How many days each is kept, 0 for ever. What is coarser is kept at least as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Days {
    raw: u32,
    tiers: [u32; 3],
}

impl Days {
    fn of(retention: Retention, settings: &config::History) -> Self {
        let longer = |one: u32, two: u32| {
            if one == 0 || two == 0 {
                0
            } else {
                one.max(two)
            }
        };
        let days = retention.or(settings.days());
        // The settings may have become others since the retention was checked.
        let hour = longer(days.hour, days.minute);
        let day = longer(longer(days.day, hour), days.raw);
        Self {
            raw: days.raw,
            tiers: [days.minute, hour, day],
        }
    }

    fn is_for_ever(self) -> bool {
        self.raw == 0 && self.tiers == [0; 3]
    }
}

/// Before which moment something is over age; nothing when it is kept for ever.
fn cut(now: Timestamp, days: u32) -> Option<i64> {
    let kept = i64::from(days).saturating_mul(Tier::Day.millis());
    (days > 0).then(|| now.as_millis().saturating_sub(kept))
}

/// What was looked through already, so that rows that outlive their age are not looked at every few
/// minutes.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// The day of the two below.
    day: i64,
    /// By object and resource, behind which row values are to be looked at.
    values: HashMap<i64, i64>,
    /// By which rules stretches were removed on this day.
    stretches: Option<Rules>,
}

/// The retention of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Rules {
    default: Days,
    types: HashMap<i64, Days>,
}

impl Rules {
    async fn load(
        database: &DatabaseConnection,
        settings: &config::History,
    ) -> Result<Self, StoreError> {
        let types = retentions(database).await?.into_iter();
        let types = types.map(|(is, retention)| {
            let number = i64::from(is.object_id) * 65_536 + i64::from(is.resource_id);
            (number, Days::of(retention, settings))
        });
        Ok(Self {
            default: Days::of(Retention::default(), settings),
            types: types.collect(),
        })
    }

    fn of(&self, number: i64) -> Days {
        self.types.get(&number).copied().unwrap_or(self.default)
    }

    fn all(&self) -> impl Iterator<Item = Days> {
        self.types.values().copied().chain([self.default])
    }
}

/// Removes everything that is over age at this moment.
pub(super) async fn remove_old(
    store: &Store,
    settings: &config::History,
    metrics: &Metrics,
    walked: &mut Walked,
    now: Timestamp,
) -> Result<(), StoreError> {
    let day = Tier::Day.bucket(now.as_millis());
    if walked.day != day {
        *walked = Walked {
            day,
            ..Walked::default()
        };
    }
    let loaded = settings.clone();
    let rules = store
        .read_tables(|database| async move { Rules::load(&database, &loaded).await })
        .await?;
    if rules.all().all(Days::is_for_ever) {
        return Ok(());
    }
    drop_partitions(store, &rules, metrics, now).await?;
    if rules.all().any(|days| days.raw > 0) {
        let mut after = i64::MIN;
        while let Some(number) = next_type(store, after).await? {
            if let Some(cut) = cut(now, rules.of(number).raw) {
                let from = walked.values.get(&number).copied().unwrap_or(i64::MIN);
                let last = remove_values(store, number, from, cut, metrics).await?;
                walked.values.insert(number, last);
            }
            after = number;
        }
    }
    // Their age is counted in days.
    let are_done = walked.stretches.as_ref() == Some(&rules);
    if !are_done && rules.all().any(|days| days.tiers != [0; 3]) {
        remove_stretches(store, &rules, now).await?;
        walked.stretches = Some(rules);
    }
    Ok(())
}

/// The next object and resource, as one number, of which there are values.
async fn next_type(store: &Store, after: i64) -> Result<Option<i64>, StoreError> {
    let sql = format!("SELECT {TYPE} FROM resource WHERE {TYPE} > ? ORDER BY {TYPE} LIMIT 1");
    store
        .read_tables(move |database| async move {
            let row = database
                .query_one_raw(statement(&database, &sql, [after.into()]))
                .await?;
            Ok(row.map(|row| row.try_get_by_index(0)).transpose()?)
        })
        .await
}

/// Removes values of one object and resource behind a row that arrived before `cut`, and says which was
/// the last that was looked at.
async fn remove_values(
    store: &Store,
    number: i64,
    mut after: i64,
    cut: i64,
    metrics: &Metrics,
) -> Result<i64, StoreError> {
    loop {
        let sql = format!(
            "SELECT id, received_at FROM resource WHERE {TYPE} = ? AND id > ? AND id < ? \
            ORDER BY id LIMIT {ROWS}"
        );
        let rows: Vec<(i64, i64)> = store
            .read_tables(move |database| async move {
                let mark = Progress::load(&database).await?.mark;
                let values = [number.into(), after.into(), mark.into()];
                database
                    .query_all_raw(statement(&database, &sql, values))
                    .await?
                    .iter()
                    .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
                    .collect()
            })
            .await?;
        // Rows are numbered in the order of arrival.
        let old = rows.iter().rev().find(|(_, arrived)| *arrived < cut);
        let Some((last, _)) = old.copied() else {
            return Ok(after);
        };
        let removed = store
            .write_patiently(move |transaction| {
                async move { remove_piece(transaction, number, after, last, cut).await }.boxed()
            })
            .await?;
        metrics.history_removed.inc_by(removed);
        after = last;
        if rows.len() < ROWS {
            return Ok(after);
        }
        store.pause().await;
    }
}

async fn remove_piece(
    transaction: &DatabaseTransaction,
    number: i64,
    after: i64,
    last: i64,
    cut: i64,
) -> Result<u64, StoreError> {
    let sql = format!(
        "DELETE FROM resource WHERE {TYPE} = ? AND id > ? AND id <= ? AND received_at < ? \
        AND NOT EXISTS (SELECT 1 FROM latest_resource WHERE endpoint_id = resource.endpoint_id \
        AND path = ('/' || resource.object_id || '/' || resource.object_instance_id || '/' || \
        resource.resource_id || COALESCE('/' || resource.resource_instance_id, '')) \
        AND resource_row = resource.id) \
        AND NOT EXISTS (SELECT 1 FROM event_resource WHERE resource_row = resource.id)"
    );
    let values: [Bind; 4] = [number.into(), after.into(), last.into(), cut.into()];
    let result = transaction
        .execute_raw(statement(transaction, &sql, values))
        .await?;
    note_removed(transaction, format!("{REMOVED}.{number}"), cut).await?;
    Ok(result.rows_affected())
}

/// The beginning of the keys in `server_state` that say up to when values were removed; with the number of
/// a type for those of the type.
const REMOVED: &str = "history.removed";

/// Notes that values that arrived before this moment may be gone.
async fn note_removed(
    transaction: &DatabaseTransaction,
    key: String,
    cut: i64,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO server_state (\"key\", \"value\") VALUES (?, ?) \
        ON CONFLICT (\"key\") DO UPDATE SET \"value\" = excluded.\"value\" \
        WHERE server_state.\"value\" < excluded.\"value\"";
    transaction
        .execute_raw(statement(transaction, sql, [key.into(), cut.into()]))
        .await?;
    Ok(())
}

/// Before which moment values of a path may be gone.
pub(super) async fn removed_before(
    database: &impl ConnectionTrait,
    key: SeriesKey,
) -> Result<i64, StoreError> {
    let sql = "SELECT MAX(\"value\") FROM server_state WHERE \"key\" IN (?, ?)";
    let of_type = format!("{REMOVED}.{}", type_number(key));
    let row = database
        .query_one_raw(statement(database, sql, [REMOVED.into(), of_type.into()]))
        .await?;
    let found = row.map(|row| row.try_get_by_index(0)).transpose()?;
    Ok(found.flatten().unwrap_or(i64::MIN))
}

/// Object and resource of a path as one number.
fn type_number(key: SeriesKey) -> i64 {
    let ([object, _, resource], _) = unpack(key.path);
    i64::from(object) * 65_536 + i64::from(resource)
}

/// Drops partitions in which everything is over age.
async fn drop_partitions(
    store: &Store,
    rules: &Rules,
    metrics: &Metrics,
    now: Timestamp,
) -> Result<(), StoreError> {
    let longest = rules.all().map(|days| days.raw).reduce(|one, two| {
        if one == 0 || two == 0 {
            0
        } else {
            one.max(two)
        }
    });
    let Some(cut) = longest.and_then(|days| cut(now, days)) else {
        return Ok(());
    };
    let cut = Timestamp::clamped_from_millis(cut);
    let (old, today) = store
        .read_tables(move |database| async move {
            let backend = database.get_database_backend();
            if backend != DbBackend::Postgres {
                return Ok((Vec::new(), 0));
            }
            let mark = Progress::load(&database).await?.mark;
            let mut old = Vec::new();
            for partition in partitions(&database).await? {
                if partition.to <= mark
                    && partition.to <= super::first_row_of(backend, cut)
                    && !has_newer(&database, &partition, cut).await?
                    && let Some(rows) = outliving(&database, &partition).await?
                {
                    old.push((partition, rows));
                }
            }
            Ok((old, super::first_row_of(backend, now)))
        })
        .await?;
    for (partition, rows) in old {
        if partition.to > today {
            continue;
        }
        let name = partition.name.clone();
        let dropped = store
            .write_patiently(move |transaction| {
                async move {
                    replace(transaction, &partition, &rows).await?;
                    note_removed(transaction, REMOVED.to_owned(), cut.as_millis()).await
                }
                .boxed()
            })
            .await;
        match dropped {
            Ok(()) => {
                metrics.history_partitions_dropped.inc();
                tracing::info!(partition = %name, "Dropped the partition {name}: its values are over age");
            }
            // Somebody reads; it is tried again.
            Err(error @ StoreError::Database(_)) => {
                tracing::debug!(%error, "Could not drop the partition {name}: {error}");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Removes stretches that are over age, path by path.
async fn remove_stretches(store: &Store, rules: &Rules, now: Timestamp) -> Result<(), StoreError> {
    let mut after = SeriesKey {
        endpoint: i64::MIN,
        path: i64::MIN,
    };
    loop {
        let series = store
            .read_tables(move |database| async move { next_series(&database, after).await })
            .await?;
        let Some(last) = series.last() else {
            return Ok(());
        };
        after = *last;
        for key in series {
            let days = rules.of(type_number(key));
            // Whole days, so that what is coarser is whole too.
            let cuts = days
                .tiers
                .map(|days| cut(now, days).map(|cut| Tier::Day.start(Tier::Day.bucket(cut))));
            if cuts == [None; 3] {
                continue;
            }
            let has_old = store
                .read_tables(move |database| async move { has_old(&database, key, cuts).await })
                .await?;
            let mut more = has_old;
            while more {
                more = store
                    .write_patiently(move |transaction| {
                        async move { remove_of_series(transaction, key, cuts).await }.boxed()
                    })
                    .await?;
                store.pause().await;
            }
        }
    }
}

/// Paths of devices behind this one.
async fn next_series(
    database: &DatabaseConnection,
    mut after: SeriesKey,
) -> Result<Vec<SeriesKey>, StoreError> {
    let sql = "SELECT endpoint_id, path FROM rollup_day WHERE (endpoint_id, path) > (?, ?) \
        ORDER BY endpoint_id, path, bucket LIMIT 1";
    let mut found = Vec::new();
    while found.len() < SERIES {
        let values = [after.endpoint.into(), after.path.into()];
        let row = database
            .query_one_raw(statement(database, sql, values))
            .await?;
        let Some(row) = row else { break };
        after = SeriesKey {
            endpoint: row.try_get_by_index(0)?,
            path: row.try_get_by_index(1)?,
        };
        found.push(after);
    }
    Ok(found)
}

async fn has_old(
    database: &DatabaseConnection,
    key: SeriesKey,
    cuts: [Option<i64>; 3],
) -> Result<bool, StoreError> {
    for (tier, cut) in Tier::ALL.into_iter().zip(cuts) {
        let Some(cut) = cut else { continue };
        let sql = format!(
            "SELECT 1 FROM {} WHERE endpoint_id = ? AND path = ? AND bucket < ? LIMIT 1",
            tier.table()
        );
        let values = [
            key.endpoint.into(),
            key.path.into(),
            tier.bucket(cut).into(),
        ];
        let row = database
            .query_one_raw(statement(database, &sql, values))
            .await?;
        if row.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Removes a piece of each table. True when there may be more.
async fn remove_of_series(
    transaction: &DatabaseTransaction,
    key: SeriesKey,
    cuts: [Option<i64>; 3],
) -> Result<bool, StoreError> {
    let [minute, hour, day] = cuts;
    let mut more = false;
    for (tier, parent, cut) in [
        (Tier::Minute, Tier::Hour, minute),
        (Tier::Hour, Tier::Day, hour),
    ] {
        if let Some(cut) = cut {
            more |= undivide(transaction, key, tier, parent, cut).await?;
        }
    }
    if let Some(cut) = day {
        let sql = format!(
            "DELETE FROM rollup_day WHERE endpoint_id = ? AND path = ? AND bucket IN (\
            SELECT bucket FROM rollup_day WHERE endpoint_id = ? AND path = ? AND bucket < ? \
            AND NOT divided ORDER BY bucket LIMIT {ROWS})"
        );
        let values = [
            key.endpoint.into(),
            key.path.into(),
            key.endpoint.into(),
            key.path.into(),
            Tier::Day.bucket(cut).into(),
        ];
        let result = transaction
            .execute_raw(statement(transaction, &sql, values))
            .await?;
        more |= result.rows_affected() >= ROWS as u64;
    }
    Ok(more)
}

/// Removes the rows of `tier` of some old stretches of the coarser `parent`. True when there may be more.
async fn undivide(
    transaction: &DatabaseTransaction,
    key: SeriesKey,
    tier: Tier,
    parent: Tier,
    cut: i64,
) -> Result<bool, StoreError> {
    let coarse = parent.table();
    let sql = format!(
        "SELECT bucket FROM {coarse} WHERE endpoint_id = ? AND path = ? AND bucket < ? AND divided \
        ORDER BY bucket LIMIT {STRETCHES}"
    );
    let key_values = [Bind::from(key.endpoint), key.path.into()];
    let with = |more: [i64; 2]| key_values.clone().into_iter().chain(more.map(Bind::from));
    let values = key_values
        .clone()
        .into_iter()
        .chain([parent.bucket(cut).into()]);
    let buckets: Vec<i64> = transaction
        .query_all_raw(statement(transaction, &sql, values))
        .await?
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<_, _>>()?;
    let (Some(first), Some(last)) = (buckets.first().copied(), buckets.last().copied()) else {
        return Ok(false);
    };
    let sql = format!(
        "UPDATE {coarse} SET divided = FALSE WHERE endpoint_id = ? AND path = ? \
        AND bucket BETWEEN ? AND ?"
    );
    transaction
        .execute_raw(statement(transaction, &sql, with([first, last])))
        .await?;
    let sql = format!(
        "DELETE FROM {} WHERE endpoint_id = ? AND path = ? AND bucket >= ? AND bucket < ?",
        tier.table()
    );
    let range = [
        tier.bucket(parent.start(first)),
        tier.bucket(parent.start(last.saturating_add(1))),
    ];
    transaction
        .execute_raw(statement(transaction, &sql, with(range)))
        .await?;
    Ok(buckets.len() == STRETCHES)
}

/// Every known type with its retention.
pub(super) async fn retentions(
    database: &DatabaseConnection,
) -> Result<Vec<(ResourceType, Retention)>, StoreError> {
    let rows = resource_type::Entity::find()
        .order_by_asc(resource_type::Column::ObjectId)
        .order_by_asc(resource_type::Column::ResourceId)
        .all(database)
        .await?;
    rows.into_iter()
        .map(|row| {
            let days = |days: Option<i32>| days.and_then(|days| u32::try_from(days).ok());
            let retention = Retention {
                raw_days: days(row.raw_days),
                minute_days: days(row.minute_days),
                hour_days: days(row.hour_days),
                day_days: days(row.day_days),
            };
            Ok((type_of(row)?, retention))
        })
        .collect()
}

/// Stores a retention, with a type where there is none.
pub(super) async fn set_retention(
    transaction: &DatabaseTransaction,
    object_id: u16,
    resource_id: u16,
    retention: Retention,
) -> Result<ResourceType, StoreError> {
    let days = |days: Option<u32>| Set(days.map(|days| i32::try_from(days).unwrap_or(i32::MAX)));
    let mut row = resource_type::ActiveModel {
        object_id: Set(object_id.into()),
        resource_id: Set(resource_id.into()),
        raw_days: days(retention.raw_days),
        minute_days: days(retention.minute_days),
        hour_days: days(retention.hour_days),
        day_days: days(retention.day_days),
        ..Default::default()
    };
    let key = (i32::from(object_id), i32::from(resource_id));
    let known = resource_type::Entity::find_by_id(key)
        .one(transaction)
        .await?;
    let row = match known {
        Some(_) => row.update(transaction).await?,
        None => {
            row.name = Set(format!("{object_id}_{resource_id}"));
            row.value_type = Set(None);
            row.insert(transaction).await?
        }
    };
    type_of(row)
}
