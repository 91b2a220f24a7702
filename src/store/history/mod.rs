//! History that stays fast: values of a path over time, what is computed of them by the minute, hour and
//! day, and how long both are kept.

mod chart;
mod keep;
mod merge;
mod partition;
mod raw;
mod roll;
mod run;
mod series;
mod tier;

use async_trait::async_trait;
use sea_orm::{
    AccessMode, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, IsolationLevel,
    TransactionTrait as _,
};

use self::chart::Chart;
use self::tier::{SeriesKey, Tier};
use super::audit;
use super::downsample::Point;
use super::ids::Counter;
use super::{ResourceType, Store, StoreError};
use crate::config::KeptDays;
use crate::domain::{Doer, EndpointId, Path, Timestamp};

use self::partition::{ensure, first_row_of};
pub(super) use self::run::Historian;
pub use self::series::{LatestValue, RawValue, Series, SeriesPoint, SeriesReader, Summary};

/// What a point of a history says of its stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregate {
    /// How many values there were.
    Count,
    /// The last value, at its time.
    Last,
    /// The largest value, at its time.
    Max,
    /// The mean of the values.
    Mean,
    /// The smallest value, at its time.
    Min,
    /// Values as they were, thinned out so that minima and maxima stay visible.
    #[default]
    MinMax,
}

impl Aggregate {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::MinMax,
        Self::Mean,
        Self::Last,
        Self::Min,
        Self::Max,
        Self::Count,
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Last => "last",
            Self::Max => "max",
            Self::Mean => "mean",
            Self::Min => "min",
            Self::MinMax => "min_max",
        }
    }

    /// How far apart points are, in milliseconds.
    fn step(self, from: i64, to: i64, points: usize) -> i64 {
        let span = to.saturating_sub(from);
        let points = i64::try_from(points).unwrap_or(i64::MAX).max(1);
        if self == Self::MinMax {
            return span / (points / 2).max(1);
        }
        let least = span.saturating_sub(1) / points + 1;
        let fits = |step: i64| {
            let stretches = (to - 1).div_euclid(step) - from.div_euclid(step) + 1;
            step >= least && stretches <= points
        };
        let round = ROUND_S
            .map(|seconds| seconds * 1_000)
            .into_iter()
            .find(|step| fits(*step));
        round.unwrap_or_else(|| {
            let day = Tier::Day.millis();
            (least / day + 1).saturating_mul(day)
        })
    }
}

impl std::str::FromStr for Aggregate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL
            .into_iter()
            .find(|aggregate| aggregate.name() == text);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is none of {names}")
        })
    }
}

/// Distances of points that people read easily, in seconds.
const ROUND_S: [i64; 18] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400,
];

/// How many days something is kept. None: as the settings say; 0: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Values.
    pub raw_days: Option<u32>,
    /// What was computed of each minute.
    pub minute_days: Option<u32>,
    /// What was computed of each hour.
    pub hour_days: Option<u32>,
    /// What was computed of each day.
    pub day_days: Option<u32>,
}

impl Retention {
    /// What it is, in words: for the audit log.
    pub fn describe(self) -> String {
        let days = [
            ("values", self.raw_days),
            ("minutes", self.minute_days),
            ("hours", self.hour_days),
            ("days", self.day_days),
        ];
        days.map(|(what, days)| match days {
            None => format!("{what} as set"),
            Some(0) => format!("{what} for ever"),
            Some(days) => format!("{what} {days} d"),
        })
        .join(", ")
    }

    /// The days in force, where these are the ones of the settings.
    pub fn or(self, settings: KeptDays) -> KeptDays {
        KeptDays {
            raw: self.raw_days.unwrap_or(settings.raw),
            minute: self.minute_days.unwrap_or(settings.minute),
            hour: self.hour_days.unwrap_or(settings.hour),
            day: self.day_days.unwrap_or(settings.day),
        }
    }
}

/// Reads histories, and says how long values are kept.
#[async_trait]
pub trait HistoryStore: Send + Sync {
    /// At most `points` points of one path with `from <= time < to`, by time; only numbers.
    async fn history(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
        aggregate: Aggregate,
    ) -> Result<Vec<Point>, StoreError>;

    /// Every known resource type with its retention, by object and resource.
    async fn retentions(&self) -> Result<Vec<(ResourceType, Retention)>, StoreError>;

    /// Sets how long values of a resource are kept. A resource without a type gets one, named by its ids,
    /// such as `3303_5701`.
    async fn set_retention(
        &self,
        object_id: u16,
        resource_id: u16,
        retention: Retention,
        by: Doer,
    ) -> Result<ResourceType, StoreError>;
}

/// A transaction in which everything is of the same moment.
pub(super) async fn snapshot(database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    // SQLite reads one state of the database in any transaction.
    let (isolation, access) = match database.get_database_backend() {
        DbBackend::Postgres => (
            Some(IsolationLevel::RepeatableRead),
            Some(AccessMode::ReadOnly),
        ),
        _ => (None, None),
    };
    database.begin_with_config(isolation, access).await
}

/// At the start: the partitions of this day, and the first row in them.
pub(super) async fn prepare(
    database: &DatabaseConnection,
    rows: &Counter,
    partition_days: u16,
) -> Result<(), StoreError> {
    let now = Timestamp::system();
    let transaction = database.begin().await?;
    ensure(&transaction, now, rows.exact(), partition_days).await?;
    transaction.commit().await?;
    rows.advance(first_row_of(database.get_database_backend(), now));
    Ok(())
}

#[async_trait]
impl HistoryStore for Store {
    async fn history(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
        aggregate: Aggregate,
    ) -> Result<Vec<Point>, StoreError> {
        let Some(key) = SeriesKey::of(id, path) else {
            return Ok(Vec::new());
        };
        let chart = Chart {
            key,
            from: from.as_millis(),
            to: to.as_millis(),
            points,
            aggregate,
        };
        self.read_devices(&[id], move |database| async move {
            let transaction = snapshot(&database).await?;
            let points = chart.read(&transaction).await?;
            transaction.rollback().await?;
            Ok(points)
        })
        .await
    }

    async fn retentions(&self) -> Result<Vec<(ResourceType, Retention)>, StoreError> {
        self.read_tables(|database| async move { keep::retentions(&database).await })
            .await
    }

    async fn set_retention(
        &self,
        object_id: u16,
        resource_id: u16,
        retention: Retention,
        by: Doer,
    ) -> Result<ResourceType, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let subject = format!("/{object_id}/*/{resource_id}");
                let line = by.line("resource_type.retention", &subject, retention.describe());
                audit::insert(transaction, line).await?;
                keep::set_retention(transaction, object_id, resource_id, retention).await
            })
        })
        .await
    }
}
