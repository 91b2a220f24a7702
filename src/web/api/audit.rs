//! `/api/v1/audit`: who changed what. For admins.

use crate::domain::AuditEntry;
use actix_web::get;
use actix_web::web::{Json, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::web::ApiError;
use crate::web::api::refused::{NotAdmin, UnreadableParameter};
use crate::web::auth::Admin;

use super::query::{self, Page};

/// A line of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 9, "at": "2026-11-23T12:00:00.000Z", "actor": "token:ci", "remote": "192.0.2.9",
    "action": "endpoint.delete", "subject": "urn:imei:490154203237518", "detail": ""
}))]
pub(super) struct AuditLine {
    /// Its number.
    id: i64,
    /// When.
    #[schema(format = DateTime)]
    at: String,
    /// Who: a login, or `token:NAME`.
    actor: String,
    /// From which address.
    remote: String,
    /// What was done.
    action: String,
    /// To what.
    subject: String,
    /// Anything else.
    detail: String,
}

impl From<AuditEntry> for AuditLine {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at.to_string(),
            actor: entry.actor,
            remote: entry.remote,
            action: entry.action,
            subject: entry.subject,
            detail: entry.detail,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List who changed what
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/audit",
    impl_for = list_audit,
    tag = "access",
    params(AuditQuery),
    responses(
        (status = 200, description = "A page of the audit log", body = Page<AuditLine>),
        UnreadableParameter, NotAdmin,
    ),
)]
#[get("/audit")]
pub(super) async fn list_audit(
    admin: Admin,
    query: Query<AuditQuery>,
) -> Result<Json<Page<AuditLine>>, ApiError> {
    let limit = query::limit(&admin, query.limit.as_deref())?;
    let before = query::read_cursor(query.cursor.as_deref())?;
    let lines = admin.audit_log(limit + 1, before).await?;
    Ok(Json(Page::cut(
        lines,
        limit,
        |line| line.id,
        AuditLine::from,
    )))
}
