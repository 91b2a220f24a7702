//! What the views may do with the credentials of devices and the list of revoked certificates.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::domain::{CredentialId, CredentialKind, EndpointName, Timestamp, Transport};
use crate::security::certificates::Ending;
use crate::security::{CheckedCredential, InputError, credential_input};
use crate::store::{CredentialFilter, RevokedCertificate, Role, StoredCredential};
use crate::web::ApiError;
use crate::web::credentials::{AfterRemoval, CredentialError, NewCredential, Removed};

use super::{Admin, Viewer};

/// A credential as somebody gives it.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub struct GivenCredential {
    /// Whom it lets speak.
    pub endpoint: String,
    /// What proves it.
    pub proof: GivenProof,
    /// What to remember about it.
    pub note: String,
}

/// What proves it, not checked yet.
#[expect(missing_debug_implementations, reason = "it holds a key")]
pub enum GivenProof {
    /// A pre-shared key.
    Psk {
        /// The PSK identity.
        identity: String,
        /// The key in hex.
        key: Zeroizing<String>,
    },
    /// A certificate: PEM, or DER in base64.
    X509(String),
    /// A public key: PEM, or DER in base64.
    Rpk(String),
}

/// How an endpoint proves itself, and who was refused in its name.
#[derive(Debug)]
pub struct Security {
    /// How many credentials of each kind it has, of 100 that are looked at; only kinds that it has.
    pub kinds: Vec<(CredentialKind, usize)>,
    /// What they are, for admins; nothing for others, as their names are for admins alone.
    pub credentials: Vec<StoredCredential>,
    /// The last attempt to speak for it that was refused since the server started.
    pub refusal: Option<Refusal>,
}

/// An attempt to speak for an endpoint that was refused.
#[derive(Debug)]
pub struct Refusal {
    /// When.
    pub at: Timestamp,
    /// Whether it came over DTLS.
    pub secure: bool,
    /// From where.
    pub address: SocketAddr,
    /// A short, stable name for the reason.
    pub reason: &'static str,
    /// The reason in words; for admins with the credential that was used.
    pub detail: String,
}

impl Viewer {
    /// How an endpoint proves itself, as far as this one may know it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn security(&self, endpoint: &EndpointName) -> Result<Security, ApiError> {
        let filter = CredentialFilter {
            endpoint: Some(endpoint.clone()),
            limit: MOST_COUNTED,
            ..CredentialFilter::default()
        };
        let credentials = self.state.credentials.list(&filter).await?;
        let of_kind = |kind| {
            let kinds = credentials.iter().map(|credential| credential.proof.kind());
            (kind, kinds.filter(|other| *other == kind).count())
        };
        let kinds = CredentialKind::ALL.map(of_kind);
        let is_admin = self.identity().role >= Role::Admin;
        let refusal = self.devices().last_refusal(endpoint).map(|denial| {
            let words = if is_admin {
                denial.for_people()
            } else {
                denial.for_everybody()
            };
            (denial, words)
        });
        Ok(Security {
            kinds: kinds.into_iter().filter(|(_, count)| *count > 0).collect(),
            credentials: if is_admin { credentials } else { Vec::new() },
            refusal: refusal.map(|(denial, detail)| Refusal {
                at: denial.at,
                secure: denial.transport == Transport::Dtls,
                address: denial.address,
                reason: denial.reason.name(),
                detail,
            }),
        })
    }

    /// The certificates of the server, of its CA and of devices that end within
    /// `certificates.warn_days`, or have ended; the first to end comes first.
    ///
    /// # Errors
    /// When a date cannot be read.
    pub fn certificates_ending(&self) -> Result<Vec<Ending>, ApiError> {
        self.state
            .certificates
            .ending_soon(Timestamp::system())
            .map_err(ApiError::internal)
    }
}

