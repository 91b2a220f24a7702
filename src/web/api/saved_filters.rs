//! `/api/v1/saved-filters`: lists of devices that people have saved under a name.

use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::store::SavedFilter;
use crate::web::ApiError;
use crate::web::api::refused::NotLoggedIn;
use crate::web::auth::Viewer;
use crate::web::device_query;
use crate::web::error::Problem;

use super::object::Object;
use super::query::{self, NoQuery, Page};

/// The longest name, in characters.
const MAX_NAME: usize = 60;

/// The longest view, in bytes.
const MAX_VIEW_BYTES: usize = 2_048;

/// A list of devices that was saved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 1, "name": "Asleep in the lab", "view": "state=asleep&tag=lab&sort=-last_seen&columns=name%2Cstate%2Cseen",
    "shared": false, "owner": "ada", "saved_at": "2026-11-30T12:00:00.000Z"
}))]
pub(super) struct SavedFilterView {
    /// Its number.
    id: i64,
    /// What its owner calls it.
    name: String,
    /// What it shows: the query of the address of the list, so `/devices?` and this opens it.
    view: String,
    /// Whether everybody sees it.
    shared: bool,
    /// Who has saved it.
    owner: String,
    /// When it was saved last.
    #[schema(format = DateTime)]
    saved_at: String,
}

impl From<SavedFilter> for SavedFilterView {
    fn from(filter: SavedFilter) -> Self {
        Self {
            id: filter.id,
            name: filter.name,
            view: filter.view,
            shared: filter.shared,
            owner: filter.owner,
            saved_at: filter.saved_at.to_string(),
        }
    }
}

/// A list of devices to save.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Asleep in the lab", "view": "state=asleep&tag=lab&sort=-last_seen&columns=name,state,seen"}))]
pub(super) struct NewSavedFilter {
    /// What people call it: 1 to 60 characters. What one has saved under this name is replaced.
    name: String,
    /// The query of the address of the list: the words of the filter, `sort`, `limit` (50, 100 or 500) and `columns`;
    /// empty for every device.
    view: String,
    /// Whether everybody sees it; operators only.
    #[serde(default)]
    shared: bool,
}

/// List saved filters
#[utoipa::path(
    get,
    path = "/saved-filters",
    impl_for = list_saved_filters,
    tag = "endpoints",
    responses(
        (status = 200, description = "One's own and those that are shared, by their names", body = Page<SavedFilterView>),
        NotLoggedIn,
    ),
)]
#[get("/saved-filters")]
pub(super) async fn list_saved_filters(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<SavedFilterView>>, ApiError> {
    let filters = viewer.saved_filters().await?.into_iter();
    Ok(Json(Page::whole(
        filters.map(SavedFilterView::from).collect(),
    )))
}

/// Save a filter of the list of devices
///
/// For oneself, or for everybody. At most `web.max_saved_filters` for each person.
#[utoipa::path(
    post,
    path = "/saved-filters",
    impl_for = save_filter,
    tag = "endpoints",
    request_body = NewSavedFilter,
    responses(
        (status = 200, description = "It replaces the one of this name", body = SavedFilterView),
        (status = 201, description = "It is saved", body = SavedFilterView),
        (status = 403, description = "It is to be shared by somebody who is no operator", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "One has too many", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[post("/saved-filters")]
pub(super) async fn save_filter(
    viewer: Viewer,
    _query: Query<NoQuery>,
    body: Object<NewSavedFilter>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let (name, view) = (name(&body.name)?, view(&body.view)?);
    let (filter, is_new) = match body.shared {
        false => viewer.keep_filter(name, view).await?,
        true => {
            let operator = viewer.as_operator().ok_or_else(|| {
                ApiError::forbidden("to share a filter with everybody needs the role operator")
            })?;
            operator.share_filter(name, view).await?
        }
    };
    let mut response = match is_new {
        true => HttpResponse::Created(),
        false => HttpResponse::Ok(),
    };
    Ok(response.json(SavedFilterView::from(filter)))
}

/// Remove a saved filter
///
/// One's own; operators remove what others share, too.
#[utoipa::path(
    delete,
    path = "/saved-filters/{id}",
    impl_for = delete_saved_filter,
    tag = "endpoints",
    params(("id" = i64, Path, description = "The filter's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 403, description = "Another shares it", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "One sees no filter of this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[delete("/saved-filters/{id}")]
pub(super) async fn delete_saved_filter(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = query::row_id("saved filter", &id)?;
    match viewer.as_operator() {
        Some(operator) => operator.remove_seen_filter(id).await?,
        None => viewer.remove_own_filter(id).await?,
    }
    Ok(HttpResponse::NoContent().finish())
}

fn name(text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    let length = name.chars().count();
    if !(1..=MAX_NAME).contains(&length) || name.chars().any(char::is_control) {
        let detail = format!("a name has 1 to {MAX_NAME} characters, none of them a line break");
        return Err(ApiError::invalid("name", detail));
    }
    Ok(name.to_owned())
}

fn view(text: &str) -> Result<String, ApiError> {
    if text.len() > MAX_VIEW_BYTES {
        let detail = format!("a view has at most {MAX_VIEW_BYTES} bytes");
        return Err(ApiError::invalid("view", detail));
    }
    let view = device_query::ListView::read(text);
    view.map(|view| view.query())
        .map_err(|error| ApiError::invalid("view", error.detail()))
}
