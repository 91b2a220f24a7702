//! `/operations`: what was asked of devices.

use std::collections::HashMap;
use std::str::FromStr;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Query;
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::words;
use crate::domain::{
    EndpointName, Operation, OperationId, OperationKind, OperationStatus, Origin, Path, Timestamp,
    count,
};
use crate::store::OperationFilter;
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::waiting::{Waits, waits};

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
    #[serde(default)]
    kind: String,
    #[serde(default)]
    device: String,
    before: Option<i64>,
}

impl OperationsQuery {
    /// The address of the same list with another status.
    fn address(&self, status: Option<OperationStatus>, before: Option<i64>) -> String {
        let status = status.map_or("", OperationStatus::name);
        let before = before.map(|id| id.to_string()).unwrap_or_default();
        let mut address = "/operations".to_owned();
        for (name, value) in [
            ("status", status),
            ("kind", self.kind.as_str()),
            ("device", self.device.trim()),
            ("before", before.as_str()),
        ] {
            if !value.is_empty() {
                let separator = if address.contains('?') { '&' } else { '?' };
                address.push_str(&format!("{separator}{name}={}", words::segment(value)));
            }
        }
        address
    }
}

/// `GET /operations`
pub(super) async fn list(
    viewer: Viewer,
    query: Query<OperationsQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/operations");
    let status: Option<OperationStatus> = choice("status", &query.status)?;
    let kind: Option<OperationKind> = choice("kind", &query.kind)?;
    let device = query.device.trim();
    // A name that nothing has: the list is empty, and says so.
    let endpoint = match EndpointName::new(device) {
        _ if device.is_empty() => Ok(None),
        Ok(name) => viewer.endpoint(&name).await.map(|row| Some(row.id)),
        Err(error) => Err(ApiError::not_found(error.to_string())),
    };
    let operations = match &endpoint {
        Ok(endpoint) => {
            let filter = OperationFilter {
                endpoint: *endpoint,
                status,
                kind,
                before: query.before.map(OperationId),
            };
            viewer
                .filtered_operations(&filter, LIMIT.saturating_add(1))
                .await?
        }
        Err(error) if error.status() == StatusCode::NOT_FOUND => Vec::new(),
        Err(error) => return Err(error.clone()),
    };
    let shown = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let page_of = operations.get(..shown).unwrap_or(&operations);
    let lines = OperationLine::all(page_of, &waits(&viewer, page_of).await?);
    let tabs: Vec<Tab> = TABS
        .iter()
        .map(|(label, of)| Tab {
            label,
            href: query.address(*of, None),
            active: *of == status,
        })
        .collect();
    let next = lines
        .last()
        .filter(|_| operations.len() > shown)
        .map(|last| query.address(status, Some(last.id)));
    let kinds = OperationKind::ALL.map(|kind| Kind {
        name: kind.name(),
        words: kind.name().replace('_', " "),
    });
    page.insert("operations", &lines);
    page.insert("tabs", &tabs);
    page.insert("kinds", &kinds);
    page.insert("kind", &query.kind);
    page.insert("status", &query.status);
    page.insert("device", device);
    page.insert("unknown_device", &endpoint.is_err());
    page.insert("first", &query.before.is_none());
    page.insert("first_href", &query.address(status, None));
    page.insert("next", &next);
    page.render("pages/operations.html")
}

/// What a filter of the list is set to.
fn choice<T: FromStr<Err = String>>(name: &'static str, text: &str) -> Result<Option<T>, ApiError> {
    let chosen = Some(text).filter(|text| !text.is_empty());
    chosen
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::parameter(name, error))
}

#[derive(Debug, Serialize)]
struct Tab {
    label: &'static str,
    href: String,
    active: bool,
}

#[derive(Debug, Serialize)]
struct Kind {
    name: &'static str,
    words: String,
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
    /// What it waits for, in words; empty when it does not wait.
    waits: &'static str,
    waits_about: Option<Timestamp>,
    /// True when doing it again could do it twice.
    delicate: bool,
    origin: String,
    at: Timestamp,
}

impl OperationLine {
    pub(super) fn all(operations: &[Operation], waits: &HashMap<OperationId, Waits>) -> Vec<Self> {
        let lines = operations.iter();
        lines
            .map(|operation| Self::new(operation, waits.get(&operation.id)))
            .collect()
    }

    fn new(operation: &Operation, waits: Option<&Waits>) -> Self {
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
            waits: waits.map_or("", |waits| waits.what),
            waits_about: waits.and_then(|waits| waits.about),
            delicate: matches!(
                operation.request.kind,
                OperationKind::Create | OperationKind::Delete | OperationKind::Execute
            ),
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
        (nodes, _) => format!("{} · {}", result.code, count(nodes.len(), "value")),
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
