//! Without the key that sealed them credentials are not dropped in silence, and nobody gets in.

use crate::support::shared::by;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use flownexus::security::{Keyring, SECRETS_KEY_FILE};
use flownexus::store::CredentialStore as _;
use flownexus::web::credentials::AfterRemoval;
use rstest::rstest;

use super::certificates::{name, new, psk, service};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::Server;

const PAIR: &str = "one:000102030405060708090a0b0c0d0e0f";
const OTHER: &str = "two:000102030405060708090a0b0c0d0e0f";

#[rstest]
#[tokio::test]
async fn nothing_is_loaded_and_no_second_key_is_begun(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let (store, elsewhere) = (
        database.open().await,
        tempfile::tempdir().expect("a folder"),
    );
    let ring = Keyring::default();
    let one = service(&store, &ring, &database.settings.data_dir)
        .add(new("thing", psk(PAIR)))
        .await
        .expect("stored");

    let other_ring = Keyring::default();
    let without = service(&store, &other_ring, elsewhere.path());
    let error = without.load().await.expect_err("no key").to_string();
    assert!(
        error.contains("missing") && error.contains(SECRETS_KEY_FILE),
        "{error}"
    );
    let error = without.add(new("thing", psk(OTHER))).await;
    assert!(error.expect_err("no key").to_string().contains("missing"));
    assert!(!elsewhere.path().join(SECRETS_KEY_FILE).exists());
    assert_eq!(store.ids().await.expect("read"), [one.id]);

    // Where it comes too late for a refusal, the device is shut out and nobody takes its name.
    assert!(without.refresh().await.expect("looked"));
    assert!(other_ring.holds(&name("thing")));
    let (_, key) = other_ring.psk("one").expect("a place holder");
    assert_ne!(Some(key), ring.psk("one").map(|(_, key)| key));

    // It can be removed without the key; then a new one may begin.
    without
        .remove(one.id, AfterRemoval::RevokeOurs, by())
        .await
        .expect("removed");
    without.add(new("thing", psk(OTHER))).await.expect("stored");
    assert!(other_ring.psk("two").is_some());
    store.close().await;
}

#[tokio::test]
async fn the_server_does_not_start_and_names_the_key() {
    let mut server = Server::start().await;
    let added = server.command(&["credential", "add", "thing", "--psk", PAIR], "");
    assert!(added.status.success(), "{added:?}");
    server.kill();
    let file = server.data_dir().join(SECRETS_KEY_FILE);
    let refused = |words: &[&str]| {
        let output = server.command(&["serve"], "");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = said.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "`{word}` is not in: {said}");
        }
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    refused(&["secrets.key", "can be read by others", "644"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    let key = fs::read(&file).expect("the key");
    fs::write(&file, [7; 32]).expect("another key");
    refused(&["sealed with the key", "missing", "secrets.key"]);
    fs::remove_file(&file).expect("removed");
    refused(&["missing", "secrets.key", "FLOWNEXUS_SECRETS_KEY"]);
    assert!(!file.exists(), "no new key takes its place");
    fs::write(&file, key).expect("the key is back");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    server.restart().await;
    assert!(server.output().contains("1 credentials are in force"));
}
