//! What is taken as a credential, and what is refused with which words.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, PointConversionForm};
use openssl::hash::MessageDigest;
use openssl::pkey::Private;
use openssl::rsa::Rsa;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509Builder, X509Name};
use proptest::prelude::*;

use super::*;
use crate::security::certificates::{is_signed_by, serial_hex};

fn endpoint() -> EndpointName {
    EndpointName::new("urn:dev:1").expect("a name")
}

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> Timestamp {
    Timestamp::clamped_from_millis(1_800_000_000_000)
}

fn key_on(curve: Nid) -> PKey<Private> {
    let group = EcGroup::from_curve_name(curve).expect("a curve");
    PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key")
}

fn p256() -> PKey<Private> {
    key_on(Nid::X9_62_PRIME256V1)
}

/// A certificate of this key, serial number, common name and further name, valid for this many days from
/// a day before [`now`].
fn certificate(key: &PKey<Private>, serial: &[u8], cn: &str, days: i64) -> X509 {
    let day = now().as_millis() / 1000 - 86_400;
    let mut name = X509Name::builder().expect("a name");
    name.append_entry_by_nid(Nid::COMMONNAME, cn)
        .expect("an entry");
    let name = name.build();
    let mut builder = X509Builder::new().expect("a builder");
    builder.set_version(2).expect("a version");
    let serial = BigNum::from_slice(serial).and_then(|number| number.to_asn1_integer());
    builder
        .set_serial_number(&serial.expect("a number"))
        .expect("a number");
    builder.set_subject_name(&name).expect("a name");
    builder.set_issuer_name(&name).expect("a name");
    builder.set_pubkey(key).expect("a key");
    let from = Asn1Time::from_unix(day).expect("a time");
    let to = Asn1Time::from_unix(day + days * 86_400).expect("a time");
    builder.set_not_before(&from).expect("a time");
    builder.set_not_after(&to).expect("a time");
    let names = SubjectAlternativeName::new()
        .dns("thing.example")
        .uri("urn:dev:1")
        .email("a@b.c")
        .build(&builder.x509v3_context(None, None))
        .expect("names");
    builder.append_extension(names).expect("names");
    builder
        .sign(key, MessageDigest::sha256())
        .expect("a signature");
    builder.build()
}

fn read_x509(input: &[u8]) -> Result<(CheckedCertificate, Vec<String>), InputError> {
    let checked = x509(input, &endpoint(), now(), 30 * DAY)?;
    match checked.proof {
        CheckedProof::X509(certificate) => Ok((*certificate, checked.warnings)),
        other => panic!("{other:?}"),
    }
}

