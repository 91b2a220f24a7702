//! What a certificate says. It comes from a stranger until its signature is checked, and a CA may
//! have signed oddities: no name that is not text through and through is taken for a name.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::{X509, X509NameRef, X509Ref};

use super::alt_name::AltName;
use super::{CertificateError, files};
use crate::domain::{EndpointName, Timestamp};

/// The endpoints that a certificate may speak for: its common name, and every `dNSName` and URI of
/// its `subjectAltName`, byte by byte, without repetitions.
///
/// - A name with a control character (an embedded NUL), or one that is not text in its encoding,
///   is none: never a part of it.
/// - Of several common names none counts: readers do not agree on which one does.
/// - A `dNSName` with `*` is no pattern; it names an endpoint that is called exactly so.
pub fn names_of(certificate: &X509Ref) -> Vec<EndpointName> {
    let mut names: BTreeSet<EndpointName> = BTreeSet::new();
    if let Some(name) = common_name(certificate.subject_name()) {
        names.extend(EndpointName::new(&name));
    }
    for name in alt_names(certificate) {
        match name {
            AltName::Dns(text) | AltName::Uri(text) => names.extend(EndpointName::new(&text)),
            AltName::Ip(_) => {}
        }
    }
    names.into_iter().collect()
}

/// The serial number in hex: lower case, two digits for each byte, a `-` before a negative one.
/// This is how serial numbers are stored and compared.
///
/// # Errors
/// When OpenSSL has no memory.
pub fn serial_hex(certificate: &X509Ref) -> Result<String, ErrorStack> {
    let number = certificate.serial_number().to_bn()?;
    let bytes = number.to_vec();
    let digits = if bytes.is_empty() {
        "00".to_owned()
    } else {
        hex::encode(bytes)
    };
    Ok(if number.is_negative() {
        format!("-{digits}")
    } else {
        digits
    })
}

/// A serial number as a person writes it or another tool prints it (`0A:1B`, `0x0a1b`, `A1B`), in
/// the form of [`serial_hex`]; nothing when it is none.
pub fn normalised_serial(text: &str) -> Option<String> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let digits = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .unwrap_or(digits);
    let digits: String = digits
        .chars()
        .filter(|digit| !matches!(digit, ':' | ' '))
        .collect();
    // RFC 5280 section 4.1.2.2 allows 20 bytes; more are seen, but not without end.
    if digits.is_empty() || digits.len() > 2 * MAX_SERIAL_BYTES {
        return None;
    }
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let digits = digits.trim_start_matches('0').to_ascii_lowercase();
    Some(match digits.len() {
        0 => "00".to_owned(),
        odd if odd % 2 == 1 => format!("{sign}0{digits}"),
        _ => format!("{sign}{digits}"),
    })
}

/// SHA-256 of the DER, which is what a stored certificate is known by.
///
/// # Errors
/// When OpenSSL has no memory.
pub fn fingerprint(certificate: &X509Ref) -> Result<[u8; 32], ErrorStack> {
    let digest = certificate.digest(MessageDigest::sha256())?;
    let mut bytes = [0; 32];
    for (byte, of_digest) in bytes.iter_mut().zip(digest.iter()) {
        *byte = *of_digest;
    }
    Ok(bytes)
}

/// Whether the key of one of the `issuers` (PEM, one after the other, or one in DER) signed the
/// certificate (DER). Nothing when they cannot be read: then nobody knows.
pub fn is_signed_by(certificate: &[u8], issuers: &[u8]) -> Option<bool> {
    let issuers = match X509::from_der(issuers) {
        Ok(issuer) => Ok(vec![issuer]),
        Err(_) => X509::stack_from_pem(issuers),
    };
    forget_errors();
    let issuers = issuers.ok().filter(|issuers| !issuers.is_empty())?;
    let is_signed = from_der(certificate).is_some_and(|certificate| {
        issuers.iter().any(|issuer| {
            let key = issuer.public_key();
            key.and_then(|key| certificate.verify(&key))
                .unwrap_or(false)
        })
    });
    forget_errors();
    Some(is_signed)
}

/// A certificate in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Whom it names, as `CN = …`; control characters are escaped.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The other names.
    pub alt_names: Vec<AltName>,
    /// See [`serial_hex`].
    pub serial: String,
    /// From when on it is valid.
    pub begins: Timestamp,
    /// Until when it is valid.
    pub ends: Timestamp,
    /// Whether it may sign others.
    pub is_ca: bool,
    /// See [`fingerprint`].
    pub fingerprint: [u8; 32],
}

impl Description {
    /// Whole days until it ends, rounded down; negative once it has ended.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let millis = self.ends.as_millis().saturating_sub(now.as_millis());
        millis.div_euclid(DAY_MILLIS)
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, label: &str, value: &dyn fmt::Display| {
            writeln!(f, "{label:<12} {value}")
        };
        let names: Vec<String> = self.alt_names.iter().map(AltName::to_string).collect();
        line(f, "subject", &self.subject)?;
        line(f, "names", &names.join(", "))?;
        line(f, "issuer", &self.issuer)?;
        line(f, "CA", &if self.is_ca { "yes" } else { "no" })?;
        line(f, "serial", &self.serial)?;
        line(f, "fingerprint", &hex::encode(self.fingerprint))?;
        line(f, "valid from", &self.begins)?;
        write!(f, "{:<12} {}", "valid until", self.ends)
    }
}

