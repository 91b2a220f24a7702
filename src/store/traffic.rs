//! What devices cost, by day: added up, read, and removed when it is old.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use flownexus_entity::{endpoint, traffic_day};
use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait as _, DatabaseTransaction,
    EntityTrait as _, QueryFilter as _, QuerySelect as _,
};

use super::records::corrupt;
use super::sql::statement;
use super::{Store, StoreError};
use crate::domain::{Day, DayTraffic, EndpointId, EndpointName, Traffic, TrafficKind};

/// Adds up what devices send and get.
#[async_trait]
pub trait TrafficStore: Send + Sync {
    /// Adds what was counted of devices on days. Those that are not known (yet) are left out and come back.
    async fn add(
        &self,
        counted: Vec<(EndpointName, Day, DayTraffic)>,
    ) -> Result<Vec<EndpointName>, StoreError>;

    /// The traffic of a device, or of all of them together, from one day to another, both included; days without
    /// any are left out.
    async fn days(
        &self,
        endpoint: Option<EndpointId>,
        from: Day,
        to: Day,
    ) -> Result<BTreeMap<Day, DayTraffic>, StoreError>;

    /// Removes days before this one, in pieces.
    async fn remove_before(&self, day: Day) -> Result<(), StoreError>;
}

#[async_trait]
impl TrafficStore for Store {
    async fn add(
        &self,
        counted: Vec<(EndpointName, Day, DayTraffic)>,
    ) -> Result<Vec<EndpointName>, StoreError> {
        self.write_patiently(move |transaction| {
            Box::pin(async move {
                let mut unknown = Vec::new();
                for chunk in counted.chunks(CHUNK) {
                    unknown.extend(add_some(transaction, chunk).await?);
                }
                Ok(unknown)
            })
        })
        .await
    }

    async fn days(
        &self,
        endpoint: Option<EndpointId>,
        from: Day,
        to: Day,
    ) -> Result<BTreeMap<Day, DayTraffic>, StoreError> {
        let id = endpoint.map_or(FLEET, |endpoint| endpoint.0);
        self.read_tables(move |database| async move {
            let rows = traffic_day::Entity::find()
                .filter(traffic_day::Column::EndpointId.eq(id))
                .filter(traffic_day::Column::Day.between(from.0, to.0))
                .all(&database)
                .await?;
            let mut days: BTreeMap<Day, DayTraffic> = BTreeMap::new();
            for row in rows {
                let kind: TrafficKind = row.kind.parse().map_err(|why| corrupt(WHAT, why))?;
                let number = |number: i64| u64::try_from(number).unwrap_or_default();
                let traffic = Traffic {
                    up_bytes: number(row.up_bytes),
                    up_messages: number(row.up_messages),
                    down_bytes: number(row.down_bytes),
                    down_messages: number(row.down_messages),
                };
                days.entry(Day(row.day)).or_default().add(kind, traffic);
            }
            Ok(days)
        })
        .await
    }

    async fn remove_before(&self, day: Day) -> Result<(), StoreError> {
        let sql = format!(
            "DELETE FROM traffic_day WHERE (endpoint_id, day, kind) IN (\
            SELECT endpoint_id, day, kind FROM traffic_day WHERE day < ? LIMIT {PIECE})"
        );
        loop {
            let sql = sql.clone();
            let removed = self
                .write_patiently(move |transaction| {
                    Box::pin(async move {
                        let result = transaction
                            .execute_raw(statement(transaction, &sql, [day.0.into()]))
                            .await?;
                        Ok(result.rows_affected())
                    })
                })
                .await?;
            if removed < PIECE {
                return Ok(());
            }
        }
    }
}

/// Adds some of them; those that are not known come back.
async fn add_some(
    transaction: &DatabaseTransaction,
    counted: &[(EndpointName, Day, DayTraffic)],
) -> Result<Vec<EndpointName>, StoreError> {
    let names = counted.iter().map(|(name, ..)| name.as_str());
    let ids: HashMap<String, i64> = endpoint::Entity::find()
        .select_only()
        .column(endpoint::Column::Name)
        .column(endpoint::Column::Id)
        .filter(endpoint::Column::Name.is_in(names))
        .into_tuple()
        .all(transaction)
        .await?
        .into_iter()
        .collect();
    let mut unknown = Vec::new();
    let mut all: BTreeMap<(i64, Day), DayTraffic> = BTreeMap::new();
    for (name, day, traffic) in counted {
        let Some(id) = ids.get(name.as_str()) else {
            unknown.push(name.clone());
            continue;
        };
        for id in [*id, FLEET] {
            let sum = all.entry((id, *day)).or_default();
            for (kind, traffic) in traffic.kinds() {
                sum.add(kind, traffic);
            }
        }
    }
    let rows: Vec<traffic_day::ActiveModel> = all
        .iter()
        .flat_map(|((id, day), traffic)| {
            traffic
                .kinds()
                .map(|(kind, traffic)| row(*id, *day, kind, traffic))
        })
        .collect();
    if rows.is_empty() {
        return Ok(unknown);
    }
    let mut conflict = OnConflict::columns([
        traffic_day::Column::EndpointId,
        traffic_day::Column::Day,
        traffic_day::Column::Kind,
    ]);
    for column in [
        traffic_day::Column::UpBytes,
        traffic_day::Column::DownBytes,
        traffic_day::Column::UpMessages,
        traffic_day::Column::DownMessages,
    ] {
        let sum = Expr::col((traffic_day::Entity, column)).add(Expr::col(("excluded", column)));
        conflict.value(column, sum);
    }
    traffic_day::Entity::insert_many(rows)
        .on_conflict(conflict)
        .exec_without_returning(transaction)
        .await?;
    Ok(unknown)
}

fn row(id: i64, day: Day, kind: TrafficKind, traffic: Traffic) -> traffic_day::ActiveModel {
    let number = |number: u64| Set(i64::try_from(number).unwrap_or(i64::MAX));
    traffic_day::ActiveModel {
        endpoint_id: Set(id),
        day: Set(day.0),
        kind: Set(kind.name().to_owned()),
        up_bytes: number(traffic.up_bytes),
        down_bytes: number(traffic.down_bytes),
        up_messages: number(traffic.up_messages),
        down_messages: number(traffic.down_messages),
    }
}

const WHAT: &str = "traffic of a day";
/// The rows of all devices together have this in the place of one.
const FLEET: i64 = 0;
/// Devices of one statement: each has at most five rows of seven columns.
const CHUNK: usize = 500;
/// Rows that are removed at a time.
const PIECE: u64 = 5_000;
