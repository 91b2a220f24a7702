//! Rules, and where they stand with each device.

use async_trait::async_trait;
use flownexus_entity::{rule, rule_state};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, DatabaseConnection, DatabaseTransaction,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, Value as Bind,
};

use super::audit;
use super::forgiven::Forgiven;
use super::records::{corrupt, from_json, millis, text, time, to_json};
use super::remove::Rows;
use super::sequence::next_id;
use super::sql::{places, statement};
use super::{RuleStore, Store, StoreError};
use crate::domain::{Doer, EndpointId, Rule, RuleId, RuleSpec, RuleState};

const WHAT: &str = "rule";

/// So many states are removed in one transaction: other commits come in between.
const CHUNK: u64 = 5_000;

#[async_trait]
impl RuleStore for Store {
    async fn list(&self) -> Result<Vec<Rule>, StoreError> {
        self.read_tables(|database| async move {
            rule::Entity::find()
                .order_by_asc(rule::Column::Id)
                .all(&database)
                .await?
                .into_iter()
                .map(rule)
                .collect()
        })
        .await
    }

    async fn add(&self, spec: RuleSpec, by: Doer) -> Result<Rule, StoreError> {
        let json = to_json(&spec)?;
        self.write(move |transaction| {
            Box::pin(async move {
                free(transaction, &spec.name, None).await?;
                let id = next_id(transaction, "rule").await?;
                rule::Entity::insert(rule::ActiveModel {
                    id: Set(id),
                    name: Set(text(&spec.name).into_owned()),
                    revision: Set(1),
                    spec: Set(json),
                })
                .exec_without_returning(transaction)
                .await?;
                let line = by.line("rule.create", &id.to_string(), spec.describe());
                audit::insert(transaction, line).await?;
                Ok(Rule {
                    id: RuleId(id),
                    revision: 1,
                    spec,
                })
            })
        })
        .await
    }

    async fn replace(
        &self,
        id: RuleId,
        spec: RuleSpec,
        by: Doer,
    ) -> Result<Option<Rule>, StoreError> {
        let json = to_json(&spec)?;
        self.write(move |transaction| {
            Box::pin(async move {
                let Some(row) = rule::Entity::find_by_id(id.0).one(transaction).await? else {
                    return Ok(None);
                };
                free(transaction, &spec.name, Some(id)).await?;
                let before = rule(row)?;
                let revision = if before.spec.watches_like(&spec) {
                    before.revision
                } else {
                    before.revision.saturating_add(1)
                };
                rule::Entity::update_many()
                    .set(rule::ActiveModel {
                        name: Set(text(&spec.name).into_owned()),
                        revision: Set(revision),
                        spec: Set(json),
                        ..rule::ActiveModel::default()
                    })
                    .filter(rule::Column::Id.eq(id.0))
                    .exec(transaction)
                    .await?;
                let line = by.line("rule.update", &id.to_string(), spec.describe());
                audit::insert(transaction, line).await?;
                Ok(Some(Rule { id, revision, spec }))
            })
        })
        .await
    }

    async fn remove(&self, id: RuleId, by: Doer) -> Result<bool, StoreError> {
        let removed = self
            .write(move |transaction| {
                Box::pin(async move {
                    let result = rule::Entity::delete_by_id(id.0).exec(transaction).await?;
                    if result.rows_affected == 0 {
                        return Ok(false);
                    }
                    let line = by.line("rule.delete", &id.to_string(), "");
                    audit::insert(transaction, line).await?;
                    Ok(true)
                })
            })
            .await?;
        Ok(removed)
    }

    async fn forget_states(&self, id: RuleId) -> Result<(), StoreError> {
        let states = Rows {
            table: "rule_state",
            owner: "rule_id",
            key: "endpoint_id, path",
        };
        self.remove_rows(&states, id.0, CHUNK).await
    }
}

/// Nobody writes between this and the insert: there is one writer.
async fn free(
    transaction: &DatabaseTransaction,
    name: &str,
    except: Option<RuleId>,
) -> Result<(), StoreError> {
    let taken = rule::Entity::find()
        .filter(rule::Column::Name.eq(text(name).into_owned()))
        .one(transaction)
        .await?;
    match taken {
        Some(row) if Some(RuleId(row.id)) != except => {
            Err(StoreError::Exists(format!("rule `{name}`")))
        }
        _ => Ok(()),
    }
}

fn rule(row: rule::Model) -> Result<Rule, StoreError> {
    Ok(Rule {
        id: RuleId(row.id),
        revision: row.revision,
        spec: from_json(WHAT, &row.spec)?,
    })
}

/// The columns of `rule_state`, in the order of the table.
pub(super) fn state_row(state: &RuleState, row: &mut Vec<Bind>) {
    row.extend([
        state.rule.0.into(),
        state.endpoint_id.0.into(),
        state.place.to_string().into(),
        state.revision.into(),
        state.phase.name().into(),
        millis(state.newest_at).into(),
        millis(state.since).into(),
        millis(state.clock_at).into(),
        millis(state.event_at).into(),
        state.reported.clone().into(),
        state.seen.clone().into(),
    ]);
}

/// States of one device, or of all. The time of the newest value is looked up: while nothing else
/// changes it is not written again with every value.
pub(super) async fn states(
    database: &DatabaseConnection,
    endpoints: &[EndpointId],
    forgiven: Forgiven,
) -> Result<Vec<RuleState>, StoreError> {
    let marks = places(endpoints.len());
    let sql = format!(
        "SELECT rule_state.rule_id, rule_state.endpoint_id, rule_state.path, rule_state.revision, \
        rule_state.phase, CASE WHEN latest_resource.\"at\" > rule_state.newest_at \
        OR rule_state.newest_at IS NULL THEN latest_resource.\"at\" ELSE rule_state.newest_at END \
        AS newest_at, rule_state.since, rule_state.clock_at, rule_state.event_at, \
        rule_state.reported, rule_state.seen FROM rule_state \
        LEFT JOIN latest_resource ON latest_resource.endpoint_id = rule_state.endpoint_id \
        AND latest_resource.path = rule_state.path WHERE rule_state.endpoint_id IN ({marks})"
    );
    let values = endpoints.iter().map(|id| id.0.into());
    rule_state::Entity::find()
        .from_raw_sql(statement(database, &sql, values))
        .all(database)
        .await?
        .into_iter()
        .map(|row| state(row, forgiven))
        .collect()
}

fn state(row: rule_state::Model, forgiven: Forgiven) -> Result<RuleState, StoreError> {
    const WHAT: &str = "state of a rule";
    let parsed = |why: String| corrupt(WHAT, why);
    Ok(RuleState {
        rule: RuleId(row.rule_id),
        revision: row.revision,
        endpoint_id: EndpointId(row.endpoint_id),
        place: row.path.parse().map_err(parsed)?,
        phase: row.phase.parse().map_err(parsed)?,
        newest_at: row.newest_at.map(time),
        since: row.since.map(time),
        clock_at: row.clock_at.map(|at| forgiven.time(at)),
        event_at: row.event_at.map(time),
        reported: row.reported,
        seen: row.seen,
    })
}

/// Removes what is left of rules that are gone or watch something else now.
pub(super) async fn remove_void_states(
    transaction: &DatabaseTransaction,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM rule_state WHERE NOT EXISTS (SELECT 1 FROM rule \
        WHERE rule.id = rule_state.rule_id AND rule.revision = rule_state.revision)";
    transaction
        .execute_raw(statement(transaction, sql, []))
        .await?;
    Ok(())
}
