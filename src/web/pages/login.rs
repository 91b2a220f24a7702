//! Logging in, in one step or two, and out.

use actix_web::http::{StatusCode, header};
use actix_web::web::{Data, Form, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::chrome::{Page, see_other};
use super::words;
use crate::web::auth::oidc::{self, Oidc, OidcError, Returned};
use crate::web::auth::{self, LoginError, Myself, ProvedBy};
use crate::web::{ApiError, AppState};

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
pub(super) struct CodeForm {
    code: String,
    #[serde(default)]
    next: String,
}

/// `GET /login`
pub(super) async fn login_form(
    myself: Result<Myself, ApiError>,
    state: Data<AppState>,
    query: Query<LoginQuery>,
) -> Result<HttpResponse, ApiError> {
    if myself.is_ok() {
        return Ok(see_other(&local(&query.next)));
    }
    render_login(&state, StatusCode::OK, "", &query.next, None)
}

/// `POST /login`
pub(super) async fn login(
    request: HttpRequest,
    state: Data<AppState>,
    form: Form<LoginForm>,
) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    match auth::login(&request, &form.name, form.password).await {
        Ok(user) if user.has_totp => {
            auth::await_code(&request, &user).await?;
            let next = local(&form.next);
            Ok(see_other(&words::address(
                "/login/code",
                &[("next", &next)],
            )))
        }
        Ok(user) => {
            auth::start_session(&request, &user, ProvedBy::Password).await?;
            Ok(see_other(&local(&form.next)))
        }
        Err(LoginError::Server(error)) => Err(error),
        Err(error) => {
            let (status, text) = refusal(&error);
            render_login(&state, status, &form.name, &form.next, Some(text))
        }
    }
}

/// `GET /login/code`
pub(super) async fn code_form(
    request: HttpRequest,
    query: Query<LoginQuery>,
) -> Result<HttpResponse, ApiError> {
    if auth::awaited(&request).await?.is_none() {
        return Ok(back_to_login(&query.next));
    }
    render_code(StatusCode::OK, &query.next, None)
}

/// `POST /login/code`
pub(super) async fn code(
    request: HttpRequest,
    form: Form<CodeForm>,
) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    let Some(user) = auth::awaited(&request).await? else {
        return Ok(back_to_login(&form.next));
    };
    match auth::check_code(&request, &user, &form.code).await {
        Ok(()) => {
            auth::start_session(&request, &user, ProvedBy::PasswordAndCode).await?;
            Ok(see_other(&local(&form.next)))
        }
        Err(LoginError::Server(error)) => Err(error),
        Err(error) => {
            let (status, text) = refusal(&error);
            render_code(status, &form.next, Some(text))
        }
    }
}

/// `GET /login/oidc`: on to the provider.
pub(super) async fn begin_oidc(
    request: HttpRequest,
    state: Data<AppState>,
    query: Query<LoginQuery>,
) -> Result<HttpResponse, ApiError> {
    match oidc::begin(&request, &local(&query.next)).await {
        Ok(begun) => Ok(HttpResponse::SeeOther()
            .insert_header((header::LOCATION, begun.address))
            .cookie(begun.cookie)
            .finish()),
        Err(error) => oidc_error(&state, error, &query.next),
    }
}

/// `GET /login/oidc/return`: back from the provider.
pub(super) async fn finish_oidc(
    request: HttpRequest,
    state: Data<AppState>,
    returned: Query<Returned>,
) -> Result<HttpResponse, ApiError> {
    let mut answer = match oidc::finish(&request, returned.into_inner()).await {
        Ok((user, next)) => {
            auth::start_session(&request, &user, ProvedBy::Oidc).await?;
            see_other(&local(&next))
        }
        Err(error) => oidc_error(&state, error, "")?,
    };
    if let Some(cookie) = oidc::without_cookie(&request) {
        answer.add_cookie(&cookie).map_err(ApiError::internal)?;
    }
    Ok(answer)
}

/// The login page says what went wrong, and takes passwords as ever.
fn oidc_error(state: &AppState, error: OidcError, next: &str) -> Result<HttpResponse, ApiError> {
    let (status, text) = match error {
        OidcError::Server(error) => return Err(error),
        OidcError::Provider(text) => (StatusCode::BAD_GATEWAY, text),
        OidcError::Refused(text) => (StatusCode::UNAUTHORIZED, text),
    };
    render_login(state, status, "", next, Some(words::sentence(&text)))
}

/// `POST /logout`
pub(super) async fn logout(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    auth::end_session(&request).await?;
    Ok(see_other("/login"))
}

/// The password has to be given again: it was too long ago, or it is another one by now.
fn back_to_login(next: &str) -> HttpResponse {
    see_other(&words::address("/login", &[("next", &local(next))]))
}

/// What a form says of a login that was refused.
pub(super) fn refusal(error: &LoginError) -> (StatusCode, String) {
    match error {
        LoginError::TooMany { retry_after } => (
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "Too many failed logins. Try again in {} seconds.",
                retry_after.as_secs().saturating_add(1)
            ),
        ),
        LoginError::CodeWanted | LoginError::Refused(_) | LoginError::Server(_) => (
            StatusCode::UNAUTHORIZED,
            words::sentence(&error.to_string()),
        ),
    }
}

fn render_login(
    state: &AppState,
    status: StatusCode,
    name: &str,
    next: &str,
    error: Option<String>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::bare();
    page.insert("name", name);
    page.insert("next", &local(next));
    page.insert("error", &error);
    page.insert("oidc", &state.oidc.as_ref().map(Oidc::label));
    page.render_as(status, "pages/login.html")
}

fn render_code(
    status: StatusCode,
    next: &str,
    error: Option<String>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::bare();
    page.insert("next", &local(next));
    page.insert("error", &error);
    page.render_as(status, "pages/login_code.html")
}

/// Only addresses of this server are gone to after a login: a path with one slash at its head and
/// nothing that a browser would drop or turn round.
pub(super) fn local(next: &str) -> String {
    let plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let about_login = ["/login", "/logout"]
        .iter()
        .any(|path| next.starts_with(path));
    if plain && next.starts_with('/') && !next.starts_with("//") && !about_login {
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
            ("/devices/a%2Fb", "/devices/a%2Fb"),
            ("/@evil.example", "/@evil.example"),
            ("", "/"),
            ("devices", "/"),
            ("//evil.example/", "/"),
            ("///evil.example/", "/"),
            ("/\\evil.example/", "/"),
            ("\\\\evil.example/", "/"),
            ("/\t/evil.example/", "/"),
            ("/\r\nSet-Cookie: a=b", "/"),
            ("/\0", "/"),
            ("/\u{2215}evil.example", "/"),
            (" /devices", "/"),
            ("https://evil.example/", "/"),
            ("https:evil.example", "/"),
            ("javascript:alert(1)", "/"),
            ("data:text/html,x", "/"),
            ("/login?next=/login", "/"),
            ("/logout", "/"),
        ] {
            assert_eq!(local(next), goal, "{next:?}");
        }
    }
}
