//! What people give as the credential of a device, checked before it is stored. A value that exists is
//! valid; what is merely unwise comes with warnings.

use std::time::Duration;

use openssl::bn::BigNumContext;
use openssl::ec::EcKey;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKey, PKeyRef, Public};
use openssl::x509::X509;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::PskKey;
use super::certificates::{describe, names_of, normalised_serial};
use crate::domain::{CredentialKind, EndpointName, Timestamp};

/// A credential that can be used.
#[derive(Clone, Debug)]
pub struct CheckedCredential {
    /// What proves it.
    pub proof: CheckedProof,
    /// What is unwise about it, one sentence each.
    pub warnings: Vec<String>,
}

/// What a credential is checked by.
#[derive(Clone)]
pub enum CheckedProof {
    /// A pre-shared key.
    Psk {
        /// The PSK identity.
        identity: String,
        /// The key.
        key: PskKey,
    },
    /// A raw public key on P-256.
    Rpk {
        /// The `SubjectPublicKeyInfo`, DER, always in the same form.
        public_key: Vec<u8>,
    },
    /// A certificate.
    X509(Box<CheckedCertificate>),
}

/// A certificate that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedCertificate {
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// SHA-256 of it.
    pub fingerprint: [u8; 32],
    /// Its serial number, see [`serial_hex`](super::certificates::serial_hex).
    pub serial: String,
    /// Its subject, for people.
    pub subject: String,
    /// The endpoints that it names, see [`names_of`].
    pub names: Vec<EndpointName>,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
}

/// Why something is no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// It is not what was asked for.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// The PSK identity cannot be used.
    #[error("the PSK identity cannot be used: {0}")]
    Identity(String),
    /// The key cannot be used.
    #[error("the pre-shared key cannot be used: {0}")]
    Key(String),
    /// There is no `:` in `IDENTITY:HEXKEY`.
    #[error("a pre-shared key is given as IDENTITY:HEXKEY")]
    NoPair,
    /// It is no public key that can be used.
    #[error("the public key cannot be used: {0}")]
    PublicKey(String),
    /// The serial number is no hex.
    #[error("a serial number is given in hex, with or without colons, and has at most 20 bytes")]
    Serial,
}

impl InputError {
    /// The field of the REST API that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Certificate(_) => "certificate",
            Self::Identity(_) => "identity",
            Self::Key(_) | Self::NoPair => "key",
            Self::PublicKey(_) => "public_key",
            Self::Serial => "serial",
        }
    }
}

impl CheckedProof {
    /// Which kind it is.
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::Psk { .. } => CredentialKind::Psk,
            Self::Rpk { .. } => CredentialKind::Rpk,
            Self::X509(_) => CredentialKind::X509,
        }
    }
}

impl std::fmt::Debug for CheckedProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Psk { identity, .. } => write!(f, "Psk({identity})"),
            Self::Rpk { public_key } => write!(f, "Rpk({} bytes)", public_key.len()),
            Self::X509(certificate) => write!(f, "X509({})", certificate.serial),
        }
    }
}

/// A pre-shared key: an identity of 1 to 128 bytes (RFC 4279 section 5.3 asks for that many) and a key of
/// 1 to 64 bytes (the same) in hex.
///
/// # Errors
/// Says which of both is wrong; never with the key in it.
pub fn psk(identity: &str, hex_key: &str) -> Result<CheckedCredential, InputError> {
    let wrong = |why: String| Err(InputError::Identity(why));
    if identity.is_empty() {
        return wrong("it is empty".to_owned());
    }
    if identity.len() > MAX_IDENTITY_BYTES {
        return wrong(format!(
            "it has {} bytes, at most {MAX_IDENTITY_BYTES} are allowed",
            identity.len()
        ));
    }
    if identity.chars().any(char::is_control) {
        return wrong("it contains a control character".to_owned());
    }
    let hex_key = hex_key.trim();
    let key_wrong = |why: String| Err(InputError::Key(why));
    if hex_key.is_empty() {
        return key_wrong("it is empty".to_owned());
    }
    if !hex_key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return key_wrong("it has characters that are no hex digits".to_owned());
    }
    if !hex_key.len().is_multiple_of(2) {
        return key_wrong(format!(
            "it has {} hex digits, which are no whole bytes",
            hex_key.len()
        ));
    }
    if hex_key.len() / 2 > MAX_KEY_BYTES {
        return key_wrong(format!(
            "it has {} bytes, at most {MAX_KEY_BYTES} are allowed",
            hex_key.len() / 2
        ));
    }
    let key = hex::decode(hex_key)
        .map(Zeroizing::new)
        .map_err(|_| InputError::Key("it is no hex".to_owned()))?;
    let mut warnings = Vec::new();
    if key.len() < WISE_KEY_BYTES {
        warnings.push(format!(
            "the key has only {} bytes; {WISE_KEY_BYTES} or more random ones cannot be guessed",
            key.len()
        ));
    } else if key.iter().all(|byte| Some(byte) == key.first()) {
        warnings
            .push("every byte of the key is the same; random ones cannot be guessed".to_owned());
    }
    Ok(CheckedCredential {
        proof: CheckedProof::Psk {
            identity: identity.to_owned(),
            key,
        },
        warnings,
    })
}

