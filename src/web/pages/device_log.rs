//! The log of a device on its page. `assets/js/log.js` goes on from there.

use serde::Serialize;

use super::chrome::Page;
use crate::domain::{LogLevel, StoredLogLine, Timestamp};
use crate::store::{EndpointRow, LogFilter};
use crate::web::ApiError;
use crate::web::auth::Viewer;

/// Lines that are there at first.
const LINES: u64 = 50;

/// Object 20, Event Log: a device that has it has a log, also while it is empty.
const EVENT_LOG: u16 = 20;

/// Gives the page of the device its log.
pub(super) async fn insert(
    page: &mut Page,
    viewer: &Viewer,
    row: &EndpointRow,
) -> Result<(), ApiError> {
    let newest = LogFilter {
        limit: LINES,
        ..LogFilter::default()
    };
    let lines = viewer.logs(row.id, &newest).await?;
    let announced = row.registration.iter().any(|registration| {
        let mut objects = registration.objects.iter();
        objects.any(|object| object.path.object_id() == Some(EVENT_LOG))
    });
    page.insert("has_log", &(announced || !lines.is_empty()));
    page.insert("log_levels", &LogLevel::ALL.map(LogLevel::name));
    let lines: Vec<Line> = lines.into_iter().map(Line::from).collect();
    page.insert("log", &lines);
    Ok(())
}

#[derive(Debug, Serialize)]
struct Line {
    time: Timestamp,
    path: String,
    level: Option<&'static str>,
    text: String,
}

impl From<StoredLogLine> for Line {
    fn from(line: StoredLogLine) -> Self {
        Self {
            time: line.time,
            path: line.path.to_string(),
            level: line.level.map(LogLevel::name),
            text: line.text,
        }
    }
}
