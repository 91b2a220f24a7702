//! Adds values to the tables of stretches, in the transaction that also notes how far they are added.

use std::collections::HashSet;

use flownexus_entity::endpoint;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
    QueryResult, QuerySelect as _, Value as Bind,
};

use super::raw;
use super::tier::{Bucket, Sample, SeriesKey, Tier, by_buckets, within};
use crate::store::StoreError;
use crate::store::sequence::save;
use crate::store::sql::statement;

/// Rows in one statement, largest first: the databases keep few statements prepared.
const CHUNKS: [usize; 4] = [128, 32, 8, 1];

/// How far the values are added up. Rows of `resource` below `mark` are. While a window is written, of
/// those from `mark` to before `target` that part is which comes before `done` or is it, by device, path
/// and day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) mark: i64,
    pub(super) target: i64,
    pub(super) done: Option<Place>,
}

/// The values of one path of a device on one day.
pub(super) type Place = (SeriesKey, i64);

impl Progress {
    /// True when this row of `resource` is in the tables.
    pub(super) fn holds(&self, id: i64, key: SeriesKey, at: i64) -> bool {
        id < self.mark
            || id < self.target
                && self
                    .done
                    .is_some_and(|done| (key, Tier::Day.bucket(at)) <= done)
    }

    pub(super) async fn load(database: &impl ConnectionTrait) -> Result<Self, StoreError> {
        let sql = "SELECT \"key\", \"value\" FROM server_state WHERE \"key\" IN (?, ?, ?, ?, ?, ?)";
        let keys = KEYS.map(Bind::from);
        let mut values = [0_i64; 6];
        for row in database
            .query_all_raw(statement(database, sql, keys))
            .await?
        {
            let key: String = row.try_get_by_index(0)?;
            for (known, value) in KEYS.iter().zip(&mut values) {
                if *known == key {
                    *value = row.try_get_by_index(1)?;
                }
            }
        }
        let [mark, target, begun, endpoint, path, day] = values;
        Ok(Self {
            mark,
            target: target.max(mark),
            done: (begun != 0).then_some((SeriesKey { endpoint, path }, day)),
        })
    }

    async fn save(&self, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
        let (key, day) = self.done.unwrap_or_default();
        let begun = i64::from(self.done.is_some());
        let values = [self.mark, self.target, begun, key.endpoint, key.path, day];
        for (key, value) in KEYS.into_iter().zip(values) {
            save(transaction, key.to_owned(), value).await?;
        }
        Ok(())
    }
}

const KEYS: [&str; 6] = [
    "rollup.mark",
    "rollup.target",
    "rollup.begun",
    "rollup.endpoint",
    "rollup.path",
    "rollup.day",
];

/// Values of one path and day, in the order of time and then of arrival.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) samples: Vec<Sample>,
}

impl Part {
    /// About how many rows it changes.
    pub(super) fn rows(&self) -> usize {
        let minutes = self
            .samples
            .chunk_by(|one, two| Tier::Minute.bucket(one.at) == Tier::Minute.bucket(two.at));
        minutes.count() + 2
    }
}

/// Adds these parts, and notes that everything up to `progress` is added.
pub(super) async fn merge(
    transaction: &DatabaseTransaction,
    parts: &[Part],
    mark: i64,
    progress: Progress,
) -> Result<(), StoreError> {
    let known = known(transaction, parts).await?;
    let mut rows: Vec<Row> = Vec::new();
    for part in parts {
        let (key, bucket) = part.place;
        if known.contains(&key.endpoint) {
            let samples = part.samples.as_slice();
            rows.extend(
                Row::all(key, Tier::Day, samples).filter(|row| row.bucket.bucket == bucket),
            );
        }
    }
    let mut tier = Tier::Day;
    loop {
        let stored = upsert(transaction, tier, &rows).await?;
        let Some(finer) = tier.finer() else { break };
        let mut children: Vec<Row> = Vec::new();
        for (row, stored) in rows.iter().zip(stored) {
            if stored.divided {
                children.extend(Row::all(row.key, finer, &row.samples));
            } else if stored.samples >= tier.divided_from()
                && let Some(all) = all_of(transaction, tier, row, stored.samples, mark).await?
            {
                divide(transaction, tier, row).await?;
                children.extend(Row::all(row.key, finer, &all));
            }
        }
        rows = children;
        tier = finer;
    }
    progress.save(transaction).await
}

