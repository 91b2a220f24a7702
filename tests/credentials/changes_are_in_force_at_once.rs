//! What is stored is in the keyring at once, and what another process stores after the next look.

use crate::support::shared::by;
use flownexus::domain::{CredentialId, Timestamp};
use flownexus::security::Keyring;
use flownexus::store::StoredProof;
use flownexus::web::credentials::{AfterRemoval, CredentialError};
use rstest::rstest;
use sea_orm::ConnectionTrait as _;

use super::certificates::{Holder, name, new, psk, server_on, service, x509};
use crate::support::database::{Engine, TestDatabase};

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

#[rstest]
#[tokio::test]
async fn one_that_is_added_removed_and_loaded_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let folder = database.settings.data_dir.clone();
    let (store, ring, credentials) = server_on(&database).await;
    assert_eq!(credentials.load().await.expect("nothing"), 0);
    let old = credentials
        .add(new("thing", psk(&format!("id:one:{KEY}"))))
        .await
        .expect("stored");
    let device = Holder::new("other", None);
    credentials
        .add(new("other", x509("other", &device.pem())))
        .await
        .expect("stored");
    let (identity, key) = ring.psk("id:one").expect("in force");
    assert_eq!(
        (&identity.endpoint, hex::encode(&*key)),
        (&name("thing"), KEY.into())
    );
    assert!(ring.x509(&device.fingerprint()).is_some() && ring.pins_certificates(&name("other")));
    let StoredProof::Psk { sealed_key, .. } = &old.proof else {
        panic!("{old:?}");
    };
    assert!(!sealed_key.windows(16).any(|part| part == &**key));

    // A server that starts again has the same.
    let restarted = Keyring::default();
    let again = service(&store, &restarted, &folder);
    assert_eq!(again.load().await.expect("loaded"), 2);
    assert_eq!(restarted.psk("id:one").expect("in force").1, key);
    assert!(restarted.x509(&device.fingerprint()).is_some());
    assert!(!again.refresh().await.expect("looked"), "nothing is new");

    // Rotated: both are good until the old one goes, which ends its sessions.
    let mut told = ring.removals();
    credentials
        .add(new("thing", psk("two:ffeeddccbbaa99887766554433221100")))
        .await
        .expect("stored");
    assert!(ring.is_current(&identity) && !told.has_changed().expect("the ring lives"));
    let removed = credentials
        .remove(old.id, AfterRemoval::RevokeOurs, by())
        .await
        .expect("removed");
    assert_eq!(removed.expect("it was there").credential, old);
    assert!(told.has_changed().expect("the ring lives"));
    told.mark_unchanged();
    assert!(!ring.is_current(&identity) && ring.psk("id:one").is_none());
    assert!(ring.holds(&name("thing")));
    let nobody = credentials.remove(CredentialId(999), AfterRemoval::Keep, by());
    assert_eq!(nobody.await.expect("an answer"), None);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn an_identity_is_that_of_one_device_and_free_after_its_removal(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let (store, ring, credentials) = server_on(&database).await;
    let first = credentials
        .add(new("secret-lab", psk(&format!("shared:{KEY}"))))
        .await
        .expect("stored");
    let again = || credentials.add(new("thing", psk("shared:00112233445566778899aabbccddeeff")));
    let error = again().await.expect_err("taken");
    assert!(matches!(error, CredentialError::Taken { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret-lab"), "{error}");
    assert!(error.for_admins().contains("`secret-lab`"));
    assert_eq!(
        ring.psk("shared").expect("as before").0.endpoint,
        name("secret-lab")
    );
    assert!(!ring.holds(&name("thing")));
    credentials
        .remove(first.id, AfterRemoval::RevokeOurs, by())
        .await
        .expect("removed");
    again().await.expect("free now");
    assert_eq!(
        ring.psk("shared").expect("in force").0.endpoint,
        name("thing")
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_another_process_changes_is_noticed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let folder = &database.settings.data_dir;
    let (store, ring, server) = server_on(&database).await;
    server.load().await.expect("nothing");
    let beside = database.open_beside().await;
    let command = service(&beside, &Keyring::default(), folder);

    // The key file is made by the command, and found by the server.
    let one = command
        .add(new("thing", psk(&format!("one:{KEY}"))))
        .await
        .expect("stored");
    assert!(server.refresh().await.expect("looked"));
    let (identity, _) = ring.psk("one").expect("in force");
    assert!(!server.refresh().await.expect("looked"), "nothing is new");

    // Between two looks one goes, another takes its identity, and a number is revoked.
    let mut told = ring.removals();
    command
        .remove(one.id, AfterRemoval::RevokeOurs, by())
        .await
        .expect("removed");
    command
        .add(new("other", psk(&format!("one:{KEY}"))))
        .await
        .expect("stored");
    command
        .revoke("0A:BC", "stolen", None, by())
        .await
        .expect("revoked");
    assert!(server.refresh().await.expect("looked"));
    assert!(told.has_changed().expect("the ring lives"));
    told.mark_unchanged();
    assert!(!ring.is_current(&identity) && !ring.holds(&name("thing")));
    assert_eq!(ring.psk("one").expect("in force").0.endpoint, name("other"));
    assert!(ring.is_revoked("0abc"));
    command.restore("0abc", by()).await.expect("restored");
    assert!(server.refresh().await.expect("looked"));
    assert!(!ring.is_revoked("0abc") && !told.has_changed().expect("the ring lives"));
    beside.close().await;
    store.close().await;
}

/// A look takes several questions to the store: here one of them fails halfway. What was removed because it
/// was revoked must not be good by the signature of its CA in the meantime.
#[rstest]
#[tokio::test]
async fn a_certificate_that_another_process_revokes_is_trusted_at_no_moment_of_a_look(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let folder = &database.settings.data_dir;
    let (store, ring, server) = server_on(&database).await;
    let ca = Holder::new("CA", None);
    let ours = Holder::with_serial("thing", Some(&ca), &[0x0a, 0xbc]);
    let thing = server
        .add(new("thing", x509("thing", &ours.pem())))
        .await
        .expect("stored");
    server.refresh().await.expect("looked");
    let beside = database.open_beside().await;
    let removed = service(&beside, &Keyring::default(), folder)
        .remove(thing.id, AfterRemoval::RevokeOurs, by())
        .await
        .expect("removed");
    let revoked = removed.expect("it was there").revoked;
    assert_eq!(revoked.as_deref(), Some("0abc"));

    let connection = database.connection().await;
    let rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        let renamed = connection.execute_unprepared(&sql).await;
        renamed.expect("another name");
    };
    rename("revoked_certificate", "elsewhere").await;
    server.refresh().await.expect_err("no list");
    assert!(
        ring.x509(&ours.fingerprint()).is_some() || ring.is_revoked("0abc"),
        "a stranger to the keyring, and not revoked: its CA vouches for it"
    );
    rename("elsewhere", "revoked_certificate").await;
    assert!(server.refresh().await.expect("looked"));
    assert!(ring.is_revoked("0abc") && ring.x509(&ours.fingerprint()).is_none());
    connection.close().await.expect("an orderly end");
    beside.close().await;
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_use_is_noted_to_the_minute(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let (store, ring, credentials) = server_on(&database).await;
    let one = credentials
        .add(new("thing", psk(&format!("one:{KEY}"))))
        .await
        .expect("stored");
    let (identity, _) = ring.psk("one").expect("in force");
    let at = |seconds: i64| Timestamp::clamped_from_millis(1_790_000_000_000 + seconds * 1_000);
    let used = async |seconds| {
        ring.used(&identity);
        credentials.note_uses(at(seconds)).await.expect("noted");
        let row = credentials.find(one.id).await.expect("read");
        row.expect("stored").last_used_at
    };
    assert_eq!(used(0).await, Some(at(0)));
    assert_eq!(used(59).await, Some(at(0)));
    assert_eq!(used(60).await, Some(at(60)));
    credentials
        .note_uses(at(500))
        .await
        .expect("nothing to note");
    let row = credentials.find(one.id).await.expect("read");
    assert_eq!(row.expect("stored").last_used_at, Some(at(60)));
    store.close().await;
}
