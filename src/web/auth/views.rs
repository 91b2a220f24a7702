//! What a role may do, as types: a [`Viewer`] has no method that changes anything, an
//! [`Operator`] can also operate devices, an [`Admin`] can also manage people and tokens.
//!
//! Handlers take one of them as their first argument and get nothing else of the store. Every
//! method that changes something writes the audit log.

mod gateway;

use std::ops::Deref;
use std::sync::Arc;

use actix_web::web::Data;

use crate::config::Settings;
use crate::domain::{
    AuditEntry, EndpointId, EndpointName, EventId, Node, Observation, Operation, OperationId,
    Profile, ProfileChange, Timestamp, Wanted,
};
use crate::live::Hub;
use crate::lwm2m::Models;
use crate::registry::Devices;
use crate::store::{
    AuditStore, BulkStore, DeviceSearch, EndpointFilter, EndpointReader, EndpointRow, EventGlance,
    EventQuery, EventReader, FirmwareUpdateReader, Found, HistoryStore, LogReader,
    LogResourceStore, ObservationTemplate, OperationQuery, OperationReader, OperationSearch,
    PinStore, ResourceReader, ResourceType, Role, RolloutStore, RuleStore, SavedFilterStore,
    SeriesReader, SessionStore, StoredEvent, StoredValue, TemplateStore, TokenStore, TotpStore,
    TrafficStore, UserStore,
};
use crate::web::{ApiError, AppState};

use super::access::Identity;

/// Storage as this room sees it. Its fields are for `auth` alone: everybody else gets a view.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "trait objects")]
pub struct Stores {
    pub(in crate::web::auth) audit: Arc<dyn AuditStore>,
    pub(in crate::web::auth) bulks: Arc<dyn BulkStore>,
    pub(in crate::web::auth) devices: Arc<dyn DeviceSearch>,
    pub(in crate::web::auth) endpoints: Arc<dyn EndpointReader>,
    pub(in crate::web::auth) events: Arc<dyn EventReader>,
    pub(in crate::web::auth) firmware_updates: Arc<dyn FirmwareUpdateReader>,
    pub(in crate::web::auth) history: Arc<dyn HistoryStore>,
    pub(in crate::web::auth) log_resources: Arc<dyn LogResourceStore>,
    pub(in crate::web::auth) logs: Arc<dyn LogReader>,
    pub(in crate::web::auth) operations: Arc<dyn OperationReader>,
    pub(in crate::web::auth) filters: Arc<dyn SavedFilterStore>,
    pub(in crate::web::auth) pins: Arc<dyn PinStore>,
    pub(in crate::web::auth) operation_search: Arc<dyn OperationSearch>,
    pub(in crate::web::auth) resources: Arc<dyn ResourceReader>,
    pub(in crate::web::auth) rollouts: Arc<dyn RolloutStore>,
    pub(in crate::web::auth) rules: Arc<dyn RuleStore>,
    pub(in crate::web::auth) series: Arc<dyn SeriesReader>,
    pub(in crate::web::auth) sessions: Arc<dyn SessionStore>,
    pub(in crate::web::auth) templates: Arc<dyn TemplateStore>,
    pub(in crate::web::auth) tokens: Arc<dyn TokenStore>,
    pub(in crate::web::auth) traffic: Arc<dyn TrafficStore>,
    pub(in crate::web::auth) totp: Arc<dyn TotpStore>,
    pub(in crate::web::auth) users: Arc<dyn UserStore>,
}

impl Stores {
    /// All of them in one store.
    pub fn new<S>(store: Arc<S>) -> Self
    where
        S: AuditStore
            + BulkStore
            + DeviceSearch
            + EndpointReader
            + EventReader
            + FirmwareUpdateReader
            + HistoryStore
            + LogReader
            + LogResourceStore
            + OperationReader
            + PinStore
            + OperationSearch
            + ResourceReader
            + RolloutStore
            + RuleStore
            + SavedFilterStore
            + SeriesReader
            + SessionStore
            + TemplateStore
            + TokenStore
            + TrafficStore
            + TotpStore
            + UserStore
            + 'static,
    {
        Self {
            audit: store.clone(),
            bulks: store.clone(),
            devices: store.clone(),
            endpoints: store.clone(),
            events: store.clone(),
            firmware_updates: store.clone(),
            history: store.clone(),
            log_resources: store.clone(),
            logs: store.clone(),
            operations: store.clone(),
            filters: store.clone(),
            pins: store.clone(),
            operation_search: store.clone(),
            resources: store.clone(),
            rollouts: store.clone(),
            rules: store.clone(),
            series: store.clone(),
            sessions: store.clone(),
            templates: store.clone(),
            tokens: store.clone(),
            traffic: store.clone(),
            totp: store.clone(),
            users: store,
        }
    }
}

