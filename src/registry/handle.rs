//! What the rooms above may ask of the registry.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix::{Addr, Handler, Message};
use async_trait::async_trait;
use serde_json::json;
use tokio::sync::oneshot;

use super::actor::{ForgetOne, IsAwake, PATIENCE, RegistryActor, ReportOn};
use super::asks::{AwaitEndOn, CancelOn, CancelUpdateOf, OperateOn, ProfileOf, UpdateFirmwareOf};
use super::firmware::Fetched;
use super::reload::{LogResources, Rules};
use super::teller::Templates;
use crate::domain::{
    Denial, Doer, EndpointName, FirmwareId, FirmwareUpdate, FirmwareUpdateId, GatewayReport,
    IdempotencyKey, LiveEvent, LiveKind, NewOperation, NewUpdate, Operation, OperationId, Profile,
    ProfileChange, Progress, Timestamp,
};
use crate::endpoint::{NotTaken, UpdateRefusal};
use crate::live::Hub;
use crate::security::Refusals;
use crate::store::{
    EndpointReader, LogResourceStore, OperationReader, RuleStore, StoreError, TemplateStore,
};

/// Operates devices. Every call ends in bounded time.
#[async_trait]
pub trait Devices: Send + Sync {
    /// Stores the operation as QUEUED, hands it to the device's actor and waits at most `wait` for
    /// a final status. Returns the operation as it then is; [`OperateError::AskedBefore`] where one was asked for
    /// with its key.
    async fn operate(
        &self,
        endpoint: &EndpointName,
        operation: NewOperation,
        wait: Duration,
    ) -> Result<Operation, OperateError>;

    /// Waits at most `wait` for the final status of an operation. Returns it as it then is.
    async fn await_end(&self, id: OperationId, wait: Duration) -> Result<Operation, OperateError>;

    /// Takes back an operation that is still QUEUED. The audit log names `by` in the same commit.
    async fn cancel(&self, id: OperationId, by: Option<Doer>) -> Result<Operation, OperateError>;

    /// Ends the device's actor and removes all that is known of it; false when there is no such
    /// device. The audit log names `by` in the last commit; then whoever listens hears of it. A
    /// device that is forgotten while registered gets 4.04 for its next Update and registers again.
    async fn forget(&self, endpoint: &EndpointName, by: Option<Doer>)
    -> Result<bool, OperateError>;

    /// Stores what an outside gateway reports of a device, which may be new, wholly or not at all,
    /// and returns once it is on disk.
    async fn report(
        &self,
        endpoint: &EndpointName,
        report: GatewayReport,
    ) -> Result<(), OperateError>;

    /// Whether the device listens now; nothing when it is not registered.
    async fn awake(&self, endpoint: &EndpointName) -> Option<bool>;

    /// The last attempt to speak for an endpoint that was refused, since the server started: when,
    /// from where and why.
    fn last_refusal(&self, endpoint: &EndpointName) -> Option<Denial>;

    /// Changes what people say of a device, registered or not. It is on disk and counts when this
    /// returns the whole profile. The audit log names `by` in the same commit.
    async fn change_profile(
        &self,
        endpoint: &EndpointName,
        change: ProfileChange,
        by: Option<Doer>,
    ) -> Result<Profile, OperateError>;

    /// Begins a firmware update of a device, registered or not. It is on disk when this returns.
    async fn update_firmware(
        &self,
        endpoint: &EndpointName,
        new: NewUpdate,
    ) -> Result<FirmwareUpdate, OperateError>;

    /// Gives a firmware update up, and returns it as it is then: over, or on its way there. The audit log names `by`
    /// in the same commit.
    async fn cancel_update(
        &self,
        endpoint: &EndpointName,
        id: FirmwareUpdateId,
        by: Option<Doer>,
    ) -> Result<FirmwareUpdate, OperateError>;

    /// Reads the observation templates again after they were changed, and lets every device's actor
    /// know.
    async fn reload_templates(&self) -> Result<(), OperateError>;

    /// Reads the rules again after they were changed; they are in force when this returns.
    async fn reload_rules(&self) -> Result<(), OperateError>;

    /// Reads which values are logs again after that was changed.
    async fn reload_log_resources(&self) -> Result<(), OperateError>;
}

