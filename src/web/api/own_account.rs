//! `/api/v1/session/…`: one's own password, sessions, one-time codes and tokens. All but the tokens answer also those who
//! have something to do first.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::web::ApiError;
use crate::web::api::refused::{NotAToken, NotLoggedIn};
use crate::web::auth::{self, Enrolment, Myself, SecondFactor, Viewer};
use crate::web::error::Problem;

use super::object::Object;
use super::query::{self, NoQuery, Page};
use super::sessions::SessionView;
use super::tokens::{MadeToken, NewToken, Token};

/// A password in the place of another.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"present": "what it was", "new": "correct horse battery staple"}))]
pub(super) struct PasswordChange {
    /// The present password.
    #[schema(format = Password)]
    present: String,
    /// The new password.
    #[schema(format = Password, min_length = 10)]
    new: String,
}

/// How far one-time codes are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"state": "on", "recovery_codes": 9}))]
pub(super) struct TotpState {
    /// `off`, `begun` (a first code is waited for) or `on`.
    state: &'static str,
    /// How many recovery codes are left.
    recovery_codes: u64,
}

/// What an app needs to know to make codes.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "secret": "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
    "address": "otpauth://totp/flownexus:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=flownexus"
}))]
pub(super) struct TotpSecret {
    /// The secret in base32.
    #[schema(example = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")]
    secret: String,
    /// The same as an `otpauth:` address, which apps read from a QR code.
    #[schema(example = "otpauth://totp/flownexus:alice?secret=…&issuer=flownexus")]
    address: String,
}

/// A first code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "287082"}))]
pub(super) struct TotpCode {
    /// Six digits.
    #[schema(example = "287082")]
    code: String,
}

/// Codes that stand in for a lost phone, each once.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"recovery_codes": ["k7wq-2m4x-9d", "p3vn-8s6t-1c"]}))]
pub(super) struct RecoveryCodes {
    /// They are shown this once.
    recovery_codes: Vec<String>,
}

/// The password, as a proof.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple"}))]
pub(super) struct PasswordProof {
    /// The present password.
    #[schema(format = Password)]
    password: String,
}

/// How many there were.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"ended": 2}))]
pub(super) struct Ended {
    ended: u64,
}

impl From<Enrolment> for TotpSecret {
    fn from(enrolment: Enrolment) -> Self {
        Self {
            secret: enrolment.secret,
            address: enrolment.address,
        }
    }
}

/// Change one's own password
///
/// All other sessions end; this one gets a new cookie.
#[utoipa::path(
    put,
    path = "/session/password",
    impl_for = change_password,
    tag = "access",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "It is changed",
         headers(("Set-Cookie" = String, description = "The session"))),
        (status = 422, description = "The new password cannot be used, or there is none to change", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failed attempts", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[put("/session/password")]
pub(super) async fn change_password(
    myself: Myself,
    request: HttpRequest,
    _query: Query<NoQuery>,
    body: Object<PasswordChange>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    auth::change_password(&request, myself.identity(), body.present, body.new).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List one's own sessions
#[utoipa::path(
    get,
    path = "/session/sessions",
    impl_for = list_own_sessions,
    tag = "access",
    responses(
        (status = 200, description = "The last used first", body = Page<SessionView>),
        NotLoggedIn, NotAToken,
    ),
)]
#[get("/session/sessions")]
pub(super) async fn list_own_sessions(
    myself: Myself,
    _query: Query<NoQuery>,
) -> Result<Json<Page<SessionView>>, ApiError> {
    let sessions = myself.sessions().await?;
    Ok(Json(SessionView::all(sessions, myself.identity())))
}

/// End all of one's sessions but this one
#[utoipa::path(
    delete,
    path = "/session/sessions",
    impl_for = end_other_sessions,
    tag = "access",
    responses(
        (status = 200, description = "They have ended", body = Ended),
        NotLoggedIn, NotAToken,
    ),
)]
#[delete("/session/sessions")]
pub(super) async fn end_other_sessions(
    myself: Myself,
    _query: Query<NoQuery>,
) -> Result<Json<Ended>, ApiError> {
    let ended = myself.end_other_sessions().await?;
    Ok(Json(Ended { ended }))
}

