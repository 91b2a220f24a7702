//! Lines of devices' logs: found, and removed when they are old or too many.

use async_trait::async_trait;
use flownexus_entity::{device_log, endpoint};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LikeExpr};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DbErr, EntityTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _, Value as Bind,
};

use super::endpoint::like_pattern;
use super::records::{corrupt, name, narrow, text, time};
use super::sql::statement;
use super::{LogFilter, LogReader, Store, StoreError};
use crate::config;
use crate::domain::{EndpointId, LogLevel, LogLine, Path, StoredLogLine, Timestamp};

const WHAT: &str = "line of a log";

/// So many lines are removed at a time: other commits come in between.
const PRUNE_ROWS: u64 = 5_000;

#[async_trait]
impl LogReader for Store {
    async fn list(
        &self,
        endpoint: EndpointId,
        filter: &LogFilter,
    ) -> Result<Vec<StoredLogLine>, StoreError> {
        let mut query = device_log::Entity::find()
            .find_also_related(endpoint::Entity)
            .filter(device_log::Column::EndpointId.eq(endpoint.0))
            .order_by_desc(device_log::Column::Id)
            .limit(at_most(filter.limit));
        if let Some(search) = &filter.search {
            let pattern = like_pattern(&text(&search.to_lowercase()));
            let searched = Func::coalesce([
                Expr::col((device_log::Entity, device_log::Column::SearchText)),
                Expr::col((device_log::Entity, device_log::Column::Text)),
            ]);
            query = query.filter(Expr::expr(searched).like(LikeExpr::new(pattern).escape('\\')));
        }
        if let Some(level) = filter.level {
            query = query.filter(device_log::Column::Level.lte(level_number(level)));
        }
        if let Some(from) = filter.from {
            query = query.filter(device_log::Column::Time.gte(from.as_millis()));
        }
        if let Some(to) = filter.to {
            query = query.filter(device_log::Column::Time.lt(to.as_millis()));
        }
        if let Some(before) = filter.before {
            query = query.filter(device_log::Column::Id.lt(before));
        }
        self.read_devices(&[endpoint], move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(line).collect()
        })
        .await
    }
}

/// A number of rows that both databases know.
fn at_most(rows: u64) -> u64 {
    Ord::min(rows, i64::MAX as u64)
}

fn line(
    (row, endpoint): (device_log::Model, Option<endpoint::Model>),
) -> Result<StoredLogLine, StoreError> {
    let endpoint = endpoint.ok_or_else(|| corrupt(WHAT, "it belongs to no endpoint"))?;
    let level = row.level.map(|level| {
        let index: usize = narrow(WHAT, level)?;
        let level = LogLevel::ALL.get(index).copied();
        level.ok_or_else(|| corrupt(WHAT, format!("{index} is no level")))
    });
    Ok(StoredLogLine {
        id: row.id,
        endpoint: name(&endpoint.name)?,
        path: row.path.parse().map_err(|error| corrupt(WHAT, error))?,
        level: level.transpose()?,
        text: row.text,
        time: time(row.time),
        received_at: time(row.received_at),
    })
}

/// The place of a level in [`LogLevel::ALL`].
fn level_number(level: LogLevel) -> i32 {
    let index = LogLevel::ALL.iter().position(|one| *one == level);
    i32::try_from(index.unwrap_or_default()).unwrap_or_default()
}

/// The columns of `device_log`, in the order of the table.
pub(super) fn line_row(
    id: i64,
    endpoint: EndpointId,
    path: Path,
    line: &LogLine,
    times: [Timestamp; 2],
    row: &mut Vec<Bind>,
) {
    let text = text(&line.text).into_owned();
    let lower = text.to_lowercase();
    let search = (lower != text).then_some(lower);
    row.extend([
        id.into(),
        endpoint.0.into(),
        path.to_string().into(),
        line.level.map(level_number).into(),
        text.into(),
        search.into(),
    ]);
    row.extend(times.map(|time| Bind::from(time.as_millis())));
}

/// Removes some of the lines that are older than `keep_days`. True when there may be more.
pub(super) async fn prune_old(
    database: &DatabaseConnection,
    settings: &config::Logs,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let Some(keep) = settings
        .keep_days
        .checked_mul(86_400_000)
        .filter(|keep| *keep > 0)
    else {
        return Ok(false);
    };
    let keep = i64::try_from(keep).unwrap_or(i64::MAX);
    let before = now.as_millis().saturating_sub(keep);
    // Rows are numbered in the order of arrival: only the first ones are looked at.
    let sql = format!(
        "DELETE FROM device_log WHERE id IN (SELECT id FROM (\
        SELECT id, received_at FROM device_log ORDER BY id LIMIT {PRUNE_ROWS}) AS oldest \
        WHERE received_at < ?)"
    );
    let removed = database
        .execute_raw(statement(database, &sql, [before.into()]))
        .await?;
    Ok(removed.rows_affected() >= PRUNE_ROWS)
}

/// Removes some of the lines of a device that are more than `max_rows_per_endpoint`, the oldest
/// first. True when there may be more.
pub(super) async fn prune_many(
    database: &DatabaseConnection,
    settings: &config::Logs,
    endpoint: EndpointId,
) -> Result<bool, DbErr> {
    let most = at_most(settings.max_rows_per_endpoint);
    let newest = format!(
        "SELECT id FROM device_log WHERE endpoint_id = ? ORDER BY id DESC LIMIT 1 OFFSET {most}"
    );
    let sql = format!(
        "DELETE FROM device_log WHERE id IN (SELECT id FROM device_log WHERE endpoint_id = ? \
        AND id <= ({newest}) ORDER BY id LIMIT {PRUNE_ROWS})"
    );
    let values = [endpoint.0.into(), endpoint.0.into()];
    let removed = database
        .execute_raw(statement(database, &sql, values))
        .await?;
    Ok(removed.rows_affected() >= PRUNE_ROWS)
}
