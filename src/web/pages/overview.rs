//! `/`: how the fleet is.

use std::time::Duration;

use actix_web::HttpResponse;

use super::charts;
use super::chrome::Page;
use super::credentials::EndingNotice;
use super::events::EventLine;
use super::operations::OperationLine;
use super::traffic;
use crate::domain::{OperationStatus, Timestamp};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::waiting::waits;

/// Operations are counted up to here.
const COUNT_LIMIT: u64 = 500;

/// Lines in the lists of the latest operations and events.
const LATEST: u64 = 6;

const DAY: Duration = Duration::from_secs(86_400);

/// `GET /`
pub(super) async fn page(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/");
    let now = Timestamp::system();
    let (total, registered) = viewer.count_endpoints().await?;
    let queued = viewer
        .operations(None, Some(OperationStatus::Queued), COUNT_LIMIT, None)
        .await?;
    let failed = viewer
        .operations(None, Some(OperationStatus::Failed), COUNT_LIMIT, None)
        .await?;
    let failed_today = failed
        .iter()
        .filter(|operation| {
            let at = operation.finished_at.unwrap_or(operation.created_at);
            now.since(at) < DAY
        })
        .count();
    let limit = usize::try_from(COUNT_LIMIT).unwrap_or(usize::MAX);
    let operations = viewer.operations(None, None, LATEST, None).await?;
    let events = viewer.events(None, None, LATEST, None).await?;
    let endings = viewer.certificates_ending()?;
    charts::insert_pins(&mut page, &viewer).await?;
    page.insert("certificates", &EndingNotice::new(&endings, now));
    page.insert("total", &total);
    page.insert("registered", &registered);
    page.insert("offline", &total.saturating_sub(registered));
    page.insert("waiting", &queued.len());
    page.insert("waiting_more", &(queued.len() >= limit));
    page.insert("failed", &failed_today);
    page.insert("failed_more", &(failed_today >= limit));
    let waits = waits(&viewer, &operations).await?;
    page.insert("operations", &OperationLine::all(&operations, &waits));
    page.insert("events", &EventLine::all(&events, &viewer.models()));
    traffic::insert_of_fleet(&mut page, &viewer).await?;
    page.render("pages/overview.html")
}
