//! Values as they came, read as numbers.

use sea_orm::{ConnectionTrait, Value as Bind};

use super::merge::Progress;
use super::tier::{PACKED, Sample, SeriesKey, unpack};
use crate::store::StoreError;
use crate::store::sql::statement;

/// A value as a point of a chart, null where it is none. Larger `UNSIGNED_INTEGER` values have
/// their approximation in `value_float`.
pub(super) const NUMBER: &str = "COALESCE(value_float, CAST(value_integer AS DOUBLE PRECISION), \
    CASE WHEN value_boolean THEN 1.0 WHEN NOT value_boolean THEN 0.0 END)";

/// Values that a chart can show.
const FINITE: &str = "BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308";

/// So many rows are read at a time.
const PAGE: usize = 5_000;

/// A value with its row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Numbered {
    pub(super) id: i64,
    pub(super) sample: Sample,
}

/// The condition that the index `resource_path_time` serves, with its values: numbers of this path.
pub(super) fn condition(key: SeriesKey) -> (String, Vec<Bind>) {
    let (levels, instance) = unpack(key.path);
    let mut values: Vec<Bind> = vec![key.endpoint.into()];
    values.extend(levels.map(Bind::from));
    values.extend(instance.map(Bind::from));
    let instance = if instance.is_some() { "= ?" } else { "IS NULL" };
    let sql = format!(
        "endpoint_id = ? AND object_id = ? AND object_instance_id = ? AND resource_id = ? \
        AND resource_instance_id {instance} AND {NUMBER} {FINITE}"
    );
    (sql, values)
}

/// Values with `from <= time < to` by time and then row, whose rows are below `before`.
pub(super) async fn before(
    database: &impl ConnectionTrait,
    key: SeriesKey,
    from: i64,
    to: i64,
    before: i64,
) -> Result<Vec<Sample>, StoreError> {
    let (condition, mut values) = condition(key);
    let sql = format!(
        "SELECT measured_at, {NUMBER} FROM resource WHERE {condition} \
        AND measured_at >= ? AND measured_at < ? AND id < ? ORDER BY measured_at, id"
    );
    values.extend([from.into(), to.into(), before.into()]);
    let rows = database
        .query_all_raw(statement(database, &sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Sample {
                at: row.try_get_by_index(0)?,
                value: row.try_get_by_index(1)?,
            })
        })
        .collect()
}

/// Hands on the values with `from <= time < to`, by time and then row, a page at a time.
pub(super) async fn between(
    database: &impl ConnectionTrait,
    key: SeriesKey,
    from: i64,
    to: i64,
    mut take: impl FnMut(Numbered),
) -> Result<(), StoreError> {
    let (condition, values) = condition(key);
    let sql = format!(
        "SELECT id, measured_at, {NUMBER} FROM resource WHERE {condition} \
        AND measured_at >= ? AND measured_at < ? AND (measured_at > ? OR id > ?) \
        ORDER BY measured_at, id LIMIT {PAGE}"
    );
    let mut after = (from, i64::MIN);
    loop {
        let mut values = values.clone();
        values.extend([after.0.into(), to.into(), after.0.into(), after.1.into()]);
        let rows = database
            .query_all_raw(statement(database, &sql, values))
            .await?;
        for row in &rows {
            let id = row.try_get_by_index(0)?;
            let sample = Sample {
                at: row.try_get_by_index(1)?,
                value: row.try_get_by_index(2)?,
            };
            after = (sample.at, id);
            take(Numbered { id, sample });
        }
        if rows.len() < PAGE {
            return Ok(());
        }
    }
}

/// The first value with `from <= time < to`.
pub(super) async fn first(
    database: &impl ConnectionTrait,
    key: SeriesKey,
    from: i64,
    to: i64,
) -> Result<Option<Sample>, StoreError> {
    let (condition, mut values) = condition(key);
    let sql = format!(
        "SELECT measured_at, {NUMBER} FROM resource WHERE {condition} \
        AND measured_at >= ? AND measured_at < ? ORDER BY measured_at, id LIMIT 1"
    );
    values.extend([from.into(), to.into()]);
    let row = database
        .query_one_raw(statement(database, &sql, values))
        .await?;
    row.map(|row| {
        Ok(Sample {
            at: row.try_get_by_index(0)?,
            value: row.try_get_by_index(1)?,
        })
    })
    .transpose()
}

