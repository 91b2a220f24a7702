//! What a certificate says of itself, in our words.

use std::time::Duration;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::x509::{X509, X509Ref};

use crate::domain::Timestamp;

/// A certificate that ends within this time should be renewed.
pub const EXPIRES_SOON: Duration = Duration::from_secs(30 * 86_400);

/// The serial number in hex, as the list of revoked certificates and the keyring have it: lower case,
/// whole bytes, none that is zero in front.
pub fn serial_hex(certificate: &X509Ref) -> String {
    let Ok(number) = certificate.serial_number().to_bn() else {
        return String::new();
    };
    let sign = if number.is_negative() { "-" } else { "" };
    match hex::encode(number.to_vec()) {
        digits if digits.is_empty() => "00".to_owned(),
        digits => format!("{sign}{digits}"),
    }
}

/// The subject for people, as in `CN=thing, O=factory`.
pub fn subject(certificate: &X509Ref) -> String {
    let parts: Vec<String> = certificate
        .subject_name()
        .entries()
        .map(|entry| {
            let name = entry.object().nid().short_name().unwrap_or("?").to_owned();
            let value = entry.data().to_string().unwrap_or_default();
            format!("{name}={}", value.replace(char::is_control, "\u{fffd}"))
        })
        .collect();
    parts.join(", ")
}

/// The names that a certificate is made out to: common name, DNS names and URIs, each once. The name of
/// an endpoint is looked for among them (OMA-TS-LightweightM2M Transport 5.2.8.7).
pub fn names(certificate: &X509Ref) -> Vec<String> {
    let mut names = Vec::new();
    let mut add = |name: Option<String>| {
        // One with a zero byte in it would end there for C programs, at somebody else's name perhaps.
        if let Some(name) = name
            && !name.contains(char::is_control)
            && !names.contains(&name)
        {
            names.push(name);
        }
    };
    for entry in certificate.subject_name().entries_by_nid(Nid::COMMONNAME) {
        add(entry.data().to_string().ok());
    }
    for name in certificate.subject_alt_names().into_iter().flatten() {
        add(name.dnsname().map(str::to_owned));
        add(name.uri().map(str::to_owned));
    }
    names
}

/// From when until when it is valid.
pub fn validity(certificate: &X509Ref) -> Option<(Timestamp, Timestamp)> {
    Some((
        moment(certificate.not_before())?,
        moment(certificate.not_after())?,
    ))
}

/// True when it was signed with its own key.
pub fn is_self_signed(certificate: &X509Ref) -> bool {
    certificate
        .public_key()
        .and_then(|key| certificate.verify(&key))
        .unwrap_or(false)
}

/// True when the key of `issuer` (PEM or DER) signed the certificate (DER).
pub fn is_signed_by(certificate: &[u8], issuer: &[u8]) -> bool {
    let issuer = X509::from_pem(issuer).or_else(|_| X509::from_der(issuer));
    issuer
        .and_then(|issuer| issuer.public_key())
        .and_then(|key| X509::from_der(certificate)?.verify(&key))
        .unwrap_or(false)
}

fn moment(time: &Asn1TimeRef) -> Option<Timestamp> {
    let since = Asn1Time::from_unix(0).ok()?.diff(time).ok()?;
    let seconds = i64::from(since.days)
        .checked_mul(86_400)?
        .checked_add(since.secs.into())?;
    Some(Timestamp::clamped_from_millis(seconds.checked_mul(1000)?))
}
