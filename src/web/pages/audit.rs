//! `/audit`: who changed what, searched, and as a table to take away.

use actix_web::HttpResponse;
use actix_web::web::Query;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::words;
use crate::domain::{AuditEntry, Timestamp};
use crate::store::AuditFilter;
use crate::web::auth::Admin;
use crate::web::{ApiError, csv};

/// Lines on one page.
const LIMIT: u64 = 100;

/// Lines of a table that are in memory at once.
const TABLE_LINES: u64 = 1_000;

/// What is looked for; an empty field looks for nothing, as forms send it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct AuditQuery {
    #[serde(default)]
    actor: String,
    #[serde(default)]
    action: String,
    #[serde(default)]
    subject: String,
    /// A day or a moment.
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    before: Option<i64>,
}

impl AuditQuery {
    fn filter(&self, limit: u64) -> Result<AuditFilter, ApiError> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(AuditFilter {
            actor: text(&self.actor),
            action: text(&self.action),
            subject: text(&self.subject),
            from: moment("from", &self.from)?,
            to: moment("to", &self.to)?,
            before: self.before,
            limit,
        })
    }

    /// An address with what is looked for.
    fn address(&self, path: &str) -> String {
        words::address(
            path,
            &[
                ("actor", &self.actor),
                ("action", &self.action),
                ("subject", &self.subject),
                ("from", &self.from),
                ("to", &self.to),
            ],
        )
    }
}

/// A moment of a form: as a browser's field gives it, in UTC, or RFC 3339.
fn moment(field: &'static str, text: &str) -> Result<Option<Timestamp>, ApiError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let whole = match text.len() {
        10 => format!("{text}T00:00:00Z"),
        16 => format!("{text}:00Z"),
        19 => format!("{text}Z"),
        _ => text.to_owned(),
    };
    let moment = whole.parse().map_err(|_| {
        let detail = format!("`{field}` is a day such as 2026-11-30, or a moment (RFC 3339)");
        ApiError::parameter(field, detail)
    })?;
    Ok(Some(moment))
}

/// `GET /audit`
pub(super) async fn page(admin: Admin, query: Query<AuditQuery>) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&admin, "/audit");
    let filter = query.filter(LIMIT.saturating_add(1))?;
    let entries = admin.audit_log(&filter).await?;
    let shown = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let lines: Vec<AuditLine<'_>> = entries.iter().take(shown).map(AuditLine::new).collect();
    let here = query.address("/audit");
    let next = lines
        .last()
        .filter(|_| entries.len() > shown)
        .map(|last| words::address(&here, &[("before", &last.id.to_string())]));
    page.insert("entries", &lines);
    page.insert("actor", &query.actor);
    page.insert("action", &query.action);
    page.insert("subject", &query.subject);
    page.insert("from", &query.from);
    page.insert("to", &query.to);
    page.insert("is_searched", &(here != "/audit"));
    page.insert("first", &query.before.is_none());
    page.insert("first_href", &here);
    page.insert("next", &next);
    page.insert("table_href", &query.address("/audit.csv"));
    page.render("pages/audit.html")
}

/// `GET /audit.csv`: everything that is looked for, newest first.
pub(super) async fn table(
    admin: Admin,
    query: Query<AuditQuery>,
) -> Result<HttpResponse, ApiError> {
    let filter = query.filter(TABLE_LINES)?;
    let columns = ["id", "time", "actor", "from", "action", "subject", "detail"];
    // Each page is read where the one before it ended.
    let pages = stream::unfold((admin, Some(filter)), |(admin, filter)| async move {
        let mut filter = filter?;
        let lines = match admin.audit_log(&filter).await {
            Ok(lines) => lines,
            Err(error) => return Some((Err(error), (admin, None))),
        };
        let more = u64::try_from(lines.len()).unwrap_or_default() == TABLE_LINES;
        filter.before = lines.last().map(|line| line.id);
        let rows = lines.into_iter().map(row).collect();
        Some((Ok(rows), (admin, more.then_some(filter))))
    });
    Ok(csv::download("audit.csv", &columns, Box::pin(pages)))
}

fn row(line: AuditEntry) -> Vec<String> {
    vec![
        line.id.to_string(),
        line.at.to_string(),
        line.actor,
        line.remote,
        line.action,
        line.subject,
        line.detail,
    ]
}

#[derive(Serialize)]
struct AuditLine<'a> {
    id: i64,
    at: Timestamp,
    actor: &'a str,
    remote: &'a str,
    action: &'a str,
    subject: &'a str,
    detail: &'a str,
}

impl<'a> AuditLine<'a> {
    fn new(entry: &'a AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            actor: &entry.actor,
            remote: &entry.remote,
            action: &entry.action,
            subject: &entry.subject,
            detail: &entry.detail,
        }
    }
}
