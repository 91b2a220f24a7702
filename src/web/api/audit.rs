//! `/api/v1/audit`: who changed what. For admins.

use actix_web::get;
use actix_web::web::{Json, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::AuditEntry;
use crate::store::AuditFilter;
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
    /// Only what this one did: a login, `token:NAME`, or `cli`.
    #[param(example = "alice")]
    actor: Option<String>,
    /// Only this, or all that begins with it where it ends with a dot.
    #[param(example = "user.")]
    action: Option<String>,
    /// Only what was done to something with this in its name, upper and lower case alike.
    #[param(example = "urn:imei")]
    subject: Option<String>,
    /// Not before this time: RFC 3339, or milliseconds since 1970.
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
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
    let query = query.into_inner();
    let text = |text: Option<String>| query::given(text.as_deref()).map(str::to_owned);
    let filter = AuditFilter {
        before: query::read_cursor(query.cursor.as_deref())?,
        from: query::moment("from", query.from.as_deref())?,
        to: query::moment("to", query.to.as_deref())?,
        actor: text(query.actor),
        action: text(query.action),
        subject: text(query.subject),
        limit: limit.saturating_add(1),
    };
    let lines = admin.audit_log(&filter).await?;
    Ok(Json(Page::cut(
        lines,
        limit,
        |line| line.id,
        AuditLine::from,
    )))
}
