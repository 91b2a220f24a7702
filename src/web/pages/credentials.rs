//! `/credentials`: what devices prove themselves with, the certificates that end soon, and those that
//! are not trusted any more. A key that was stored is never shown, and one that was refused has to be
//! typed again.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Form, Path, Query};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use super::chrome::{Page, see_other};
use super::mistake::Mistake;
use super::words::{self, sentence};
use crate::domain::{CredentialId, EndpointName, Timestamp};
use crate::security::certificates::{Ending, Holder};
use crate::store::{CredentialFilter, RevokedCertificate, StoredCredential, StoredProof};
use crate::web::ApiError;
use crate::web::auth::{Admin, GivenCredential, GivenProof};
use crate::web::credentials::AfterRemoval;

/// Credentials on one page.
const LIMIT: u64 = 50;

/// Revoked certificates on one page; the API lists them all.
const REVOKED_LIMIT: usize = 50;

/// Which credentials are listed, from where on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CredentialsQuery {
    search: String,
    endpoint: String,
    kind: String,
    /// Anything: only certificates that end soon.
    ending: String,
    /// `ID ENDPOINT` of the last one of the page before.
    after: String,
}

/// The form as the person filled it in.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct CredentialForm {
    endpoint: String,
    kind: String,
    identity: String,
    #[serde(deserialize_with = "wiped")]
    key: Zeroizing<String>,
    x509: String,
    rpk: String,
    note: String,
}

/// The form of a revocation as the person filled it in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RevokeForm {
    serial: String,
    reason: String,
}

/// What a page says beside its lists.
#[derive(Default)]
struct Answer {
    status: StatusCode,
    /// Why the credential was not stored.
    error: Option<Mistake>,
    /// Why the certificate was not revoked, or trusted again.
    revoke_error: Option<Mistake>,
    /// A credential that was stored, though it is unwise.
    added: Option<Added>,
    form: ShownForm,
    revoke: ShownRevoke,
}

impl CredentialsQuery {
    fn of(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            ..Self::default()
        }
    }

    fn filter(&self, ahead: Duration) -> CredentialFilter {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        CredentialFilter {
            endpoint: EndpointName::new(&self.endpoint).ok(),
            kind: self.kind.parse().ok(),
            search: text(&self.search),
            expires_before: (!self.ending.is_empty()).then(|| Timestamp::system().plus(ahead)),
            after: self.after.split_once(' ').and_then(|(id, endpoint)| {
                let id = CredentialId(id.parse().ok()?);
                Some((EndpointName::new(endpoint).ok()?, id))
            }),
            limit: LIMIT.saturating_add(1),
        }
    }

    /// The address of the same list from another place on.
    fn address(&self, after: &str) -> String {
        words::address(
            "/credentials",
            &[
                ("search", &self.search),
                ("endpoint", &self.endpoint),
                ("kind", &self.kind),
                ("ending", &self.ending),
                ("after", after),
            ],
        )
    }
}

impl CredentialForm {
    fn given(&self) -> Result<GivenCredential, ApiError> {
        let proof = match self.kind.as_str() {
            "psk" => GivenProof::Psk {
                identity: self.identity.trim().to_owned(),
                key: self.key.clone(),
            },
            "x509" => GivenProof::X509(self.x509.clone()),
            "rpk" => GivenProof::Rpk(self.rpk.clone()),
            other => {
                let detail = format!("`{other}` is no kind of credential");
                return Err(ApiError::invalid("kind", detail));
            }
        };
        Ok(GivenCredential {
            endpoint: self.endpoint.trim().to_owned(),
            proof,
            note: self.note.trim().to_owned(),
        })
    }
}

/// `GET /credentials`
pub(super) async fn page(
    admin: Admin,
    query: Query<CredentialsQuery>,
) -> Result<HttpResponse, ApiError> {
    let form = ShownForm {
        endpoint: query.endpoint.clone(),
        ..ShownForm::default()
    };
    let answer = Answer {
        form,
        ..Answer::default()
    };
    render(&admin, &query, answer).await
}

