//! The CA: makes its own certificate and signs those of the server and of devices. Without files
//! and without a clock; see `making.rs` for the files.

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, PKey, PKeyRef, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef, X509Ref};

use super::CertificateError;
use super::alt_name::AltName;
use super::reading::{alt_names, begins, ends};
use crate::domain::{EndpointName, Timestamp};

/// For how many days a certificate is valid, from 1 to 36,500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime(u32);

impl Lifetime {
    /// A CA: 20 years. Devices carry its certificate and are hard to reach.
    pub const CA: Self = Self(7300);
    /// A server: what clients of the web accept at the most.
    pub const SERVER: Self = Self(825);
    /// A device: 10 years.
    pub const DEVICE: Self = Self(3650);
    /// The longest.
    pub const MAX_DAYS: u32 = 36_500;

    /// Brings the number of days into the range.
    pub fn days(days: u32) -> Self {
        Self(days.clamp(1, Self::MAX_DAYS))
    }

    /// As long as a certificate was meant to be valid: the backdating does not count.
    pub(super) fn of(certificate: &X509Ref) -> Result<Self, CertificateError> {
        let whole = ends(certificate)?.since(begins(certificate)?);
        let days = whole.saturating_sub(BACKDATED).as_secs().div_ceil(86_400);
        Ok(Self::days(u32::try_from(days).unwrap_or(u32::MAX)))
    }

    pub(super) fn end(self, now: Timestamp) -> Timestamp {
        now.plus(std::time::Duration::from_secs(u64::from(self.0) * 86_400))
    }
}

/// A certificate authority that can sign.
#[derive(Clone)]
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// What a new certificate shall say.
pub(super) struct Subject {
    /// Left out when it is longer than 64 characters (`ub-common-name`, RFC 5280 appendix A.1).
    common_name: Option<String>,
    alt_names: Vec<AltName>,
}

impl Subject {
    /// A server under these names, the first of which is the common name.
    pub(super) fn server(hosts: &[AltName]) -> Self {
        Self {
            common_name: hosts
                .first()
                .map(AltName::to_string)
                .filter(|name| fits_common_name(name)),
            alt_names: hosts.to_vec(),
        }
    }

    /// A device.
    pub(super) fn device(endpoint: &EndpointName) -> Result<Self, CertificateError> {
        let name = endpoint.as_str();
        let common_name = fits_common_name(name).then(|| name.to_owned());
        let alt_names: Vec<AltName> = AltName::endpoint(endpoint).into_iter().collect();
        if common_name.is_none() && alt_names.is_empty() {
            return Err(CertificateError::Name(name.escape_debug().to_string()));
        }
        Ok(Self {
            common_name,
            alt_names,
        })
    }

    pub(super) fn has_common_name(&self) -> bool {
        self.common_name.is_some()
    }

    fn name(&self) -> Result<X509Name, CertificateError> {
        distinguished_name(self.common_name.as_deref())
    }
}

impl Authority {
    /// A certificate and its key, which the caller has compared.
    pub(super) fn new(certificate: X509, key: PKey<Private>) -> Self {
        Self { certificate, key }
    }

    /// A new CA for this key. Without a name it gets one that no other CA has, so that two of them
    /// can be told apart while one takes over from the other.
    ///
    /// # Errors
    /// When the name has more than 64 characters, or OpenSSL refuses.
    pub(super) fn make(
        name: Option<&str>,
        key: PKey<Private>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let name = match name {
            Some(name) if name.is_empty() || !fits_common_name(name) => {
                return Err(CertificateError::Name(name.escape_debug().to_string()));
            }
            Some(name) => name.to_owned(),
            None => {
                let mut random = [0; 4];
                getrandom::fill(&mut random)?;
                format!("flownexus CA {}", hex::encode(random))
            }
        };
        let name = distinguished_name(Some(&name))?;
        let certificate = self_signed(&name, &key, lifetime.end(now), now)?;
        Ok(Self { certificate, key })
    }

    /// The certificate that others check by.
    pub(super) fn certificate(&self) -> &X509 {
        &self.certificate
    }

