//! `/api/v1/endpoints/{name}/logs`: what devices log.

use std::fmt::Write as _;

use actix_web::http::header;
use actix_web::web::{Path, Query};
use actix_web::{HttpResponse, get};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{LogLevel, StoredLogLine};
use crate::store::LogFilter;
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, UnreadableParameter};
use crate::web::auth::Viewer;
use crate::web::error::Problem;

use super::query::{self, Page};

/// Lines of a download, the newest ones.
const TEXT_LINES: u64 = 10_000;

/// A line of a device's log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "time": "2026-11-23T12:00:00.000Z", "received_at": "2026-11-23T12:00:00.000Z",
    "path": "/20/0/4014", "level": "wrn", "text": "[00:00:12.345,678] modem: weak signal"
}))]
pub(super) struct LogLineView {
    /// Its number; grows with the order of arrival.
    id: i64,
    /// The device's time where it sent one with the value, else that of the arrival.
    #[schema(format = DateTime)]
    time: String,
    /// When it arrived.
    #[schema(format = DateTime)]
    received_at: String,
    /// The resource that it came in.
    path: String,
    /// `err`, `wrn`, `inf`, `dbg`, or null where the line does not say.
    #[schema(required)]
    level: Option<&'static str>,
    /// The line, without its level.
    text: String,
}

impl From<StoredLogLine> for LogLineView {
    fn from(line: StoredLogLine) -> Self {
        Self {
            id: line.id,
            time: line.time.to_string(),
            received_at: line.received_at.to_string(),
            path: line.path.to_string(),
            level: line.level.map(LogLevel::name),
            text: line.text,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LogQuery {
    /// Only lines with this in their text, upper and lower case alike.
    search: Option<String>,
    /// Only lines that are at least as important: `err`, `wrn`, `inf` or `dbg`.
    #[param(example = "wrn")]
    level: Option<String>,
    /// Not before this time: RFC 3339, or milliseconds since 1970.
    from: Option<String>,
    /// Before this time.
    to: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`; as text at most 10000.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `json` (when missing), or `text` for a file: the newest lines that fit, oldest first.
    #[param(example = "text")]
    format: Option<String>,
}

/// Read a device's log
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/endpoints/{name}/logs",
    impl_for = list_logs,
    tag = "values",
    params(("name" = String, Path, description = "The device"), LogQuery),
    responses(
        (status = 200, description = "A page of lines; as `text`, a file of lines", content(
            (Page<LogLineView> = "application/json"),
            (String = "text/plain; charset=utf-8", example = "2026-11-23T12:00:00.000Z wrn modem: no signal")
        )),
        (status = 404, description = "No such device", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/endpoints/{name}/logs")]
pub(super) async fn list_logs(
    viewer: Viewer,
    name: Path<String>,
    query: Query<LogQuery>,
) -> Result<HttpResponse, ApiError> {
    let endpoint = viewer.endpoint(&query::endpoint_name(&name)?).await?;
    let as_text = match query.format.as_deref() {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => {
            let detail = "`format` is `json` or `text`";
            return Err(ApiError::parameter("format", detail));
        }
    };
    let limit = match (as_text, query.limit.as_deref()) {
        (false, limit) => query::limit(&viewer, limit)?,
        (true, limit) => query::parse("limit", limit)?
            .unwrap_or(TEXT_LINES)
            .clamp(1, TEXT_LINES),
    };
    let search = query.search.clone().filter(|text| !text.is_empty());
    let filter = LogFilter {
        search,
        level: query::parse("level", query.level.as_deref())?,
        from: query::moment("from", query.from.as_deref())?,
        to: query::moment("to", query.to.as_deref())?,
        limit: if as_text {
            limit
        } else {
            limit.saturating_add(1)
        },
        before: query::read_cursor(query.cursor.as_deref())?,
    };
    let lines = viewer.logs(endpoint.id, &filter).await?;
    if as_text {
        return Ok(HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, "text/plain; charset=utf-8"))
            .insert_header((
                header::CONTENT_DISPOSITION,
                "attachment; filename=\"log.txt\"",
            ))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(text(&lines)));
    }
    let page = Page::cut(lines, limit, |line| line.id, LogLineView::from);
    Ok(HttpResponse::Ok().json(page))
}

/// One line each: time, level, resource, text; oldest first.
fn text(lines: &[StoredLogLine]) -> String {
    let mut text = String::new();
    for line in lines.iter().rev() {
        let level = line.level.map_or("-", LogLevel::name);
        let (time, path) = (line.time, line.path);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{time} {level} {path} {}", line.text);
    }
    text
}
