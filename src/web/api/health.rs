//! `/health`: for supervisors and load balancers. No login, and no detail for strangers.

use std::time::Duration;

use actix_web::get;
use actix_web::web::{Data, Json};
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::error::Problem;
use crate::web::{ApiError, AppState};

/// How long the probe may take before the server counts as not ready.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
pub(super) struct Health {
    /// Always `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// Is the process alive?
#[utoipa::path(
    get,
    path = "/health/live",
    impl_for = check_live,
    tag = "server",
    security(()),
    responses((status = 200, description = "It is", body = Health)),
)]
#[get("/health/live")]
pub(super) async fn check_live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Can the server do its work?
///
/// The database answers, the sockets are bound, it is not shutting down.
#[utoipa::path(
    get,
    path = "/health/ready",
    impl_for = check_ready,
    tag = "server",
    security(()),
    responses(
        (status = 200, description = "It can", body = Health),
        (status = 503, description = "It cannot at the moment", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[get("/health/ready")]
pub(super) async fn check_ready(state: Data<AppState>) -> Result<Json<Health>, ApiError> {
    let probe = tokio::time::timeout(PROBE_TIMEOUT, (state.ready)()).await;
    let reason = match probe {
        Ok(Ok(())) => return Ok(Json(Health { status: "ok" })),
        Ok(Err(reason)) => reason,
        Err(_) => "the probe took too long".to_owned(),
    };
    tracing::warn!(reason = %reason, "The server is not ready: {reason}");
    Err(ApiError::unavailable("the server is not ready"))
}
