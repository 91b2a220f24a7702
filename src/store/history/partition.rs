//! Partitions of `resource` on PostgreSQL: made ahead, and dropped whole.
//!
//! Their key is the row id, which begins anew each day; see the migration `partition_resource`.

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};

use crate::domain::Timestamp;
use crate::store::sql::statement;

/// Ids of one day: 2^36 values, 800,000 a second.
const SHIFT: u32 = 36;

/// One partition, with the rows from `from` to before `to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) name: String,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// The first row id of the day of this moment on PostgreSQL; 1 on SQLite, whose rows lie in one table
/// and should have short ids.
pub(in crate::store) fn first_row_of(backend: DbBackend, now: Timestamp) -> i64 {
    match backend {
        DbBackend::Postgres => (day(now) << SHIFT).max(1),
        _ => 1,
    }
}

fn day(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(86_400_000)
}

/// Makes the partition of this moment and the one behind it, unless they are there. `next` is the next
/// row id.
pub(in crate::store) async fn ensure(
    database: &impl ConnectionTrait,
    now: Timestamp,
    next: i64,
    days: u16,
) -> Result<(), DbErr> {
    if database.get_database_backend() != DbBackend::Postgres {
        return Ok(());
    }
    let today = day(now).max(next >> SHIFT).max(0);
    let known = partitions(database).await?;
    let mut end = known.iter().map(|known| known.to).max().unwrap_or(0) >> SHIFT;
    let days = i64::from(days.max(1));
    if end > today.saturating_add(days) {
        return Ok(());
    }
    // What fell into the default partition stays there.
    let sql = "SELECT MAX(id) FROM resource_rest";
    if let Some(row) = database.query_one_raw(statement(database, sql, [])).await?
        && let Some(largest) = row.try_get_by_index::<Option<i64>>(0)?
    {
        end = end.max((largest >> SHIFT).saturating_add(1));
    }
    // A wait for a chart that is being read would be a wait for the devices.
    database
        .execute_unprepared("SET LOCAL lock_timeout = '200ms'")
        .await?;
    end = end.max(today);
    while end <= today.saturating_add(days) {
        let until = end.saturating_add(days);
        let (from, to) = (end << SHIFT, until << SHIFT);
        database
            .execute_unprepared(&format!(
                "CREATE TABLE resource_d{end} PARTITION OF resource FOR VALUES FROM ({from}) TO ({to})"
            ))
            .await?;
        end = until;
    }
    Ok(())
}

/// All but the default one, oldest first.
pub(super) async fn partitions(database: &impl ConnectionTrait) -> Result<Vec<Partition>, DbErr> {
    let sql = "SELECT part.relname::text, pg_get_expr(part.relpartbound, part.oid) \
        FROM pg_inherits JOIN pg_class AS part ON part.oid = pg_inherits.inhrelid \
        WHERE pg_inherits.inhparent = 'resource'::regclass";
    let rows = database
        .query_all_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await?;
    let mut all = Vec::new();
    for row in rows {
        let (name, bounds): (String, String) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        if let Some((from, to)) = read_bounds(&bounds) {
            all.push(Partition { name, from, to });
        }
    }
    all.sort_by_key(|partition| partition.from);
    Ok(all)
}

/// Of `FOR VALUES FROM ('1') TO ('2')`.
fn read_bounds(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text
        .strip_prefix("FOR VALUES FROM (")?
        .split_once(") TO (")?;
    let number = |text: &str| text.trim_matches('\'').parse().ok();
    let from = match from {
        "MINVALUE" => 0,
        from => number(from)?,
    };
    Some((from, number(to.strip_suffix(')')?)?))
}

/// Rows that outlive a partition may be so many; of more, the others go one by one.
const FEW: usize = 5_000;

/// Rows of a partition that are the latest of their path or belong to an event; nothing when these are
/// many. No row becomes either later unless it is one already.
pub(super) async fn outliving(
    database: &DatabaseConnection,
    partition: &Partition,
) -> Result<Option<Vec<i64>>, DbErr> {
    let sql = format!(
        "SELECT resource_row FROM latest_resource WHERE resource_row >= ? AND resource_row < ? \
        UNION SELECT resource_row FROM event_resource WHERE resource_row >= ? AND resource_row < ? \
        LIMIT {}",
        FEW + 1
    );
    let range = [partition.from.into(), partition.to.into()];
    let values = range.clone().into_iter().chain(range);
    let rows = database
        .query_all_raw(statement(database, &sql, values))
        .await?;
    let rows: Vec<i64> = rows
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<_, _>>()?;
    Ok((rows.len() <= FEW).then_some(rows))
}

/// True when some value in it arrived at or after this moment.
pub(super) async fn has_newer(
    database: &DatabaseConnection,
    partition: &Partition,
    than: Timestamp,
) -> Result<bool, DbErr> {
    let sql = format!(
        "SELECT 1 FROM {} WHERE received_at >= ? LIMIT 1",
        partition.name
    );
    let row = database
        .query_one_raw(statement(database, &sql, [than.as_millis().into()]))
        .await?;
    Ok(row.is_some())
}

/// Drops a partition; the rows that outlive it go to the default one.
pub(super) async fn replace(
    database: &impl ConnectionTrait,
    partition: &Partition,
    outliving: &[i64],
) -> Result<(), DbErr> {
    let name = &partition.name;
    database
        .execute_unprepared("SET LOCAL lock_timeout = '200ms'")
        .await?;
    database
        .execute_unprepared(&format!("ALTER TABLE resource DETACH PARTITION {name}"))
        .await?;
    for rows in outliving.chunks(500) {
        let rows: Vec<String> = rows.iter().map(i64::to_string).collect();
        database
            .execute_unprepared(&format!(
                "INSERT INTO resource SELECT * FROM {name} WHERE id IN ({})",
                rows.join(",")
            ))
            .await?;
    }
    database
        .execute_unprepared(&format!("DROP TABLE {name}"))
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read() {
        assert_eq!(
            read_bounds("FOR VALUES FROM ('68719476736') TO ('137438953472')"),
            Some((68_719_476_736, 137_438_953_472))
        );
        assert_eq!(
            read_bounds("FOR VALUES FROM (MINVALUE) TO ('5')"),
            Some((0, 5))
        );
        assert_eq!(read_bounds("DEFAULT"), None);
    }

    #[test]
    fn an_id_of_a_day_is_exact_in_json_for_two_hundred_years() {
        let far = Timestamp::from_millis(1_800_000_000_000 + 200 * 31_556_952_000).expect("a time");
        assert!(first_row_of(DbBackend::Postgres, far) < 1 << 53);
        assert_eq!(first_row_of(DbBackend::Sqlite, far), 1);
    }
}
