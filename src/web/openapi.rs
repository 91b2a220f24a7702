//! The OpenAPI document, collected from the handlers, and its pages (Swagger UI, served from the
//! binary).

use std::sync::LazyLock;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{HttpServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, ContentType};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, HttpResponse, ResponseError as _, get, web};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_actix_web::AppExt as _;
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::store::Role;

use super::api::refused::NotLoggedIn;
use super::api::{self, examples, refused};
use super::auth::{Viewer, access};

/// Where the document is.
const PATH: &str = "/api/v1/openapi.json";

/// What no handler says: the frame of the document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "flownexus",
        description = "Manages LwM2M devices.\n\nA viewer reads, an operator also operates devices, an admin also \
            manages people, tokens, credentials and settings; `security` of each call names the role that it needs.\n\nTimes are RFC 3339 in UTC. Errors are problem \
            documents (RFC 9457); `field` names what is wrong. Lists are read page by page: pass \
            `next` of one answer as `cursor` of the next request until it is null.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&Schemes),
    security(("token" = []), ("session" = [])),
    tags(
        (name = "endpoints", description = "The devices"),
        (name = "operations", description = "What devices are asked to do"),
        (name = "values", description = "What devices report"),
        (name = "protocol", description = "What devices and the server say to each other, and what it costs"),
        (name = "gateway", description = "Data from an outside LwM2M gateway, in the formats of the first flownexus"),
        (name = "rules", description = "What makes events of values, or of their absence"),
        (name = "templates", description = "What is observed on each registration"),
        (name = "models", description = "What objects consist of"),
        (name = "firmware", description = "Images that devices can be given"),
        (name = "rollouts", description = "An image on its way to many devices, group by group, and back"),
        (name = "access", description = "People, tokens, the audit log"),
        (name = "live", description = "What happens, as it happens"),
        (name = "server", description = "Health, metrics, this document"),
    ),
)]
struct Frame;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("An API token, `fnx_…`"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let session = ApiKeyValue::with_description(
            "flownexus",
            "The session of the login page; over HTTPS the cookie is called `__Host-flownexus`",
        );
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// The document of everything that this server answers.
pub fn document() -> Document {
    let (_, mut document) = App::new()
        .into_utoipa_app()
        .openapi(Frame::openapi())
        .configure(api::describe)
        .split_for_parts();
    for (path, item) in &mut document.paths.paths {
        refused::add_common(path, item);
        examples::add_common(item);
    }
    document
}

static TEXT: LazyLock<String> = LazyLock::new(|| document().to_pretty_json().unwrap_or_default());

/// This document
#[utoipa::path(
    get,
    path = "/openapi.json",
    impl_for = show_openapi,
    tag = "server",
    responses(
        (status = 200, description = "OpenAPI 3.1", body = serde_json::Value),
        NotLoggedIn,
    ),
)]
#[get("/openapi.json")]
pub(super) async fn show_openapi(_viewer: Viewer) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::json())
        .body(TEXT.as_str())
}

/// Swagger UI at `/api/docs/`, for those who have logged in.
pub(super) fn docs() -> impl HttpServiceFactory {
    web::scope("/api/docs")
        .wrap(from_fn(for_viewers))
        .service(web::redirect("", "/api/docs/"))
        .service(SwaggerUi::new("/{_:.*}").config(Config::from(PATH).validator_url("none")))
}

/// Sends a browser to the login page; anything else gets its 401.
async fn for_viewers<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Err(refusal) = access::require(request.request(), Role::Viewer) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let browser = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    let answer = if browser && refusal.is_duty() {
        HttpResponse::SeeOther()
            .insert_header((header::LOCATION, "/account"))
            .finish()
    } else if browser {
        HttpResponse::SeeOther()
            .insert_header((header::LOCATION, "/login?next=/api/docs/"))
            .finish()
    } else {
        refusal.error_response()
    };
    Ok(request.into_response(answer))
}
