//! Logging in and out, and changing one's own password.

use actix_web::http::StatusCode;
use actix_web::web::{Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::chrome::{Page, see_other};
use super::words::sentence;
use crate::web::ApiError;
use crate::web::auth::{self, ChangePasswordError, LoginError, Viewer};

#[derive(Debug, Deserialize)]
pub(super) struct LoginQuery {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct LoginForm {
    name: String,
    password: String,
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    present: String,
    new: String,
    again: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct PasswordQuery {
    done: Option<String>,
}

/// `GET /login`
pub(super) async fn login_form(
    viewer: Result<Viewer, ApiError>,
    query: Query<LoginQuery>,
) -> Result<HttpResponse, ApiError> {
    if viewer.is_ok() {
        return Ok(see_other(&local(&query.next)));
    }
    render_login(StatusCode::OK, "", &query.next, None)
}

/// `POST /login`
pub(super) async fn login(
    request: HttpRequest,
    form: Form<LoginForm>,
) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    match auth::login(&request, &form.name, form.password).await {
        Ok(user) => {
            auth::start_session(&request, &user).await?;
            Ok(see_other(&local(&form.next)))
        }
        Err(LoginError::Refused) => render_login(
            StatusCode::UNAUTHORIZED,
            &form.name,
            &form.next,
            Some("The name or the password is wrong.".to_owned()),
        ),
        Err(LoginError::TooMany { retry_after }) => render_login(
            StatusCode::TOO_MANY_REQUESTS,
            &form.name,
            &form.next,
            Some(format!(
                "Too many failed logins. Try again in {} seconds.",
                retry_after.as_secs().saturating_add(1)
            )),
        ),
        Err(LoginError::Server(error)) => Err(error),
    }
}

/// `POST /logout`
pub(super) async fn logout(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    auth::end_session(&request).await?;
    Ok(see_other("/login"))
}

/// `GET /account`
pub(super) async fn password_form(
    viewer: Viewer,
    query: Query<PasswordQuery>,
) -> Result<HttpResponse, ApiError> {
    render_account(&viewer, StatusCode::OK, None, query.done.is_some())
}

/// `POST /account`
pub(super) async fn change_password(
    request: HttpRequest,
    viewer: Viewer,
    form: Form<PasswordForm>,
) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    if form.new != form.again {
        let error = "The new password is not the same both times.".to_owned();
        return render_account(
            &viewer,
            StatusCode::UNPROCESSABLE_ENTITY,
            Some(error),
            false,
        );
    }
    let changed = auth::change_password(&request, viewer.identity(), form.present, form.new).await;
    let (status, error) = match changed {
        Ok(()) => return Ok(see_other("/account?done=1")),
        Err(ChangePasswordError::Login(LoginError::Server(error))) => return Err(error),
        Err(ChangePasswordError::Login(LoginError::Refused)) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "The present password is wrong.".to_owned(),
        ),
        Err(ChangePasswordError::Login(error @ LoginError::TooMany { .. })) => {
            (StatusCode::TOO_MANY_REQUESTS, sentence(&error.to_string()))
        }
        Err(ChangePasswordError::Unusable(why)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, sentence(&why))
        }
    };
    render_account(&viewer, status, Some(error), false)
}

fn render_login(
    status: StatusCode,
    name: &str,
    next: &str,
    error: Option<String>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::bare();
    page.insert("name", name);
    page.insert("next", &local(next));
    page.insert("error", &error);
    page.render_as(status, "pages/login.html")
}

fn render_account(
    viewer: &Viewer,
    status: StatusCode,
    error: Option<String>,
    done: bool,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(viewer, "/account");
    page.insert("error", &error);
    page.insert("done", &done);
    page.render_as(status, "pages/account.html")
}

/// Only addresses of this server are gone to after a login: a path with one slash at its head and
/// nothing that a browser would drop or turn round.
fn local(next: &str) -> String {
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && next.starts_with('/') && !next.starts_with("//") {
        next.to_owned()
    } else {
        "/".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_login_nobody_is_sent_to_another_site() {
        for (next, goal) in [
            ("/devices?search=a", "/devices?search=a"),
            ("", "/"),
            ("devices", "/"),
            ("//evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("/\t/evil.example/", "/"),
            ("https://evil.example/", "/"),
            ("javascript:alert(1)", "/"),
        ] {
            assert_eq!(local(next), goal, "{next:?}");
        }
    }
}
