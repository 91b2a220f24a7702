//! `/users`: people, their sessions, and tokens for programs.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Form, Path};
use serde::{Deserialize, Serialize};

use super::account::SessionLine;
use super::chrome::{Page, see_other};
use super::mistake::Mistake;
use crate::domain::Timestamp;
use crate::store::{ApiToken, Role, User, UserChange, UserSource};
use crate::web::ApiError;
use crate::web::auth::Admin;
use crate::web::auth::tokens::lifetime;
use crate::web::auth::views::role_name;

#[derive(Deserialize)]
pub(super) struct UserForm {
    name: String,
    role: Role,
    password: String,
    /// A box that was ticked.
    must_change: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NameForm {
    name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RoleForm {
    name: String,
    role: Role,
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    name: String,
    password: String,
    /// A box that was ticked.
    must_change: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SessionForm {
    id: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct TokenForm {
    pub(super) name: String,
    pub(super) role: Role,
    #[serde(default)]
    days: String,
}

impl TokenForm {
    /// After which time the token ends; nothing: never.
    pub(super) fn expires_in(&self) -> Result<Option<Duration>, ApiError> {
        match self.days.trim() {
            "" => Ok(None),
            // What is no number is no time that a token could live.
            days => lifetime("days", days.parse().unwrap_or(0)).map(Some),
        }
    }
}

/// What was filled in, for the form that is shown again.
#[derive(Serialize)]
pub(super) struct Typed {
    name: String,
    role: &'static str,
    days: String,
    must_change: bool,
}

impl Default for Typed {
    fn default() -> Self {
        Self {
            name: String::new(),
            role: role_name(Role::Viewer),
            days: String::new(),
            must_change: true,
        }
    }
}

impl From<&TokenForm> for Typed {
    fn from(form: &TokenForm) -> Self {
        Self {
            name: form.name.clone(),
            role: role_name(form.role),
            days: form.days.clone(),
            ..Self::default()
        }
    }
}

/// What the page has to say this once.
#[derive(Default)]
struct News {
    status: StatusCode,
    error: Option<Mistake>,
    /// Whom the form was about, where each person has one.
    whom: Option<String>,
    new_token: Option<NewToken>,
    user: Typed,
    token: Typed,
}

/// `GET /users`
pub(super) async fn users(admin: Admin) -> Result<HttpResponse, ApiError> {
    render(&admin, News::default()).await
}

/// `POST /users`
pub(super) async fn add_user(admin: Admin, form: Form<UserForm>) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    let must_change = form.must_change.is_some();
    let added = admin
        .add_user(&form.name, form.role, form.password, must_change)
        .await
        .map(|_| ());
    let typed = Typed {
        name: form.name,
        role: role_name(form.role),
        must_change,
        ..Typed::default()
    };
    let again = News {
        user: typed,
        ..News::default()
    };
    end_form(&admin, added, again).await
}

/// `POST /users/role`
pub(super) async fn change_role(
    admin: Admin,
    form: Form<RoleForm>,
) -> Result<HttpResponse, ApiError> {
    let change = UserChange {
        role: Some(form.role),
        disabled: None,
    };
    let changed = admin.change_user(&form.name, change).await.map(|_| ());
    end_form(&admin, changed, News::default()).await
}

/// `POST /users/disable`
pub(super) async fn disable(admin: Admin, form: Form<NameForm>) -> Result<HttpResponse, ApiError> {
    set_disabled(&admin, &form.name, true).await
}

/// `POST /users/enable`
pub(super) async fn enable(admin: Admin, form: Form<NameForm>) -> Result<HttpResponse, ApiError> {
    set_disabled(&admin, &form.name, false).await
}

async fn set_disabled(admin: &Admin, name: &str, disabled: bool) -> Result<HttpResponse, ApiError> {
    let change = UserChange {
        role: None,
        disabled: Some(disabled),
    };
    let changed = admin.change_user(name, change).await.map(|_| ());
    end_form(admin, changed, News::default()).await
}

/// `POST /users/password`
pub(super) async fn set_password(
    admin: Admin,
    form: Form<PasswordForm>,
) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    let must_change = form.must_change.is_some();
    let set = admin.set_password(&form.name, form.password, must_change);
    let set = set.await;
    let again = News {
        whom: Some(form.name),
        ..News::default()
    };
    end_form(&admin, set, again).await
}

/// `POST /users/totp/remove`
pub(super) async fn remove_totp(
    admin: Admin,
    form: Form<NameForm>,
) -> Result<HttpResponse, ApiError> {
    let removed = admin.remove_second_factor(&form.name).await;
    end_form(&admin, removed, News::default()).await
}

/// `POST /users/remove`
pub(super) async fn remove_user(
    admin: Admin,
    form: Form<NameForm>,
) -> Result<HttpResponse, ApiError> {
    let removed = admin.remove_user(&form.name).await;
    end_form(&admin, removed, News::default()).await
}

/// `POST /users/sessions/end`
pub(super) async fn end_session(
    admin: Admin,
    form: Form<SessionForm>,
) -> Result<HttpResponse, ApiError> {
    let ended = admin.end_session(&form.id).await;
    end_form(&admin, ended, News::default()).await
}

/// `POST /tokens`. The answer shows the token, which is nowhere else.
pub(super) async fn add_token(
    admin: Admin,
    form: Form<TokenForm>,
) -> Result<HttpResponse, ApiError> {
    let added = match form.expires_in() {
        Ok(expires_in) => admin.add_token(&form.name, form.role, expires_in).await,
        Err(error) => Err(error),
    };
    match added {
        Ok((token, text)) => {
            let news = News {
                new_token: Some(NewToken::new(token, text)),
                ..News::default()
            };
            render(&admin, news).await
        }
        Err(error) => {
            let again = News {
                token: Typed::from(&*form),
                ..News::default()
            };
            end_form(&admin, Err(error), again).await
        }
    }
}

/// `POST /tokens/{id}/remove`
pub(super) async fn remove_token(admin: Admin, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    let removed = admin.remove_token(*id).await;
    end_form(&admin, removed, News::default()).await
}

/// Back to the page, with what went wrong if it was the form's fault.
async fn end_form(
    admin: &Admin,
    result: Result<(), ApiError>,
    again: News,
) -> Result<HttpResponse, ApiError> {
    match result {
        Ok(()) => Ok(see_other("/users")),
        Err(error) if error.status().is_client_error() => {
            let mut mistake = Mistake::from(&error);
            if let Some(whom) = &again.whom {
                mistake = mistake.of(whom);
            }
            let news = News {
                status: error.status(),
                error: Some(mistake),
                ..again
            };
            render(admin, news).await
        }
        Err(error) => Err(error),
    }
}

async fn render(admin: &Admin, news: News) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(admin, "/users");
    let users = admin.users().await?;
    let tokens = admin.tokens().await?;
    let sessions = admin.sessions(None).await?;
    let users: Vec<UserLine<'_>> = users.iter().map(UserLine::new).collect();
    let tokens: Vec<TokenLine<'_>> = tokens.iter().map(TokenLine::new).collect();
    let sessions: Vec<SessionLine> = sessions
        .iter()
        .map(|session| SessionLine::new(session, admin.identity().is_of(session)))
        .collect();
    page.insert("users", &users);
    page.insert("tokens", &tokens);
    page.insert("sessions", &sessions);
    page.insert("error", &news.error);
    page.insert("new_token", &news.new_token);
    page.insert("typed_user", &news.user);
    page.insert("typed_token", &news.token);
    page.render_as(news.status, "pages/users.html")
}

#[derive(Serialize)]
pub(super) struct NewToken {
    name: String,
    text: String,
}

impl NewToken {
    /// With its text.
    pub(super) fn new(token: ApiToken, text: String) -> Self {
        Self {
            name: token.name,
            text,
        }
    }
}

#[derive(Serialize)]
struct UserLine<'a> {
    name: &'a str,
    role: &'static str,
    created_at: Timestamp,
    must_change_password: bool,
    disabled: bool,
    is_local: bool,
    has_totp: bool,
}

impl<'a> UserLine<'a> {
    fn new(user: &'a User) -> Self {
        Self {
            name: &user.name,
            role: role_name(user.role),
            created_at: user.created_at,
            must_change_password: user.must_change_password,
            disabled: user.disabled,
            is_local: user.source == UserSource::Local,
            has_totp: user.has_totp,
        }
    }
}

/// A token in a list.
#[derive(Serialize)]
pub(super) struct TokenLine<'a> {
    id: i64,
    name: &'a str,
    role: &'static str,
    owner: Option<&'a str>,
    last_used_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
}

impl<'a> TokenLine<'a> {
    /// Of one.
    pub(super) fn new(token: &'a ApiToken) -> Self {
        Self {
            id: token.id,
            name: &token.name,
            role: role_name(token.role),
            owner: token.owner.as_deref(),
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
        }
    }
}
