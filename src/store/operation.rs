//! Operations.

use std::slice;

use async_trait::async_trait;
use flownexus_entity::{endpoint, endpoint_operation};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
    SelectGetableTuple, Selector,
};

use super::records::{self, corrupt};
use super::{OperationReader, Store, StoreError, idempotency};
use crate::domain::{EndpointId, KeyedOperation, Operation, OperationId, OperationStatus};

#[async_trait]
impl OperationReader for Store {
    async fn find(&self, id: OperationId) -> Result<Option<Operation>, StoreError> {
        let query = endpoint_operation::Entity::find_by_id(id.0);
        let of = query
            .clone()
            .select_only()
            .column(endpoint_operation::Column::EndpointId)
            .into_tuple::<i64>();
        self.settled_of(of).await?;
        self.read_tables(move |database| async move {
            query
                .find_also_related(endpoint::Entity)
                .one(&database)
                .await?
                .map(operation)
                .transpose()
        })
        .await
    }

    async fn keyed(
        &self,
        endpoint: EndpointId,
        key: [u8; 32],
    ) -> Result<Option<KeyedOperation>, StoreError> {
        idempotency::find(self, endpoint, key).await
    }

    async fn count_waiting(&self, endpoint: EndpointId) -> Result<u64, StoreError> {
        let query = endpoint_operation::Entity::find()
            .filter(endpoint_operation::Column::EndpointId.eq(endpoint.0))
            .filter(endpoint_operation::Column::Status.eq(OperationStatus::Queued.name()));
        self.read_devices(&[endpoint], move |database| async move {
            Ok(query.count(&database).await?)
        })
        .await
    }
}

impl Store {
    /// Waits until the tables hold what was acknowledged of the device that a row is about; `of` selects that device's
    /// id. What is in the tables has one, and only what is about that is waited for; for a row that is not there yet,
    /// everything is.
    pub(super) async fn settled_of(
        &self,
        of: Selector<SelectGetableTuple<i64>>,
    ) -> Result<(), StoreError> {
        let device = self
            .read_tables(|database| async move { Ok(of.one(&database).await?.map(EndpointId)) })
            .await?;
        self.settled(device.as_ref().map(slice::from_ref)).await
    }
}

pub(super) fn operation(
    (row, endpoint): (endpoint_operation::Model, Option<endpoint::Model>),
) -> Result<Operation, StoreError> {
    let endpoint = endpoint.ok_or_else(|| corrupt("operation", "it belongs to no endpoint"))?;
    records::operation(row, records::name(&endpoint.name)?)
}
