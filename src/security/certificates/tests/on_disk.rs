//! The server's certificates in their folder, in virtual time.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::super::reading::ends;
use super::super::{
    AltName, Authority, CertificateError, Certificates, Ending, Folder, Holder, Lifetime,
    Refreshed, ServerCertificates, names_of,
};
use super::made::{DAY, name, now};
use crate::config::Settings;
use crate::domain::CredentialId;

fn new_folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn load_or_make(folder: &Path) -> Result<ServerCertificates, CertificateError> {
    ServerCertificates::load_or_make(folder, &[], now())
}

#[track_caller]
fn refused(folder: &Path, words: &[&str]) {
    let error = load_or_make(folder).expect_err("must be refused");
    let said = format!("{:#}", anyhow::Error::new(error));
    for word in words {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
    assert!(!said.contains('\n'), "{said}");
}

fn other_ca(folder: &Path) -> Authority {
    let target = Folder::new(folder, false);
    Authority::create(&target, None, Lifetime::CA, now()).expect("a CA");
    Authority::load(folder).expect("a CA")
}

fn end_of(certificates: &ServerCertificates) -> crate::domain::Timestamp {
    ends(&certificates.chain[0]).expect("a date")
}

#[test]
fn the_first_start_makes_all_and_the_second_takes_them() {
    let folder = new_folder();
    let certs = folder.path().join("certs");
    let made = load_or_make(&certs).expect("made");
    let names: Vec<String> = names_of(&made.chain[0])
        .iter()
        .map(|name| name.as_str().to_owned())
        .collect();
    assert!(names.contains(&"localhost".to_owned()), "{names:?}");
    for (file, mode) in [
        ("ca.crt", 0o644),
        ("server.crt", 0o644),
        ("ca.key", 0o600),
        ("server.key", 0o600),
    ] {
        let found = fs::metadata(certs.join(file))
            .expect("a file")
            .permissions();
        assert_eq!(found.mode() & 0o777, mode, "{file}");
    }
    assert_eq!(fs::read_dir(&certs).expect("a folder").count(), 4);
    let again = load_or_make(&certs).expect("read");
    assert_eq!(again.hash, made.hash);
    assert!(!again.changed(&certs));
}

#[test]
fn an_interrupted_first_start_is_gone_on_with() {
    let folder = new_folder();
    let whole = load_or_make(folder.path()).expect("made");
    let file = |name| folder.path().join(name);
    fs::remove_file(file("server.crt")).expect("removed");
    let again = load_or_make(folder.path()).expect("made");
    assert!(again.key.public_eq(&whole.key));
    for name in ["server.crt", "server.key", "ca.crt"] {
        fs::remove_file(file(name)).expect("removed");
    }
    let again = load_or_make(folder.path()).expect("made");
    let public = |all: &ServerCertificates| all.ca[0].public_key().expect("a key");
    assert!(public(&again).public_eq(&public(&whole)));
}

#[test]
fn files_that_do_not_belong_together_are_named() {
    let folder = new_folder();
    let other = new_folder();
    load_or_make(folder.path()).expect("made");
    load_or_make(other.path()).expect("made");
    let file = |name| folder.path().join(name);
    let keep = fs::read(file("server.key")).expect("a file");
    fs::copy(other.path().join("server.key"), file("server.key")).expect("copied");
    refused(
        folder.path(),
        &["server.key", "is not the private key of", "server.crt"],
    );
    fs::copy(other.path().join("server.crt"), file("server.crt")).expect("copied");
    refused(
        folder.path(),
        &["server.crt", "was not signed by", "ca.crt"],
    );
    fs::write(file("server.key"), keep).expect("written");
    refused(folder.path(), &["server.key", "is not the private key of"]);
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = new_folder();
    load_or_make(folder.path()).expect("made");
    let file = |name| folder.path().join(name);
    let keep = ["ca.crt", "server.crt", "server.key"]
        .map(|name| (name, fs::read(file(name)).expect("a file")));
    for (name, bytes) in &keep {
        fs::write(file(name), "nonsense").expect("written");
        refused(folder.path(), &[name, "holds no"]);
        fs::write(file(name), "").expect("written");
        refused(folder.path(), &[name, "holds no"]);
        fs::write(file(name), &bytes[..bytes.len() / 2]).expect("written");
        refused(folder.path(), &[name, "holds"]);
        fs::write(file(name), bytes).expect("written");
    }
    fs::remove_file(file("server.key")).expect("removed");
    refused(
        folder.path(),
        &["cannot read", "server.key", "No such file"],
    );
    fs::create_dir(file("server.key")).expect("a folder");
    refused(folder.path(), &["cannot read", "server.key", "directory"]);
}

#[test]
fn a_server_key_that_no_offered_suite_can_use_is_refused() {
    let folder = new_folder();
    load_or_make(folder.path()).expect("made");
    let rsa = openssl::rsa::Rsa::generate(2048)
        .and_then(openssl::pkey::PKey::from_rsa)
        .and_then(|key| key.private_key_to_pem_pkcs8())
        .expect("a key");
    fs::write(folder.path().join("server.key"), rsa).expect("a file");
    refused(folder.path(), &["server.key", "elliptic curve"]);
}

#[test]
fn a_key_with_a_password_is_refused_without_asking_for_it() {
    let folder = new_folder();
    let made = load_or_make(folder.path()).expect("made");
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    let locked = made
        .key
        .private_key_to_pem_pkcs8_passphrase(cipher, b"secret")
        .expect("a key");
    fs::write(folder.path().join("server.key"), locked).expect("written");
    refused(
        folder.path(),
        &["server.key", "a private key with a password"],
    );
}

#[test]
fn what_is_missing_beside_others_is_named_and_not_made() {
    let folder = new_folder();
    load_or_make(folder.path()).expect("made");
    let file = |name| folder.path().join(name);
    fs::remove_file(file("ca.crt")).expect("removed");
    refused(
        folder.path(),
        &["ca.crt is missing, although", "server.crt is there"],
    );
    let ca_only = new_folder();
    other_ca(ca_only.path());
    fs::remove_file(ca_only.path().join("ca.key")).expect("removed");
    refused(
        ca_only.path(),
        &["server.crt is missing", "ca.key", "cert server"],
    );
    assert!(!ca_only.path().join("server.key").exists());
}

#[test]
fn several_cas_may_be_trusted_and_the_one_with_the_key_signs() {
    let (other, folder) = (new_folder(), new_folder());
    let made = load_or_make(folder.path()).expect("made");
    other_ca(other.path());
    let mut both = fs::read(other.path().join("ca.crt")).expect("a file");
    both.extend(fs::read(folder.path().join("ca.crt")).expect("a file"));
    fs::write(folder.path().join("ca.crt"), both).expect("written");
    assert!(made.changed(folder.path()));
    let two = load_or_make(folder.path()).expect("read");
    assert_eq!(two.ca.len(), 2);
    let signing = Authority::load(folder.path()).expect("a CA");
    assert_eq!(*signing.certificate(), made.ca[0]);
    two.trust().expect("a store");
}

#[test]
fn the_own_certificate_is_renewed_thirty_days_ahead_and_not_before() {
    let folder = new_folder();
    let made = load_or_make(folder.path()).expect("made");
    let renew =
        |all: &ServerCertificates, at| all.renew(folder.path(), DAY * 30, at).expect("no failure");
    assert!(renew(&made, now().plus(DAY * 794)).is_none());
    let at = now().plus(DAY * 795);
    let renewed = renew(&made, at).expect("renewed");
    assert_eq!(end_of(&renewed), at.plus(DAY * 825));
    assert!(renewed.key.public_eq(&made.key));
    assert_eq!(names_of(&renewed.chain[0]), names_of(&made.chain[0]));
    assert!(renew(&renewed, at).is_none());
    assert!(made.changed(folder.path()));
    assert!(!renewed.changed(folder.path()));
}

#[test]
fn a_short_life_is_not_renewed_all_the_time() {
    let folder = new_folder();
    let ca = other_ca(folder.path());
    let host = [AltName::host("localhost").expect("a host")];
    let target = Folder::new(folder.path(), false);
    ca.server(&target, &host, Lifetime::days(6), now())
        .expect("made");
    let all = load_or_make(folder.path()).expect("read");
    let renew = |at| all.renew(folder.path(), DAY * 30, at).expect("no failure");
    assert!(renew(now().plus(DAY)).is_none());
    assert!(renew(now().plus(DAY * 2)).is_some());
}

#[test]
fn nothing_is_renewed_without_the_key_or_for_another_ca() {
    let folder = new_folder();
    let made = load_or_make(folder.path()).expect("made");
    let at = now().plus(DAY * 800);
    let key = folder.path().join("ca.key");
    let keep = fs::read(&key).expect("a key");
    fs::remove_file(&key).expect("removed");
    let renew = || made.renew(folder.path(), DAY * 30, at).expect("no failure");
    assert!(renew().is_none());
    let other = new_folder();
    other_ca(other.path());
    fs::copy(other.path().join("ca.key"), &key).expect("copied");
    assert!(renew().is_none());
    fs::write(&key, keep).expect("written");
    assert!(renew().is_some());
}

#[test]
fn an_ended_ca_renews_nothing_and_does_not_keep_the_server_from_starting() {
    let folder = new_folder();
    let made = load_or_make(folder.path()).expect("made");
    let late = now().plus(DAY * 7400);
    ServerCertificates::load_or_make(folder.path(), &[], late).expect("read");
    let ended = made.renew(folder.path(), DAY * 30, late);
    assert!(matches!(ended, Err(CertificateError::CaEnded(_))));
}

#[test]
fn a_host_that_is_added_to_the_settings_is_added_to_the_certificate() {
    let folder = new_folder();
    let made = load_or_make(folder.path()).expect("made");
    let hosts = [AltName::host("fw.example.org").expect("a host")];
    let more = ServerCertificates::load_or_make(folder.path(), &hosts, now()).expect("made");
    assert!(more.key.public_eq(&made.key));
    let names = names_of(&more.chain[0]);
    assert!(names.contains(&name("fw.example.org")) && names.contains(&name("localhost")));
    let again = ServerCertificates::load_or_make(folder.path(), &hosts, now()).expect("read");
    assert_eq!(again.hash, more.hash);
}

fn in_force(data: &Path) -> Certificates {
    let settings = Settings {
        data_dir: data.to_owned(),
        ..Settings::defaults()
    };
    Certificates::open(&settings, now()).expect("made")
}

#[test]
fn others_on_disk_take_effect_and_wrong_ones_do_not() {
    let data = new_folder();
    let all = in_force(data.path());
    let mut changes = all.changes();
    changes.mark_unchanged();
    assert_eq!(all.refresh(now()).ok(), Some(Refreshed::Unchanged));
    assert!(!changes.has_changed().expect("alive"));

    let before = all.current();
    let certs = data.path().join("certs");
    let keep = fs::read(certs.join("server.crt")).expect("a file");
    fs::write(certs.join("server.crt"), "nonsense").expect("written");
    all.refresh(now()).expect_err("no certificate");
    assert_eq!(all.current().hash, before.hash);
    assert!(!changes.has_changed().expect("alive"));
    fs::write(certs.join("server.crt"), keep).expect("written");

    let ca = Authority::load(&certs).expect("a CA");
    ca.renew_file(&certs.join("server.crt"), None, now().plus(DAY))
        .expect("renewed");
    assert_eq!(all.refresh(now()).ok(), Some(Refreshed::Reloaded));
    assert!(changes.has_changed().expect("alive"));
    assert_ne!(all.current().hash, before.hash);
}

#[test]
fn time_alone_renews_and_warns() {
    let data = new_folder();
    let all = in_force(data.path());
    let holders = |at| {
        let soon = all.ending_soon(at).expect("dates");
        soon.into_iter().map(|one| one.holder).collect::<Vec<_>>()
    };
    assert!(holders(now()).is_empty());
    let device = Holder::Device(name("thing"), "0a".to_owned());
    let ending = |days| Ending {
        holder: device.clone(),
        ends: now().plus(DAY * days),
    };
    all.devices().watch(CredentialId(1), ending(31));
    assert!(holders(now()).is_empty());
    all.devices().watch(CredentialId(1), ending(30));
    assert_eq!(holders(now()), std::slice::from_ref(&device));
    // The first to end comes first, also when it has ended.
    assert_eq!(holders(now().plus(DAY * 800)), [device, Holder::Server]);
    all.devices().forget(CredentialId(1));

    let at = now().plus(DAY * 800);
    assert_eq!(holders(at), [Holder::Server]);
    assert_eq!(all.refresh(at).ok(), Some(Refreshed::Renewed));
    assert!(holders(at).is_empty());
    assert_eq!(
        holders(now().plus(DAY * 7280)),
        [Holder::Server, Holder::Ca]
    );
}

#[test]
fn the_metrics_say_when_they_end() {
    let data = new_folder();
    let all = in_force(data.path());
    let mut registry = prometheus_client::registry::Registry::default();
    all.metrics().register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for (label, days) in [("ca", 7300), ("server", 825)] {
        let line = format!(
            "flownexus_certificate_expiry_timestamp_seconds{{certificate=\"{label}\"}} {}",
            now().plus(DAY * days).as_millis() / 1000
        );
        assert!(text.contains(&line), "{line} is not in {text}");
    }
}

#[test]
fn a_host_is_found_in_the_certificate_as_devices_look_for_it() {
    let folder = new_folder();
    let hosts = [
        "fw.example.org",
        "*.lab.example",
        "192.0.2.7",
        "2001:db8::7",
    ];
    let hosts = hosts.map(|host| AltName::host(host).expect("a host"));
    let made = ServerCertificates::load_or_make(folder.path(), &hosts, now()).expect("made");
    for (host, is_there) in [
        ("fw.example.org", true),
        ("FW.Example.ORG", true),
        ("example.org", false),
        ("a.fw.example.org", false),
        ("one.lab.example", true),
        ("a.one.lab.example", false),
        ("lab.example", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8:0::7", true),
        ("2001:db8::8", false),
        ("localhost", true),
        ("127.0.0.1", true),
    ] {
        assert_eq!(made.is_for(host).expect("checked"), is_there, "{host}");
    }
    // It has ended, and names the same hosts.
    let later = now().plus(DAY * 36_500);
    assert!(end_of(&made) < later);
    assert!(made.is_for("fw.example.org").expect("checked"));
}
