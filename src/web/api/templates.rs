//! `/api/v1/observation-templates`: what is wanted of devices.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post, put};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::store::ObservationTemplate;
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::filter::DeviceFilter;
use super::object::Object;
use super::query::{self, NoQuery, Page};
use super::template_request::{TemplateBody, check};

/// What is observed, or read once, on the devices that it is for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 1, "kind": "observe", "paths": ["/3303/0/5700"],
    "attributes": {"pmin": "10", "pmax": "300"}, "filter": {"names": [], "tags": ["lab"]},
    "format": null, "enabled": true
}))]
pub(super) struct Template {
    /// Its number.
    id: i64,
    /// `observe`, `observe_composite` or `read`.
    kind: &'static str,
    /// Where; several for a composite.
    paths: Vec<String>,
    /// Notification attributes that are written before the observation is made.
    #[schema(value_type = std::collections::HashMap<String, String>)]
    attributes: Map<String, Value>,
    /// For which devices.
    filter: DeviceFilter,
    /// The format of notifications; null when the server chooses.
    #[schema(required)]
    format: Option<&'static str>,
    /// Whether it counts.
    enabled: bool,
}

impl From<ObservationTemplate> for Template {
    fn from(template: ObservationTemplate) -> Self {
        Self {
            id: template.id,
            kind: template.kind.name(),
            paths: template.paths.iter().map(ToString::to_string).collect(),
            attributes: template
                .attributes
                .into_iter()
                .map(|(name, value)| (name, Value::String(value)))
                .collect(),
            filter: DeviceFilter {
                names: template.selection.names,
                tags: template.selection.tags,
            },
            format: template.format.map(crate::domain::ContentFormat::name),
            enabled: template.enabled,
        }
    }
}

/// List observation templates
#[utoipa::path(
    get,
    path = "/observation-templates",
    impl_for = list_templates,
    tag = "templates",
    responses(
        (status = 200, description = "All of them", body = Page<Template>),
        NotLoggedIn,
    ),
)]
#[get("/observation-templates")]
pub(super) async fn list_templates(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<Template>>, ApiError> {
    let templates = viewer.templates().await?;
    Ok(Json(Page::whole(
        templates.into_iter().map(Template::from).collect(),
    )))
}

/// Add an observation template
///
/// Every registered device that it is for is asked at once, as far as it announced such objects;
/// devices that sleep when they wake.
#[utoipa::path(
    post,
    path = "/observation-templates",
    impl_for = create_template,
    tag = "templates",
    request_body = TemplateBody,
    responses(
        (status = 201, description = "It is stored", body = Template),
        (status = 409, description = "There are too many (500)", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/observation-templates")]
pub(super) async fn create_template(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Object<TemplateBody>,
) -> Result<HttpResponse, ApiError> {
    let template = check(&body, &operator.models())?;
    let template = operator.add_template(template).await?;
    Ok(HttpResponse::Created().json(Template::from(template)))
}

/// Replace an observation template
///
/// What it no longer wants is ended on every device, what it wants now is asked for, and attributes
/// that changed are written; what somebody cancelled or a device refused is asked for again.
#[utoipa::path(
    put,
    path = "/observation-templates/{id}",
    impl_for = replace_template,
    tag = "templates",
    params(("id" = i64, Path, description = "The template's number")),
    request_body = TemplateBody,
    responses(
        (status = 200, description = "It is stored", body = Template),
        (status = 404, description = "No template has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[put("/observation-templates/{id}")]
pub(super) async fn replace_template(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
    body: Object<TemplateBody>,
) -> Result<Json<Template>, ApiError> {
    let id = query::row_id("observation template", &id)?;
    let template = check(&body, &operator.models())?;
    let template = operator
        .replace_template(ObservationTemplate { id, ..template })
        .await?;
    Ok(Json(Template::from(template)))
}

/// Remove an observation template
///
/// What only this template wants is ended on every device.
#[utoipa::path(
    delete,
    path = "/observation-templates/{id}",
    impl_for = delete_template,
    tag = "templates",
    params(("id" = i64, Path, description = "The template's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No template has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/observation-templates/{id}")]
pub(super) async fn delete_template(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = query::row_id("observation template", &id)?;
    operator.remove_template(id).await?;
    Ok(HttpResponse::NoContent().finish())
}