fn read_rpk(input: &[u8]) -> Result<Vec<u8>, InputError> {
    match rpk(input)?.proof {
        CheckedProof::Rpk { public_key } => Ok(public_key),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, InputError>, words: &str) {
    let text = result.expect_err(words).to_string();
    assert!(text.contains(words), "`{words}` is not in: {text}");
}

#[test]
fn a_pair_is_split_at_its_last_colon() {
    let checked = psk_pair("urn:imei:1:000102030405060708090a0B0c0d0E0f").expect("a pair");
    let CheckedProof::Psk { identity, key } = checked.proof else {
        panic!("a pre-shared key");
    };
    assert_eq!(identity, "urn:imei:1");
    assert_eq!(*key, (0..16).collect::<Vec<u8>>());
    assert_eq!(checked.warnings, Vec::<String>::new());
    refused(psk_pair("no colon"), "IDENTITY:HEXKEY");
}

#[test]
fn what_is_wrong_with_a_pre_shared_key_is_named_and_the_key_is_not() {
    let good = "00112233445566778899aabbccddeeff";
    refused(psk("", good), "identity cannot be used: it is empty");
    refused(psk(&"x".repeat(129), good), "129 bytes, at most 128");
    refused(psk(&"ü".repeat(65), good), "130 bytes");
    refused(psk("a\u{0}b", good), "control character");
    refused(psk("a\nb", good), "control character");
    refused(psk("a", ""), "key cannot be used: it is empty");
    refused(psk("a", "001"), "3 hex digits");
    refused(psk("a", &"00".repeat(65)), "65 bytes, at most 64");
    refused(psk("a", "0011223344ü"), "no hex digits");
    let error = psk("a", "deadbeefdeadbeefx").expect_err("no hex");
    assert!(!error.to_string().contains("beef") && !format!("{error:?}").contains("beef"));
    psk(&"ü".repeat(64), &"ab".repeat(64)).expect("the longest ones");
}

#[test]
fn a_key_that_can_be_guessed_comes_with_a_warning() {
    let warned = |key: &str| psk("a", key).expect("a key").warnings.len();
    assert_eq!(warned("00112233445566778899aabbccddee"), 1);
    assert_eq!(warned("00112233445566778899aabbccddeeff"), 0);
    assert_eq!(warned(&"41".repeat(16)), 1);
}

#[test]
fn a_certificate_says_who_it_is_in_pem_and_in_der() {
    let made = certificate(&p256(), &[0x0a, 0xbc], "thing", 400);
    for input in [
        made.to_pem(),
        made.to_der(),
        made.to_text().map(|mut text| {
            // What OpenSSL prints before the PEM does no harm.
            text.extend(made.to_pem().expect("PEM"));
            text
        }),
    ] {
        let (read, warnings) = read_x509(&input.expect("bytes")).expect("a certificate");
        assert_eq!(read.serial, "0abc");
        assert_eq!(read.subject, "CN = thing");
        let names: Vec<&str> = read.names.iter().map(EndpointName::as_str).collect();
        assert_eq!(names, ["thing", "thing.example", "urn:dev:1"]);
        assert_eq!(read.der, made.to_der().expect("DER"));
        let digest = made.digest(MessageDigest::sha256()).expect("a digest");
        assert_eq!(read.fingerprint.as_slice(), &*digest);
        assert_eq!(is_signed_by(&read.der, &read.der), Some(true));
        assert_eq!(
            read.not_before,
            Timestamp::clamped_from_millis(now().as_millis() - 86_400_000)
        );
        assert_eq!(
            read.not_after.since(read.not_before).as_secs(),
            400 * 86_400
        );
        assert_eq!(warnings, Vec::<String>::new());
    }
}

#[test]
fn what_keeps_a_device_from_using_its_certificate_is_a_warning() {
    let warned = |made: &X509, words: &str| {
        let (_, warnings) = read_x509(&made.to_pem().expect("PEM")).expect("a certificate");
        assert!(
            warnings.iter().any(|warning| warning.contains(words)),
            "`{words}` is not in {warnings:?}"
        );
    };
    warned(&certificate(&p256(), &[1], "x", 0), "has expired on 2027-");
    warned(&certificate(&p256(), &[1], "x", 20), "expires soon");
    let der = certificate(&p256(), &[1], "x", 20).to_der().expect("DER");
    // It was valid from a day before now on.
    for (days, words) in [(19, "expires soon, on 2027-"), (18, "")] {
        let checked = x509(&der, &endpoint(), now(), days * DAY).expect("a certificate");
        assert_eq!(checked.warnings.len(), usize::from(days == 19), "{days}");
        assert!(checked.warnings.concat().contains(words), "{days}");
    }
    let rsa = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    warned(&certificate(&rsa, &[1], "x", 400), "RSA key of 2048 bits");
    let made = certificate(&p256(), &[1], "x", 400);
    let other = EndpointName::new("other").expect("a name");
    let checked = x509(&made.to_der().expect("DER"), &other, now(), DAY).expect("a certificate");
    assert!(
        checked.warnings[0].contains("not to `other`"),
        "{:?}",
        checked.warnings
    );
    let before = Timestamp::clamped_from_millis(now().as_millis() - 10 * 86_400_000);
    let checked =
        x509(&made.to_der().expect("DER"), &endpoint(), before, DAY).expect("a certificate");
    assert!(
        checked.warnings[0].contains("not valid before"),
        "{:?}",
        checked.warnings
    );
}

#[test]
fn what_is_no_certificate_is_refused_with_a_reason() {
    let key = p256();
    let made = certificate(&key, &[1], "x", 400);
    let (pem, der) = (made.to_pem().expect("PEM"), made.to_der().expect("DER"));
    refused(read_x509(b""), "it is empty");
    refused(read_x509(&vec![b'x'; 70_000]), "64 KiB");
    refused(read_x509(b"hello"), "neither PEM nor DER");
    refused(
        read_x509(&[pem.clone(), pem.clone()].concat()),
        "there are several",
    );
    refused(read_x509(&der[..der.len() - 1]), "neither PEM nor DER");
    refused(read_x509(&[der, vec![0]].concat()), "bytes follow");
    refused(
        read_x509(&key.private_key_to_pem_pkcs8().expect("PEM")),
        "private key",
    );
    refused(
        read_x509(&key.private_key_to_der().expect("DER")),
        "private key",
    );
    let both = [pem.clone(), key.private_key_to_pem_pkcs8().expect("PEM")].concat();
    refused(read_x509(&both), "private key");
    refused(
        read_x509(&key.public_key_to_pem().expect("PEM")),
        "certificate",
    );
    let cut = String::from_utf8(pem).expect("text").replace("MII", "!!!");
    refused(read_x509(cut.as_bytes()), "certificate");
}

#[test]
fn a_public_key_is_the_same_however_it_is_written() {
    let key = p256();
    let der = key.public_key_to_der().expect("DER");
    assert_eq!(read_rpk(&der).expect("a key"), der);
    let pem = key.public_key_to_pem().expect("PEM");
    assert_eq!(read_rpk(&pem).expect("a key"), der);
    let key = key.ec_key().expect("a key");
    let mut context = BigNumContext::new().expect("a context");
    let point = key
        .public_key()
        .to_bytes(key.group(), PointConversionForm::COMPRESSED, &mut context)
        .expect("a point");
    // The same structure (RFC 5480) around the shorter form of the point.
    let head = "3039301306072a8648ce3d020106082a8648ce3d030107032200";
    let short = [hex::decode(head).expect("hex"), point].concat();
    assert!(short.len() < der.len());
    assert_eq!(read_rpk(&short).expect("a key"), der);
}

#[test]
fn what_is_no_public_key_on_p256_is_refused_with_a_reason() {
    let key = p256();
    let pem = key.public_key_to_pem().expect("PEM");
    refused(read_rpk(b""), "it is empty");
    refused(read_rpk(b"hello"), "neither PEM nor DER");
    refused(read_rpk(&[pem.clone(), pem].concat()), "there are several");
    let secret = key.private_key_to_pem_pkcs8().expect("PEM");
    refused(read_rpk(&secret), "private key");
    refused(
        read_rpk(&key.private_key_to_der().expect("DER")),
        "private key",
    );
    let made = certificate(&key, &[1], "x", 400).to_pem().expect("PEM");
    refused(read_rpk(&made), "this is a certificate");
    let other = key_on(Nid::SECP384R1).public_key_to_pem().expect("PEM");
    refused(read_rpk(&other), "secp384r1");
    let rsa = Rsa::generate(2048).expect("a key");
    refused(
        read_rpk(&rsa.public_key_to_pem().expect("PEM")),
        "RSA key of 2048 bits",
    );
    let edwards = PKey::generate_ed25519().expect("a key");
    refused(
        read_rpk(&edwards.public_key_to_pem().expect("PEM")),
        "Ed25519",
    );
}

#[test]
fn the_key_of_the_other_side_is_read_from_a_public_key_or_a_certificate() {
    let key = p256();
    let der = key.public_key_to_der().expect("DER");
    let pem = key.public_key_to_pem().expect("PEM");
    let made = certificate(&key, &[1], "x", 400);
    for input in [
        &der,
        &pem,
        &made.to_pem().expect("PEM"),
        &made.to_der().expect("DER"),
    ] {
        assert_eq!(public_key(input).expect("a key"), der);
    }
    refused(public_key(b""), "it is empty");
    refused(public_key(b"hello"), "neither PEM nor DER");
    let secret = key.private_key_to_pem_pkcs8().expect("PEM");
    refused(public_key(&secret), "private key");
    let other = certificate(&key_on(Nid::SECP384R1), &[1], "x", 400);
    refused(public_key(&other.to_pem().expect("PEM")), "secp384r1");
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    refused(public_key(cut.as_bytes()), "cannot be read");
}

#[test]
fn a_serial_number_is_read_as_people_write_it() {
    for text in ["0ABC", "abc", "0a:bc", " 0A:BC ", "0x0abc", "00 00 0a bc"] {
        assert_eq!(serial(text).expect(text), "0abc", "{text}");
    }
    assert_eq!(serial("0").expect("zero"), "00");
    for wrong in ["", ":", "xyz", "-", "0x", &"1".repeat(41)] {
        assert_eq!(serial(wrong), Err(InputError::Serial), "{wrong}");
    }
    // Not allowed, and seen: it can be revoked as well.
    assert_eq!(serial("-0A:BC").expect("negative"), "-0abc");
    let made = |number: &[u8]| serial_hex(&certificate(&p256(), number, "x", 1)).expect("a number");
    assert_eq!(made(&[0]), "00");
    assert_eq!(made(&[0, 0xff, 0x01]), "ff01");
    assert_eq!(made(&[0x01; 20]), "01".repeat(20));
}

proptest! {
    #[test]
    fn anything_is_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        text in ".{0,300}",
    ) {
        prop_assert!(read_rpk(&bytes).is_err());
        prop_assert!(read_x509(&bytes).is_err());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        prop_assert!(read_x509(pem.as_bytes()).is_err());
        let pem = format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n");
        prop_assert!(read_rpk(pem.as_bytes()).is_err());
        if let Ok(serial) = serial(&text) {
            let again = super::serial(&serial);
            prop_assert_eq!(again, Ok(serial));
        }
        if let Ok(checked) = psk_pair(&text) {
            prop_assert_eq!(checked.proof.kind(), CredentialKind::Psk);
        }
    }

    #[test]
    fn a_changed_certificate_is_another_one_or_none(
        at in any::<proptest::sample::Index>(),
        flip in 1_u8..,
    ) {
        static DER: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let der = DER.get_or_init(|| {
            certificate(&p256(), &[1], "x", 400).to_der().expect("DER")
        });
        let mut changed = der.clone();
        changed[at.index(der.len())] ^= flip;
        if let Ok((read, _)) = read_x509(&changed) {
            prop_assert_ne!(read.der, der.clone());
        }
    }
}
