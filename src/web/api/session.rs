//! `/api/v1/session`: who is asking, and logging in and out for programs that keep cookies.

use actix_web::web::{Json, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::Role;
use crate::web::ApiError;
use crate::web::api::refused::NotLoggedIn;
use crate::web::auth::{self, Duty, LoginError, Myself, ProvedBy};
use crate::web::error::Problem;

use super::object::Object;
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
    /// A one-time code or a recovery code, for those who have set it up.
    #[schema(example = "287082")]
    totp: Option<String>,
}

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"name": "alice", "role": "operator", "must_change_password": false,
    "must_set_up_totp": false}))]
pub(super) struct WhoAmI {
    /// A login name, or `token:NAME`.
    name: String,
    /// What they may do.
    role: RoleName,
    /// Whether the password has to be changed before anything else is answered.
    must_change_password: bool,
    /// Whether one-time codes have to be set up before anything else is answered.
    must_set_up_totp: bool,
}

impl WhoAmI {
    fn new(name: String, role: Role, duty: Option<Duty>) -> Self {
        Self {
            name,
            role: role.into(),
            must_change_password: duty == Some(Duty::ChangePassword),
            must_set_up_totp: duty == Some(Duty::SetUpTotp),
        }
    }
}

/// Log in
///
/// Sets the session cookie. Who has set up one-time codes sends one as `totp`; without it the answer is 401 with the code
/// `totp_required`.
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
        (status = 401, description = "The name, the password or the code is wrong, or a code is needed too (`totp_required`)", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failed logins", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/session")]
pub(super) async fn log_in(
    request: HttpRequest,
    _query: Query<NoQuery>,
    body: Object<Login>,
) -> Result<Json<WhoAmI>, ApiError> {
    let body = body.into_inner();
    let user = auth::login(&request, &body.name, body.password).await?;
    let proof = match (user.has_totp, body.totp) {
        (false, _) => ProvedBy::Password,
        (true, None) => return Err(LoginError::CodeWanted.into()),
        (true, Some(code)) => {
            auth::check_code(&request, &user, &code).await?;
            ProvedBy::PasswordAndCode
        }
    };
    let duty = auth::start_session(&request, &user, proof).await?;
    Ok(Json(WhoAmI::new(user.name, user.role, duty)))
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
pub(super) async fn who_am_i(myself: Myself, _query: Query<NoQuery>) -> Json<WhoAmI> {
    let identity = myself.identity();
    Json(WhoAmI::new(identity.actor(), identity.role, identity.duty))
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
    _myself: Myself,
    request: HttpRequest,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    auth::end_session(&request).await?;
    Ok(HttpResponse::NoContent().finish())
}