/// The same written `IDENTITY:HEXKEY`; the identity may contain colons.
///
/// # Errors
/// As [`psk`].
pub fn psk_pair(pair: &str) -> Result<CheckedCredential, InputError> {
    let (identity, key) = pair.rsplit_once(':').ok_or(InputError::NoPair)?;
    psk(identity, key)
}

/// One certificate, PEM or DER. It need not be made out to the endpoint, and whoever signed it does not
/// matter: exactly this one is accepted (RFC 6698, usage 3, in spirit). What keeps a device from using it
/// is a warning, and so is an end within `warn_ahead` (`certificates.warn_days`).
///
/// # Errors
/// Says why this is no certificate.
pub fn x509(
    input: &[u8],
    endpoint: &EndpointName,
    now: Timestamp,
    warn_ahead: Duration,
) -> Result<CheckedCredential, InputError> {
    let wrong = |why: &str| InputError::Certificate(why.to_owned());
    check_size(input).map_err(|why| InputError::Certificate(why.to_owned()))?;
    let found = match pem_labels(input) {
        Some(labels) => {
            if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
                return Err(wrong(PRIVATE));
            }
            let certificates = X509::stack_from_pem(input)
                .map_err(|_| wrong("the PEM text holds no readable certificate"))?;
            let mut certificates = certificates.into_iter();
            match (certificates.next(), certificates.next()) {
                (Some(one), None) => one,
                (None, _) => return Err(wrong("there is no certificate in the PEM text")),
                (Some(_), Some(_)) => {
                    return Err(wrong(
                        "there are several; give that of the device alone, without its chain",
                    ));
                }
            }
        }
        None => {
            if PKey::private_key_from_der(input).is_ok() {
                return Err(wrong(PRIVATE));
            }
            X509::from_der(input).map_err(|_| wrong("it is neither PEM nor DER of one"))?
        }
    };
    let der = found
        .to_der()
        .map_err(|error| InputError::Certificate(error.to_string()))?;
    if pem_labels(input).is_none() && der.len() != input.len() {
        return Err(wrong("bytes follow the certificate"));
    }
    let key = found
        .public_key()
        .map_err(|_| wrong("its public key cannot be read"))?;
    let said = describe(&found).map_err(|_| wrong("its times of validity cannot be read"))?;
    let (not_before, not_after) = (said.begins, said.ends);
    let names = names_of(&found);
    let mut warnings = Vec::new();
    if let Err(why) = on_p256(&key) {
        warnings.push(format!(
            "{why}; a device cannot use it with the usual ciphers"
        ));
    }
    if not_after < now {
        warnings.push(format!("the certificate has expired on {not_after}"));
    } else if not_before > now {
        warnings.push(format!("the certificate is not valid before {not_before}"));
    } else if not_after.since(now) <= warn_ahead {
        warnings.push(format!("the certificate expires soon, on {not_after}"));
    }
    if !names.contains(endpoint) {
        let names: Vec<&str> = names.iter().map(EndpointName::as_str).collect();
        warnings.push(format!(
            "the certificate is made out to {} and not to `{endpoint}`; it is accepted all the same",
            if names.is_empty() {
                "nobody".to_owned()
            } else {
                format!("`{}`", names.join("`, `"))
            }
        ));
    }
    Ok(CheckedCredential {
        proof: CheckedProof::X509(Box::new(CheckedCertificate {
            fingerprint: said.fingerprint,
            serial: said.serial,
            subject: said.subject,
            names,
            not_before,
            not_after,
            der,
        })),
        warnings,
    })
}

/// A raw public key (RFC 7250): a `SubjectPublicKeyInfo` on P-256, PEM or DER.
///
/// # Errors
/// Says why this is no such key.
pub fn rpk(input: &[u8]) -> Result<CheckedCredential, InputError> {
    Ok(CheckedCredential {
        proof: CheckedProof::Rpk {
            public_key: bare_key(input)?,
        },
        warnings: Vec::new(),
    })
}

/// The public key that a raw public key (RFC 7250) of the other side must be: given as in [`rpk`], or as a
/// certificate, PEM or DER, of which nothing but the key is looked at. DER, always in the same form.
///
/// # Errors
/// Says why there is no such key.
pub fn public_key(input: &[u8]) -> Result<Vec<u8>, InputError> {
    let is_pem = match pem_labels(input) {
        Some(labels) if labels.iter().any(|label| label == "CERTIFICATE") => true,
        None if X509::from_der(input).is_ok() => false,
        _ => return bare_key(input),
    };
    let wrong = |why: &str| InputError::PublicKey(why.to_owned());
    check_size(input).map_err(wrong)?;
    let read = if is_pem {
        X509::from_pem(input)
    } else {
        X509::from_der(input)
    };
    let key = read
        .and_then(|certificate| certificate.public_key())
        .map_err(|_| wrong("the certificate cannot be read"))?;
    usable(&key)
}

