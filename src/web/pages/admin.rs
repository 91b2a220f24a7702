//! `/users` with tokens, and `/audit`.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Form, Path, Query};
use serde::{Deserialize, Serialize};

use super::chrome::{Page, see_other};
use super::words::sentence;
use crate::domain::{AuditEntry, Timestamp};
use crate::store::{ApiToken, Role, User};
use crate::web::ApiError;
use crate::web::auth::Admin;
use crate::web::auth::views::role_name;

/// Lines of the audit log on one page.
const AUDIT_LIMIT: u64 = 100;

#[derive(Deserialize)]
pub(super) struct UserForm {
    name: String,
    role: Role,
    password: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct NameForm {
    name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct TokenForm {
    name: String,
    role: Role,
    #[serde(default)]
    days: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct AuditQuery {
    before: Option<i64>,
}

/// `GET /users`
pub(super) async fn users(admin: Admin) -> Result<HttpResponse, ApiError> {
    render_users(&admin, StatusCode::OK, None, None).await
}

/// `POST /users`
pub(super) async fn add_user(admin: Admin, form: Form<UserForm>) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    let added = admin
        .add_user(&form.name, form.role, form.password)
        .await
        .map(|_| ());
    end_form(&admin, added).await
}

/// `POST /users/remove`
pub(super) async fn remove_user(
    admin: Admin,
    form: Form<NameForm>,
) -> Result<HttpResponse, ApiError> {
    let removed = admin.remove_user(&form.name).await;
    end_form(&admin, removed).await
}

/// `POST /tokens`. The answer shows the token, which is nowhere else.
pub(super) async fn add_token(
    admin: Admin,
    form: Form<TokenForm>,
) -> Result<HttpResponse, ApiError> {
    let expires_in = match form.days.trim() {
        "" => Ok(None),
        days => match days.parse::<u32>() {
            Ok(days @ 1..=3650) => Ok(Some(Duration::from_secs(u64::from(days) * 86_400))),
            _ => Err(ApiError::invalid(
                "days",
                "a token lives from 1 to 3650 days",
            )),
        },
    };
    let added = match expires_in {
        Ok(expires_in) => admin.add_token(&form.name, form.role, expires_in).await,
        Err(error) => Err(error),
    };
    match added {
        Ok((token, text)) => {
            let new = NewToken {
                name: token.name,
                text,
            };
            render_users(&admin, StatusCode::OK, None, Some(new)).await
        }
        Err(error) => end_form(&admin, Err(error)).await,
    }
}

/// `POST /tokens/{id}/remove`
pub(super) async fn remove_token(admin: Admin, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    let removed = admin.remove_token(*id).await;
    end_form(&admin, removed).await
}

/// `GET /audit`
pub(super) async fn audit(
    admin: Admin,
    query: Query<AuditQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&admin, "/audit");
    let entries = admin
        .audit_log(AUDIT_LIMIT.saturating_add(1), query.before)
        .await?;
    let shown = usize::try_from(AUDIT_LIMIT).unwrap_or(usize::MAX);
    let lines: Vec<AuditLine<'_>> = entries.iter().take(shown).map(AuditLine::new).collect();
    let next = lines
        .last()
        .filter(|_| entries.len() > shown)
        .map(|last| format!("/audit?before={}", last.id));
    page.insert("entries", &lines);
    page.insert("first", &query.before.is_none());
    page.insert("next", &next);
    page.render("pages/audit.html")
}

/// Back to the page, with what went wrong if it was the form's fault.
async fn end_form(admin: &Admin, result: Result<(), ApiError>) -> Result<HttpResponse, ApiError> {
    match result {
        Ok(()) => Ok(see_other("/users")),
        Err(error) if error.status().is_client_error() => {
            let text = Some(sentence(error.detail()));
            render_users(admin, error.status(), text, None).await
        }
        Err(error) => Err(error),
    }
}

async fn render_users(
    admin: &Admin,
    status: StatusCode,
    error: Option<String>,
    new_token: Option<NewToken>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(admin, "/users");
    let users = admin.users().await?;
    let tokens = admin.tokens().await?;
    let users: Vec<UserLine<'_>> = users.iter().map(UserLine::new).collect();
    let tokens: Vec<TokenLine<'_>> = tokens.iter().map(TokenLine::new).collect();
    page.insert("users", &users);
    page.insert("tokens", &tokens);
    page.insert("error", &error);
    page.insert("new_token", &new_token);
    page.render_as(status, "pages/users.html")
}

#[derive(Serialize)]
struct NewToken {
    name: String,
    text: String,
}

#[derive(Serialize)]
struct UserLine<'a> {
    name: &'a str,
    role: &'static str,
    created_at: Timestamp,
    must_change_password: bool,
}

impl<'a> UserLine<'a> {
    fn new(user: &'a User) -> Self {
        Self {
            name: &user.name,
            role: role_name(user.role),
            created_at: user.created_at,
            must_change_password: user.must_change_password,
        }
    }
}

#[derive(Serialize)]
struct TokenLine<'a> {
    id: i64,
    name: &'a str,
    role: &'static str,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl<'a> TokenLine<'a> {
    fn new(token: &'a ApiToken) -> Self {
        Self {
            id: token.id,
            name: &token.name,
            role: role_name(token.role),
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
        }
    }
}

#[derive(Serialize)]
struct AuditLine<'a> {
    id: i64,
    at: Timestamp,
    actor: &'a str,
    remote: &'a str,
    action: &'a str,
    subject: &'a str,
    detail: &'a str,
}

impl<'a> AuditLine<'a> {
    fn new(entry: &'a AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            actor: &entry.actor,
            remote: &entry.remote,
            action: &entry.action,
            subject: &entry.subject,
            detail: &entry.detail,
        }
    }
}
