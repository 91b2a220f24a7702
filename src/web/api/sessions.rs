//! `/api/v1/sessions`: who is logged in. For admins.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::WebSession;
use crate::web::ApiError;
use crate::web::api::refused::{NotAdmin, UnreadableParameter};
use crate::web::auth::{Admin, Identity};
use crate::web::error::Problem;

use super::query::{self, NoQuery, Page};

/// A session of the pages, or of a program that keeps cookies.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "9f86d081884c7d65", "user": "alice", "began_at": "2026-11-23T12:00:00.000Z",
    "used_at": "2026-11-23T12:30:00.000Z", "expires_at": "2026-11-30T12:00:00.000Z",
    "remote": "192.0.2.9", "agent": "Mozilla/5.0 (X11; Linux x86_64) …", "this": false
}))]
pub(super) struct SessionView {
    /// What tells it from others; it opens nothing.
    id: String,
    /// Whose it is.
    user: String,
    /// When it began; null where an older version began it.
    #[schema(required, format = DateTime)]
    began_at: Option<String>,
    /// When it was last used, to the minute.
    #[schema(required, format = DateTime)]
    used_at: Option<String>,
    /// When it ends, unless it is used.
    #[schema(format = DateTime)]
    expires_at: String,
    /// From which address it was begun.
    remote: String,
    /// What the browser called itself then.
    agent: String,
    /// Whether it is the one that asks.
    this: bool,
}

impl SessionView {
    /// All of these, for the one that asks.
    pub(super) fn all(sessions: Vec<WebSession>, asks: &Identity) -> Page<Self> {
        let views = sessions.into_iter().map(|session| Self::new(session, asks));
        Page::whole(views.collect())
    }

    fn new(session: WebSession, asks: &Identity) -> Self {
        Self {
            this: asks.is_of(&session),
            id: session.handle(),
            user: session.user.unwrap_or_default(),
            began_at: session.began_at.map(|time| time.to_string()),
            used_at: session.used_at.map(|time| time.to_string()),
            expires_at: session.expires_at.to_string(),
            remote: session.remote,
            agent: session.agent,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionsQuery {
    /// Only those of this person.
    user: Option<String>,
}

/// List everybody's sessions
#[utoipa::path(
    get,
    path = "/sessions",
    impl_for = list_sessions,
    tag = "access",
    params(SessionsQuery),
    responses(
        (status = 200, description = "At most 1000, the last used first", body = Page<SessionView>),
        UnreadableParameter, NotAdmin,
    ),
)]
#[get("/sessions")]
pub(super) async fn list_sessions(
    admin: Admin,
    query: Query<SessionsQuery>,
) -> Result<Json<Page<SessionView>>, ApiError> {
    let user = query::given(query.user.as_deref());
    let sessions = admin.sessions(user).await?;
    Ok(Json(SessionView::all(sessions, admin.identity())))
}

/// End somebody's session
///
/// At once: live sockets of it end too.
#[utoipa::path(
    delete,
    path = "/sessions/{id}",
    impl_for = end_session,
    tag = "access",
    params(("id" = String, Path, description = "The session's `id`")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[delete("/sessions/{id}")]
pub(super) async fn end_session(
    admin: Admin,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    admin.end_session(&id).await?;
    Ok(HttpResponse::NoContent().finish())
}