/// `POST /credentials`
pub(super) async fn add(
    admin: Admin,
    form: Form<CredentialForm>,
) -> Result<HttpResponse, ApiError> {
    let added = match form.given() {
        Ok(given) => admin.add_credential(given).await,
        Err(error) => Err(error),
    };
    match added {
        Ok((credential, warnings)) => {
            let query = CredentialsQuery::of(credential.endpoint.as_str());
            if warnings.is_empty() {
                return Ok(see_other(&query.address("")));
            }
            let answer = Answer {
                added: Some(Added {
                    id: credential.id,
                    warnings: warnings.iter().map(|text| sentence(text)).collect(),
                }),
                ..Answer::default()
            };
            render(&admin, &query, answer).await
        }
        Err(error) if error.status().is_client_error() => {
            let answer = Answer {
                status: error.status(),
                error: Some((&error).into()),
                form: ShownForm::new(form.into_inner()),
                ..Answer::default()
            };
            render(&admin, &CredentialsQuery::default(), answer).await
        }
        Err(error) => Err(error),
    }
}

/// `POST /credentials/{id}/remove`
pub(super) async fn remove(admin: Admin, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    let id = CredentialId(*id);
    let removed = admin
        .remove_credential(id, AfterRemoval::RevokeOurs)
        .await?;
    // Back to the other credentials of the device, or to everybody's.
    let mut query = CredentialsQuery::of(removed.credential.endpoint.as_str());
    if admin
        .credentials(&query.filter(Duration::ZERO))
        .await?
        .is_empty()
    {
        query = CredentialsQuery::default();
    }
    Ok(see_other(&query.address("")))
}

/// `POST /credentials/revoked`
pub(super) async fn revoke(admin: Admin, form: Form<RevokeForm>) -> Result<HttpResponse, ApiError> {
    let (serial, reason) = (form.serial.trim(), form.reason.trim());
    let revoked = admin.revoke_certificate(serial, reason, None).await;
    end_revoked(&admin, revoked.map(drop), &form).await
}

/// `POST /credentials/restored`
pub(super) async fn restore(
    admin: Admin,
    form: Form<RevokeForm>,
) -> Result<HttpResponse, ApiError> {
    let restored = admin.restore_certificate(&form.serial).await;
    end_revoked(&admin, restored, &RevokeForm::default()).await
}

async fn end_revoked(
    admin: &Admin,
    result: Result<(), ApiError>,
    form: &RevokeForm,
) -> Result<HttpResponse, ApiError> {
    match result {
        Ok(()) => Ok(see_other("/credentials#revoked")),
        Err(error) if error.status().is_client_error() => {
            let answer = Answer {
                status: error.status(),
                revoke_error: Some((&error).into()),
                revoke: ShownRevoke {
                    serial: form.serial.clone(),
                    reason: form.reason.clone(),
                },
                ..Answer::default()
            };
            render(admin, &CredentialsQuery::default(), answer).await
        }
        Err(error) => Err(error),
    }
}

async fn render(
    admin: &Admin,
    query: &CredentialsQuery,
    answer: Answer,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(admin, "/credentials");
    let settings = admin.settings();
    let now = Timestamp::system();
    let mut rows = admin
        .credentials(&query.filter(settings.certificates.warn_ahead()))
        .await?;
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| query.address(&format!("{} {}", last.id, last.endpoint)));
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        lines.push(CredentialLine::new(row, now));
    }
    let revoked = admin.revoked_certificates().await?;
    let revoked_lines: Vec<RevokedLine<'_>> = revoked
        .iter()
        .take(REVOKED_LIMIT)
        .map(RevokedLine::new)
        .collect();
    page.insert("credentials", &lines);
    page.insert("search", query.search.trim());
    page.insert("endpoint", &query.endpoint);
    page.insert("kind", &query.kind);
    page.insert("ending", &!query.ending.is_empty());
    page.insert("limit", &LIMIT);
    page.insert("first", &query.after.is_empty());
    page.insert("first_href", &query.address(""));
    page.insert("next", &next);
    page.insert("coaps", &settings.coaps.enabled);
    page.insert("coaps_listen", &settings.coaps.listen.to_string());
    page.insert(
        "certs",
        &settings.data_dir.join("certs").display().to_string(),
    );
    let notice = EndingNotice::new(&admin.certificates_ending()?, now);
    let has_more = notice.as_ref().is_some_and(|notice| notice.devices > 0);
    page.insert("show_ending", &(has_more && query.ending.is_empty()));
    page.insert("certificates", &notice);
    page.insert("revoked", &revoked_lines);
    page.insert("revoked_more", &revoked.len().saturating_sub(REVOKED_LIMIT));
    page.insert("form", &answer.form);
    page.insert("revoke", &answer.revoke);
    page.insert("error", &answer.error);
    page.insert("revoke_error", &answer.revoke_error);
    page.insert("added", &answer.added);
    page.render_as(answer.status, "pages/credentials.html")
}

