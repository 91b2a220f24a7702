//! `/api/v1/tokens`: tokens for programs. For admins.

use std::time::Duration;

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{ApiToken, Role};
use crate::web::ApiError;
use crate::web::api::refused::NotAdmin;
use crate::web::auth::Admin;
use crate::web::auth::tokens::lifetime;
use crate::web::error::Problem;

use super::object::Object;
use super::query::{self, NoQuery, Page};
use super::users::RoleName;

/// A token, without what would let one use it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 3, "name": "ci", "role": "operator", "created_at": "2026-11-23T12:00:00.000Z",
    "expires_at": "2027-02-21T12:00:00.000Z", "last_used_at": null,
    "owner": null
}))]
pub(super) struct Token {
    /// Its number.
    id: i64,
    /// What it is for.
    name: String,
    /// What it may do.
    role: RoleName,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it ends; null: never.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    /// When it was last used, to the minute.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
    /// The login name of the person it belongs to: it may do no more than that person, and goes with the account. Null: it is of
    /// the whole server.
    #[schema(required)]
    owner: Option<String>,
}

impl From<ApiToken> for Token {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            role: token.role.into(),
            created_at: token.created_at.to_string(),
            expires_at: token.expires_at.map(|time| time.to_string()),
            last_used_at: token.last_used_at.map(|time| time.to_string()),
            owner: token.owner,
        }
    }
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// The token itself; it is shown this once.
    #[schema(example = "fnx_…")]
    token: String,
    #[serde(flatten)]
    about: Token,
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "ci", "role": "operator", "expires_in_days": 90}))]
pub(super) struct NewToken {
    /// What it is for.
    name: String,
    /// What it may do.
    role: RoleName,
    /// After so many days it ends; never when missing.
    #[schema(minimum = 1, maximum = 36_500)]
    expires_in_days: Option<u64>,
}

impl NewToken {
    /// What it is for, and what it may do.
    pub(super) fn about(&self) -> (&str, Role) {
        (&self.name, self.role.into())
    }

    /// When it ends.
    pub(super) fn expires_in(&self) -> Result<Option<Duration>, ApiError> {
        let days = self.expires_in_days;
        days.map(|days| lifetime("expires_in_days", days))
            .transpose()
    }
}

impl MadeToken {
    /// With its text.
    pub(super) fn new((about, token): (ApiToken, String)) -> Self {
        Self {
            token,
            about: about.into(),
        }
    }
}

/// List tokens
#[utoipa::path(
    get,
    path = "/tokens",
    impl_for = list_tokens,
    tag = "access",
    responses(
        (status = 200, description = "All of them, by name", body = Page<Token>),
        NotAdmin,
    ),
)]
#[get("/tokens")]
pub(super) async fn list_tokens(
    admin: Admin,
    _query: Query<NoQuery>,
) -> Result<Json<Page<Token>>, ApiError> {
    let tokens = admin.tokens().await?;
    Ok(Json(Page::whole(
        tokens.into_iter().map(Token::from).collect(),
    )))
}

/// Make a token
#[utoipa::path(
    post,
    path = "/tokens",
    impl_for = create_token,
    tag = "access",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token, shown this once", body = MadeToken),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[post("/tokens")]
pub(super) async fn create_token(
    admin: Admin,
    _query: Query<NoQuery>,
    body: Object<NewToken>,
) -> Result<HttpResponse, ApiError> {
    let expires_in = body.expires_in()?;
    let (name, role) = body.about();
    let made = admin.add_token(name, role, expires_in).await?;
    Ok(HttpResponse::Created().json(MadeToken::new(made)))
}

/// Remove a token
///
/// It stops working at once.
#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    impl_for = delete_token,
    tag = "access",
    params(("id" = i64, Path, description = "The token's number")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "No token has this number", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[delete("/tokens/{id}")]
pub(super) async fn delete_token(
    admin: Admin,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    admin.remove_token(query::row_id("token", &id)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
