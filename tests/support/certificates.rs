//! Certificates made by hand, for tests that must not make them with the server's own code.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

/// A certificate with its key, P-256.
pub(crate) struct Holder {
    certificate: X509,
    key: PKey<Private>,
}

impl Holder {
    /// An authority, signed by itself.
    pub(crate) fn authority(name: &str) -> Self {
        Self::make(name, None)
    }

    /// Somebody whom this one has signed: the name is the CN and a `dNSName`, and 127.0.0.1 is its
    /// address.
    pub(crate) fn sign(&self, name: &str) -> Self {
        Self::make(name, Some(self))
    }

    /// The certificate, PEM.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.certificate.to_pem().expect("PEM")
    }

    /// The key, PEM (PKCS #8).
    pub(crate) fn key(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().expect("PEM")
    }

    /// Somebody else's certificate and key, PEM: to sign with.
    pub(crate) fn of(certificate: &[u8], key: &[u8]) -> Self {
        Self {
            certificate: X509::from_pem(certificate).expect("a certificate in PEM"),
            key: PKey::private_key_from_pem(key).expect("a private key in PEM"),
        }
    }

    /// Like [`Holder::sign`], but the certificate ended yesterday.
    pub(crate) fn sign_too_late(&self, name: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = i64::try_from(now.expect("after 1970").as_secs()).expect("a time");
        let time = |seconds| Asn1Time::from_unix(seconds).expect("a time");
        Self::make_until(name, Some(self), &time(now - 172_800), &time(now - 86_400))
    }

    /// The public key, `SubjectPublicKeyInfo` in PEM and DER.
    pub(crate) fn public_key(&self) -> (Vec<u8>, Vec<u8>) {
        let pem = self.key.public_key_to_pem().expect("PEM");
        (pem, self.key.public_key_to_der().expect("DER"))
    }

    /// The serial number, hex.
    pub(crate) fn serial(&self) -> String {
        let serial = self.certificate.serial_number().to_bn();
        let hex = serial.and_then(|number| number.to_hex_str());
        hex.expect("a number").to_string()
    }

    fn make(name: &str, by: Option<&Self>) -> Self {
        let day = |number| Asn1Time::days_from_now(number).expect("a time");
        Self::make_until(name, by, &day(0), &day(1))
    }

    fn make_until(name: &str, by: Option<&Self>, from: &Asn1Time, to: &Asn1Time) -> Self {
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
        let key = PKey::from_ec_key(EcKey::generate(&curve).expect("a key")).expect("a key");
        let mut subject = X509NameBuilder::new().expect("a name");
        subject.append_entry_by_text("CN", name).expect("a name");
        let subject = subject.build();
        let mut serial = BigNum::new().expect("a number");
        serial.rand(64, MsbOption::ONE, false).expect("random bits");
        let serial = serial.to_asn1_integer().expect("a number");
        let mut made = X509::builder().expect("a certificate");
        // Version 3.
        made.set_version(2).expect("a version");
        made.set_serial_number(&serial).expect("a number");
        made.set_subject_name(&subject).expect("a name");
        let issuer = by.map_or(&*subject, |by| by.certificate.subject_name());
        made.set_issuer_name(issuer).expect("a name");
        made.set_pubkey(&key).expect("a key");
        made.set_not_before(from).expect("a time");
        made.set_not_after(to).expect("a time");
        let extension = if let Some(by) = by {
            let context = made.x509v3_context(Some(&by.certificate), None);
            let mut names = SubjectAlternativeName::new();
            names.dns(name).ip("127.0.0.1").build(&context)
        } else {
            BasicConstraints::new().critical().ca().build()
        };
        made.append_extension(extension.expect("an extension"))
            .expect("an extension");
        let signer = by.map_or(&key, |by| &by.key);
        made.sign(signer, MessageDigest::sha256())
            .expect("a signature");
        Self {
            certificate: made.build(),
            key,
        }
    }
}