/// A secret of a form, wiped once the form is dropped.
fn wiped<'de, D: Deserializer<'de>>(field: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(field).map(Zeroizing::new)
}

/// What a form gives back: nothing when it is a private key, taken for what belongs there by mistake.
fn unless_secret(text: String) -> String {
    if text.contains("PRIVATE KEY") {
        drop(Zeroizing::new(text));
        return String::new();
    }
    text
}

/// The form again, without its key.
#[derive(Debug, Default, Serialize)]
struct ShownForm {
    endpoint: String,
    kind: String,
    identity: String,
    x509: String,
    rpk: String,
    note: String,
}

impl ShownForm {
    fn new(form: CredentialForm) -> Self {
        Self {
            endpoint: form.endpoint,
            kind: form.kind,
            identity: form.identity,
            x509: unless_secret(form.x509),
            rpk: unless_secret(form.rpk),
            note: form.note,
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct ShownRevoke {
    serial: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Added {
    id: CredentialId,
    warnings: Vec<String>,
}

/// A line of a table of credentials, for admins.
#[derive(Debug, Serialize)]
pub(super) struct CredentialLine<'a> {
    id: CredentialId,
    endpoint: &'a str,
    kind: &'static str,
    words: &'static str,
    label: &'a str,
    subject: Option<&'a str>,
    begins: Option<Timestamp>,
    ends: Option<Timestamp>,
    ended: bool,
    note: &'a str,
    created_at: Timestamp,
    created_by: &'a str,
    used_at: Option<Timestamp>,
}

impl<'a> CredentialLine<'a> {
    pub(super) fn new(row: &'a StoredCredential, now: Timestamp) -> Self {
        let certificate = match &row.proof {
            StoredProof::X509(certificate) => Some(certificate),
            StoredProof::Psk { .. } | StoredProof::Rpk { .. } => None,
        };
        let ends = certificate.map(|certificate| certificate.not_after);
        Self {
            id: row.id,
            endpoint: row.endpoint.as_str(),
            kind: row.proof.kind().name(),
            words: row.proof.kind().in_words(),
            label: row.proof.label(),
            subject: certificate.map(|certificate| certificate.subject.as_str()),
            begins: certificate
                .map(|certificate| certificate.not_before)
                .filter(|begins| *begins > now),
            ends,
            ended: ends.is_some_and(|ends| ends < now),
            note: &row.note,
            created_at: row.created_at,
            created_by: &row.created_by,
            used_at: row.last_used_at,
        }
    }
}

#[derive(Debug, Serialize)]
struct RevokedLine<'a> {
    serial: &'a str,
    reason: &'a str,
    endpoint: Option<&'a str>,
    at: Timestamp,
    by: &'a str,
}

impl<'a> RevokedLine<'a> {
    fn new(certificate: &'a RevokedCertificate) -> Self {
        Self {
            serial: &certificate.serial,
            reason: &certificate.reason,
            endpoint: certificate.endpoint.as_ref().map(EndpointName::as_str),
            at: certificate.revoked_at,
            by: &certificate.revoked_by,
        }
    }
}

/// The certificates that end soon, for a notice.
#[derive(Debug, Serialize)]
pub(super) struct EndingNotice {
    /// Those of the server and its CA, one line each.
    ours: Vec<OursEnding>,
    /// How many are stored for devices.
    devices: usize,
    /// How many of these have ended.
    devices_ended: usize,
}

#[derive(Debug, Serialize)]
struct OursEnding {
    holder: String,
    /// Where it is, in `certs` of the data folder.
    file: &'static str,
    ends: Timestamp,
    ended: bool,
}

impl EndingNotice {
    /// Nothing when none ends soon.
    pub(super) fn new(endings: &[Ending], now: Timestamp) -> Option<Self> {
        let mut notice = Self {
            ours: Vec::new(),
            devices: 0,
            devices_ended: 0,
        };
        for ending in endings {
            let ended = ending.ends < now;
            let file = match ending.holder {
                Holder::Ca => "ca.crt",
                Holder::Server => "server.crt",
                Holder::Device(..) => {
                    notice.devices = notice.devices.saturating_add(1);
                    notice.devices_ended = notice.devices_ended.saturating_add(usize::from(ended));
                    continue;
                }
            };
            notice.ours.push(OursEnding {
                holder: ending.holder.to_string(),
                file,
                ends: ending.ends,
                ended,
            });
        }
        (!endings.is_empty()).then_some(notice)
    }
}
