//! `/api/v1/firmware`: images that devices can be given.

use std::io;
use std::sync::Arc;

use actix_web::body::SizedStream;
use actix_web::http::header;
use actix_web::web::{Bytes, Json, Path, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{FirmwareId, FirmwareImage, ImageBytes, Selection, Timestamp};
use crate::web::api::refused::{NotLoggedIn, NotOperator};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;
use crate::web::{ApiError, firmware_upload};

use super::filter::DeviceFilter;
use super::object::Object;
use super::query::{self, NoQuery, Page, PageQuery};

/// An image. Its bytes never change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "version": "0.2.0", "name": "v0.2.0.bin", "size": 262144,
    "sha256": "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a",
    "notes": "Sleeps longer.", "selection": {"names": ["urn:imei:35*"], "tags": ["lab"]},
    "path": "/binaries/v0.2.0.bin", "created_at": "2026-11-30T12:00:00Z", "created_by": "ada"
}))]
pub(super) struct Firmware {
    /// Its number.
    id: i64,
    /// What a device that runs it says of itself (3/0/3); no other image has it.
    version: String,
    /// The name of its file for devices; no other image has it.
    name: String,
    /// Bytes.
    size: u64,
    /// Of its bytes, in hexadecimal.
    sha256: String,
    /// What people should know of it.
    notes: String,
    /// The devices it is made for.
    selection: DeviceFilter,
    /// Where devices find it.
    path: String,
    /// When it was uploaded.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// By whom: a login, `token:NAME` or `command line`.
    created_by: String,
}

impl Firmware {
    fn of(viewer: &Viewer, image: FirmwareImage) -> Self {
        Self {
            path: viewer.firmware_path(&image),
            id: image.id.0,
            version: image.version,
            name: image.name,
            size: image.size,
            sha256: image.sha256,
            notes: image.notes,
            selection: DeviceFilter::from(&image.selection),
            created_at: image.created_at,
            created_by: image.created_by,
        }
    }
}

/// An image in a form.
#[derive(ToSchema)]
#[schema(example = json!({
    "version": "0.2.0", "file": "(the bytes of the image)", "notes": "Sleeps longer.",
    "selection": {"tags": ["lab"]}
}))]
#[expect(dead_code, reason = "it describes a form to the document")]
pub(super) struct FirmwareForm {
    /// What a device that runs it says of itself (3/0/3): 1 to 64 letters, digits, `.`, `-`, `_` and `+`.
    #[schema(max_length = 64)]
    version: String,
    /// The image.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
    /// The name of the file for devices, of the same characters; that of the file where it is such a name,
    /// or else the version with `.bin`.
    #[schema(max_length = 100)]
    name: Option<String>,
    /// What people should know of it.
    notes: Option<String>,
    /// As JSON: the devices it is made for; every device when it is missing.
    selection: Option<DeviceFilter>,
    /// The SHA-256 of the file in hexadecimal; a file with another one is refused.
    sha256: Option<String>,
}

/// What can be changed: a field that is missing stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"notes": "Sleeps longer.", "selection": {"tags": ["lab"]}}))]
pub(super) struct FirmwarePatch {
    /// What people should know of it.
    notes: Option<String>,
    /// The devices it is made for.
    selection: Option<DeviceFilter>,
}