/// Values of all devices in the order of arrival, from a row on, at most `limit` rows looked at: those
/// that are numbers, and the row behind the last one.
pub(super) async fn arrived(
    database: &impl ConnectionTrait,
    from: i64,
    to: i64,
    limit: usize,
    mut take: impl FnMut(SeriesKey, Sample),
) -> Result<i64, StoreError> {
    let sql = format!(
        "SELECT id, endpoint_id, {PACKED}, measured_at, CASE WHEN {NUMBER} {FINITE} THEN {NUMBER} END \
        FROM resource WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
    );
    let (mut next, mut seen) = (from, 0);
    while seen < limit {
        let page = PAGE.min(limit.saturating_sub(seen));
        let page_rows = i64::try_from(page).unwrap_or(i64::MAX);
        let values = [next.into(), to.into(), page_rows.into()];
        let rows = database
            .query_all_raw(statement(database, &sql, values))
            .await?;
        for row in &rows {
            let id: i64 = row.try_get_by_index(0)?;
            next = id.saturating_add(1);
            let value: Option<f64> = row.try_get_by_index(4)?;
            if let Some(value) = value {
                let key = SeriesKey {
                    endpoint: row.try_get_by_index(1)?,
                    path: row.try_get_by_index(2)?,
                };
                let at = row.try_get_by_index(3)?;
                take(key, Sample { at, value });
            }
        }
        seen += rows.len();
        if rows.len() < page {
            break;
        }
    }
    Ok(next)
}

/// Rows that are not rolled up yet may be looked through one by one up to this many.
const FEW: usize = 20_000;

/// How much earlier than it arrives a value may have been measured, where there are too many new values
/// to look through: an older one shows once it is rolled up.
const LATE: i64 = 3_600_000;

/// The values of a path with `from <= time < to` that the tables do not hold yet.
pub(super) async fn not_held(
    database: &impl ConnectionTrait,
    progress: Progress,
    key: SeriesKey,
    from: i64,
    to: i64,
) -> Result<Vec<Sample>, StoreError> {
    let sql = format!(
        "SELECT id, received_at FROM resource WHERE id >= ? ORDER BY id LIMIT 1 OFFSET {FEW}"
    );
    let mark = progress.mark;
    let many = database
        .query_one_raw(statement(database, &sql, [mark.into()]))
        .await?;
    let mut found = Vec::new();
    let mut take = |numbered: Numbered| {
        if !progress.holds(numbered.id, key, numbered.sample.at) {
            found.push(numbered.sample);
        }
    };
    if many.is_some() {
        let sql = "SELECT received_at FROM resource WHERE id >= ? ORDER BY id LIMIT 1";
        let first = database
            .query_one_raw(statement(database, sql, [mark.into()]))
            .await?;
        let first: i64 = match first {
            Some(row) => row.try_get_by_index(0)?,
            None => i64::MIN,
        };
        let from = from.max(first.saturating_sub(LATE));
        between(database, key, from, to, take).await?;
    } else {
        let (condition, mut values) = condition(key);
        // The `+` keeps SQLite and PostgreSQL from the index on the path: the rows are few.
        let condition = condition.replacen("endpoint_id = ?", "endpoint_id + 0 = ?", 1);
        let sql = format!(
            "SELECT id, measured_at, {NUMBER} FROM resource WHERE {condition} AND id >= ? \
            AND measured_at >= ? AND measured_at < ? ORDER BY id LIMIT {}",
            FEW + 1
        );
        values.extend([mark.into(), from.into(), to.into()]);
        let rows = database
            .query_all_raw(statement(database, &sql, values))
            .await?;
        for row in &rows {
            take(Numbered {
                id: row.try_get_by_index(0)?,
                sample: Sample {
                    at: row.try_get_by_index(1)?,
                    value: row.try_get_by_index(2)?,
                },
            });
        }
        found.sort_by_key(|sample| sample.at);
    }
    Ok(found)
}
