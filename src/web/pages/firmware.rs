//! `/firmware`: the images that devices can be given. `assets/js/firmware.js` uploads and removes them over the REST
//! API, because a form tells nobody how far an upload is.

use actix_web::HttpResponse;
use serde::Serialize;

use super::chrome::Page;
use super::{updates, words};
use crate::domain::{FirmwareImage, Timestamp};
use crate::web::ApiError;
use crate::web::auth::Viewer;

/// `GET /firmware`
pub(super) async fn page(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/firmware");
    let images = viewer.firmware_images().await?;
    let images: Vec<ImageLine> = images.into_iter().map(ImageLine::of).collect();
    let settings = &viewer.settings().firmware;
    page.insert("images", &images);
    page.insert("enabled", &settings.enabled);
    page.insert("listen", &settings.listen);
    page.insert("max_bytes", &settings.max_image_bytes);
    page.insert("max_words", &words::size(settings.max_image_bytes));
    page.insert("max_version_bytes", &FirmwareImage::MAX_VERSION_BYTES);
    page.insert("max_name_bytes", &FirmwareImage::MAX_NAME_BYTES);
    page.insert("max_notes_bytes", &FirmwareImage::MAX_NOTES_BYTES);
    updates::insert_latest(&mut page, &viewer).await?;
    page.render("pages/firmware.html")
}

#[derive(Debug, Serialize)]
struct ImageLine {
    id: i64,
    version: String,
    name: String,
    size: u64,
    size_words: String,
    sha256: String,
    sha256_short: String,
    notes: String,
    selection: String,
    created_at: Timestamp,
    created_by: String,
    /// Where people get the file, who are logged in already.
    href: String,
}

impl ImageLine {
    fn of(image: FirmwareImage) -> Self {
        Self {
            href: format!("/api/v1/firmware/{}/file", image.id),
            id: image.id.0,
            size_words: words::size(image.size),
            sha256_short: image.sha256.chars().take(SHORT_HASH).collect(),
            selection: image.selection.to_string(),
            version: image.version,
            name: image.name,
            size: image.size,
            sha256: image.sha256,
            notes: image.notes,
            created_at: image.created_at,
            created_by: image.created_by,
        }
    }
}

/// Digits of a hash that people tell images apart by.
const SHORT_HASH: usize = 12;
