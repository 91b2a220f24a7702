//! Certificates that nobody should make, and somebody will: names are read whole or not at all, and
//! nothing is left in OpenSSL's queue of errors, which would end the handshake that asked
//! (CVE-2025-65499 of libcoap was a certificate that broke its verification callback).

use openssl::asn1::{Asn1Integer, Asn1Object, Asn1OctetString, Asn1Time, Asn1Type};
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509Builder, X509Extension, X509NameBuilder, X509Ref};

use super::super::authority::new_key;
use super::super::reading::from_der;
use super::super::{describe, fingerprint, names_of, normalised_serial, serial_hex};
use crate::domain::EndpointName;

/// A certificate as somebody wants it.
#[derive(Default)]
struct Odd {
    common_names: Vec<(&'static str, Option<Asn1Type>)>,
    serial: Option<(u32, bool)>,
    extensions: Vec<X509Extension>,
}

impl Odd {
    fn named(mut self, name: &'static str) -> Self {
        self.common_names.push((name, None));
        self
    }

    fn named_as(mut self, name: &'static str, kind: Asn1Type) -> Self {
        self.common_names.push((name, Some(kind)));
        self
    }

    fn alt(mut self, add: impl FnOnce(&mut SubjectAlternativeName)) -> Self {
        let mut names = SubjectAlternativeName::new();
        add(&mut names);
        let builder = X509::builder().expect("a builder");
        let names = names.build(&builder.x509v3_context(None, None));
        self.extensions.push(names.expect("names"));
        self
    }

    fn raw_alt(mut self, der: &[u8]) -> Self {
        let oid = Asn1Object::from_str("2.5.29.17").expect("an OID");
        let contents = Asn1OctetString::new_from_bytes(der).expect("bytes");
        let extension = X509Extension::new_from_der(&oid, false, &contents);
        self.extensions.push(extension.expect("an extension"));
        self
    }

