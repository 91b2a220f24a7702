//! Certificates as no decent tool makes them: DER written by hand, and signed all the same.

use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use openssl::x509::X509;

use super::certificates::Holder;

/// ASN.1 tags (X.680, X.690).
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;
const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OBJECT: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `ecdsa-with-SHA256`
const ALGORITHM: [u8; 12] = [
    0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02,
];
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// Extensions (RFC 5280 section 4.2.1), and one of a private enterprise that nobody knows.
pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
pub(crate) const UNKNOWN_EXTENSION: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x84, 0x59, 0x63];

/// A certificate before it is signed; in order, until something is changed.
#[derive(Clone)]
pub(crate) struct Odd {
    key: PKey<Private>,
    serial: Vec<u8>,
    validity: Vec<u8>,
    subject: Vec<u8>,
    extensions: Vec<Vec<u8>>,
    spoil: fn(Vec<u8>) -> Vec<u8>,
}

/// A value of this tag, made of these parts.
pub(crate) fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut value = vec![tag];
    match length.to_be_bytes() {
        [.., low] if length < 0x80 => value.push(low),
        [.., low] if length < 0x100 => value.extend([0x81, low]),
        [.., high, low] if length < 0x1_0000 => value.extend([0x82, high, low]),
        [.., top, high, low] => value.extend([0x83, top, high, low]),
    }
    parts.iter().for_each(|part| value.extend(*part));
    value
}

/// A name of one common name.
pub(crate) fn common_name(tag: u8, text: &[u8]) -> Vec<u8> {
    let pair = der(
        SEQUENCE,
        &[&der(OBJECT, &[&COMMON_NAME]), &der(tag, &[text])],
    );
    der(SEQUENCE, &[&der(SET, &[&pair])])
}

/// `dNSName`s, one after the other.
pub(crate) fn dns_names<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let names: Vec<u8> = names
        .into_iter()
        .flat_map(|name| der(0x82, &[name]))
        .collect();
    der(SEQUENCE, &[&names])
}

impl Odd {
    /// Of this name, for this key.
    pub(crate) fn of(name: &str, key: &PKey<Private>) -> Self {
        let odd = Self {
            key: key.clone(),
            serial: vec![0x41, 0x42],
            validity: Vec::new(),
            subject: common_name(UTF8_STRING, name.as_bytes()),
            extensions: Vec::new(),
            spoil: |certificate| certificate,
        };
        odd.valid([(UTC_TIME, b"200101000000Z"), (UTC_TIME, b"491231235959Z")])
    }

    /// Another key.
    pub(crate) fn keyed(self, key: PKey<Private>) -> Self {
        Self { key, ..self }
    }

    /// Another subject, DER.
    pub(crate) fn named(self, subject: Vec<u8>) -> Self {
        Self { subject, ..self }
    }

    /// Another serial number, the contents of the INTEGER.
    pub(crate) fn numbered(self, serial: &[u8]) -> Self {
        let serial = serial.to_vec();
        Self { serial, ..self }
    }

    /// Other dates, each with its tag.
    pub(crate) fn valid(self, [from, to]: [(u8, &[u8]); 2]) -> Self {
        let validity = [der(from.0, &[from.1]), der(to.0, &[to.1])].concat();
        Self { validity, ..self }
    }

    /// One extension more.
    pub(crate) fn extended(mut self, id: &[u8], is_critical: bool, value: &[u8]) -> Self {
        let critical = der(BOOLEAN, &[&[0xff]]);
        let critical: &[u8] = if is_critical { &critical } else { &[] };
        let parts = [&der(OBJECT, &[id]), critical, &der(OCTET_STRING, &[value])];
        self.extensions.push(der(SEQUENCE, &parts));
        self
    }

    /// What becomes of the finished DER.
    pub(crate) fn spoilt(self, spoil: fn(Vec<u8>) -> Vec<u8>) -> Self {
        Self { spoil, ..self }
    }

    /// The certificate, DER, by this issuer.
    pub(crate) fn sign(&self, by: &Holder) -> Vec<u8> {
        let issuer = X509::from_pem(&by.certificate()).expect("a certificate in PEM");
        let issuer = issuer.subject_name().to_der().expect("DER");
        let signer = PKey::private_key_from_pem(&by.key()).expect("a private key in PEM");
        self.sign_as(&issuer, &signer)
    }

    /// The certificate, DER, by whoever has this name (DER) and key (EC).
    pub(crate) fn sign_as(&self, issuer: &[u8], signer: &PKey<Private>) -> Vec<u8> {
        let public = self.key.public_key_to_der().expect("DER");
        let mut parts = vec![
            der(0xa0, &[&der(INTEGER, &[&[2]])]),
            der(INTEGER, &[&self.serial]),
            ALGORITHM.to_vec(),
            issuer.to_vec(),
            der(SEQUENCE, &[&self.validity]),
            self.subject.clone(),
            public,
        ];
        if !self.extensions.is_empty() {
            let all = der(SEQUENCE, &[&self.extensions.concat()]);
            parts.push(der(0xa3, &[&all]));
        }
        let body = der(SEQUENCE, &[&parts.concat()]);
        let mut signature = Signer::new(MessageDigest::sha256(), signer).expect("an EC key");
        let signature = signature.sign_oneshot_to_vec(&body).expect("a signature");
        let signature = der(BIT_STRING, &[&[0], &signature]);
        (self.spoil)(der(SEQUENCE, &[&body, &ALGORITHM, &signature]))
    }

    /// Its private key.
    pub(crate) fn key(&self) -> &PKey<Private> {
        &self.key
    }

    /// The name that it gives itself, DER.
    pub(crate) fn subject(&self) -> &[u8] {
        &self.subject
    }
}
