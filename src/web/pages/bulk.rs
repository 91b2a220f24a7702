//! `/operations/bulk/{id}`: what was asked of many devices at once, and how it stands with each.

use actix_web::HttpResponse;
use actix_web::web::{Path, Query};
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::words;
use crate::domain::{
    BulkAction, BulkCounts, BulkId, BulkItem, BulkItemState, BulkOperation, BulkState,
    OperationStatus, Timestamp,
};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::word;

/// Devices on one page.
const LIMIT: u64 = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BulkPageQuery {
    state: String,
    from: Option<u64>,
}

/// `GET /operations/bulk/{id}`
pub(super) async fn page(
    viewer: Viewer,
    id: Path<String>,
    query: Query<BulkPageQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/operations");
    let unknown = || ApiError::not_found(format!("there is no bulk operation `{}`", *id));
    let id = BulkId(id.parse().map_err(|_| unknown())?);
    let (bulk, counts) = viewer.bulk(id).await?;
    let state: Option<BulkItemState> = word("state", &query.state)?;
    let from = query.from.unwrap_or(0);
    let mut items = viewer
        .bulk_items(id, state, from, LIMIT.saturating_add(1))
        .await?;
    let has_more = items.len() as u64 > LIMIT;
    items.truncate(usize::try_from(LIMIT).unwrap_or(usize::MAX));
    let address = |state: &str, from: u64| {
        let from = if from > 0 {
            from.to_string()
        } else {
            String::new()
        };
        words::address(
            &format!("/operations/bulk/{id}"),
            &[("state", state), ("from", &from)],
        )
    };
    let next = items
        .last()
        .filter(|_| has_more)
        .map(|last| address(&query.state, last.position.saturating_add(1)));
    let tabs: Vec<Tab> = [("All devices", "")]
        .into_iter()
        .chain([("Not taken", BulkItemState::Refused.name())])
        .chain([("Waiting for their turn", BulkItemState::Pending.name())])
        .map(|(label, state)| Tab {
            label,
            href: address(state, 0),
            active: state == query.state,
        })
        .collect();
    let lines: Vec<ItemLine> = items.into_iter().map(ItemLine::from).collect();
    page.insert("bulk", &BulkLine::new(&bulk, counts));
    page.insert("items", &lines);
    page.insert("tabs", &tabs);
    page.insert("first", &(from == 0));
    page.insert("first_href", &address(&query.state, 0));
    page.insert("next", &next);
    page.insert("limit", &LIMIT);
    page.render("pages/bulk.html")
}

#[derive(Debug, Serialize)]
struct Tab {
    label: &'static str,
    href: String,
    active: bool,
}

/// How it stands, as pages show it.
#[derive(Debug, Serialize)]
pub(super) struct BulkLine {
    id: i64,
    /// What is asked, in words.
    what: String,
    state: &'static str,
    is_running: bool,
    can_cancel: bool,
    devices: u64,
    over: u64,
    requested_by: String,
    created_at: Timestamp,
    /// Those numbers that are not 0.
    counts: Vec<Count>,
}

#[derive(Debug, Serialize)]
struct Count {
    word: &'static str,
    colour: &'static str,
    many: u64,
}

impl BulkLine {
    /// With how many of their devices stand how.
    pub(super) async fn all(
        viewer: &Viewer,
        bulks: &[BulkOperation],
    ) -> Result<Vec<Self>, ApiError> {
        let mut lines = Vec::with_capacity(bulks.len());
        for bulk in bulks {
            lines.push(Self::new(bulk, viewer.bulk_counts(bulk.id).await?));
        }
        Ok(lines)
    }

    fn new(bulk: &BulkOperation, counts: BulkCounts) -> Self {
        let colours = [
            ("waiting for their turn", "secondary", counts.pending),
            ("queued", "yellow", counts.queued),
            ("sending", "azure", counts.sending),
            ("confirmed", "green", counts.confirmed),
            ("done", "green", counts.done),
            ("failed", "red", counts.failed),
            ("not taken", "red", counts.refused),
            ("expired", "secondary", counts.expired),
            ("cancelled", "secondary", counts.cancelled),
        ];
        let shown = colours.into_iter().filter(|(_, _, many)| *many > 0);
        Self {
            id: bulk.id.0,
            what: what(&bulk.action),
            state: bulk.state.name(),
            is_running: matches!(bulk.state, BulkState::Running | BulkState::Cancelling),
            can_cancel: bulk.state == BulkState::Running
                || (bulk.state == BulkState::Finished && counts.queued > 0),
            devices: bulk.devices,
            over: counts.over(),
            requested_by: bulk.requested_by.clone(),
            created_at: bulk.created_at,
            counts: shown
                .map(|(word, colour, many)| Count { word, colour, many })
                .collect(),
        }
    }
}

/// What is asked, in words.
fn what(action: &BulkAction) -> String {
    match action {
        BulkAction::Forget => "forget".to_owned(),
        BulkAction::Operate(request) => {
            let paths: Vec<String> = request.paths.iter().map(ToString::to_string).collect();
            format!(
                "{} {}",
                request.kind.name().replace('_', " "),
                paths.join(" ")
            )
        }
        BulkAction::Tag(tags) => format!("tag {}", tags.join(" ")),
        BulkAction::Untag(tags) => format!("take away the tag {}", tags.join(" ")),
    }
}

/// One of the devices.
#[derive(Debug, Serialize)]
struct ItemLine {
    endpoint: String,
    /// `PENDING` and so on, where there is no operation.
    state: &'static str,
    status: Option<&'static str>,
    operation: Option<i64>,
    error: Option<String>,
}

impl From<BulkItem> for ItemLine {
    fn from(item: BulkItem) -> Self {
        Self {
            endpoint: item.endpoint.to_string(),
            state: match item.state {
                BulkItemState::Asked => "its operation is gone with it",
                BulkItemState::Cancelled => "cancelled",
                BulkItemState::Done => "done",
                BulkItemState::Pending => "waits for its turn",
                BulkItemState::Refused => "not taken",
            },
            status: item.status.map(OperationStatus::name),
            operation: item.operation.map(|id| id.0),
            error: item.error,
        }
    }
}
