//! How a device is connected, what it proves itself with, and who was refused in its name.

use serde::Serialize;

use super::chrome::Page;
use super::credentials::CredentialLine;
use crate::domain::Timestamp;
use crate::store::EndpointRow;
use crate::web::ApiError;
use crate::web::auth::{Refusal, Viewer};

/// Gives the template of a device what its card of security shows.
pub(super) async fn insert(
    page: &mut Page,
    viewer: &Viewer,
    row: &EndpointRow,
) -> Result<(), ApiError> {
    let security = viewer.security(&row.name).await?;
    let now = Timestamp::system();
    let lines: Vec<CredentialLine<'_>> = security
        .credentials
        .iter()
        .map(|credential| CredentialLine::new(credential, now))
        .collect();
    let kinds: Vec<Kind> = security
        .kinds
        .into_iter()
        .map(|(kind, count)| Kind {
            words: kind.in_words(),
            count,
        })
        .collect();
    page.insert("credentials", &lines);
    page.insert("credential_kinds", &kinds);
    page.insert("refusal", &security.refusal.map(RefusalLine::from));
    page.insert("coaps", &viewer.settings().coaps.enabled);
    Ok(())
}

#[derive(Debug, Serialize)]
struct Kind {
    words: &'static str,
    count: usize,
}

#[derive(Debug, Serialize)]
struct RefusalLine {
    at: Timestamp,
    address: String,
    secure: bool,
    detail: String,
    name: &'static str,
}

impl From<Refusal> for RefusalLine {
    fn from(refusal: Refusal) -> Self {
        Self {
            at: refusal.at,
            address: refusal.address.to_string(),
            secure: refusal.secure,
            detail: refusal.detail,
            name: refusal.reason,
        }
    }
}
