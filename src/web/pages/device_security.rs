//! How a device is connected, what it proves itself with, and who was refused in its name.

use serde::Serialize;

use super::chrome::Page;
use super::credentials::CredentialLine;
use crate::domain::{CredentialKind, Denial, Timestamp, Transport};
use crate::store::{EndpointRow, Role};
use crate::web::ApiError;
use crate::web::auth::Viewer;

/// Gives the template of a device what its card of security shows.
pub(super) async fn insert(
    page: &mut Page,
    viewer: &Viewer,
    row: &EndpointRow,
) -> Result<(), ApiError> {
    let (credentials, refusal) = viewer.security(&row.name).await?;
    let now = Timestamp::system();
    let lines: Vec<CredentialLine<'_>> = credentials
        .iter()
        .map(|credential| CredentialLine::new(credential, now))
        .collect();
    let kinds: Vec<Kind> = CredentialKind::ALL
        .into_iter()
        .map(|kind| Kind {
            kind: kind.as_str(),
            count: credentials
                .iter()
                .filter(|credential| credential.proof.kind() == kind)
                .count(),
        })
        .filter(|kind| kind.count > 0)
        .collect();
    let is_admin = viewer.identity().role >= Role::Admin;
    page.insert("is_admin", &is_admin);
    // What a credential is called by is for admins alone.
    page.insert("credentials", if is_admin { &lines[..] } else { &[] });
    page.insert("credential_kinds", &kinds);
    page.insert(
        "refusal",
        &refusal
            .as_ref()
            .map(|denial| RefusalLine::new(denial, viewer.words_of(denial))),
    );
    page.insert("coaps", &viewer.settings().coaps.enabled);
    Ok(())
}

#[derive(Debug, Serialize)]
struct Kind {
    kind: &'static str,
    count: usize,
}

#[derive(Debug, Serialize)]
struct RefusalLine {
    at: Timestamp,
    address: String,
    secure: bool,
    reason: String,
    name: &'static str,
}

impl RefusalLine {
    fn new(denial: &Denial, reason: String) -> Self {
        Self {
            at: denial.at,
            address: denial.address.to_string(),
            secure: denial.transport == Transport::Dtls,
            reason,
            name: denial.reason.name(),
        }
    }
}
