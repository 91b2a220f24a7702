//! `/api/v1/models`: the object models, and definitions (DDF) that add to them.

use std::collections::BTreeMap;

use actix_web::http::header;
use actix_web::web::{Json, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::Timestamp;
use crate::lwm2m::{Models, ObjectModel, Operations, ResourceModel, ddf};
use crate::store::{AddedModel, ModelEntry};
use crate::web::api::refused::{NotLoggedIn, NotOperator};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;
use crate::web::models::Filter;
use crate::web::{ApiError, upload};

use super::query::{self, NoQuery, Page};

/// One version of an object.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "object_id": 3303, "version": "1.1", "name": "Temperature", "source": "builtin",
    "multiple": true, "mandatory": false, "resource_count": 14,
    "uploaded_at": null, "uploaded_by": null
}))]
pub(super) struct ModelSummary {
    /// The object.
    object_id: u16,
    /// The version of the object.
    version: String,
    /// Its name.
    name: String,
    /// `builtin`, or `uploaded` (also when it is in the place of a built-in one).
    source: &'static str,
    /// True when a device may have several instances of it.
    multiple: bool,
    /// True when a device must have it.
    mandatory: bool,
    /// How many resources it has.
    resource_count: usize,
    /// When it was uploaded.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    uploaded_at: Option<Timestamp>,
    /// Who uploaded it.
    #[schema(required)]
    uploaded_by: Option<String>,
}

/// One version of an object with its resources.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Model {
    #[serde(flatten)]
    summary: ModelSummary,
    /// Its resources by id.
    resources: Vec<ModelResource>,
}

/// A resource of an object.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 5700, "name": "Sensor Value", "operations": "R", "multiple": false, "mandatory": true,
    "type": "FLOAT", "range": null, "units": null
}))]
pub(super) struct ModelResource {
    /// The resource.
    id: u16,
    /// Its name.
    name: String,
    /// The letters of what a server may do: `R` read and observe, `W` write, `E` execute; none for
    /// what only bootstrapping sets.
    operations: String,
    /// True when it has resource instances.
    multiple: bool,
    /// True when each instance of the object must have it.
    mandatory: bool,
    /// Its type; null for what can only be executed.
    #[serde(rename = "type")]
    #[schema(required)]
    value_type: Option<&'static str>,
    /// The values that are allowed, in the notation of the registry.
    #[schema(required)]
    range: Option<String>,
    /// The unit of measure.
    #[schema(required)]
    units: Option<String>,
}

/// A model that was stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"object_id": 33333, "version": "1.0", "name": "Pump", "replaced": false}))]
pub(super) struct StoredModel {
    /// The object.
    object_id: u16,
    /// The version of the object.
    version: String,
    /// Its name.
    name: String,
    /// True when an uploaded one went for it.
    replaced: bool,
}

/// Definition files in a form.
#[derive(ToSchema)]
#[schema(example = json!({"file": ["(a DDF file)"], "replace": false}))]
#[expect(dead_code, reason = "it describes a form to the document")]
pub(super) struct DefinitionForm {
    /// One file or several.
    #[schema(value_type = Vec<String>, format = Binary)]
    file: Vec<Vec<u8>>,
    /// As the query parameter.
    replace: Option<bool>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// The beginning of an object id, or a part of a name in any case.
    search: Option<String>,
    /// `builtin` or `uploaded`; both when missing.
    #[param(example = "uploaded")]
    source: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CreateQuery {
    /// True: an uploaded model of the same object and version goes.
    #[param(value_type = Option<bool>, default = false)]
    replace: Option<String>,
}

/// List object models
#[utoipa::path(
    get,
    path = "/models",
    impl_for = list_models,
    tag = "models",
    params(ListQuery),
    responses(
        (status = 200, description = "Models by object id and version", body = Page<ModelSummary>),
        (status = 400, description = "A parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/models")]
pub(super) async fn list_models(
    viewer: Viewer,
    query: Query<ListQuery>,
) -> Result<Json<Page<ModelSummary>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let uploaded = match query.source.as_deref() {
        None => None,
        Some("builtin") => Some(false),
        Some("uploaded") => Some(true),
        Some(_) => {
            let detail = "`source` is `builtin` or `uploaded`";
            return Err(ApiError::parameter("source", detail));
        }
    };
    let cursor: Option<Position> = query::read_cursor(query.cursor.as_deref())?;
    let filter = Filter {
        search: query.search.clone().unwrap_or_default(),
        uploaded,
        after: cursor.map(|Position(id, version)| (id, version)),
    };
    let (models, uploads) = (viewer.models(), Uploads::of(&viewer).await?);
    let one_more = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let rows: Vec<&ObjectModel> = filter.matching(&models).take(one_more).collect();
    Ok(Json(Page::cut(
        rows,
        limit,
        |object| format!("{}/{}", object.id, object.version),
        |object| uploads.summary(&models, object),
    )))
}

