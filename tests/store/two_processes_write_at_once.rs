//! A command beside the server takes row ids and changes credentials in the same moment as the server.

use std::collections::BTreeSet;

use flownexus::store::{CredentialStore as _, RevocationStore as _, RevokedCertificate};
use rstest::rstest;

use super::samples::{at, by};
use crate::support::database::{Engine, TestDatabase};

#[rstest]
#[tokio::test]
async fn two_processes_at_once_take_different_ones_and_neither_fails(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    let beside = database.open_beside().await;
    let before = server.revision().await.expect("read");
    let mut used = BTreeSet::new();
    for round in 0..40 {
        let (one, other) = tokio::join!(server.reserve(), beside.reserve());
        for id in [one, other] {
            let id = id.expect("an id");
            assert!(used.insert(id), "{id} was given twice");
        }
        // Each of both changes is one that a running server notices.
        let revoked = |serial: String| RevokedCertificate {
            serial,
            reason: String::new(),
            endpoint: None,
            revoked_at: at(0),
            revoked_by: "somebody".into(),
        };
        let (one, other) = (
            revoked(format!("{round:02x}01")),
            revoked(format!("{round:02x}02")),
        );
        let (one, other) = tokio::join!(server.revoke(one, by()), beside.revoke(other, by()));
        assert!(one.expect("revoked") && other.expect("revoked"));
        let revision = server.revision().await.expect("read");
        assert_eq!(revision - before, 2 * (round + 1));
    }
    beside.close().await;
    server.close().await;
}
