//! `/api/v1/credentials`: what devices prove themselves with, and the certificates that are not trusted
//! any more. For admins. A key that was stored is never shown again.

use std::fmt;
use std::str::FromStr;

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::domain::{CredentialId, CredentialKind, EndpointName};
use crate::store::{CredentialFilter, RevokedCertificate, StoredCredential, StoredProof};
use crate::web::ApiError;
use crate::web::api::refused::{NotAdmin, UnreadableParameter};
use crate::web::auth::{Admin, GivenCredential, GivenProof};
use crate::web::credentials::AfterRemoval;
use crate::web::error::Problem;

use super::object::Object;
use super::query::{self, NoQuery, Page};

/// How a device proves itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum KindName {
    /// A pre-shared key.
    Psk,
    /// A raw public key.
    Rpk,
    /// An X.509 certificate.
    X509,
}

impl From<CredentialKind> for KindName {
    fn from(kind: CredentialKind) -> Self {
        match kind {
            CredentialKind::Psk => Self::Psk,
            CredentialKind::Rpk => Self::Rpk,
            CredentialKind::X509 => Self::X509,
        }
    }
}

/// A credential of a device, without its key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "endpoint": "urn:imei:490154203237518", "kind": "psk", "label": "urn:imei:490154203237518",
    "subject": null, "fingerprint": null, "not_before": null, "not_after": null,
    "note": "from the factory", "created_at": "2026-11-23T12:00:00.000Z", "created_by": "alice",
    "last_used_at": "2026-11-23T12:04:00.000Z"
}))]
pub(super) struct Credential {
    /// Its number.
    id: i64,
    /// The device that it lets speak.
    endpoint: String,
    /// How the device proves itself.
    kind: KindName,
    /// The PSK identity, the SHA-256 of the public key in hex, or the serial number of the certificate
    /// in hex.
    label: String,
    /// The subject of the certificate.
    #[schema(required)]
    subject: Option<String>,
    /// SHA-256 of the certificate or of the public key, in hex.
    #[schema(required)]
    fingerprint: Option<String>,
    /// From when on the certificate is valid.
    #[schema(required, format = DateTime)]
    not_before: Option<String>,
    /// Until when the certificate is valid.
    #[schema(required, format = DateTime)]
    not_after: Option<String>,
    /// What somebody noted.
    note: String,
    /// When it was stored.
    #[schema(format = DateTime)]
    created_at: String,
    /// Who stored it: a login, `token:NAME` or `command line`.
    created_by: String,
    /// When a device last proved itself with it, to the minute.
    #[schema(required, format = DateTime)]
    last_used_at: Option<String>,
}

impl From<StoredCredential> for Credential {
    fn from(stored: StoredCredential) -> Self {
        let (certificate, fingerprint) = match &stored.proof {
            StoredProof::Psk { .. } => (None, None),
            StoredProof::Rpk { fingerprint, .. } => (None, Some(fingerprint.clone())),
            StoredProof::X509(certificate) => {
                (Some(certificate), Some(certificate.fingerprint.clone()))
            }
        };
        Self {
            id: stored.id.0,
            endpoint: stored.endpoint.to_string(),
            kind: stored.proof.kind().into(),
            label: stored.proof.label().to_owned(),
            subject: certificate.map(|found| found.subject.clone()),
            fingerprint,
            not_before: certificate.map(|found| found.not_before.to_string()),
            not_after: certificate.map(|found| found.not_after.to_string()),
            note: stored.note,
            created_at: stored.created_at.to_string(),
            created_by: stored.created_by,
            last_used_at: stored.last_used_at.map(|time| time.to_string()),
        }
    }
}

/// A credential that was just stored.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedCredential {
    #[serde(flatten)]
    credential: Credential,
    /// What is unwise about it, one sentence each.
    warnings: Vec<String>,
}

/// A credential that was just removed.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "credential": {
        "id": 7, "endpoint": "urn:imei:490154203237518", "kind": "x509", "label": "urn:imei:490154203237518",
        "subject": "CN=urn:imei:490154203237518", "fingerprint": "3f0a…", "not_before": "2026-01-01T00:00:00Z",
        "not_after": "2036-01-01T00:00:00Z", "note": "from the factory", "created_at": "2026-11-23T12:00:00Z",
        "created_by": "admin", "last_used_at": "2026-11-30T12:00:00Z"
    },
    "revoked": "5f3a9c"
}))]
pub(super) struct RemovedCredential {
    /// As it was.
    credential: Credential,
    /// The serial number of its certificate, where that was revoked with it.
    #[schema(required, example = json!(null))]
    revoked: Option<String>,
}

/// A new credential: exactly one of `psk`, `x509` and `rpk`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "endpoint": "urn:imei:490154203237518",
    "psk": {"identity": "urn:imei:490154203237518", "key": "000102030405060708090a0b0c0d0e0f"},
    "note": "from the factory"
}))]
pub(super) struct NewCredential {
    /// The device that it lets speak; it need not have been seen yet.
    endpoint: String,
    /// A pre-shared key.
    psk: Option<NewPsk>,
    /// The certificate of the device: PEM, or DER in base64.
    x509: Option<String>,
    /// The public key of the device, on P-256: PEM, or DER in base64.
    rpk: Option<String>,
    /// What to remember about it.
    #[serde(default)]
    #[schema(max_length = 1000)]
    note: String,
}