/// Reads.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Viewer {
    identity: Identity,
    pub(in crate::web::auth) state: Data<AppState>,
}

/// Reads and operates devices.
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Operator(Viewer);

/// Reads, operates devices, and manages people and tokens.
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Admin(Operator);

impl Viewer {
    /// For the extractor, which has checked the role.
    pub(in crate::web::auth) fn new(identity: Identity, state: Data<AppState>) -> Self {
        Self { identity, state }
    }

    /// Who is asking.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The view of an operator, for who is one: for calls that everybody may make and that do more for operators.
    pub fn as_operator(&self) -> Option<Operator> {
        (self.identity.role >= Role::Operator).then(|| Operator(self.clone()))
    }

    /// The settings in force.
    pub fn settings(&self) -> &Settings {
        &self.state.settings
    }

    /// The object models known at this moment.
    pub fn models(&self) -> Arc<Models> {
        self.state.models.library().current()
    }

    /// When the server started.
    pub fn started_at(&self) -> Timestamp {
        self.state.started_at
    }

    /// Live messages.
    pub fn live(&self) -> &Hub {
        &self.state.hub
    }

    /// Endpoints by name, with whether there are more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn endpoints(
        &self,
        filter: &EndpointFilter,
    ) -> Result<(Vec<EndpointRow>, bool), ApiError> {
        Ok(self.stores().endpoints.list(filter).await?)
    }

    /// One endpoint.
    ///
    /// # Errors
    /// 404 when there is none of this name.
    pub async fn endpoint(&self, name: &EndpointName) -> Result<EndpointRow, ApiError> {
        self.stores()
            .endpoints
            .find(name)
            .await?
            .ok_or_else(|| ApiError::not_found(format!("there is no endpoint `{name}`")))
    }

    /// What of an endpoint is observed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn observations(&self, id: EndpointId) -> Result<Vec<Observation>, ApiError> {
        Ok(self.stores().endpoints.observations(id).await?)
    }

    /// What is wanted to be observed on an endpoint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wanted(&self, id: EndpointId) -> Result<Vec<Wanted>, ApiError> {
        Ok(self.stores().endpoints.wanted(id).await?)
    }

    /// How many endpoints there are, and how many are registered.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn count_endpoints(&self) -> Result<(u64, u64), ApiError> {
        Ok(self.stores().endpoints.count().await?)
    }

    /// Whether a device listens now: one that never sleeps does as long as it is registered.
    pub async fn awake(&self, row: &EndpointRow) -> bool {
        match &row.registration {
            None => false,
            Some(registration) if !registration.queue_mode => true,
            Some(_) => self.state.devices.awake(&row.name).await.unwrap_or(false),
        }
    }

    /// The latest value of each path of an endpoint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn latest(&self, id: EndpointId) -> Result<Vec<StoredValue>, ApiError> {
        Ok(self.stores().resources.latest(id).await?)
    }

    /// The newest values of one resource over all endpoints, newest first, each with its row.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn values_of_type(
        &self,
        resource_type: &ResourceType,
        limit: u64,
        before: Option<i64>,
    ) -> Result<Vec<(i64, StoredValue)>, ApiError> {
        let (object, resource) = (resource_type.object_id, resource_type.resource_id);
        let resources = &self.stores().resources;
        Ok(resources.by_type(object, resource, limit, before).await?)
    }

    /// The known resource types.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn resource_types(&self) -> Result<Vec<ResourceType>, ApiError> {
        Ok(self.stores().resources.types().await?)
    }

    /// A page of events, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn search_events(&self, query: &EventQuery) -> Result<Found<StoredEvent>, ApiError> {
        Ok(self.stores().events.search(query).await?)
    }

    /// The newest events of a device, or of all of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn newest_events(
        &self,
        endpoint: Option<EndpointId>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, ApiError> {
        let query = EventQuery {
            endpoint,
            limit,
            ..EventQuery::default()
        };
        Ok(self.search_events(&query).await?.rows)
    }

    /// What is in these events, of each at most `most` values.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn event_glances(
        &self,
        ids: Vec<EventId>,
        most: u64,
    ) -> Result<Vec<EventGlance>, ApiError> {
        Ok(self.stores().events.glance(ids, most).await?)
    }

    /// One event with its values.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn event(&self, id: EventId) -> Result<(StoredEvent, Vec<Node>), ApiError> {
        self.stores()
            .events
            .find(id)
            .await?
            .ok_or_else(|| ApiError::not_found(format!("there is no event {id}")))
    }

    /// A page of operations, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn search_operations(
        &self,
        query: &OperationQuery,
    ) -> Result<Found<Operation>, ApiError> {
        Ok(self.stores().operation_search.search(query).await?)
    }

    /// The newest operations of a device, or of all of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn newest_operations(
        &self,
        endpoint: Option<EndpointId>,
        limit: u64,
    ) -> Result<Vec<Operation>, ApiError> {
        let query = OperationQuery {
            endpoint,
            limit,
            ..OperationQuery::default()
        };
        Ok(self.search_operations(&query).await?.rows)
    }

    /// One operation.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn operation(&self, id: OperationId) -> Result<Operation, ApiError> {
        self.stores()
            .operations
            .find(id)
            .await?
            .ok_or_else(|| ApiError::not_found(format!("there is no operation {id}")))
    }

    /// How many operations wait for a device.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn count_waiting(&self, endpoint: EndpointId) -> Result<u64, ApiError> {
        Ok(self.stores().operations.count_waiting(endpoint).await?)
    }

    /// What is observed on each registration.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn templates(&self) -> Result<Vec<ObservationTemplate>, ApiError> {
        Ok(self.stores().templates.list().await?)
    }

    pub(in crate::web::auth) fn stores(&self) -> &Stores {
        &self.state.stores
    }

    pub(in crate::web::auth) fn devices(&self) -> &dyn Devices {
        &*self.state.devices
    }
}