/// Puts a certificate into words.
///
/// # Errors
/// When OpenSSL has no memory, or a date of the certificate is none.
pub fn describe(certificate: &X509Ref) -> Result<Description, ErrorStack> {
    Ok(Description {
        subject: shown_name(certificate.subject_name()),
        issuer: shown_name(certificate.issuer_name()),
        alt_names: alt_names(certificate),
        serial: serial_hex(certificate)?,
        begins: moment(certificate.not_before())?,
        ends: moment(certificate.not_after())?,
        is_ca: is_ca(certificate),
        fingerprint: fingerprint(certificate)?,
    })
}

/// Puts every certificate of a PEM file, or the one of a DER file, into words.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn describe_file(path: &Path) -> Result<Vec<Description>, CertificateError> {
    files::certificates(path)?
        .iter()
        .map(|certificate| Ok(describe(certificate)?))
        .collect()
}

/// When a certificate ends.
pub(super) fn ends(certificate: &X509Ref) -> Result<Timestamp, ErrorStack> {
    moment(certificate.not_after())
}

/// When a certificate begins.
pub(super) fn begins(certificate: &X509Ref) -> Result<Timestamp, ErrorStack> {
    moment(certificate.not_before())
}

/// The common name, when there is exactly one and it is text.
pub(super) fn common_name(name: &X509NameRef) -> Option<String> {
    let mut entries = name.entries_by_nid(Nid::COMMONNAME);
    let only = entries.next()?;
    if entries.next().is_some() {
        return None;
    }
    let text = only.data().to_string();
    if text.is_err() {
        forget_errors();
    }
    // What was no text was replaced by U+FFFD.
    text.ok()
        .filter(|text| !text.contains(char::REPLACEMENT_CHARACTER))
}

/// The entries of `subjectAltName` that this server has a use for. An extension that cannot be read
/// has none.
pub(super) fn alt_names(certificate: &X509Ref) -> Vec<AltName> {
    let Some(entries) = certificate.subject_alt_names() else {
        forget_errors();
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|entry| {
            if let Some(name) = entry.dnsname() {
                return Some(AltName::Dns(name.to_owned()));
            }
            if let Some(uri) = entry.uri() {
                return Some(AltName::Uri(uri.to_owned()));
            }
            let address = entry.ipaddress()?;
            let ip = <[u8; 4]>::try_from(address)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(address).map(IpAddr::from));
            ip.ok().map(AltName::Ip)
        })
        .collect()
}

/// Whether a certificate says of itself that it may sign others (`basicConstraints`, RFC 5280 section
/// 4.2.1.9). To be shown only: verification is OpenSSL's.
fn is_ca(certificate: &X509Ref) -> bool {
    // The crate tells a path length only, which a CA need not have. So: the OID, `critical` or not,
    // and a sequence that begins with TRUE.
    let Ok(der) = certificate.to_der() else {
        return false;
    };
    const OID: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x13];
    const TRUE: &[u8] = &[0x01, 0x01, 0xff];
    let Some(place) = der.windows(OID.len()).position(|bytes| bytes == OID) else {
        return false;
    };
    let rest = der.get(place + OID.len()..).unwrap_or_default();
    let rest = rest.strip_prefix(TRUE).unwrap_or(rest);
    match rest {
        [0x04, _, 0x30, _, constraints @ ..] => constraints.starts_with(TRUE),
        _ => false,
    }
}

/// One certificate of DER.
pub(super) fn from_der(der: &[u8]) -> Option<X509> {
    let certificate = X509::from_der(der);
    if certificate.is_err() {
        forget_errors();
    }
    certificate.ok()
}

/// OpenSSL keeps what went wrong in a queue of the thread, where the next reader would take it for
/// its own: in a callback of a handshake it would end the session.
pub(super) fn forget_errors() {
    drop(ErrorStack::get());
}

fn shown_name(name: &X509NameRef) -> String {
    let entries: Vec<String> = name
        .entries()
        .map(|entry| {
            let key = entry.object().nid().short_name().unwrap_or("?");
            let value = entry
                .data()
                .to_string()
                .unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.to_string());
            format!("{key} = {}", value.escape_debug())
        })
        .collect();
    forget_errors();
    if entries.is_empty() {
        "(none)".to_owned()
    } else {
        entries.join(", ")
    }
}

fn moment(time: &Asn1TimeRef) -> Result<Timestamp, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(since.days) * (DAY_MILLIS / 1000) + i64::from(since.secs);
    Ok(Timestamp::clamped_from_millis(seconds.saturating_mul(1000)))
}

const DAY_MILLIS: i64 = 86_400_000;
const MAX_SERIAL_BYTES: usize = 64;