impl Admin {
    /// Credentials, by endpoint and number.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn credentials(
        &self,
        filter: &CredentialFilter,
    ) -> Result<Vec<StoredCredential>, ApiError> {
        Ok(self.state.credentials.list(filter).await?)
    }

    /// One credential.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn credential(&self, id: CredentialId) -> Result<StoredCredential, ApiError> {
        let found = self.state.credentials.find(id).await?;
        found.ok_or_else(|| unknown(id))
    }

    /// Stores a credential and puts it into force at once; returns what is unwise about it too.
    ///
    /// # Errors
    /// 422 naming the field, 409 when another credential has it, its certificate is revoked, or there are
    /// too many.
    pub async fn add_credential(
        &self,
        given: GivenCredential,
    ) -> Result<(StoredCredential, Vec<String>), ApiError> {
        let endpoint = EndpointName::new(&given.endpoint)
            .map_err(|error| ApiError::invalid("endpoint", error.to_string()))?;
        let warn_ahead = self.settings().certificates.warn_ahead();
        let checked = check(&given.proof, &endpoint, warn_ahead)?;
        let new = NewCredential {
            endpoint,
            proof: checked.proof,
            note: given.note,
            by: self.identity().doer(),
        };
        let added = self.state.credentials.add(new).await.map_err(refusal)?;
        Ok((added, checked.warnings))
    }

    /// Removes a credential; sessions that it opened end at once.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn remove_credential(
        &self,
        id: CredentialId,
        then: AfterRemoval,
    ) -> Result<Removed, ApiError> {
        let by = self.identity().doer();
        let removed = self.state.credentials.remove(id, then, by).await;
        removed.map_err(refusal)?.ok_or_else(|| unknown(id))
    }

    /// The certificates that are not trusted, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoked_certificates(&self) -> Result<Vec<RevokedCertificate>, ApiError> {
        Ok(self.state.credentials.revoked().await?)
    }

    /// Trusts no certificate with this serial number any more; sessions that it opened end at once.
    ///
    /// # Errors
    /// 409 when that is so already, 422 naming the field.
    pub async fn revoke_certificate(
        &self,
        serial: &str,
        reason: &str,
        endpoint: Option<&str>,
    ) -> Result<RevokedCertificate, ApiError> {
        let endpoint = endpoint
            .map(EndpointName::new)
            .transpose()
            .map_err(|error| ApiError::invalid("endpoint", error.to_string()))?;
        let by = self.identity().doer();
        let revoked = self
            .state
            .credentials
            .revoke(serial, reason, endpoint, by)
            .await
            .map_err(|error| match error {
                CredentialError::LongNote => ApiError::invalid("reason", error.to_string()),
                other => refusal(other),
            })?;
        let Some(revoked) = revoked else {
            let detail = format!("the serial number {serial} is revoked already");
            return Err(ApiError::conflict("exists", detail));
        };
        Ok(revoked)
    }

    /// Trusts certificates with this serial number again.
    ///
    /// # Errors
    /// 404 when it is not revoked, 422 when it is no serial number.
    pub async fn restore_certificate(&self, serial: &str) -> Result<(), ApiError> {
        let by = self.identity().doer();
        let restored = self.state.credentials.restore(serial, by).await;
        if !restored.map_err(refusal)? {
            let detail = format!("the serial number {serial} is not revoked");
            return Err(ApiError::not_found(detail));
        }
        Ok(())
    }
}

fn check(
    proof: &GivenProof,
    endpoint: &EndpointName,
    warn_ahead: Duration,
) -> Result<CheckedCredential, ApiError> {
    match proof {
        GivenProof::Psk { identity, key } => credential_input::psk(identity, key),
        GivenProof::X509(text) => {
            credential_input::x509(&pem_or_der(text), endpoint, Timestamp::system(), warn_ahead)
        }
        GivenProof::Rpk(text) => credential_input::rpk(&pem_or_der(text)),
    }
    .map_err(|error| wrong(&error))
}

/// DER where the text is base64, else the text as it is: PEM, or nothing that can be read.
fn pem_or_der(text: &str) -> Vec<u8> {
    let packed: String = text.split_ascii_whitespace().collect();
    match STANDARD.decode(packed) {
        Ok(der) => der,
        Err(_) => text.as_bytes().to_vec(),
    }
}

fn wrong(error: &InputError) -> ApiError {
    let field = match error.field() {
        "identity" => "psk.identity",
        "key" => "psk.key",
        "certificate" => "x509",
        "public_key" => "rpk",
        other => other,
    };
    ApiError::invalid(field, error.to_string())
}

fn refusal(error: CredentialError) -> ApiError {
    match error {
        CredentialError::Input(error) => wrong(&error),
        CredentialError::LongNote => ApiError::invalid("note", error.to_string()),
        CredentialError::Revoked(_) => ApiError::conflict("revoked", error.to_string()),
        CredentialError::Store(error) => error.into(),
        CredentialError::Taken { .. } => ApiError::conflict("exists", error.for_admins()),
        CredentialError::TooMany { .. } => ApiError::conflict("full", error.to_string()),
        CredentialError::Vault(error) => ApiError::internal(error),
    }
}

fn unknown(id: CredentialId) -> ApiError {
    ApiError::not_found(format!("there is no credential {id}"))
}

/// Credentials of one endpoint that are shown with it.
const MOST_COUNTED: u64 = 100;