/// Show every version of an object
#[utoipa::path(
    get,
    path = "/models/{object_id}",
    impl_for = show_object,
    tag = "models",
    params(("object_id" = u16, Path, description = "The object")),
    responses(
        (status = 200, description = "Its versions, the oldest first", body = Page<Model>),
        (status = 404, description = "No model of this object is known", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/models/{object_id}")]
pub(super) async fn show_object(
    viewer: Viewer,
    object_id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<Page<Model>>, ApiError> {
    let id = object_id_of(&object_id)?;
    let (models, uploads) = (viewer.models(), Uploads::of(&viewer).await?);
    let versions = models.versions(id);
    if versions.is_empty() {
        let detail = format!("there is no model of object {id}");
        return Err(ApiError::not_found(detail));
    }
    let items = versions.iter().map(|object| uploads.model(&models, object));
    Ok(Json(Page::whole(items.collect())))
}

/// Show one version of an object
#[utoipa::path(
    get,
    path = "/models/{object_id}/{version}",
    impl_for = show_model,
    tag = "models",
    params(
        ("object_id" = u16, Path, description = "The object"),
        ("version" = String, Path, description = "Its version", example = "1.1"),
    ),
    responses(
        (status = 200, description = "Its model", body = Model),
        (status = 404, description = "No such model is known", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/models/{object_id}/{version}")]
pub(super) async fn show_model(
    viewer: Viewer,
    path: Path<(String, String)>,
    _query: Query<NoQuery>,
) -> Result<Json<Model>, ApiError> {
    let (id, version) = model_of(&path)?;
    let (models, uploads) = (viewer.models(), Uploads::of(&viewer).await?);
    let Some(object) = models.exact(id, &version) else {
        let detail = format!("there is no model of object {id} version {version}");
        return Err(ApiError::not_found(detail));
    };
    Ok(Json(uploads.model(&models, object)))
}

/// Show the definition of one version of an object
///
/// The XML as it was uploaded; for a built-in model one that says the same.
#[utoipa::path(
    get,
    path = "/models/{object_id}/{version}/definition",
    impl_for = show_model_definition,
    tag = "models",
    params(
        ("object_id" = u16, Path, description = "The object"),
        ("version" = String, Path, description = "Its version", example = "1.1"),
    ),
    responses(
        (status = 200, description = "A DDF file", body = String, content_type = "application/xml"),
        (status = 404, description = "No such model is known", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/models/{object_id}/{version}/definition")]
pub(super) async fn show_model_definition(
    viewer: Viewer,
    path: Path<(String, String)>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let (id, version) = model_of(&path)?;
    let definition = viewer.model_definition(id, &version).await?;
    // It may be anybody's XML: a browser saves it and never shows it.
    let disposition = format!("attachment; filename=\"{id}-{version}.xml\"");
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/xml; charset=utf-8"))
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        .body(definition))
}

/// Upload object models
///
/// Definitions (DDF) in the XML of the OMA registry. Every object of every file is stored, or none.
/// They are in force at once, in the place of built-in ones of the same object and version.
#[utoipa::path(
    post,
    path = "/models",
    impl_for = create_models,
    tag = "models",
    params(CreateQuery),
    request_body(description = "One file, or a form with files", content(
        (String = "application/xml"),
        (DefinitionForm = "multipart/form-data"),
    )),
    responses(
        (status = 201, description = "They are stored and in force", body = Page<StoredModel>),
        (status = 400, description = "The form cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "One was uploaded before, or there are too many", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "A file or all of them are too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "It is neither XML nor a form", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A file is no definition; the line and the element are named", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/models")]
pub(super) async fn create_models(
    operator: Operator,
    query: Query<CreateQuery>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let replace: Option<bool> = query::parse("replace", query.replace.as_deref())?;
    let upload = upload::read(&request, payload, &operator.settings().models).await?;
    let replace = replace.unwrap_or(upload.replace);
    let added = operator.add_models(upload.files, replace).await?;
    let items = added.into_iter().map(StoredModel::from).collect();
    Ok(HttpResponse::Created().json(Page::whole(items)))
}

/// Remove an uploaded object model
///
/// Where it was in the place of a built-in one, that is back at once.
#[utoipa::path(
    delete,
    path = "/models/{object_id}/{version}",
    impl_for = delete_model,
    tag = "models",
    params(
        ("object_id" = u16, Path, description = "The object"),
        ("version" = String, Path, description = "Its version", example = "1.1"),
    ),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No such model is known", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is built in", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/models/{object_id}/{version}")]
pub(super) async fn delete_model(
    operator: Operator,
    path: Path<(String, String)>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let (id, version) = model_of(&path)?;
    operator.remove_model(id, &version).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Who uploaded what, by object and version.
struct Uploads(BTreeMap<(u16, String), ModelEntry>);

impl Uploads {
    async fn of(viewer: &Viewer) -> Result<Self, ApiError> {
        let entries = viewer.uploaded_models().await?.into_iter();
        let by_key = entries.map(|entry| ((entry.object_id, entry.version.clone()), entry));
        Ok(Self(by_key.collect()))
    }

    fn summary(&self, models: &Models, object: &ObjectModel) -> ModelSummary {
        let entry = self.0.get(&(object.id, object.version.clone()));
        ModelSummary {
            object_id: object.id,
            version: object.version.clone(),
            name: object.name.clone(),
            source: if models.is_uploaded(object) {
                "uploaded"
            } else {
                "builtin"
            },
            multiple: object.multiple,
            mandatory: object.mandatory,
            resource_count: object.resources.len(),
            uploaded_at: entry.map(|entry| entry.created_at),
            uploaded_by: entry.map(|entry| entry.created_by.clone()),
        }
    }

    fn model(&self, models: &Models, object: &ObjectModel) -> Model {
        Model {
            summary: self.summary(models, object),
            resources: object.resources.values().map(ModelResource::from).collect(),
        }
    }
}

impl From<&ResourceModel> for ModelResource {
    fn from(resource: &ResourceModel) -> Self {
        Self {
            id: resource.id,
            name: resource.name.clone(),
            operations: letters(resource.operations),
            multiple: resource.multiple,
            mandatory: resource.mandatory,
            value_type: resource.value_type.map(|value_type| value_type.name()),
            range: resource.range.clone(),
            units: resource.units.clone(),
        }
    }
}

impl From<AddedModel> for StoredModel {
    fn from(added: AddedModel) -> Self {
        Self {
            object_id: added.entry.object_id,
            version: added.entry.version,
            name: added.entry.name,
            replaced: added.replaced,
        }
    }
}

fn letters(operations: Operations) -> String {
    [
        (operations.readable, 'R'),
        (operations.writable, 'W'),
        (operations.executable, 'E'),
    ]
    .into_iter()
    .filter_map(|(may, letter)| may.then_some(letter))
    .collect()
}

/// Where a page of the list ended.
struct Position(u16, String);

impl std::str::FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, version) = text.split_once('/').ok_or(())?;
        Ok(Self(id.parse().map_err(drop)?, version.to_owned()))
    }
}

fn object_id_of(text: &str) -> Result<u16, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("there is no object `{text}`")))
}

fn model_of((object_id, version): &(String, String)) -> Result<(u16, String), ApiError> {
    let id = object_id_of(object_id)?;
    let version = ddf::object_version(version).map_err(ApiError::not_found)?;
    Ok((id, version))
}