impl Operator {
    pub(in crate::web::auth) fn new(viewer: Viewer) -> Self {
        Self(viewer)
    }

    /// Forgets an endpoint and its data.
    ///
    /// # Errors
    /// 404 without such an endpoint.
    pub async fn forget(&self, name: &EndpointName) -> Result<(), ApiError> {
        let by = Some(self.identity().doer());
        if !self.state.devices.forget(name, by).await? {
            return Err(ApiError::not_found(format!(
                "there is no endpoint `{name}`"
            )));
        }
        Ok(())
    }

    /// Changes what is said of an endpoint; it counts at once.
    ///
    /// # Errors
    /// 404 without such an endpoint, 503 when the server is busy.
    pub async fn change_profile(
        &self,
        endpoint: &EndpointName,
        change: ProfileChange,
    ) -> Result<Profile, ApiError> {
        let by = Some(self.identity().doer());
        let devices = &self.state.devices;
        Ok(devices.change_profile(endpoint, change, by).await?)
    }

    /// Stores an observation template; every device that it is for is asked.
    ///
    /// # Errors
    /// 409 when there are too many.
    pub async fn add_template(
        &self,
        template: ObservationTemplate,
    ) -> Result<ObservationTemplate, ApiError> {
        let (stores, by) = (self.stores(), self.identity().doer());
        let _counting = self.state.counting.lock().await;
        let most = self.settings().observations.max_templates;
        if self.templates().await?.len() >= most {
            let detail = format!(
                "there are {most} observation templates already (observations.max_templates)"
            );
            return Err(ApiError::conflict("full", detail));
        }
        let template = stores.templates.add(template, by).await?;
        self.state.devices.reload_templates().await?;
        Ok(template)
    }

    /// Puts another observation template in the place of the one with its number.
    ///
    /// # Errors
    /// 404 without such a template.
    pub async fn replace_template(
        &self,
        template: ObservationTemplate,
    ) -> Result<ObservationTemplate, ApiError> {
        let (id, by) = (template.id, self.identity().doer());
        let Some(template) = self.stores().templates.update(template, by).await? else {
            return Err(ApiError::not_found(format!(
                "there is no observation template {id}"
            )));
        };
        self.state.devices.reload_templates().await?;
        Ok(template)
    }

    /// Removes an observation template; what only it wants is ended on every device.
    ///
    /// # Errors
    /// 404 without such a template.
    pub async fn remove_template(&self, id: i64) -> Result<(), ApiError> {
        let by = self.identity().doer();
        if !self.stores().templates.remove(id, by).await? {
            return Err(ApiError::not_found(format!(
                "there is no observation template {id}"
            )));
        }
        self.state.devices.reload_templates().await?;
        Ok(())
    }
}

impl Admin {
    pub(in crate::web::auth) fn new(operator: Operator) -> Self {
        Self(operator)
    }
}

impl Deref for Operator {
    type Target = Viewer;

    fn deref(&self) -> &Viewer {
        &self.0
    }
}

impl Deref for Admin {
    type Target = Operator;

    fn deref(&self) -> &Operator {
        &self.0
    }
}

/// Writes a line about what is no change, such as a login that was refused; a failure is told to the log only.
pub(in crate::web::auth) async fn write(stores: &Stores, entry: AuditEntry) {
    let (action, subject) = (entry.action.clone(), entry.subject.clone());
    if let Err(error) = stores.audit.add(entry).await {
        tracing::error!(
            audit.action = action,
            audit.subject = subject,
            error = %error,
            "The audit log could not be written: {error}"
        );
    }
}

/// The name of a role in the API.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}