/// End one of one's sessions
#[utoipa::path(
    delete,
    path = "/session/sessions/{id}",
    impl_for = end_own_session,
    tag = "access",
    params(("id" = String, Path, description = "The session's `id`")),
    responses(
        (status = 204, description = "It has ended"),
        (status = 404, description = "There is no such session", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn, NotAToken,
    ),
)]
#[delete("/session/sessions/{id}")]
pub(super) async fn end_own_session(
    myself: Myself,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    myself.end_session(&id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Show how far one's one-time codes are
#[utoipa::path(
    get,
    path = "/session/totp",
    impl_for = show_totp,
    tag = "access",
    responses(
        (status = 200, description = "How far they are", body = TotpState),
        NotLoggedIn, NotAToken,
    ),
)]
#[get("/session/totp")]
pub(super) async fn show_totp(
    myself: Myself,
    _query: Query<NoQuery>,
) -> Result<Json<TotpState>, ApiError> {
    let (state, recovery_codes) = match myself.second_factor().await? {
        SecondFactor::Absent => ("off", 0),
        SecondFactor::Begun(_) => ("begun", 0),
        SecondFactor::InForce(left) => ("on", left),
    };
    Ok(Json(TotpState {
        state,
        recovery_codes,
    }))
}

/// Begin to set up one-time codes
///
/// Logins need one only after a first code was shown with PUT. Called again, it makes another secret.
#[utoipa::path(
    post,
    path = "/session/totp",
    impl_for = begin_totp,
    tag = "access",
    responses(
        (status = 201, description = "The secret", body = TotpSecret),
        (status = 409, description = "They are set up already (`totp_in_force`), or the account logs in by OpenID Connect (`oidc`)", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn, NotAToken,
    ),
)]
#[post("/session/totp")]
pub(super) async fn begin_totp(
    myself: Myself,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let enrolment = myself.begin_second_factor().await?;
    Ok(HttpResponse::Created().json(TotpSecret::from(enrolment)))
}

/// Show a first one-time code
///
/// From now on a login needs one, or one of the recovery codes.
#[utoipa::path(
    put,
    path = "/session/totp",
    impl_for = confirm_totp,
    tag = "access",
    request_body = TotpCode,
    responses(
        (status = 200, description = "Recovery codes, shown this once", body = RecoveryCodes),
        (status = 409, description = "Nothing was begun (`not_begun`), or it is in force (`totp_in_force`)", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many wrong codes", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn, NotAToken,
    ),
)]
#[put("/session/totp")]
pub(super) async fn confirm_totp(
    myself: Myself,
    _query: Query<NoQuery>,
    body: Object<TotpCode>,
) -> Result<Json<RecoveryCodes>, ApiError> {
    let recovery_codes = myself.confirm_second_factor(&body.code).await?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

/// Switch one-time codes off
#[utoipa::path(
    delete,
    path = "/session/totp",
    impl_for = remove_totp,
    tag = "access",
    request_body = PasswordProof,
    responses(
        (status = 204, description = "The password alone is enough again"),
        (status = 409, description = "There are none (`no_totp`)", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failed attempts", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn, NotAToken,
    ),
)]
#[delete("/session/totp")]
pub(super) async fn remove_totp(
    myself: Myself,
    request: HttpRequest,
    _query: Query<NoQuery>,
    body: Object<PasswordProof>,
) -> Result<HttpResponse, ApiError> {
    let password = body.into_inner().password;
    myself.remove_second_factor(&request, password).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List one's own tokens
#[utoipa::path(
    get,
    path = "/session/tokens",
    impl_for = list_own_tokens,
    tag = "access",
    responses(
        (status = 200, description = "By name", body = Page<Token>),
        NotLoggedIn, NotAToken,
    ),
)]
#[get("/session/tokens")]
pub(super) async fn list_own_tokens(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<Token>>, ApiError> {
    let tokens = viewer.own_tokens().await?;
    Ok(Json(Page::whole(
        tokens.into_iter().map(Token::from).collect(),
    )))
}

/// Make a token of one's own
///
/// It may do at most what its role says and what its owner may, and goes with the account.
#[utoipa::path(
    post,
    path = "/session/tokens",
    impl_for = create_own_token,
    tag = "access",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token, shown this once", body = MadeToken),
        (status = 409, description = "The name is taken (`exists`), or there are too many (`full`)", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn, NotAToken,
    ),
)]
#[post("/session/tokens")]
pub(super) async fn create_own_token(
    viewer: Viewer,
    _query: Query<NoQuery>,
    body: Object<NewToken>,
) -> Result<HttpResponse, ApiError> {
    let expires_in = body.expires_in()?;
    let (name, role) = body.about();
    let made = viewer.add_own_token(name, role, expires_in).await?;
    Ok(HttpResponse::Created().json(MadeToken::new(made)))
}

/// Remove a token of one's own
///
/// It stops working at once.
#[utoipa::path(
    delete,
    path = "/session/tokens/{id}",
    impl_for = delete_own_token,
    tag = "access",
    params(("id" = i64, Path, description = "The token's number")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "You have no token of this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn, NotAToken,
    ),
)]
#[delete("/session/tokens/{id}")]
pub(super) async fn delete_own_token(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    viewer
        .remove_own_token(query::row_id("token", &id)?)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
