//! Refusals as pages: the login form for strangers, otherwise a page that says what is wrong.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::Next;
use actix_web::{Error, FromRequest as _, HttpRequest, HttpResponse};

use super::assets;
use super::chrome::{Page, see_other};
use super::words;
use crate::web::auth::Viewer;
use crate::web::{ApiError, fallback};

/// Paths that answer programs.
const FOR_PROGRAMS: [&str; 5] = ["/api", "/leshan_api", "/health", "/metrics", assets::PREFIX];

/// Turns the errors of the handlers behind it into pages.
///
/// # Errors
/// Those of the handler that are no answers.
pub(super) async fn as_page<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?.map_into_boxed_body();
    let Some(error) = response.response().error() else {
        return Ok(response);
    };
    if is_for_programs(response.request().path()) {
        return Ok(response);
    }
    if let Some(error) = error.as_error::<ApiError>()
        && error.is_duty()
    {
        return Ok(response.into_response(see_other("/account")));
    }
    let (status, text) = match error.as_error::<ApiError>() {
        Some(error) => (error.status(), error.detail().to_owned()),
        None => (
            response.status(),
            "The server cannot read this request.".to_owned(),
        ),
    };
    let page = error_page(response.request(), status, &text);
    Ok(response.into_response(page))
}

/// Answers what no route takes.
pub(super) async fn not_found(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    if is_for_programs(request.path()) {
        return Ok(fallback::not_found(request).await);
    }
    Err(ApiError::not_found("There is no page at this address."))
}

fn is_for_programs(path: &str) -> bool {
    FOR_PROGRAMS.iter().any(|prefix| path.starts_with(prefix))
}

fn error_page(request: &HttpRequest, status: StatusCode, text: &str) -> HttpResponse {
    if status == StatusCode::UNAUTHORIZED {
        return see_other(&login_address(request));
    }
    // Whether somebody is logged in was noted before; there is no need to wait.
    let viewer = Viewer::from_request(request, &mut Payload::None)
        .into_inner()
        .ok();
    let (mut page, template) = match &viewer {
        Some(viewer) => (Page::new(viewer, ""), "pages/error.html"),
        None => (Page::bare(), "pages/error_plain.html"),
    };
    let (back, back_label) = match request.path().split('/').nth(1) {
        Some("devices") => ("/devices", "Devices"),
        Some("events") => ("/events", "Events"),
        _ => ("/", "Overview"),
    };
    page.insert("status", &status.as_u16());
    page.insert("title", title(status));
    page.insert("text", &words::sentence(text));
    page.insert("back", back);
    page.insert("back_label", back_label);
    match page.render_as(status, template) {
        Ok(response) => response,
        Err(error) => HttpResponse::build(status).body(error.detail().to_owned()),
    }
}

/// Where strangers go, to come back here afterwards if this was a page and no form.
fn login_address(request: &HttpRequest) -> String {
    let here = request
        .uri()
        .path_and_query()
        .map_or("/", |here| here.as_str());
    if request.method() != actix_web::http::Method::GET || here == "/" {
        return "/login".to_owned();
    }
    format!("/login?next={}", words::segment(here))
}

fn title(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "That cannot be read",
        403 => "Not with your role",
        404 => "There is nothing here",
        409 => "That does not fit the present state",
        429 => "Too much at once",
        503 => "Not at the moment",
        500..=599 => "Something went wrong in the server",
        _ => "That did not work",
    }
}
