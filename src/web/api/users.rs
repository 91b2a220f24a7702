//! `/api/v1/users`: people. For admins.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, patch, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::{Role, User, UserChange, UserSource};
use crate::web::ApiError;
use crate::web::api::refused::NotAdmin;
use crate::web::auth::Admin;
use crate::web::error::Problem;

use super::object::Object;
use super::query::{NoQuery, Page};

/// What somebody may do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RoleName {
    /// Reads.
    Viewer,
    /// Operates devices too.
    Operator,
    /// Manages people, credentials and settings too.
    Admin,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Operator => Self::Operator,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Self::Viewer,
            RoleName::Operator => Self::Operator,
            RoleName::Admin => Self::Admin,
        }
    }
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "alice", "role": "operator", "must_change_password": false,
    "created_at": "2026-11-23T12:00:00.000Z", "disabled": false, "source": "local", "totp": true
}))]
pub(super) struct Person {
    /// The login name.
    name: String,
    /// What the person may do.
    role: RoleName,
    /// Whether the first password is still in use.
    must_change_password: bool,
    /// When the account was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// Whether the person may not log in.
    disabled: bool,
    /// `local`, or `oidc` for those for whom an OpenID Connect provider vouches.
    source: &'static str,
    /// Whether a login needs a one-time code too.
    totp: bool,
}

impl From<User> for Person {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            role: user.role.into(),
            must_change_password: user.must_change_password,
            created_at: user.created_at.to_string(),
            disabled: user.disabled,
            source: match user.source {
                UserSource::Local => "local",
                UserSource::Oidc => "oidc",
            },
            totp: user.has_totp,
        }
    }
}

/// A new person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "alice", "role": "operator", "password": "correct horse battery staple"}))]
pub(super) struct NewPerson {
    /// The login name.
    #[schema(example = "alice")]
    name: String,
    /// What the person may do.
    role: RoleName,
    /// The first password.
    #[schema(format = Password, min_length = 10)]
    password: String,
    /// Whether the person has to change it at the first login.
    #[serde(default = "yes", alias = "must_change_password")]
    #[schema(default = true)]
    must_change: bool,
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"password": "correct horse battery staple"}))]
pub(super) struct NewPassword {
    /// The new password.
    #[schema(format = Password, min_length = 10)]
    password: String,
    /// Whether the person has to change it at the next login.
    #[serde(default = "yes", alias = "must_change_password")]
    #[schema(default = true)]
    must_change: bool,
}

/// Unless somebody says otherwise.
fn yes() -> bool {
    true
}

/// What becomes different; what is missing stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"role": "viewer", "disabled": false}))]
pub(super) struct PersonChange {
    /// Another role.
    role: Option<RoleName>,
    /// True: the person may no longer log in, and their sessions end.
    disabled: Option<bool>,
}

/// List people
#[utoipa::path(
    get,
    path = "/users",
    impl_for = list_users,
    tag = "access",
    responses(
        (status = 200, description = "Everybody, by name", body = Page<Person>),
        NotAdmin,
    ),
)]
#[get("/users")]
pub(super) async fn list_users(
    admin: Admin,
    _query: Query<NoQuery>,
) -> Result<Json<Page<Person>>, ApiError> {
    let users = admin.users().await?;
    Ok(Json(Page::whole(
        users.into_iter().map(Person::from).collect(),
    )))
}

/// Add a person
#[utoipa::path(
    post,
    path = "/users",
    impl_for = create_user,
    tag = "access",
    request_body = NewPerson,
    responses(
        (status = 201, description = "The account is made", body = Person),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The name or password cannot be used", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[post("/users")]
pub(super) async fn create_user(
    admin: Admin,
    _query: Query<NoQuery>,
    body: Object<NewPerson>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let user = admin
        .add_user(
            &body.name,
            body.role.into(),
            body.password,
            body.must_change,
        )
        .await?;
    Ok(HttpResponse::Created().json(Person::from(user)))
}

/// Change what a person may do
///
/// It counts at once, for sessions and live sockets too. The last admin who can log in stays one, and nobody disables
/// themselves.
#[utoipa::path(
    patch,
    path = "/users/{name}",
    impl_for = change_user,
    tag = "access",
    params(("name" = String, Path, description = "The login name")),
    request_body = PersonChange,
    responses(
        (status = 200, description = "The person as it is now", body = Person),
        (status = 404, description = "Nobody has this name", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The last admin (`last_admin`), one's own account (`own_account`), or a role that the provider says (`oidc`)", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[patch("/users/{name}")]
pub(super) async fn change_user(
    admin: Admin,
    name: Path<String>,
    _query: Query<NoQuery>,
    body: Object<PersonChange>,
) -> Result<Json<Person>, ApiError> {
    let change = UserChange {
        role: body.role.map(Role::from),
        disabled: body.disabled,
    };
    Ok(Json(admin.change_user(&name, change).await?.into()))
}

/// Remove somebody's one-time codes
///
/// For those who have lost their phone and their recovery codes: the password alone opens the account afterwards.
#[utoipa::path(
    delete,
    path = "/users/{name}/totp",
    impl_for = delete_user_totp,
    tag = "access",
    params(("name" = String, Path, description = "The login name")),
    responses(
        (status = 204, description = "They are gone"),
        (status = 404, description = "Nobody has this name, or no codes", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[delete("/users/{name}/totp")]
pub(super) async fn delete_user_totp(
    admin: Admin,
    name: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    admin.remove_second_factor(&name).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Remove a person
///
/// Their sessions end and their tokens go. Nobody can remove themselves or the last admin.
#[utoipa::path(
    delete,
    path = "/users/{name}",
    impl_for = delete_user,
    tag = "access",
    params(("name" = String, Path, description = "The login name")),
    responses(
        (status = 204, description = "The account is gone"),
        (status = 404, description = "Nobody has this name", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "One's own account, or the last admin", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[delete("/users/{name}")]
pub(super) async fn delete_user(
    admin: Admin,
    name: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    admin.remove_user(&name).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Set somebody's password
///
/// Their sessions end.
#[utoipa::path(
    put,
    path = "/users/{name}/password",
    impl_for = set_user_password,
    tag = "access",
    params(("name" = String, Path, description = "The login name")),
    request_body = NewPassword,
    responses(
        (status = 204, description = "It is set"),
        (status = 404, description = "Nobody has this name", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The person has no password here (`oidc`)", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The password cannot be used", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[put("/users/{name}/password")]
pub(super) async fn set_user_password(
    admin: Admin,
    name: Path<String>,
    _query: Query<NoQuery>,
    body: Object<NewPassword>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    admin
        .set_password(&name, body.password, body.must_change)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
