//! What certificates say that were made here, and that others can be made of them.

use std::time::Duration;

use openssl::nid::Nid;
use openssl::x509::{X509ExtendedKeyUsage, X509KeyUsage, X509Ref, X509VerifyResult};

use super::super::authority::{Subject, new_key};
use super::super::reading::{begins, ends};
use super::super::server::signed_by;
use super::super::{AltName, Authority, CertificateError, Lifetime, names_of, serial_hex};
use crate::domain::{EndpointName, Timestamp};

pub(super) const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn now() -> Timestamp {
    Timestamp::clamped_from_millis(1_800_000_000_000)
}

pub(super) fn authority() -> Authority {
    Authority::make(
        Some("Test CA"),
        new_key().expect("a key"),
        Lifetime::CA,
        now(),
    )
    .expect("a CA")
}

pub(super) fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

fn device(authority: &Authority, endpoint: &str) -> openssl::x509::X509 {
    let subject = Subject::device(&name(endpoint)).expect("a subject");
    authority
        .sign(
            &subject,
            &new_key().expect("a key"),
            Lifetime::DEVICE,
            now(),
        )
        .expect("a certificate")
}

fn common_names(certificate: &X509Ref) -> usize {
    certificate
        .subject_name()
        .entries_by_nid(Nid::COMMONNAME)
        .count()
}

#[test]
fn a_ca_signs_and_does_nothing_else() {
    let authority = authority();
    let ca = authority.certificate();
    assert_eq!(ca.version(), 2, "version 3");
    assert_eq!(ca.pathlen(), Some(0));
    assert_eq!(
        ca.key_usage(),
        Some(X509KeyUsage::KEY_CERT_SIGN | X509KeyUsage::CRL_SIGN)
    );
    assert_eq!(ca.extended_key_usage(), None);
    assert!(ca.subject_key_id().is_some());
    assert_eq!(ca.issued(ca), X509VerifyResult::OK);
    assert_eq!(ends(ca).expect("a date"), now().plus(DAY * 7300));
    assert_eq!(now().since(begins(ca).expect("a date")), DAY);
}

#[test]
fn two_cas_without_a_name_differ_in_their_names() {
    let ca = || {
        let key = new_key().expect("a key");
        let ca = Authority::make(None, key, Lifetime::CA, now()).expect("a CA");
        super::super::describe(ca.certificate())
            .expect("words")
            .subject
    };
    let (one, two) = (ca(), ca());
    assert!(one.starts_with("CN = flownexus CA "), "{one}");
    assert_ne!(one, two);
}

#[test]
fn a_device_is_named_twice_and_can_begin_and_take_sessions() {
    let authority = authority();
    let certificate = device(&authority, "urn:imei:490154203237518");
    assert_eq!(names_of(&certificate), [name("urn:imei:490154203237518")]);
    assert_eq!(common_names(&certificate), 1);
    let names = certificate.subject_alt_names().expect("names");
    assert_eq!(
        names.get(0).and_then(|name| name.uri()),
        Some("urn:imei:490154203237518")
    );
    assert_eq!(
        certificate.key_usage(),
        Some(X509KeyUsage::DIGITAL_SIGNATURE)
    );
    assert_eq!(
        certificate.extended_key_usage(),
        Some(X509ExtendedKeyUsage::SSL_CLIENT | X509ExtendedKeyUsage::SSL_SERVER)
    );
    assert_eq!(certificate.pathlen(), None);
    let of_ca = authority
        .certificate()
        .subject_key_id()
        .expect("an id")
        .as_slice();
    assert_eq!(
        certificate
            .authority_key_id()
            .map(|id| id.as_slice().to_vec()),
        Some(of_ca.to_vec())
    );
    assert_ne!(
        certificate
            .subject_key_id()
            .map(|id| id.as_slice().to_vec()),
        Some(of_ca.to_vec())
    );
    let key = certificate.public_key().expect("a key");
    let group = key.ec_key().expect("an EC key").group().curve_name();
    assert_eq!(group, Some(Nid::X9_62_PRIME256V1));
    let signature = certificate.signature_algorithm().object().nid();
    assert_eq!(signature, Nid::ECDSA_WITH_SHA256);
}

