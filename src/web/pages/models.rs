//! `/models`: the object models, searched and paged, and the upload of definitions.

use actix_web::http::StatusCode;
use actix_web::web::{Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::chrome::{Page, see_other};
use super::mistake::Mistake;
use super::words;
use crate::domain::Timestamp;
use crate::lwm2m::{ObjectModel, ResourceModel, ddf};
use crate::store::ModelEntry;
use crate::web::auth::{Operator, Viewer};
use crate::web::models::Filter;
use crate::web::{ApiError, upload};

/// Models on one page.
const LIMIT: usize = 50;

#[derive(Debug, Default, Deserialize)]
pub(super) struct ModelsQuery {
    #[serde(default)]
    search: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    after: String,
}

impl ModelsQuery {
    /// The address of the same list from another place on.
    fn address(&self, after: &str) -> String {
        words::address(
            "/models",
            &[
                ("search", &self.search),
                ("source", &self.source),
                ("after", after),
            ],
        )
    }
}

/// `GET /models`
pub(super) async fn list(
    viewer: Viewer,
    query: Query<ModelsQuery>,
) -> Result<HttpResponse, ApiError> {
    render(&viewer, StatusCode::OK, &query, None).await
}

/// `POST /models`: a form with files.
pub(super) async fn add(
    operator: Operator,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let upload = upload::read(&request, payload, &operator.settings().models).await;
    let added = match upload {
        Ok(upload) => operator.add_models(upload.files, upload.replace).await,
        Err(error) => Err(error),
    };
    match added {
        // One object is shown, several are listed.
        Ok(added) => Ok(match added.as_slice() {
            [model] => {
                let (id, version) = (model.entry.object_id, &model.entry.version);
                see_other(&format!("/models/{id}/{version}"))
            }
            _ => see_other("/models?source=uploaded"),
        }),
        Err(error) if error.status().is_client_error() => {
            let query = ModelsQuery::default();
            render(&operator, error.status(), &query, Some((&error).into())).await
        }
        Err(error) => Err(error),
    }
}

/// `GET /models/{object_id}/{version}`
pub(super) async fn one(
    viewer: Viewer,
    path: Path<(u16, String)>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/models");
    let (id, version) = (path.0, known_version(&path.1)?);
    let models = viewer.models();
    let Some(object) = models.exact(id, &version) else {
        let detail = format!("there is no model of object {id} version {version}");
        return Err(ApiError::not_found(detail));
    };
    let uploads = viewer.uploaded_models().await?;
    let others: Vec<&str> = models
        .versions(id)
        .iter()
        .map(|other| other.version.as_str())
        .filter(|other| *other != object.version)
        .collect();
    let resources: Vec<ResourceLine> = object.resources.values().map(ResourceLine::new).collect();
    let uploaded = models.is_uploaded(object);
    page.insert("object", &ModelLine::new(object, uploaded, &uploads));
    page.insert("others", &others);
    page.insert("resources", &resources);
    page.render("pages/model.html")
}

/// `POST /models/{object_id}/{version}/remove`
pub(super) async fn remove(
    operator: Operator,
    path: Path<(u16, String)>,
) -> Result<HttpResponse, ApiError> {
    let (id, version) = (path.0, known_version(&path.1)?);
    operator.remove_model(id, &version).await?;
    Ok(see_other("/models"))
}

async fn render(
    viewer: &Viewer,
    status: StatusCode,
    query: &ModelsQuery,
    error: Option<Mistake>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(viewer, "/models");
    let filter = Filter {
        search: query.search.clone(),
        uploaded: match query.source.as_str() {
            "uploaded" => Some(true),
            "builtin" => Some(false),
            _ => None,
        },
        after: query
            .after
            .split_once('/')
            .and_then(|(id, version)| Some((id.parse().ok()?, version.to_owned()))),
    };
    let models = viewer.models();
    let uploads = viewer.uploaded_models().await?;
    let mut matching = filter.matching(&models);
    let lines: Vec<ModelLine> = matching
        .by_ref()
        .take(LIMIT)
        .map(|object| ModelLine::new(object, models.is_uploaded(object), &uploads))
        .collect();
    let next = matching
        .next()
        .and_then(|_| lines.last())
        .map(|last| query.address(&format!("{}/{}", last.id, last.version)));
    page.insert("models", &lines);
    page.insert("total", &models.objects().count());
    page.insert("uploaded", &uploads.len());
    page.insert("search", query.search.trim());
    page.insert("source", &query.source);
    page.insert("limit", &LIMIT);
    page.insert("first", &filter.after.is_none());
    page.insert("first_href", &query.address(""));
    page.insert("next", &next);
    page.insert("error", &error);
    page.render_as(status, "pages/models.html")
}

fn known_version(text: &str) -> Result<String, ApiError> {
    ddf::object_version(text).map_err(ApiError::not_found)
}

#[derive(Debug, Serialize)]
struct ModelLine {
    id: u16,
    version: String,
    name: String,
    multiple: bool,
    mandatory: bool,
    resources: usize,
    uploaded: bool,
    uploaded_at: Option<Timestamp>,
    uploaded_by: String,
}

impl ModelLine {
    fn new(object: &ObjectModel, uploaded: bool, uploads: &[ModelEntry]) -> Self {
        let entry = uploads
            .iter()
            .find(|entry| entry.object_id == object.id && entry.version == object.version);
        Self {
            id: object.id,
            version: object.version.clone(),
            name: object.name.clone(),
            multiple: object.multiple,
            mandatory: object.mandatory,
            resources: object.resources.len(),
            uploaded,
            uploaded_at: entry.map(|entry| entry.created_at),
            uploaded_by: entry.map_or_else(String::new, |entry| entry.created_by.clone()),
        }
    }
}

#[derive(Debug, Serialize)]
struct ResourceLine {
    id: u16,
    name: String,
    operations: String,
    value_type: String,
    range: String,
    units: String,
    multiple: bool,
    mandatory: bool,
}

impl ResourceLine {
    fn new(resource: &ResourceModel) -> Self {
        let operations = resource.operations;
        let words = [
            (operations.readable, "read"),
            (operations.writable, "write"),
            (operations.executable, "execute"),
        ];
        let words: Vec<&str> = words
            .into_iter()
            .filter_map(|(may, word)| may.then_some(word))
            .collect();
        let shown = |text: Option<String>| {
            text.filter(|text| !text.is_empty())
                .unwrap_or_else(|| "–".to_owned())
        };
        Self {
            id: resource.id,
            name: resource.name.clone(),
            operations: shown(Some(words.join(", "))),
            value_type: shown(
                resource
                    .value_type
                    .map(|value_type| value_type.name().to_lowercase().replace('_', " ")),
            ),
            range: shown(resource.range.clone()),
            units: shown(resource.units.clone()),
            multiple: resource.multiple,
            mandatory: resource.mandatory,
        }
    }
}
