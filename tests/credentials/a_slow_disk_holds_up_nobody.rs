//! Removing a certificate reads the certificate of the CA: as long as the disk does not answer, that
//! removal waits, and nobody else.

use crate::support::shared::by;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;

use flownexus::web::credentials::AfterRemoval;
use tokio::time::timeout;

use super::certificates::{Holder, new, psk, server_on, x509};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::SOON;

// One thread, so that whoever blocks it blocks all.
#[tokio::test]
async fn credentials_are_added_while_a_removal_waits_for_the_disk() {
    let database = TestDatabase::new(Engine::Sqlite).expect("SQLite is always there");
    let folder = &database.settings.data_dir;
    let (store, _ring, credentials) = server_on(&database).await;
    let credentials = Arc::new(credentials);
    let ca = Holder::new("CA", None);
    let ours = Holder::with_serial("thing", Some(&ca), &[0x0a, 0xbc]);
    let added = credentials
        .add(new("thing", x509("thing", &ours.pem())))
        .await
        .expect("stored");

    // Who reads a pipe waits for its writer, which is this test.
    fs::create_dir_all(folder.join("certs")).expect("a folder");
    let pipe = folder.join("certs/ca.crt");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo");
    let mut writer = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a pipe");

    let removing = tokio::spawn({
        let credentials = Arc::clone(&credentials);
        async move {
            credentials
                .remove(added.id, AfterRemoval::RevokeOurs, by())
                .await
        }
    });
    tokio::task::yield_now().await;
    let other = credentials.add(new("other", psk("other:00112233445566778899aabbccddeeff")));
    timeout(SOON, other)
        .await
        .expect("added while the removal waits")
        .expect("stored");
    assert!(!removing.is_finished());

    writer.write_all(&ca.pem()).expect("room in the pipe");
    drop(writer);
    let removed = timeout(SOON, removing).await.expect("in time");
    let removed = removed.expect("no panic").expect("removed");
    let revoked = removed.expect("it was there").revoked;
    assert_eq!(revoked.as_deref(), Some("0abc"));
    store.close().await;
}