    fn make(self) -> X509 {
        let key = new_key().expect("a key");
        let mut name = X509NameBuilder::new().expect("a builder");
        for (text, kind) in self.common_names {
            match kind {
                Some(kind) => name.append_entry_by_nid_with_type(Nid::COMMONNAME, text, kind),
                None => name.append_entry_by_nid(Nid::COMMONNAME, text),
            }
            .expect("a name");
        }
        let mut builder: X509Builder = X509::builder().expect("a builder");
        let (number, negative) = self.serial.unwrap_or((1, false));
        let mut number = BigNum::from_u32(number).expect("a number");
        number.set_negative(negative);
        let number = Asn1Integer::from_bn(&number).expect("a number");
        builder.set_serial_number(&number).expect("set");
        builder.set_subject_name(&name.build()).expect("set");
        builder.set_pubkey(&key).expect("set");
        builder
            .set_not_before(&Asn1Time::from_unix(0).expect("a date"))
            .expect("set");
        builder
            .set_not_after(&Asn1Time::days_from_now(1).expect("a date"))
            .expect("set");
        if !self.extensions.is_empty() {
            builder.set_version(2).expect("set");
        }
        for extension in self.extensions {
            builder.append_extension(extension).expect("added");
        }
        builder.sign(&key, MessageDigest::sha256()).expect("signed");
        let der = builder.build().to_der().expect("DER");
        X509::from_der(&der).expect("a certificate")
    }
}

/// The names, once more proving that the thread is left as it was found.
fn names(certificate: &X509Ref) -> Vec<String> {
    drop(ErrorStack::get());
    let names = names_of(certificate);
    let left = ErrorStack::get();
    assert!(left.errors().is_empty(), "left in the queue: {left}");
    names
        .iter()
        .map(EndpointName::as_str)
        .map(str::to_owned)
        .collect()
}

/// The names of the same certificate with other bytes in place of a mark. Its signature is wrong
/// then, which is looked at before names are. No certificate at all has no names.
fn patched(certificate: &X509Ref, mark: &[u8], with: &[u8]) -> Vec<String> {
    let mut der = certificate.to_der().expect("DER");
    let place = der
        .windows(mark.len())
        .position(|window| window == mark)
        .expect("the mark is in the certificate");
    der[place..place + with.len()].copy_from_slice(with);
    from_der(&der).map_or_else(Vec::new, |certificate| names(&certificate))
}

#[test]
fn an_embedded_nul_makes_a_name_none() {
    let certificate = Odd::default()
        .named_as("thing\0.evil.example", Asn1Type::UTF8STRING)
        .alt(|names| {
            names
                .dns("other\0.evil.example")
                .uri("urn:x\0:y")
                .dns("good");
        })
        .make();
    assert_eq!(names(&certificate), ["good"]);
    let words = describe(&certificate).expect("words");
    assert_eq!(words.subject, "CN = thing\\0.evil.example");
}

#[test]
fn of_several_common_names_none_counts() {
    let certificate = Odd::default()
        .named("one")
        .named("two")
        .alt(|names| {
            names.dns("three");
        })
        .make();
    assert_eq!(names(&certificate), ["three"]);
    assert!(names(&Odd::default().named("one").named("one").make()).is_empty());
}

#[test]
fn an_empty_subject_leaves_the_other_names() {
    assert!(names(&Odd::default().make()).is_empty());
    assert!(names(&Odd::default().named_as("", Asn1Type::UTF8STRING).make()).is_empty());
    let certificate = Odd::default()
        .alt(|names| {
            names
                .uri("urn:imei:1")
                .dns("")
                .uri("")
                .ip("10.0.0.1")
                .email("a@b");
        })
        .make();
    assert_eq!(names(&certificate), ["urn:imei:1"]);
    assert_eq!(describe(&certificate).expect("words").subject, "(none)");
}

#[test]
fn what_is_no_text_in_its_encoding_is_no_name() {
    let utf8 = Odd::default().named_as("QQQQ", Asn1Type::UTF8STRING).make();
    assert_eq!(names(&utf8), ["QQQQ"]);
    for wrong in [b"a\xff\xfeb", b"\xc0\x80ab", b"\xed\xa0\x80a", b"abc\xc3"] {
        assert!(patched(&utf8, b"QQQQ", wrong).is_empty());
    }
    assert_eq!(patched(&utf8, b"QQQQ", b"a\xc3\xa4b"), ["a\u{e4}b"]);
    let ia5 = Odd::default()
        .alt(|names| {
            names.dns("QQQQ").uri("urn:good");
        })
        .make();
    assert_eq!(patched(&ia5, b"QQQQ", b"a\xff\xfeb"), ["urn:good"]);
    // Two bytes are a character there: `AB`, then half a surrogate pair, then an odd length.
    let bmp = Odd::default()
        .named_as("\0A\0B", Asn1Type::BMPSTRING)
        .make();
    assert_eq!(names(&bmp), ["AB"]);
    assert!(patched(&bmp, b"\0A\0B", b"\0A\xd8\x01").is_empty());
    assert!(patched(&bmp, b"\x1e\x04\0A\0B", b"\x1e\x03\0A\0B").is_empty());
}

#[test]
fn control_characters_and_overlong_names_are_none() {
    let long: &'static str = Box::leak("x".repeat(256).into_boxed_str());
    let certificate = Odd::default()
        .named_as("a\nb", Asn1Type::UTF8STRING)
        .alt(|names| {
            names.dns(long).uri("urn:\u{1b}[2J").dns(&long[1..]);
        })
        .make();
    assert_eq!(names(&certificate), [&long[1..]]);
}

#[test]
fn broken_and_repeated_extensions_have_no_names() {
    for der in [
        &b""[..],
        b"garbage",
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        &[0x30, 0x03, 0x82, 0x7f, 0x61],
    ] {
        let certificate = Odd::default().named("thing").raw_alt(der).make();
        assert_eq!(names(&certificate), ["thing"]);
        describe(&certificate).expect("words");
    }
    let twice = Odd::default()
        .named("thing")
        .alt(|names| {
            names.dns("one");
        })
        .alt(|names| {
            names.dns("two");
        })
        .make();
    assert_eq!(names(&twice), ["thing"]);
}

#[test]
fn a_star_is_no_pattern_and_repetitions_count_once() {
    let certificate = Odd::default()
        .named("*.example.org")
        .alt(|names| {
            names.dns("*.example.org").dns("*.example.org").dns("Thing");
        })
        .make();
    assert_eq!(names(&certificate), ["*.example.org", "Thing"]);
}

#[test]
fn thousands_of_names_are_read_in_no_time() {
    let certificate = Odd::default()
        .alt(|names| {
            for number in 0..5_000 {
                names.dns(&format!("n{number}"));
            }
        })
        .make();
    assert_eq!(names(&certificate).len(), 5_000);
}

#[test]
fn serial_numbers_are_text_that_can_be_compared() {
    let serial = |number, negative| {
        let odd = Odd {
            serial: Some((number, negative)),
            ..Odd::default()
        };
        serial_hex(&odd.make()).expect("a number")
    };
    assert_eq!(serial(0, false), "00");
    assert_eq!(serial(0xabc, false), "0abc");
    assert_eq!(serial(0xabc, true), "-0abc");
    for same in ["abc", "0A:BC", "0x0abc", " 00 00 0A BC "] {
        assert_eq!(normalised_serial(same).as_deref(), Some("0abc"), "{same}");
    }
    assert_eq!(normalised_serial("-0A:BC").as_deref(), Some("-0abc"));
    assert_eq!(normalised_serial("0").as_deref(), Some("00"));
    for wrong in ["", "-", "0x", "12g4", "ä", &"1".repeat(129)] {
        assert_eq!(normalised_serial(wrong), None, "{wrong}");
    }
}

#[test]
fn no_changed_byte_makes_reading_fail_badly() {
    let certificate = Odd::default()
        .named("thing")
        .alt(|names| {
            names.dns("thing").uri("urn:imei:1").ip("::1");
        })
        .make();
    let der = certificate.to_der().expect("DER");
    let mut readable = 0;
    for place in 0..der.len() {
        for value in [0x00, 0x01, 0x7f, 0x80, 0xff] {
            let mut changed = der.clone();
            changed[place] = value;
            let Some(certificate) = from_der(&changed) else {
                continue;
            };
            readable += 1;
            names(&certificate);
            let _ = describe(&certificate);
            let _ = serial_hex(&certificate);
            assert_eq!(fingerprint(&certificate).expect("a hash").len(), 32);
        }
        assert!(from_der(&der[..place]).is_none());
    }
    assert!(readable > 100, "only {readable} were certificates");
}
