//! Firmware updates and their timelines. They are written with the changes of their devices.

use std::slice;

use async_trait::async_trait;
use flownexus_entity::{firmware_step, firmware_update};
use sea_orm::{
    ColumnTrait as _, DatabaseConnection, EntityTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Value as Bind,
};

use super::records::{from_json, parse, text, time, to_json};
use super::{FirmwareUpdateReader, Store, StoreError, UpdateFilter};
use crate::domain::{
    EndpointId, FirmwareId, FirmwareUpdate, FirmwareUpdateId, RolloutId, UpdateResult, UpdateStep,
};

const WHAT: &str = "firmware update";

/// So many devices are asked for in one query; SQLite takes 32,766 variables.
const DEVICES_AT_ONCE: usize = 500;

#[async_trait]
impl FirmwareUpdateReader for Store {
    async fn list(
        &self,
        filter: &UpdateFilter,
        limit: u64,
    ) -> Result<Vec<FirmwareUpdate>, StoreError> {
        use firmware_update::Column;
        let mut query = firmware_update::Entity::find()
            .order_by_desc(Column::Id)
            .limit(limit.min(i64::MAX as u64));
        let conditions = [
            filter.endpoint.map(|id| Column::EndpointId.eq(id.0)),
            filter.firmware.map(|id| Column::FirmwareId.eq(id.0)),
            filter.rollout.map(|id| Column::RolloutId.eq(id.0)),
            filter.result.map(|result| Column::Result.eq(result.name())),
            filter.before.map(|id| Column::Id.lt(id.0)),
        ];
        for condition in conditions.into_iter().flatten() {
            query = query.filter(condition);
        }
        let device = filter.endpoint.as_ref();
        self.settled(device.map(slice::from_ref)).await?;
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(update).collect()
        })
        .await
    }

    async fn find(
        &self,
        id: FirmwareUpdateId,
    ) -> Result<Option<(FirmwareUpdate, Vec<UpdateStep>)>, StoreError> {
        let query = firmware_update::Entity::find_by_id(id.0);
        let of = query
            .clone()
            .select_only()
            .column(firmware_update::Column::EndpointId)
            .into_tuple::<i64>();
        self.settled_of(of).await?;
        self.read_tables(move |database| async move {
            let Some(row) = query.one(&database).await? else {
                return Ok(None);
            };
            let steps = firmware_step::Entity::find()
                .filter(firmware_step::Column::UpdateId.eq(id.0))
                .order_by_asc(firmware_step::Column::Id)
                .all(&database)
                .await?;
            let steps: Result<_, StoreError> = steps.into_iter().map(step).collect();
            Ok(Some((update(row)?, steps?)))
        })
        .await
    }

    async fn of_rollout(
        &self,
        rollout: RolloutId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<FirmwareUpdate>, StoreError> {
        use firmware_update::Column;
        let parts: Vec<_> = endpoints
            .chunks(DEVICES_AT_ONCE)
            .map(|part| {
                firmware_update::Entity::find()
                    .filter(Column::RolloutId.eq(rollout.0))
                    .filter(Column::EndpointId.is_in(part.iter().map(|id| id.0)))
            })
            .collect();
        self.read_devices(endpoints, move |database| async move {
            let mut updates = Vec::new();
            for part in parts {
                let rows = part.all(&database).await?.into_iter();
                updates.extend(rows.map(update).collect::<Result<Vec<_>, _>>()?);
            }
            updates.sort_unstable_by_key(|update| update.id);
            // A device may have been named in two parts.
            updates.dedup_by_key(|update| update.id);
            Ok(updates)
        })
        .await
    }

    async fn count_active(&self, firmware: FirmwareId) -> Result<u64, StoreError> {
        self.settled(None).await?;
        self.read_tables(move |database| async move {
            Ok(active()
                .filter(firmware_update::Column::FirmwareId.eq(firmware.0))
                .count(&database)
                .await?)
        })
        .await
    }
}

/// The updates of these devices that are not over.
pub(super) async fn active_of(
    database: &DatabaseConnection,
    ids: impl Iterator<Item = i64>,
) -> Result<Vec<FirmwareUpdate>, StoreError> {
    active()
        .filter(firmware_update::Column::EndpointId.is_in(ids))
        .all(database)
        .await?
        .into_iter()
        .map(update)
        .collect()
}

fn active() -> sea_orm::Select<firmware_update::Entity> {
    firmware_update::Entity::find()
        .filter(firmware_update::Column::Result.eq(UpdateResult::Default.name()))
}

fn update(row: firmware_update::Model) -> Result<FirmwareUpdate, StoreError> {
    from_json(WHAT, &row.detail)
}

fn step(row: firmware_step::Model) -> Result<UpdateStep, StoreError> {
    Ok(UpdateStep {
        at: time(row.at),
        phase: parse(WHAT, &row.phase)?,
        text: row.text,
    })
}

/// The columns of `firmware_update`, in the order of the statement.
pub(super) fn update_row(update: &FirmwareUpdate, row: &mut Vec<Bind>) -> Result<(), StoreError> {
    row.extend([
        update.id.0.into(),
        update.endpoint_id.0.into(),
        update.firmware_id.0.into(),
        update.rollout.map(|rollout| rollout.0).into(),
        update.is_roll_back.into(),
        text(&update.version).into_owned().into(),
        update.method.map(|method| method.name()).into(),
        update.state.name().into(),
        update.result.name().into(),
        to_json(update)?.into(),
        update.created_at.as_millis().into(),
        update.finished_at.map(|at| at.as_millis()).into(),
    ]);
    Ok(())
}

/// The columns of `firmware_step`, in the order of the table.
pub(super) fn step_row(
    id: i64,
    (endpoint, update): (EndpointId, FirmwareUpdateId),
    step: &UpdateStep,
    row: &mut Vec<Bind>,
) {
    row.extend([
        id.into(),
        endpoint.0.into(),
        update.0.into(),
        step.phase.name().into(),
        text(&step.text).into_owned().into(),
        step.at.as_millis().into(),
    ]);
}
