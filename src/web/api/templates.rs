//! `/api/v1/observation-templates`: what is observed on each registration.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{OperationKind, Selection};
use crate::store::ObservationTemplate;
use crate::web::ApiError;
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::operation_request::check_paths;
use super::query::{self, NoQuery, Page};

/// What is observed, or read once, on each registration.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"id": 1, "kind": "observe", "paths": ["/3303/0/5700"]}))]
pub(super) struct Template {
    /// Its number.
    id: i64,
    /// `observe`, `observe_composite` or `read`.
    kind: &'static str,
    /// Where; several for a composite.
    paths: Vec<String>,
}

impl From<ObservationTemplate> for Template {
    fn from(template: ObservationTemplate) -> Self {
        Self {
            id: template.id,
            kind: template.kind.name(),
            paths: template.paths.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A new template.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "observe", "path": "/3303/0/5700"}))]
pub(super) struct NewTemplate {
    /// `observe` (when missing), `observe_composite` or `read`.
    kind: Option<String>,
    /// Where.
    path: Option<String>,
    /// Where, for composites.
    paths: Option<Vec<String>>,
}

/// List observation templates
#[utoipa::path(
    get,
    path = "/observation-templates",
    impl_for = list_templates,
    tag = "templates",
    responses(
        (status = 200, description = "All of them", body = Page<Template>),
        (status = 401, description = "Not logged in", body = Problem, content_type = "application/problem+json"),
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
/// It counts from the next registrations on.
#[utoipa::path(
    post,
    path = "/observation-templates",
    impl_for = create_template,
    tag = "templates",
    request_body = NewTemplate,
    responses(
        (status = 201, description = "It is stored", body = Template),
        (status = 400, description = "The body is no JSON", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not logged in", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the role operator", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is one like it", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field makes no sense", body = Problem, content_type = "application/problem+json"),
    ),
)]
#[post("/observation-templates")]
pub(super) async fn create_template(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Json<NewTemplate>,
) -> Result<HttpResponse, ApiError> {
    let kind = match body.kind.as_deref() {
        None if body.paths.as_ref().is_some_and(|paths| paths.len() > 1) => {
            OperationKind::ObserveComposite
        }
        None | Some("observe") => OperationKind::Observe,
        Some("observe_composite") => OperationKind::ObserveComposite,
        Some("read") => OperationKind::Read,
        Some(_) => {
            let detail = "a template is `observe`, `observe_composite` or `read`";
            return Err(ApiError::invalid("kind", detail));
        }
    };
    let paths = check_paths(kind, body.path.as_deref(), body.paths.as_deref())?;
    let template = ObservationTemplate {
        id: 0,
        paths,
        kind,
        selection: Selection::default(),
        attributes: Vec::new(),
        format: None,
        enabled: true,
        revision: 0,
    };
    let template = operator.add_template(template).await?;
    Ok(HttpResponse::Created().json(Template::from(template)))
}

/// Remove an observation template
///
/// Observations that run go on until the device registers again.
#[utoipa::path(
    delete,
    path = "/observation-templates/{id}",
    impl_for = delete_template,
    tag = "templates",
    params(("id" = i64, Path, description = "The template's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 401, description = "Not logged in", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Needs the role operator", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No template has this number", body = Problem, content_type = "application/problem+json"),
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
