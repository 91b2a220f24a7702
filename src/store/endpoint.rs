//! Devices: listed, found, forgotten.

use std::slice;

use async_trait::async_trait;
use flownexus_entity::{endpoint, registration};
use sea_orm::sea_query::{Expr, ExprTrait as _, Func, LikeExpr};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::audit;
use super::forgiven::Forgiven;
use super::remove::Rows;
use super::sql::statement;
use super::{EndpointFilter, EndpointReader, EndpointRow, Store, StoreError, fleet, records};
use crate::domain::{AuditEntry, EndpointId, EndpointName, Observation, Wanted};

/// So many rows of a device are removed in one transaction: other commits come in between.
const CHUNK: u64 = 5_000;

#[async_trait]
impl EndpointReader for Store {
    async fn list(&self, filter: &EndpointFilter) -> Result<(Vec<EndpointRow>, bool), StoreError> {
        let mut query = endpoint::Entity::find()
            .find_also_related(registration::Entity)
            .order_by_asc(endpoint::Column::Name)
            .limit(Ord::min(filter.limit.saturating_add(1), i64::MAX as u64));
        if let Some(registered) = filter.registered {
            let is = is_registered();
            query = query.filter(if registered { is } else { is.not() });
        }
        if let Some(search) = &filter.search {
            let part = like_pattern(&records::text(&search.to_lowercase()));
            query =
                query.filter(endpoint::Column::SearchName.like(LikeExpr::new(part).escape('\\')));
        }
        if let Some(tag) = &filter.tag {
            // As it stands in the array; a tag has no characters that JSON escapes. Texts that do
            // not have it stay as they are when it is taken out, upper and lower case being two.
            let entry = records::to_json(&records::text(tag))?;
            let tags = || Expr::col((endpoint::Entity, endpoint::Column::Tags));
            let without = Func::cust("REPLACE").args([tags(), Expr::val(entry), Expr::val("")]);
            query = query.filter(Expr::from(without).ne(tags()));
        }
        if let Some(after) = &filter.after {
            query = query.filter(endpoint::Column::Name.gt(after.as_str()));
        }
        let limit = usize::try_from(filter.limit).unwrap_or(usize::MAX);
        let forgiven = self.forgiven().now();
        self.read(move |database| async move {
            let mut rows = query.all(&database).await?;
            let more = rows.len() > limit;
            rows.truncate(limit);
            let rows = rows
                .into_iter()
                .map(|both| row(both, forgiven))
                .collect::<Result<_, _>>()?;
            Ok((rows, more))
        })
        .await
    }

    async fn find(&self, name: &EndpointName) -> Result<Option<EndpointRow>, StoreError> {
        let query = endpoint::Entity::find().filter(endpoint::Column::Name.eq(name.as_str()));
        let id = query
            .clone()
            .select_only()
            .column(endpoint::Column::Id)
            .into_tuple::<i64>();
        let query = query.find_also_related(registration::Entity);
        // Of a device that is in the tables only what is about it is waited for, however many others write.
        let device = self
            .read_tables(|database| async move { Ok(id.one(&database).await?.map(EndpointId)) })
            .await?;
        let forgiven = self.forgiven().now();
        self.settled(device.as_ref().map(slice::from_ref)).await?;
        self.read_tables(move |database| async move {
            let found = query.one(&database).await?;
            found.map(|both| row(both, forgiven)).transpose()
        })
        .await
    }

    async fn observations(&self, id: EndpointId) -> Result<Vec<Observation>, StoreError> {
        self.read_devices(&[id], move |database| async move {
            fleet::observations(&database, id).await
        })
        .await
    }

    async fn wanted(&self, id: EndpointId) -> Result<Vec<Wanted>, StoreError> {
        self.read_devices(&[id], move |database| async move {
            fleet::wanted(&database, id).await
        })
        .await
    }