/// A new pre-shared key.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPsk {
    /// The PSK identity, 1 to 128 bytes; only one credential may have it.
    #[schema(example = "urn:imei:490154203237518")]
    identity: String,
    /// The key in hex, 1 to 64 bytes.
    #[schema(format = Password, example = "000102030405060708090a0b0c0d0e0f")]
    key: String,
}

impl NewCredential {
    fn given(self) -> Result<GivenCredential, ApiError> {
        let proof = match (self.psk, self.x509, self.rpk) {
            (Some(psk), None, None) => GivenProof::Psk {
                identity: psk.identity,
                key: Zeroizing::new(psk.key),
            },
            (None, Some(certificate), None) => GivenProof::X509(certificate),
            (None, None, Some(key)) => GivenProof::Rpk(key),
            (None, None, None) => {
                return Err(ApiError::invalid("psk", "give one of psk, x509 and rpk"));
            }
            _ => {
                let detail = "give one of psk, x509 and rpk, and no two of them";
                return Err(ApiError::invalid("psk", detail));
            }
        };
        Ok(GivenCredential {
            endpoint: self.endpoint,
            proof,
            note: self.note,
        })
    }
}

/// A certificate that is not trusted any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "serial": "5f3a9c", "reason": "the device was stolen", "endpoint": "urn:imei:490154203237518",
    "revoked_at": "2026-11-23T12:00:00.000Z", "revoked_by": "alice"
}))]
pub(super) struct Revoked {
    /// Its serial number in hex.
    serial: String,
    /// Why.
    reason: String,
    /// Whose it was, where that is known.
    #[schema(required)]
    endpoint: Option<String>,
    /// Since when.
    #[schema(format = DateTime)]
    revoked_at: String,
    /// Who said so.
    revoked_by: String,
}

impl From<RevokedCertificate> for Revoked {
    fn from(certificate: RevokedCertificate) -> Self {
        Self {
            serial: certificate.serial,
            reason: certificate.reason,
            endpoint: certificate.endpoint.map(|name| name.to_string()),
            revoked_at: certificate.revoked_at.to_string(),
            revoked_by: certificate.revoked_by,
        }
    }
}

/// A certificate that is not to be trusted any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"serial": "5f:3a:9c", "reason": "the device was stolen"}))]
pub(super) struct NewRevoked {
    /// Its serial number in hex, with or without colons.
    serial: String,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 1000)]
    reason: String,
    /// Whose it is, where that is known.
    endpoint: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CredentialQuery {
    /// Those of one device.
    endpoint: Option<String>,
    /// Those of one kind.
    #[param(value_type = Option<KindName>)]
    kind: Option<String>,
    /// A part of the device's name, the label or the note, upper and lower case alike.
    search: Option<String>,
    /// Certificates that end before this moment: RFC 3339, or milliseconds since 1970.
    #[param(example = "2027-01-31T00:00:00Z")]
    expires_before: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct RemovalQuery {
    /// Do not revoke the serial number of a certificate; where our CA signed it, the device may come back.
    #[param(value_type = Option<bool>, default = false)]
    keep_serial: Option<String>,
}

/// Where in the list a page ends.
struct Place(EndpointName, CredentialId);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.1, self.0)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, name) = text.split_once(' ').ok_or(())?;
        let name = EndpointName::new(name).map_err(drop)?;
        Ok(Self(name, CredentialId(id.parse().map_err(drop)?)))
    }
}

/// List credentials
///
/// By device and number. Keys are never part of it.
#[utoipa::path(
    get,
    path = "/credentials",
    impl_for = list_credentials,
    tag = "access",
    params(CredentialQuery),
    responses(
        (status = 200, description = "A page of credentials", body = Page<Credential>),
        UnreadableParameter, NotAdmin,
    ),
)]
#[get("/credentials")]
pub(super) async fn list_credentials(
    admin: Admin,
    query: Query<CredentialQuery>,
) -> Result<Json<Page<Credential>>, ApiError> {
    let endpoint = query.endpoint.as_deref().map(EndpointName::new).transpose();
    let limit = query::limit(&admin, query.limit.as_deref())?;
    let after: Option<Place> = query::read_cursor(query.cursor.as_deref())?;
    let filter = CredentialFilter {
        endpoint: endpoint.map_err(|error| ApiError::parameter("endpoint", error.to_string()))?,
        kind: query::parse("kind", query.kind.as_deref())?,
        search: query.search.clone().filter(|search| !search.is_empty()),
        expires_before: query::moment("expires_before", query.expires_before.as_deref())?,
        after: after.map(|Place(endpoint, id)| (endpoint, id)),
        limit: limit + 1,
    };
    let rows = admin.credentials(&filter).await?;
    Ok(Json(Page::cut(
        rows,
        limit,
        |row| Place(row.endpoint.clone(), row.id),
        Credential::from,
    )))
}

