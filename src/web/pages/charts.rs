//! `/charts` and `/map`: their scripts ask the API for what they draw; and the charts on the overview.

use actix_web::HttpResponse;
use serde::Serialize;

use super::chrome::Page;
use crate::store::PinnedChart;
use crate::web::ApiError;
use crate::web::api::RANGES;
use crate::web::auth::Viewer;

/// `GET /charts`
pub(super) async fn page(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/charts");
    page.insert("ranges", &RANGES);
    page.insert("max_series", &viewer.settings().charts.max_series);
    page.insert("max_topics", &viewer.settings().live.max_topics);
    page.render("pages/charts.html")
}

/// `GET /map`
pub(super) async fn map(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/map");
    page.insert("page_rows", &viewer.settings().web.max_page_rows.max(1));
    page.render("pages/map.html")
}

/// A chart on the overview.
#[derive(Debug, Serialize)]
struct PinLine {
    id: i64,
    title: String,
    view: String,
}

impl From<PinnedChart> for PinLine {
    fn from(pin: PinnedChart) -> Self {
        Self {
            id: pin.id,
            title: pin.title,
            view: pin.view,
        }
    }
}

/// Gives the overview its charts.
pub(super) async fn insert_pins(page: &mut Page, viewer: &Viewer) -> Result<(), ApiError> {
    let pins = viewer.pinned_charts().await?.into_iter();
    let pins: Vec<PinLine> = pins.map(PinLine::from).collect();
    page.insert("pins", &pins);
    Ok(())
}