    async fn count(&self) -> Result<(u64, u64), StoreError> {
        self.read(|database| async move {
            let all = endpoint::Entity::find().count(&database).await?;
            let registered = endpoint::Entity::find()
                .left_join(registration::Entity)
                .filter(is_registered())
                .count(&database)
                .await?;
            Ok((all, registered))
        })
        .await
    }

    async fn remove(&self, id: EndpointId, line: Option<AuditEntry>) -> Result<(), StoreError> {
        // First what a restart would bring back to life.
        for table in [
            "observation",
            "wanted_observation",
            "registration",
            "idempotency_key",
            "endpoint_operation",
            "firmware_step",
            "firmware_update",
            "rule_state",
            "traffic_day",
        ] {
            self.remove_rows(&of_device(table), id.0, CHUNK).await?;
        }
        // Events before values: their rows point at values.
        for table in ["event", "latest_resource", "resource", "device_log"] {
            self.remove_rows(&of_device(table), id.0, CHUNK).await?;
        }
        for table in ROLLUPS {
            self.remove_rows(&of_device(table), id.0, CHUNK).await?;
        }
        self.write_patiently(move |transaction| {
            Box::pin(async move {
                // What was added up since; nothing is for a device that is not there.
                for table in ROLLUPS.into_iter().chain(["traffic_day"]) {
                    let sql = format!("DELETE FROM {table} WHERE endpoint_id = ?");
                    transaction
                        .execute_raw(statement(transaction, &sql, [id.0.into()]))
                        .await?;
                }
                endpoint::Entity::delete_by_id(id.0)
                    .exec(transaction)
                    .await?;
                if let Some(line) = line {
                    audit::insert(transaction, line).await?;
                }
                Ok(())
            })
        })
        .await
    }
}

/// What is computed of values.
const ROLLUPS: [&str; 3] = ["rollup_minute", "rollup_hour", "rollup_day"];

/// The rows of a device in a table.
fn of_device(table: &'static str) -> Rows {
    let key = match table {
        "latest_resource" | "rule_state" => "path",
        "registration" => "endpoint_id",
        "idempotency_key" => "key_hash",
        "rollup_day" | "rollup_hour" | "rollup_minute" => "path, bucket",
        "traffic_day" => "day, kind",
        _ => "id",
    };
    Rows {
        table,
        owner: "endpoint_id",
        key,
    }
}

/// Registered here, or with a gateway; see [`crate::domain::GatewayState::registered_since`].
fn is_registered() -> Condition {
    let registered_at = endpoint::Column::GatewayRegisteredAt;
    let unregistered_at = endpoint::Column::GatewayUnregisteredAt;
    // Without a comparison to NULL, so that the negation is true where this is false.
    let with_gateway = Condition::all().add(registered_at.is_not_null()).add(
        Condition::any().add(unregistered_at.is_null()).add(
            Expr::col(registered_at.as_column_ref()).gt(Expr::col(unregistered_at.as_column_ref())),
        ),
    );
    Condition::any()
        .add(registration::Column::EndpointId.is_not_null())
        .add(with_gateway)
}

pub(super) fn row(
    (endpoint, registration): (endpoint::Model, Option<registration::Model>),
    forgiven: Forgiven,
) -> Result<EndpointRow, StoreError> {
    let name = records::name(&endpoint.name)?;
    let gateway = records::gateway(&endpoint)?;
    Ok(EndpointRow {
        profile: records::profile(&endpoint)?,
        id: EndpointId(endpoint.id),
        created_at: records::time(endpoint.created_at),
        // The later of both: neither is written each time that the device is heard of.
        last_seen_at: Ord::max(
            endpoint.last_seen_at,
            registration.as_ref().map(|row| row.updated_at),
        )
        .map(records::time),
        learned: records::learned(endpoint.learned.as_deref()),
        registration: registration
            .map(|row| records::registration(row, name.clone(), forgiven))
            .transpose()?,
        gateway,
        name,
    })
}

/// A pattern for texts that contain this one, letter for letter.
pub(super) fn like_pattern(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for character in part.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}