/// Show a credential
#[utoipa::path(
    get,
    path = "/credentials/{id}",
    impl_for = show_credential,
    tag = "access",
    params(("id" = i64, Path, description = "The credential's number")),
    responses(
        (status = 200, description = "The credential, without its key", body = Credential),
        (status = 404, description = "No credential has this number", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[get("/credentials/{id}")]
pub(super) async fn show_credential(
    admin: Admin,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<Credential>, ApiError> {
    let id = CredentialId(query::row_id("credential", &id)?);
    Ok(Json(admin.credential(id).await?.into()))
}

/// Store a credential
///
/// It is in force at once, beside the others of the device: to rotate a key, add the new one, give it to
/// the device, and remove the old one. From the first credential on, the device is refused over plain
/// CoAP.
#[utoipa::path(
    post,
    path = "/credentials",
    impl_for = create_credential,
    tag = "access",
    request_body = NewCredential,
    responses(
        (status = 201, description = "It is stored and in force", body = AddedCredential),
        (status = 409, description = "Another credential has this identity, key or certificate, the certificate is revoked, or there are too many (`credentials.max`)", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[post("/credentials")]
pub(super) async fn create_credential(
    admin: Admin,
    _query: Query<NoQuery>,
    body: Object<NewCredential>,
) -> Result<HttpResponse, ApiError> {
    let given = body.into_inner().given()?;
    let (credential, warnings) = admin.add_credential(given).await?;
    let location = format!("/api/v1/credentials/{}", credential.id);
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, location));
    Ok(response.json(AddedCredential {
        credential: credential.into(),
        warnings,
    }))
}

/// Remove a credential
///
/// Sessions that it opened end at once. The serial number of a certificate that our CA signed is revoked
/// with it, so that the device does not come back by the CA alone.
#[utoipa::path(
    delete,
    path = "/credentials/{id}",
    impl_for = delete_credential,
    tag = "access",
    params(("id" = i64, Path, description = "The credential's number"), RemovalQuery),
    responses(
        (status = 200, description = "It is gone", body = RemovedCredential),
        (status = 404, description = "No credential has this number", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotAdmin,
    ),
)]
#[delete("/credentials/{id}")]
pub(super) async fn delete_credential(
    admin: Admin,
    id: Path<String>,
    query: Query<RemovalQuery>,
) -> Result<Json<RemovedCredential>, ApiError> {
    let id = CredentialId(query::row_id("credential", &id)?);
    let keep: Option<bool> = query::parse("keep_serial", query.keep_serial.as_deref())?;
    let then = if keep == Some(true) {
        AfterRemoval::Keep
    } else {
        AfterRemoval::RevokeOurs
    };
    let removed = admin.remove_credential(id, then).await?;
    Ok(Json(RemovedCredential {
        credential: removed.credential.into(),
        revoked: removed.revoked,
    }))
}

/// List revoked certificates
///
/// Newest first.
#[utoipa::path(
    get,
    path = "/credentials/revoked",
    impl_for = list_revoked,
    tag = "access",
    responses(
        (status = 200, description = "All of them", body = Page<Revoked>),
        NotAdmin,
    ),
)]
#[get("/credentials/revoked")]
pub(super) async fn list_revoked(
    admin: Admin,
    _query: Query<NoQuery>,
) -> Result<Json<Page<Revoked>>, ApiError> {
    let revoked = admin.revoked_certificates().await?;
    Ok(Json(Page::whole(
        revoked.into_iter().map(Revoked::from).collect(),
    )))
}

/// Revoke a certificate
///
/// No certificate with this serial number is trusted any more; sessions that one opened end at once.
#[utoipa::path(
    post,
    path = "/credentials/revoked",
    impl_for = create_revoked,
    tag = "access",
    request_body = NewRevoked,
    responses(
        (status = 201, description = "It is revoked", body = Revoked),
        (status = 409, description = "It is revoked already", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[post("/credentials/revoked")]
pub(super) async fn create_revoked(
    admin: Admin,
    _query: Query<NoQuery>,
    body: Object<NewRevoked>,
) -> Result<HttpResponse, ApiError> {
    let body = body.into_inner();
    let revoked = admin
        .revoke_certificate(&body.serial, &body.reason, body.endpoint.as_deref())
        .await?;
    Ok(HttpResponse::Created().json(Revoked::from(revoked)))
}

/// Trust a certificate again
///
/// Certificates with this serial number that our CA signed, or that are stored, are trusted again.
#[utoipa::path(
    delete,
    path = "/credentials/revoked/{serial}",
    impl_for = delete_revoked,
    tag = "access",
    params(("serial" = String, Path, description = "The serial number in hex", example = "5f3a9c")),
    responses(
        (status = 204, description = "It is trusted again"),
        (status = 404, description = "It is not revoked", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is no serial number", body = Problem, content_type = "application/problem+json"),
        NotAdmin,
    ),
)]
#[delete("/credentials/revoked/{serial}")]
pub(super) async fn delete_revoked(
    admin: Admin,
    serial: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    admin.restore_certificate(&serial).await?;
    Ok(HttpResponse::NoContent().finish())
}
