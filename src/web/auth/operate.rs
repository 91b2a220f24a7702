//! Operating devices: what an [`Operator`] may ask of them, once however often it is asked.

use std::time::Duration;

use super::views::{Operator, Viewer};
use crate::domain::{
    EndpointName, IdempotencyKey, NewOperation, Operation, OperationId, OperationRequest, Origin,
};
use crate::registry::OperateError;
use crate::web::ApiError;

/// What became of a request for an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The operation as it is now.
    pub operation: Operation,
    /// It was asked for before, with the same key: nothing was done now.
    pub replayed: bool,
}

impl Viewer {
    /// An operation, once it has ended or `wait` is over.
    ///
    /// # Errors
    /// 404 without such an operation, 503 when the server is busy.
    pub async fn await_end(&self, id: OperationId, wait: Duration) -> Result<Operation, ApiError> {
        Ok(self.devices().await_end(id, wait).await?)
    }
}

impl Operator {
    /// Stores an operation, which is given up after `expires_in`, and waits at most `wait` for its end. With a `key`
    /// that it was asked for with before, that one is what is waited for.
    ///
    /// # Errors
    /// 404 without such an endpoint, 422 when something else was asked with the key, 429 when too many wait for the
    /// device, 503 when the server is busy.
    pub async fn operate(
        &self,
        endpoint: &EndpointName,
        request: OperationRequest,
        key: Option<IdempotencyKey>,
        expires_in: Option<Duration>,
        wait: Duration,
    ) -> Result<Asked, ApiError> {
        let by = self.identity().doer();
        let operation = NewOperation {
            request,
            origin: Origin::User(by.actor.clone()),
            expires_in,
            max_attempts: self.settings().operations.max_attempts,
            key,
            by: Some(by),
        };
        match self.devices().operate(endpoint, operation, wait).await {
            Ok(operation) => Ok(Asked {
                operation,
                replayed: false,
            }),
            Err(OperateError::AskedBefore { id, same: true }) => Ok(Asked {
                operation: self.await_end(id, wait).await?,
                replayed: true,
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back an operation that is still QUEUED.
    ///
    /// # Errors
    /// 404 without such an operation, 409 when it is no longer QUEUED.
    pub async fn cancel(&self, id: OperationId) -> Result<Operation, ApiError> {
        let by = self.identity().doer();
        Ok(self.devices().cancel(id, Some(by)).await?)
    }
}
