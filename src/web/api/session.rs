//! `/api/v1/session`: who is asking, and logging in and out for programs that keep cookies.

use actix_web::web::{Json, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, UnreadableJson};
use crate::web::auth::{self, Viewer};
use crate::web::error::Problem;

use super::query::NoQuery;
use super::users::RoleName;

/// A login name and its password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "alice", "password": "correct horse battery staple"}))]
pub(super) struct Login {
    /// The login name.
    #[schema(example = "admin")]
    name: String,
    /// The password.
    #[schema(format = Password)]
    password: String,
}

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "alice", "role": "operator", "must_change_password": false}))]
pub(super) struct WhoAmI {
    /// A login name, or `token:NAME`.
    name: String,
    /// What they may do.
    role: RoleName,
    /// Whether the first password is still in use.
    must_change_password: bool,
}

/// Log in
///
/// Sets the session cookie.
#[utoipa::path(
    post,
    path = "/session",
    impl_for = log_in,
    tag = "access",
    security(()),
    request_body = Login,
    responses(
        (status = 200, description = "Logged in", body = WhoAmI,
         headers(("Set-Cookie" = String, description = "The session"))),
        (status = 401, description = "The name or the password is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failed logins", body = Problem, content_type = "application/problem+json"),
        UnreadableJson,
    ),
)]
#[post("/session")]
pub(super) async fn log_in(
    request: HttpRequest,
    _query: Query<NoQuery>,
    body: Json<Login>,
) -> Result<Json<WhoAmI>, ApiError> {
    let body = body.into_inner();
    let user = auth::login(&request, &body.name, body.password).await?;
    auth::start_session(&request, &user).await?;
    Ok(Json(WhoAmI {
        name: user.name,
        role: user.role.into(),
        must_change_password: user.must_change_password,
    }))
}

/// Show who is asking
#[utoipa::path(
    get,
    path = "/session",
    impl_for = who_am_i,
    tag = "access",
    responses(
        (status = 200, description = "Who the cookie or token belongs to", body = WhoAmI),
        NotLoggedIn,
    ),
)]
#[get("/session")]
pub(super) async fn who_am_i(viewer: Viewer, _query: Query<NoQuery>) -> Json<WhoAmI> {
    let identity = viewer.identity();
    Json(WhoAmI {
        name: identity.actor(),
        role: identity.role.into(),
        must_change_password: identity.must_change_password,
    })
}

/// Log out
#[utoipa::path(
    delete,
    path = "/session",
    impl_for = log_out,
    tag = "access",
    responses(
        (status = 204, description = "The session has ended"),
        NotLoggedIn,
    ),
)]
#[delete("/session")]
pub(super) async fn log_out(
    _viewer: Viewer,
    request: HttpRequest,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    auth::end_session(&request).await?;
    Ok(HttpResponse::NoContent().finish())
}