/// A serial number as people write it, see [`normalised_serial`].
///
/// # Errors
/// When it is no hex.
pub fn serial(text: &str) -> Result<String, InputError> {
    normalised_serial(text)
        .filter(|digits| digits.trim_start_matches('-').len() <= 2 * MAX_SERIAL_BYTES)
        .ok_or(InputError::Serial)
}

/// SHA-256 of a public key, as the label of a raw public key has it.
pub fn fingerprint_hex(public_key: &[u8]) -> String {
    hex::encode(Sha256::digest(public_key))
}

fn bare_key(input: &[u8]) -> Result<Vec<u8>, InputError> {
    let wrong = |why: &str| InputError::PublicKey(why.to_owned());
    check_size(input).map_err(|why| InputError::PublicKey(why.to_owned()))?;
    let key = match pem_labels(input) {
        Some(labels) => {
            if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
                return Err(wrong(PRIVATE));
            }
            if labels.iter().any(|label| label == "CERTIFICATE") {
                return Err(wrong(
                    "this is a certificate; add it as one (x509), or give its public key alone",
                ));
            }
            if labels.len() > 1 {
                return Err(wrong("there are several; give one"));
            }
            PKey::public_key_from_pem(input)
                .map_err(|_| wrong("the PEM text holds no readable public key"))?
        }
        None => {
            if PKey::private_key_from_der(input).is_ok() {
                return Err(wrong(PRIVATE));
            }
            PKey::public_key_from_der(input)
                .map_err(|_| wrong("it is neither PEM nor DER of a SubjectPublicKeyInfo"))?
        }
    };
    usable(&key)
}

/// A key on P-256, as DER in the one form.
fn usable(key: &PKeyRef<Public>) -> Result<Vec<u8>, InputError> {
    on_p256(key).map_err(InputError::PublicKey)?;
    canonical(key).map_err(|error| InputError::PublicKey(error.to_string()))
}

fn check_size(input: &[u8]) -> Result<(), &'static str> {
    match input.len() {
        0 => Err("it is empty"),
        length if length > MAX_INPUT_BYTES => Err("it has more than 64 KiB"),
        _ => Ok(()),
    }
}

/// What the PEM blocks of a text are; nothing when it is no PEM.
fn pem_labels(input: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(input).ok()?;
    let labels: Vec<String> = text
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("-----BEGIN ")?
                .strip_suffix("-----")
        })
        .map(str::to_owned)
        .collect();
    (!labels.is_empty()).then_some(labels)
}

/// The curve that every LwM2M client knows (OMA-TS-LightweightM2M Transport 5.2.5).
fn on_p256(key: &PKeyRef<Public>) -> Result<(), String> {
    let kind = match key.id() {
        Id::EC => {
            let curve = key
                .ec_key()
                .ok()
                .and_then(|key| key.group().curve_name())
                .and_then(|curve| Some((curve, curve.long_name().ok()?.to_owned())));
            match curve {
                Some((Nid::X9_62_PRIME256V1, _)) => return Ok(()),
                Some((_, name)) => format!("on the curve {name}"),
                None => "on a curve without a name".to_owned(),
            }
        }
        Id::RSA => format!("an RSA key of {} bits", key.bits()),
        Id::ED25519 => "an Ed25519 key".to_owned(),
        Id::ED448 => "an Ed448 key".to_owned(),
        _ => "of another kind".to_owned(),
    };
    Err(format!("its key is {kind}, and not one on P-256"))
}

/// The key with its point uncompressed and its curve named, as devices send it (RFC 5480 section 2).
fn canonical(key: &PKeyRef<Public>) -> Result<Vec<u8>, openssl::error::ErrorStack> {
    let key = key.ec_key()?;
    let group = openssl::ec::EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    let mut context = BigNumContext::new()?;
    let form = openssl::ec::PointConversionForm::UNCOMPRESSED;
    let bytes = key.public_key().to_bytes(&group, form, &mut context)?;
    let point = openssl::ec::EcPoint::from_bytes(&group, &bytes, &mut context)?;
    let key = EcKey::from_public_key(&group, &point)?;
    key.check_key()?;
    key.public_key_to_der()
}

const MAX_IDENTITY_BYTES: usize = 128;
const MAX_KEY_BYTES: usize = 64;
const WISE_KEY_BYTES: usize = 16;
/// RFC 5280 section 4.1.2.2.
const MAX_SERIAL_BYTES: usize = 20;
const MAX_INPUT_BYTES: usize = 65_536;
const PRIVATE: &str =
    "this is a private key, which only the device should have; give its public part";

#[cfg(test)]
#[path = "credential_input_tests.rs"]
mod tests;