    /// The key that signs.
    pub(super) fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// The same CA with new dates and a new serial number. What it has signed stays valid: name and
    /// key are the same.
    pub(super) fn renewed(
        &self,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<X509, CertificateError> {
        let name = self.certificate.subject_name();
        self_signed(name, &self.key, lifetime.end(now), now)
    }

    /// Whether it has signed a certificate.
    pub(super) fn has_signed(&self, certificate: &X509Ref) -> bool {
        let signed = certificate.verify(&self.key).unwrap_or(false);
        super::reading::forget_errors();
        signed
    }

    /// Signs a certificate for a public key.
    pub(super) fn sign(
        &self,
        subject: &Subject,
        key: &PKeyRef<impl HasPublic>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<X509, CertificateError> {
        let name = subject.name()?;
        self.sign_as(&name, &subject.alt_names, key, lifetime, now)
    }

    /// The same key and names, and these names besides, with new dates and a new serial number.
    pub(super) fn renew(
        &self,
        old: &X509Ref,
        besides: &[AltName],
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<X509, CertificateError> {
        let mut names = alt_names(old);
        for name in besides {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let key = old.public_key()?;
        self.sign_as(old.subject_name(), &names, &key, lifetime, now)
    }

    /// Signs for the CA's own end at the latest: nothing is valid beyond it.
    fn sign_as(
        &self,
        name: &X509NameRef,
        alt_names: &[AltName],
        key: &PKeyRef<impl HasPublic>,
        lifetime: Lifetime,
        now: Timestamp,
    ) -> Result<X509, CertificateError> {
        let end = lifetime.end(now).min(ends(&self.certificate)?);
        let mut builder = begin(name, key, end, now)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        let usage = KeyUsage::new().critical().digital_signature().build()?;
        builder.append_extension(usage)?;
        // A server that finds a device gone begins the next session itself, so both are both.
        let purposes = ExtendedKeyUsage::new()
            .server_auth()
            .client_auth()
            .build()?;
        builder.append_extension(purposes)?;
        if !alt_names.is_empty() {
            let mut names = SubjectAlternativeName::new();
            if name.entries().next().is_none() {
                // RFC 5280 section 4.2.1.6: with an empty subject it must be critical.
                names.critical();
            }
            for name in alt_names {
                match name {
                    AltName::Dns(text) => names.dns(text),
                    AltName::Ip(ip) => names.ip(&ip.to_string()),
                    AltName::Uri(text) => names.uri(text),
                };
            }
            let names = names.build(&builder.x509v3_context(None, None))?;
            builder.append_extension(names)?;
        }
        let own = SubjectKeyIdentifier::new()
            .build(&builder.x509v3_context(Some(&self.certificate), None))?;
        builder.append_extension(own)?;
        if self.certificate.subject_key_id().is_some() {
            let of_ca = AuthorityKeyIdentifier::new()
                .keyid(true)
                .build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(of_ca)?;
        }
        super::reading::forget_errors();
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(builder.build())
    }
}

/// A new P-256 key.
pub(super) fn new_key() -> Result<PKey<Private>, CertificateError> {
    Ok(PKey::ec_gen("prime256v1")?)
}

fn self_signed(
    name: &X509NameRef,
    key: &PKeyRef<Private>,
    end: Timestamp,
    now: Timestamp,
) -> Result<X509, CertificateError> {
    let mut builder = begin(name, key, end, now)?;
    builder.set_issuer_name(name)?;
    // It signs servers and devices, and no other CA.
    let constraints = BasicConstraints::new().critical().ca().pathlen(0).build()?;
    builder.append_extension(constraints)?;
    let usage = KeyUsage::new()
        .critical()
        .key_cert_sign()
        .crl_sign()
        .build()?;
    builder.append_extension(usage)?;
    let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
    builder.append_extension(own)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// What all certificates have in common.
fn begin(
    subject: &X509NameRef,
    key: &PKeyRef<impl HasPublic>,
    end: Timestamp,
    now: Timestamp,
) -> Result<X509Builder, CertificateError> {
    let mut builder = X509::builder()?;
    // Version 3 is written as 2 (RFC 5280 section 4.1.2.1).
    builder.set_version(2)?;
    builder.set_serial_number(&*serial()?)?;
    builder.set_subject_name(subject)?;
    builder.set_pubkey(key)?;
    let begin = Timestamp::clamped_from_millis(
        now.as_millis()
            .saturating_sub(i64::try_from(BACKDATED.as_millis()).unwrap_or(i64::MAX)),
    );
    builder.set_not_before(&*asn1(begin)?)?;
    builder.set_not_after(&*asn1(end)?)?;
    Ok(builder)
}

/// 16 random bytes, never negative and never zero (RFC 5280 section 4.1.2.2).
fn serial() -> Result<Asn1Integer, CertificateError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    let number = BigNum::from_slice(&bytes)?;
    Ok(Asn1Integer::from_bn(&number)?)
}

fn distinguished_name(common_name: Option<&str>) -> Result<X509Name, CertificateError> {
    let mut name = X509Name::builder()?;
    if let Some(common_name) = common_name {
        name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    }
    Ok(name.build())
}

fn fits_common_name(name: &str) -> bool {
    name.chars().count() <= 64
}

fn asn1(moment: Timestamp) -> Result<Asn1Time, CertificateError> {
    Ok(Asn1Time::from_unix(moment.as_millis().div_euclid(1000))?)
}

/// Clocks of devices are set by hand, often to local time: a certificate that was made a minute ago
/// must not be one of tomorrow for them.
pub(super) const BACKDATED: std::time::Duration = std::time::Duration::from_secs(86_400);