#[test]
fn a_name_of_more_than_64_characters_stands_in_the_other_names_only() {
    let authority = authority();
    let long = format!("urn:dev:os:{}", "x".repeat(100));
    let certificate = device(&authority, &long);
    assert_eq!(common_names(&certificate), 0);
    assert_eq!(names_of(&certificate), [name(&long)]);
    let fits = "ä".repeat(64);
    assert_eq!(names_of(&device(&authority, &fits)), [name(&fits)]);
}

#[test]
fn a_long_name_that_is_no_uri_and_no_dns_name_is_refused() {
    let refused = Subject::device(&name(&"my device ".repeat(7)));
    assert!(matches!(refused, Err(CertificateError::Name(_))));
}

#[test]
fn serial_numbers_have_sixteen_bytes_are_positive_and_differ() {
    let authority = authority();
    let serial = || serial_hex(&device(&authority, "thing")).expect("a number");
    let (one, two) = (serial(), serial());
    assert_eq!(one.len(), 32, "{one}");
    assert!(one.starts_with(['4', '5', '6', '7']), "{one}");
    assert_ne!(one, two);
}

#[test]
fn nothing_is_valid_beyond_its_ca() {
    let key = new_key().expect("a key");
    let short = Authority::make(None, key, Lifetime::days(10), now()).expect("a CA");
    let certificate = device(&short, "thing");
    assert_eq!(ends(&certificate).expect("a date"), now().plus(DAY * 10));
    short
        .check_not_ended(now().plus(DAY * 9))
        .expect("not yet ended");
    let ended = short.check_not_ended(now().plus(DAY * 10));
    assert!(matches!(ended, Err(CertificateError::CaEnded(_))));
}

#[test]
fn a_century_is_possible() {
    let key = new_key().expect("a key");
    let long = Authority::make(None, key, Lifetime::days(36_500), now()).expect("a CA");
    let end = ends(long.certificate()).expect("a date");
    assert_eq!(end, now().plus(DAY * 36_500));
}

#[test]
fn renewal_keeps_key_and_names_and_changes_dates_and_number() {
    let authority = authority();
    let hosts: Vec<AltName> = ["fw.example.org", "10.0.0.1", "::1"]
        .iter()
        .map(|host| AltName::host(host).expect("a host"))
        .collect();
    let key = new_key().expect("a key");
    let old = authority
        .sign(&Subject::server(&hosts), &key, Lifetime::days(90), now())
        .expect("a certificate");
    let later = now().plus(DAY * 80);
    let lifetime = Lifetime::of(&old).expect("dates");
    assert_eq!(lifetime, Lifetime::days(90));
    let besides = [AltName::host("new.example.org").expect("a host")];
    let new = authority
        .renew(&old, &besides, lifetime, later)
        .expect("a certificate");
    assert_ne!(serial_hex(&new).ok(), serial_hex(&old).ok());
    assert_eq!(ends(&new).expect("a date"), later.plus(DAY * 90));
    assert!(new.public_key().is_ok_and(|public| public.public_eq(&key)));
    let described = super::super::describe(&new).expect("words");
    assert_eq!(described.subject, "CN = fw.example.org");
    let names: Vec<String> = described.alt_names.iter().map(AltName::to_string).collect();
    assert_eq!(
        names,
        ["fw.example.org", "10.0.0.1", "::1", "new.example.org"]
    );
}

#[test]
fn what_a_ca_has_signed_is_valid_under_its_renewed_certificate() {
    let authority = authority();
    let certificate = device(&authority, "thing");
    let renewed = authority
        .renewed(Lifetime::CA, now().plus(DAY * 7000))
        .expect("a certificate");
    let verified = signed_by(&[renewed], &[certificate]).expect("verified");
    assert_eq!(verified, Ok(()));
}

#[test]
fn a_signature_of_another_ca_of_the_same_name_does_not_count() {
    let (one, other) = (authority(), authority());
    let certificate = device(&other, "thing");
    let ca = one.certificate().clone();
    let verified = signed_by(&[ca], std::slice::from_ref(&certificate)).expect("verified");
    assert!(verified.is_err());
    assert!(!one.has_signed(&certificate));
    assert!(other.has_signed(&certificate));
}
