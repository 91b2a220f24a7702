//! `/operations`: what was asked of devices.

use std::collections::HashMap;

use actix_web::HttpResponse;
use actix_web::web::Query;
use serde::{Deserialize, Serialize};

use super::bulk::BulkLine;
use super::chrome::Page;
use super::newest_first::{self, Of};
use super::words;
use crate::domain::{
    EndpointId, Operation, OperationId, OperationKind, OperationStatus, Origin, Path, Timestamp,
    count,
};
use crate::store::{Found, OperationQuery};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::word;
use crate::web::waiting::{Waits, waits};

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

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct OperationsQuery {
    status: String,
    kind: String,
    device: String,
    path: String,
    by: String,
    /// Asked for within so many hours.
    hours: String,
    before: Option<i64>,
    after: Option<i64>,
}

impl OperationsQuery {
    /// The address of the same list with another status, and more parameters.
    fn address(&self, status: Option<OperationStatus>, more: &[(&str, &str)]) -> String {
        let own = [
            ("status", status.map_or("", OperationStatus::name)),
            ("kind", &self.kind),
            ("device", self.device.trim()),
            ("path", self.path.trim()),
            ("by", self.by.trim()),
            ("hours", &self.hours),
        ];
        words::address("/operations", &[&own, more].concat())
    }

    /// Which operations of this device, or of all.
    fn wanted(&self, endpoint: Option<EndpointId>) -> Result<OperationQuery, ApiError> {
        Ok(OperationQuery {
            endpoint,
            status: word("status", &self.status)?,
            kind: word("kind", &self.kind)?,
            path: word("path", &self.path)?,
            by: Some(self.by.trim().to_owned()).filter(|by| !by.is_empty()),
            from: newest_first::since(&self.hours)?,
            to: None,
            place: newest_first::place(self.before, self.after, OperationId),
            limit: newest_first::LIMIT,
        })
    }
}

/// `GET /operations`
pub(super) async fn list(
    viewer: Viewer,
    query: Query<OperationsQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/operations");
    let device = query.device.trim();
    let of = Of::device(&viewer, device).await?;
    let wanted = query.wanted(of.one())?;
    let found = match of {
        Of::Nobody => Found::default(),
        Of::Every | Of::One(_) => viewer.search_operations(&wanted).await?,
    };
    let status = wanted.status;
    let lines = OperationLine::all(&found.rows, &waits(&viewer, &found.rows).await?);
    let tabs: Vec<Tab> = TABS
        .iter()
        .map(|(label, of)| Tab {
            label,
            href: query.address(*of, &[]),
            active: *of == status,
        })
        .collect();
    let kinds = OperationKind::ALL.map(|kind| Kind {
        name: kind.name(),
        words: kind.name().replace('_', " "),
    });
    let under_way = viewer.bulks_under_way().await?;
    let refined = [&query.path, &query.by, &query.hours];
    page.insert("operations", &lines);
    page.insert("tabs", &tabs);
    page.insert("kinds", &kinds);
    page.insert("kind", &query.kind);
    page.insert("status", &query.status);
    page.insert("device", device);
    page.insert("path", query.path.trim());
    page.insert("by", query.by.trim());
    page.insert("hours", &query.hours);
    page.insert("times", &newest_first::HOURS);
    page.insert("refined", &refined.iter().any(|word| !word.is_empty()));
    page.insert("unknown_device", &(of == Of::Nobody));
    let address = |more: &[(&str, &str)]| query.address(status, more);
    newest_first::turn(&mut page, &found, |operation| operation.id.0, address);
    page.insert("bulks", &BulkLine::all(&viewer, &under_way).await?);
    page.render("pages/operations.html")
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
                Origin::Bulk(_, name) | Origin::User(name) => name.clone(),
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