/// Why an operation was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OperateError {
    /// It was asked for before, with the same key.
    #[error("operation {id} was asked for with this key")]
    AskedBefore {
        /// What was made of it.
        id: OperationId,
        /// False when something else was asked with this key.
        same: bool,
    },
    /// Its actor or the registry cannot take more at the moment.
    #[error("the server is busy, try again")]
    Busy,
    /// It is no longer waiting, so it cannot be taken back.
    #[error("operation {} is {}; only a QUEUED one can be cancelled", .0.id, .0.status)]
    NotQueued(Box<Operation>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many operations wait for this device.
    #[error("{limit} operations wait for this device already (operations.max_per_endpoint)")]
    TooMany {
        /// The limit in force.
        limit: usize,
    },
    /// As many endpoints are known as may be.
    #[error("no more endpoints are taken: {limit} are known (registration.max_endpoints)")]
    TooManyEndpoints {
        /// The limit in force.
        limit: usize,
    },
    /// No device of this name was ever seen.
    #[error("there is no endpoint `{0}`")]
    UnknownEndpoint(EndpointName),
    /// The firmware update was not begun, or not given up.
    #[error(transparent)]
    Update(#[from] UpdateRefusal),
    /// No operation has this id.
    #[error("there is no operation {0}")]
    UnknownOperation(OperationId),
}

/// The way to the registry's actor, for every thread.
#[derive(Clone)]
pub struct Handle {
    registry: Addr<RegistryActor>,
    operations: Arc<dyn OperationReader>,
    endpoints: Arc<dyn EndpointReader>,
    templates: Arc<dyn TemplateStore>,
    rules: Arc<dyn RuleStore>,
    /// Held while templates, rules or log resources are read and handed over, so that what was read later wins.
    reloading: Arc<tokio::sync::Mutex<()>>,
    log_resources: Arc<dyn LogResourceStore>,
    refusals: Refusals,
    hub: Hub,
}

impl Handle {
    /// A handle of a running registry. `hub`: who listens to what becomes of devices.
    pub fn new<S>(
        registry: Addr<RegistryActor>,
        store: Arc<S>,
        refusals: Refusals,
        hub: Hub,
    ) -> Self
    where
        S: OperationReader
            + EndpointReader
            + TemplateStore
            + RuleStore
            + LogResourceStore
            + 'static,
    {
        Self {
            registry,
            operations: store.clone(),
            endpoints: store.clone(),
            templates: store.clone(),
            rules: store.clone(),
            reloading: Arc::default(),
            log_resources: store,
            refusals,
            hub,
        }
    }

    async fn tell<M>(&self, message: M) -> Result<M::Result, OperateError>
    where
        M: Message + Send + 'static,
        M::Result: Send,
        RegistryActor: Handler<M>,
    {
        self.registry
            .send(message)
            .timeout(PATIENCE)
            .await
            .map_err(|_| OperateError::Busy)
    }

    /// A part of an image was fetched from this address by other means than CoAP: its device hears of it. When the
    /// registry is too busy it is lost: the next part tells more.
    pub fn fetched(&self, image: FirmwareId, host: IpAddr, offset: u64, progress: Progress) {
        let _ = self.registry.try_send(Fetched {
            host,
            image,
            offset,
            progress,
        });
    }

    async fn operation(&self, id: OperationId) -> Result<Operation, OperateError> {
        let found = self.operations.find(id).await?;
        found.ok_or(OperateError::UnknownOperation(id))
    }

    /// Fails where an operation of this device was asked for with this key. What is asked for at this moment is told
    /// by its actor.
    async fn not_asked_before(
        &self,
        endpoint: &EndpointName,
        key: &IdempotencyKey,
    ) -> Result<(), OperateError> {
        let row = self.endpoints.find(endpoint).await?;
        let row = row.ok_or_else(|| OperateError::UnknownEndpoint(endpoint.clone()))?;
        let keyed = self.operations.keyed(row.id, key.key).await?;
        match keyed.and_then(|keyed| keyed.answers(key, Timestamp::system())) {
            Some((id, same)) => Err(OperateError::AskedBefore { id, same }),
            None => Ok(()),
        }
    }

    async fn answer<T>(
        receiver: oneshot::Receiver<Result<T, OperateError>>,
    ) -> Result<T, OperateError> {
        match tokio::time::timeout(PATIENCE, receiver).await {
            Ok(Ok(answer)) => answer,
            // The actor has died, or the store is far behind.
            Ok(Err(_)) | Err(_) => Err(OperateError::Busy),
        }
    }
}

#[async_trait]
impl Devices for Handle {
    async fn operate(
        &self,
        endpoint: &EndpointName,
        operation: NewOperation,
        wait: Duration,
    ) -> Result<Operation, OperateError> {
        let deadline = tokio::time::Instant::now() + wait;
        if let Some(key) = &operation.key {
            self.not_asked_before(endpoint, key).await?;
        }
        let (accepted, is_accepted) = oneshot::channel();
        let (finished, is_finished) = oneshot::channel();
        let finished = (!wait.is_zero()).then_some(finished);
        self.tell(OperateOn {
            endpoint: endpoint.clone(),
            operation,
            accepted,
            finished,
        })
        .await?;
        let operation = Self::answer(is_accepted).await?;
        if wait.is_zero() {
            return Ok(operation);
        }
        match tokio::time::timeout_at(deadline, is_finished).await {
            Ok(Ok(operation)) => Ok(operation),
            Ok(Err(_)) | Err(_) => self.operation(operation.id).await,
        }
    }

    async fn await_end(&self, id: OperationId, wait: Duration) -> Result<Operation, OperateError> {
        let deadline = tokio::time::Instant::now() + wait;
        let operation = self.operation(id).await?;
        if wait.is_zero() || operation.status.is_final() {
            return Ok(operation);
        }
        let (finished, is_finished) = oneshot::channel();
        self.tell(AwaitEndOn {
            endpoint: operation.endpoint,
            id,
            finished,
        })
        .await?;
        // It may have ended before its actor knew that somebody waits.
        let operation = self.operation(id).await?;
        if operation.status.is_final() {
            return Ok(operation);
        }
        match tokio::time::timeout_at(deadline, is_finished).await {
            Ok(Ok(operation)) => Ok(operation),
            Ok(Err(_)) | Err(_) => self.operation(id).await,
        }
    }

    async fn cancel(&self, id: OperationId, by: Option<Doer>) -> Result<Operation, OperateError> {
        let operation = self.operation(id).await?;
        if operation.status.is_final() {
            return Err(OperateError::NotQueued(Box::new(operation)));
        }
        let (answer, is_answered) = oneshot::channel();
        self.tell(CancelOn {
            endpoint: operation.endpoint,
            id,
            by,
            answer,
        })
        .await?;
        match Self::answer(is_answered).await {
            // It ended while we asked.
            Err(OperateError::UnknownOperation(_)) => {
                Err(OperateError::NotQueued(Box::new(self.operation(id).await?)))
            }
            answer => answer,
        }
    }

    async fn forget(
        &self,
        endpoint: &EndpointName,
        by: Option<Doer>,
    ) -> Result<bool, OperateError> {
        let Some((id, gone)) = self.tell(ForgetOne(endpoint.clone())).await? else {
            return Ok(false);
        };
        // Its last commits are through when the actor is gone.
        let _ = tokio::time::timeout(PATIENCE, gone).await;
        let line = by.map(|by| by.line("endpoint.delete", endpoint.as_str(), ""));
        self.endpoints.remove(id, line).await?;
        self.hub.publish(vec![LiveEvent {
            endpoint: endpoint.clone(),
            kind: LiveKind::Forgotten,
            time: Timestamp::system(),
            body: json!({}).into(),
        }]);
        Ok(true)
    }

    async fn report(
        &self,
        endpoint: &EndpointName,
        report: GatewayReport,
    ) -> Result<(), OperateError> {
        let mut report = Box::new(report);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let outcome = self
                .tell(ReportOn {
                    endpoint: endpoint.clone(),
                    report,
                })
                .await??;
            match tokio::time::timeout_at(deadline, outcome).await {
                Ok(Ok(Ok(()))) => return Ok(()),
                // Its actor was about to end, or is asked for more than it can take.
                Ok(Ok(Err(NotTaken::Unread(unread)))) => report = unread,
                Ok(Ok(Err(NotTaken::NotStored))) | Ok(Err(_)) | Err(_) => {
                    return Err(OperateError::Busy);
                }
            }
            if tokio::time::Instant::now() + REPORT_PAUSE > deadline {
                return Err(OperateError::Busy);
            }
            tokio::time::sleep(REPORT_PAUSE).await;
        }
    }

    async fn awake(&self, endpoint: &EndpointName) -> Option<bool> {
        self.tell(IsAwake(endpoint.clone())).await.ok().flatten()
    }

    fn last_refusal(&self, endpoint: &EndpointName) -> Option<Denial> {
        self.refusals.last(endpoint)
    }

    async fn change_profile(
        &self,
        endpoint: &EndpointName,
        change: ProfileChange,
        by: Option<Doer>,
    ) -> Result<Profile, OperateError> {
        let (answer, is_answered) = oneshot::channel();
        self.tell(ProfileOf {
            endpoint: endpoint.clone(),
            change,
            by,
            answer,
        })
        .await?;
        Self::answer(is_answered).await
    }

    async fn update_firmware(
        &self,
        endpoint: &EndpointName,
        new: NewUpdate,
    ) -> Result<FirmwareUpdate, OperateError> {
        let (answer, is_answered) = oneshot::channel();
        self.tell(UpdateFirmwareOf {
            endpoint: endpoint.clone(),
            new: Box::new(new),
            answer,
        })
        .await?;
        Self::answer(is_answered).await
    }

    async fn cancel_update(
        &self,
        endpoint: &EndpointName,
        id: FirmwareUpdateId,
        by: Option<Doer>,
    ) -> Result<FirmwareUpdate, OperateError> {
        let (answer, is_answered) = oneshot::channel();
        self.tell(CancelUpdateOf {
            endpoint: endpoint.clone(),
            id,
            by,
            answer,
        })
        .await?;
        Self::answer(is_answered).await
    }

    async fn reload_templates(&self) -> Result<(), OperateError> {
        let _one_at_a_time = self.reloading.lock().await;
        let templates = self.templates.list().await?;
        self.tell(Templates(templates)).await
    }

    async fn reload_rules(&self) -> Result<(), OperateError> {
        let _one_at_a_time = self.reloading.lock().await;
        let rules = self.rules.list().await?;
        self.tell(Rules(rules)).await
    }

    async fn reload_log_resources(&self) -> Result<(), OperateError> {
        let _one_at_a_time = self.reloading.lock().await;
        let resources = self.log_resources.list().await?;
        self.tell(LogResources(resources)).await
    }
}

/// After so long a report that nobody read is handed over again.
const REPORT_PAUSE: Duration = Duration::from_millis(20);