/// List firmware images
#[utoipa::path(
    get,
    path = "/firmware",
    impl_for = list_firmware,
    tag = "firmware",
    params(PageQuery),
    responses(
        (status = 200, description = "Images, newest first", body = Page<Firmware>),
        (status = 400, description = "A parameter makes no sense", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/firmware")]
pub(super) async fn list_firmware(
    viewer: Viewer,
    query: Query<PageQuery>,
) -> Result<Json<Page<Firmware>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let before: Option<i64> = query::read_cursor(query.cursor.as_deref())?;
    let images = viewer.firmware_images().await?.into_iter();
    let one_more = usize::try_from(limit)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let rows = images
        .filter(|image| before.is_none_or(|before| image.id.0 < before))
        .take(one_more)
        .collect();
    Ok(Json(Page::cut(
        rows,
        limit,
        |image: &FirmwareImage| image.id,
        |image| Firmware::of(&viewer, image),
    )))
}

/// Upload a firmware image
///
/// The file goes to disk as it comes. Parts that come before `file` are checked before it is taken.
#[utoipa::path(
    post,
    path = "/firmware",
    impl_for = create_firmware,
    tag = "firmware",
    request_body(content = FirmwareForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, description = "It is stored, and devices find it", body = Firmware, headers(("Location" = String, description = "The image"))),
        (status = 400, description = "The form cannot be read, or the file is not what `sha256` says", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The version or the name is taken, or there are too many", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The file is larger than `firmware.max_image_bytes`", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "It is no form", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A part is missing or makes no sense, or the file is empty", body = Problem, content_type = "application/problem+json"),
        (status = 507, description = "There is no space left for it", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/firmware")]
pub(super) async fn create_firmware(
    operator: Operator,
    _query: Query<NoQuery>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let (new, file) = firmware_upload::read(&request, payload, &operator).await?;
    let image = operator.add_firmware(new, file).await?;
    let location = format!("/api/v1/firmware/{}", image.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(Firmware::of(&operator, image)))
}

/// Show a firmware image
#[utoipa::path(
    get,
    path = "/firmware/{id}",
    impl_for = show_firmware,
    tag = "firmware",
    params(("id" = i64, Path, description = "The image's number")),
    responses(
        (status = 200, description = "The image", body = Firmware),
        (status = 404, description = "No image has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/firmware/{id}")]
pub(super) async fn show_firmware(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<Firmware>, ApiError> {
    let image = viewer.firmware_image(image_id(&id)?).await?;
    Ok(Json(Firmware::of(&viewer, image)))
}

/// Download a firmware image
#[utoipa::path(
    get,
    path = "/firmware/{id}/file",
    impl_for = show_firmware_file,
    tag = "firmware",
    params(("id" = i64, Path, description = "The image's number")),
    responses(
        (status = 200, description = "Its bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "No image has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/firmware/{id}/file")]
pub(super) async fn show_firmware_file(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let shelved = viewer.firmware_bytes(image_id(&id)?).await?;
    let image = &shelved.image;
    // A name has no character that would have to be quoted.
    let disposition = format!("attachment; filename=\"{}\"", image.name);
    let tag = format!("\"{}\"", image.sha256);
    let size = shelved.bytes.size();
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::CONTENT_DISPOSITION, disposition))
        .insert_header((header::ETAG, tag))
        .body(SizedStream::new(size, in_parts(shelved.bytes))))
}

/// Change what is said of a firmware image
#[utoipa::path(
    patch,
    path = "/firmware/{id}",
    impl_for = describe_firmware,
    tag = "firmware",
    params(("id" = i64, Path, description = "The image's number")),
    request_body = FirmwarePatch,
    responses(
        (status = 200, description = "The image", body = Firmware),
        (status = 404, description = "No image has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[patch("/firmware/{id}")]
pub(super) async fn describe_firmware(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
    body: Object<FirmwarePatch>,
) -> Result<Json<Firmware>, ApiError> {
    let FirmwarePatch { notes, selection } = body.into_inner();
    let selection = selection.map(Selection::from);
    let id = image_id(&id)?;
    let image = operator.describe_firmware(id, notes, selection).await?;
    Ok(Json(Firmware::of(&operator, image)))
}

/// Remove a firmware image
///
/// Downloads that are under way get all of it.
#[utoipa::path(
    delete,
    path = "/firmware/{id}",
    impl_for = delete_firmware,
    tag = "firmware",
    params(("id" = i64, Path, description = "The image's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No image has this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Devices are being updated to it", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/firmware/{id}")]
pub(super) async fn delete_firmware(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    operator.remove_firmware(image_id(&id)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// The bytes, each part read when it is wanted, on a thread that may wait for the disk.
fn in_parts(bytes: Arc<dyn ImageBytes>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some((bytes, 0)), async |state| {
        let (bytes, offset) = state?;
        let read = actix_web::web::block(move || {
            let mut buffer = vec![0; READ_BYTES];
            let count = bytes.read(offset, &mut buffer)?;
            buffer.truncate(count);
            Ok((bytes, buffer))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok((_, buffer)) if buffer.is_empty() => None,
            Ok((bytes, buffer)) => {
                let offset = offset + buffer.len() as u64;
                Some((Ok(Bytes::from(buffer)), Some((bytes, offset))))
            }
            Err(error) => Some((Err(error), None)),
        }
    })
}

fn image_id(text: &str) -> Result<FirmwareId, ApiError> {
    query::row_id("firmware image", text).map(FirmwareId)
}

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;
