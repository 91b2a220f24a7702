//! A certificate whose credential was removed is trusted neither through it nor through our CA.

use crate::support::shared::by;
use std::fs;

use flownexus::web::credentials::{AfterRemoval, CredentialError};
use rstest::rstest;

use super::certificates::{Holder, new, server_on, x509};
use crate::support::database::{Engine, TestDatabase};

#[rstest]
#[tokio::test]
async fn one_of_our_ca_is_revoked_and_one_of_others_is_not(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let folder = &database.settings.data_dir;
    let (store, ring, credentials) = server_on(&database).await;
    let ca = Holder::new("CA", None);
    fs::create_dir_all(folder.join("certs")).expect("a folder");
    fs::write(folder.join("certs/ca.crt"), ca.pem()).expect("a file");
    let ours = Holder::with_serial("thing", Some(&ca), &[0x0a, 0xbc]);
    let added = credentials
        .add(new("thing", x509("thing", &ours.pem())))
        .await
        .expect("stored");
    let identity = ring.x509(&ours.fingerprint()).expect("in force");
    let removed = credentials
        .remove(added.id, AfterRemoval::RevokeOurs, by())
        .await
        .expect("removed")
        .expect("it was there");
    assert_eq!(removed.revoked.as_deref(), Some("0abc"));
    assert!(ring.is_revoked("0abc") && !ring.is_current(&identity));
    let list = credentials.revoked().await.expect("read");
    assert_eq!((list.len(), list[0].revoked_by.as_str()), (1, "admin"));

    // It does not come back as a stored one either, until somebody trusts it again.
    let again = || credentials.add(new("thing", x509("thing", &ours.pem())));
    let refused = again().await.expect_err("revoked");
    assert!(matches!(&refused, CredentialError::Revoked(serial) if serial == "0abc"));
    assert!(credentials.restore("0A:BC", by()).await.expect("restored"));
    assert!(!ring.is_revoked("0abc"));
    let added = again().await.expect("stored");
    credentials
        .remove(added.id, AfterRemoval::Keep, by())
        .await
        .expect("removed");
    assert!(!ring.is_revoked("0abc"), "asked to keep it");

    // A stranger may choose the number of somebody else's certificate: that is not revoked for it.
    let foreign_ca = Holder::new("CA", None);
    for foreign in [
        Holder::with_serial("thing", None, &[0x0a, 0xbc]),
        Holder::with_serial("thing", Some(&foreign_ca), &[0x0a, 0xbc]),
    ] {
        let added = credentials
            .add(new("thing", x509("thing", &foreign.pem())))
            .await
            .expect("stored");
        let removed = credentials
            .remove(added.id, AfterRemoval::RevokeOurs, by())
            .await
            .expect("removed");
        assert_eq!(removed.expect("it was there").revoked, None);
    }
    assert!(!ring.is_revoked("0abc"));
    store.close().await;
}

/// Without the CA's certificate nobody can tell whose a certificate is, unless it is its own.
#[tokio::test]
async fn without_a_ca_what_may_be_of_it_is_revoked() {
    let database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    let (store, _ring, credentials) = server_on(&database).await;
    let (ca, own) = (Holder::new("CA", None), Holder::new("thing", None));
    let signed = Holder::new("thing", Some(&ca));
    for (holder, is_revoked) in [(own, false), (signed, true)] {
        let added = credentials
            .add(new("thing", x509("thing", &holder.pem())))
            .await
            .expect("stored");
        let removed = credentials
            .remove(added.id, AfterRemoval::RevokeOurs, by())
            .await
            .expect("removed");
        let revoked = removed.expect("it was there").revoked;
        assert_eq!(revoked.is_some(), is_revoked, "{revoked:?}");
    }
    store.close().await;
}