/// What is added to one row, with the values that it consists of.
#[derive(Debug)]
struct Row {
    key: SeriesKey,
    bucket: Bucket,
    samples: Vec<Sample>,
}

impl Row {
    fn all(key: SeriesKey, tier: Tier, samples: &[Sample]) -> impl Iterator<Item = Self> {
        let buckets = by_buckets(tier, samples).into_iter();
        buckets.map(move |bucket| Self {
            key,
            bucket,
            samples: within(tier, bucket.bucket, samples).to_vec(),
        })
    }
}

/// Every value of a stretch that is to be divided: those of this window and the few before it. Nothing
/// when some of these are not there any more; then it stays as it is.
async fn all_of(
    transaction: &DatabaseTransaction,
    tier: Tier,
    row: &Row,
    stored: i64,
    mark: i64,
) -> Result<Option<Vec<Sample>>, StoreError> {
    let here = i64::try_from(row.samples.len()).unwrap_or(i64::MAX);
    if stored == here {
        return Ok(Some(row.samples.clone()));
    }
    let start = tier.start(row.bucket.bucket);
    let end = tier.start(row.bucket.bucket.saturating_add(1));
    let mut all = raw::before(transaction, row.key, start, end, mark).await?;
    let before = i64::try_from(all.len()).unwrap_or(i64::MAX);
    if before.saturating_add(here) != stored {
        return Ok(None);
    }
    all.extend_from_slice(&row.samples);
    // Those of this window arrived later: they stay behind those of the same time.
    all.sort_by_key(|sample| sample.at);
    Ok(Some(all))
}

/// Devices of these parts that are not forgotten.
async fn known(
    transaction: &DatabaseTransaction,
    parts: &[Part],
) -> Result<HashSet<i64>, StoreError> {
    let mut asked: Vec<i64> = parts.iter().map(|part| part.place.0.endpoint).collect();
    asked.dedup();
    let known: Vec<i64> = endpoint::Entity::find()
        .select_only()
        .column(endpoint::Column::Id)
        .filter(endpoint::Column::Id.is_in(asked))
        .into_tuple()
        .all(transaction)
        .await?;
    Ok(known.into_iter().collect())
}

/// What is in a row after something was added.
#[derive(Clone, Copy, Debug)]
struct Stored {
    samples: i64,
    divided: bool,
}

/// Adds to the rows of a table, and says what is in them now, in the same order.
async fn upsert(
    transaction: &DatabaseTransaction,
    tier: Tier,
    rows: &[Row],
) -> Result<Vec<Stored>, StoreError> {
    let mut stored = Vec::with_capacity(rows.len());
    let mut left = rows;
    for chunk in CHUNKS {
        while let Some((now, rest)) = left.split_at_checked(chunk) {
            let values = now.iter().flat_map(|row| bind(tier, row));
            let sql = upsert_sql(tier, chunk);
            let statement = statement(transaction, &sql, values);
            if tier.finer().is_none() {
                transaction.execute_raw(statement).await?;
            } else {
                // In whatever order the database likes.
                let mut found: Vec<((SeriesKey, i64), Stored)> = transaction
                    .query_all_raw(statement)
                    .await?
                    .iter()
                    .map(read_stored)
                    .collect::<Result<_, _>>()?;
                found.sort_unstable_by_key(|(place, _)| *place);
                for row in now {
                    let place = (row.key, row.bucket.bucket);
                    let found = found
                        .binary_search_by_key(&place, |(place, _)| *place)
                        .ok()
                        .and_then(|index| found.get(index));
                    let (_, is) = found.ok_or_else(|| StoreError::Corrupt {
                        what: "rollup",
                        why: "a row that was just written is not there".to_owned(),
                    })?;
                    stored.push(*is);
                }
            }
            left = rest;
        }
    }
    Ok(stored)
}

