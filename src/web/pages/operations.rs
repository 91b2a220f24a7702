//! `/operations`: what was asked of devices.

use actix_web::HttpResponse;
use actix_web::web::Query;
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::words;
use crate::domain::{Operation, OperationId, OperationStatus, Origin, Path, Timestamp};
use crate::web::ApiError;
use crate::web::auth::Viewer;

/// Operations on one page.
const LIMIT: u64 = 50;

/// The tabs, in the order of an operation's life.
const TABS: [(&str, Option<OperationStatus>); 7] = [
    ("All", None),
    ("Queued", Some(OperationStatus::Queued)),
    ("Sending", Some(OperationStatus::Sending)),
    ("Confirmed", Some(OperationStatus::Confirmed)),
    ("Failed", Some(OperationStatus::Failed)),
    ("Expired", Some(OperationStatus::Expired)),
    ("Cancelled", Some(OperationStatus::Cancelled)),
];

#[derive(Debug, Deserialize)]
pub(super) struct OperationsQuery {
    #[serde(default)]
    status: String,
    before: Option<i64>,
}

/// `GET /operations`
pub(super) async fn list(
    viewer: Viewer,
    query: Query<OperationsQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/operations");
    let status: Option<OperationStatus> = match query.status.as_str() {
        "" => None,
        text => Some(
            text.parse()
                .map_err(|error: String| ApiError::parameter("status", error))?,
        ),
    };
    let before = query.before.map(OperationId);
    let operations = viewer
        .operations(None, status, LIMIT.saturating_add(1), before)
        .await?;
    let shown = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let lines = OperationLine::all(operations.get(..shown).unwrap_or(&operations));
    let tabs: Vec<Tab> = TABS
        .iter()
        .map(|(label, of)| Tab {
            label,
            href: address(*of),
            active: *of == status,
        })
        .collect();
    let first_href = address(status);
    let next = lines
        .last()
        .filter(|_| operations.len() > shown)
        .map(|last| {
            let separator = if first_href.contains('?') { '&' } else { '?' };
            format!("{first_href}{separator}before={}", last.id)
        });
    page.insert("operations", &lines);
    page.insert("tabs", &tabs);
    page.insert("first", &query.before.is_none());
    page.insert("first_href", &first_href);
    page.insert("next", &next);
    page.render("pages/operations.html")
}

fn address(status: Option<OperationStatus>) -> String {
    match status {
        None => "/operations".to_owned(),
        Some(status) => format!("/operations?status={status}"),
    }
}

#[derive(Debug, Serialize)]
struct Tab {
    label: &'static str,
    href: String,
    active: bool,
}

/// An operation in a list.
#[derive(Debug, Serialize)]
pub(super) struct OperationLine {
    id: i64,
    endpoint: String,
    kind: String,
    paths: String,
    status: &'static str,
    attempts: u32,
    max_attempts: u32,
    answer: String,
    origin: String,
    at: Timestamp,
}

impl OperationLine {
    pub(super) fn all(operations: &[Operation]) -> Vec<Self> {
        operations.iter().map(Self::new).collect()
    }

    fn new(operation: &Operation) -> Self {
        let paths: Vec<String> = operation
            .request
            .paths
            .iter()
            .map(Path::to_string)
            .collect();
        Self {
            id: operation.id.0,
            endpoint: operation.endpoint.to_string(),
            kind: operation.request.kind.name().replace('_', " "),
            paths: paths.join(" "),
            status: operation.status.name(),
            attempts: operation.attempts,
            max_attempts: operation.max_attempts,
            answer: answer(operation),
            origin: match &operation.origin {
                Origin::User(name) => name.clone(),
                Origin::Template => "a template".to_owned(),
                Origin::Firmware => "a firmware update".to_owned(),
            },
            at: operation
                .finished_at
                .or(operation.last_attempt_at)
                .unwrap_or(operation.created_at),
        }
    }
}

/// What came of it, on one line.
fn answer(operation: &Operation) -> String {
    let result = operation.result.as_ref();
    let said = result.map(|result| match (result.nodes.as_slice(), &result.location) {
        ([node], _) => format!("{} · {}", result.code, words::value(&node.value)),
        ([], Some(location)) => format!("{} · {location}", result.code),
        ([], None) => result.code.clone(),
        (nodes, _) => format!("{} · {}", result.code, words::count(nodes.len(), "value")),
    });
    let mut text = match (said, &operation.error) {
        (None, None) => String::new(),
        (Some(said), None) => said,
        (None, Some(error)) => error.clone(),
        // A refusal's text may begin with its code.
        (Some(said), Some(error)) if error.contains(&said) => error.clone(),
        (Some(said), Some(error)) => format!("{said}: {error}"),
    };
    if text.chars().count() > 160 {
        text = text.chars().take(159).collect();
        text.push('…');
    }
    text
}