fn read_stored(row: &QueryResult) -> Result<((SeriesKey, i64), Stored), StoreError> {
    let key = SeriesKey {
        endpoint: row.try_get_by_index(0)?,
        path: row.try_get_by_index(1)?,
    };
    let stored = Stored {
        samples: row.try_get_by_index(3)?,
        divided: row.try_get_by_index(4)?,
    };
    Ok(((key, row.try_get_by_index(2)?), stored))
}

fn bind(tier: Tier, row: &Row) -> Vec<Bind> {
    let Bucket { bucket, sum } = row.bucket;
    let start = tier.start(bucket);
    let offset = |sample: Sample| {
        let offset = sample.at.saturating_sub(start);
        Bind::from(i32::try_from(offset).unwrap_or(0))
    };
    let mut values: Vec<Bind> = vec![
        row.key.endpoint.into(),
        row.key.path.into(),
        bucket.into(),
        sum.samples.into(),
        sum.total.into(),
        sum.low.value.into(),
        sum.high.value.into(),
        sum.last.value.into(),
        offset(sum.low),
        offset(sum.high),
        offset(sum.last),
    ];
    if tier.finer().is_some() {
        values.push(false.into());
    }
    values
}

/// The same as [`super::tier::Sum::add`].
fn upsert_sql(tier: Tier, rows: usize) -> String {
    let table = tier.table();
    let divisible = tier.finer().is_some();
    let group = if divisible {
        "(?,?,?,?,?,?,?,?,?,?,?,?)"
    } else {
        "(?,?,?,?,?,?,?,?,?,?,?)"
    };
    let groups = vec![group; rows].join(",");
    let divided = if divisible { ", divided" } else { "" };
    let better = |column: &str, sign: &str| {
        format!(
            "excluded.{column} {sign} {table}.{column} OR (excluded.{column} = {table}.{column} \
            AND excluded.{column}_at < {table}.{column}_at)"
        )
    };
    let choose = |when: &str, column: &str| {
        format!("{column} = CASE WHEN {when} THEN excluded.{column} ELSE {table}.{column} END")
    };
    let (low, high) = (better("low", "<"), better("high", ">"));
    let last = format!("excluded.last_at >= {table}.last_at");
    let set = [
        choose(&low, "low"),
        choose(&low, "low_at"),
        choose(&high, "high"),
        choose(&high, "high_at"),
        choose(&last, "last"),
        choose(&last, "last_at"),
    ]
    .join(", ");
    let returning = if divisible {
        " RETURNING endpoint_id, path, bucket, samples, divided"
    } else {
        ""
    };
    let sum = format!("{table}.total + excluded.total");
    format!(
        "INSERT INTO {table} (endpoint_id, path, bucket, samples, total, low, high, last, low_at, \
        high_at, last_at{divided}) VALUES {groups} ON CONFLICT (endpoint_id, path, bucket) DO UPDATE \
        SET samples = {table}.samples + excluded.samples, \
        total = CASE WHEN {sum} > 4e307 THEN 4e307 WHEN {sum} < -4e307 THEN -4e307 ELSE {sum} END, \
        {set}{returning}"
    )
}

async fn divide(
    transaction: &DatabaseTransaction,
    tier: Tier,
    row: &Row,
) -> Result<(), StoreError> {
    let table = tier.table();
    let sql = format!(
        "UPDATE {table} SET divided = TRUE WHERE endpoint_id = ? AND path = ? AND bucket = ?"
    );
    let values = [
        row.key.endpoint.into(),
        row.key.path.into(),
        row.bucket.bucket.into(),
    ];
    transaction
        .execute_raw(statement(transaction, &sql, values))
        .await?;
    Ok(())
}
