//! Credentials and revoked certificates, on both databases.

use flownexus::domain::{CredentialId, CredentialKind, EndpointName};
use flownexus::store::{
    Addition, CredentialFilter, CredentialStore as _, RevocationStore as _, RevokedCertificate,
    Store, StoreError, StoredCertificate, StoredCredential, StoredProof,
};
use rstest::rstest;

use super::samples::{at, by};
use crate::support::database::{Engine, TestDatabase};

const MAX: u64 = 100;

fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

fn psk(identity: &str) -> StoredProof {
    StoredProof::Psk {
        identity: identity.into(),
        sealed_key: vec![0, 255, 7],
    }
}

fn rpk(fill: u8) -> StoredProof {
    StoredProof::Rpk {
        public_key: vec![fill; 91],
        fingerprint: hex::encode([fill; 32]),
    }
}

fn x509(fill: u8, end: i64) -> StoredProof {
    StoredProof::X509(StoredCertificate {
        der: vec![fill; 400],
        fingerprint: hex::encode([fill; 32]),
        serial: format!("{fill:02x}"),
        subject: "CN=ü, O='x'".into(),
        not_before: at(-5),
        not_after: at(end),
    })
}

fn revoked(serial: &str) -> RevokedCertificate {
    RevokedCertificate {
        serial: serial.into(),
        reason: "lost ü".into(),
        endpoint: Some(name("thing")),
        revoked_at: at(9),
        revoked_by: "token:ci".into(),
    }
}

async fn credential(store: &Store, endpoint: &str, proof: StoredProof) -> StoredCredential {
    StoredCredential {
        id: store.reserve().await.expect("a row"),
        endpoint: name(endpoint),
        proof,
        note: "shelf 100%".into(),
        created_at: at(1),
        created_by: "admin".into(),
        last_used_at: None,
    }
}

async fn added(store: &Store, endpoint: &str, proof: StoredProof) -> StoredCredential {
    let credential = credential(store, endpoint, proof).await;
    let result = store
        .add(credential.clone(), MAX, by())
        .await
        .expect("stored");
    assert_eq!(result, Addition::Added);
    credential
}

fn everything() -> CredentialFilter {
    CredentialFilter {
        limit: 100,
        ..CredentialFilter::default()
    }
}

async fn labels(store: &Store, filter: CredentialFilter) -> Vec<String> {
    let rows = store.list(&filter).await.expect("read").into_iter();
    rows.map(|row| row.proof.label().to_owned()).collect()
}

#[rstest]
#[tokio::test]
async fn as_they_are_and_across_a_restart(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    assert_eq!(store.list(&everything()).await.expect("read"), []);
    let first = added(&store, "thing", psk("Thing ü")).await;
    let second = added(&store, "thing", rpk(2)).await;
    let third = added(&store, "another", x509(3, 50)).await;
    store.close().await;

    let store = database.open().await;
    let expected = [third.clone(), first.clone(), second.clone()];
    assert_eq!(store.list(&everything()).await.expect("read"), expected);
    assert_eq!(
        store.ids().await.expect("read"),
        [first.id, second.id, third.id]
    );
    let some = vec![third.id, CredentialId(999), first.id];
    assert_eq!(store.find(some).await.expect("read"), [first, third]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn nothing_that_only_one_may_have_is_given_twice(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for (mine, same) in [
        (psk("one"), psk("one")),
        (rpk(2), rpk(2)),
        (x509(3, 50), x509(3, 50)),
    ] {
        let first = added(&store, "thing", mine.clone()).await;
        // Another endpoint may not have it, and the same one not twice.
        for endpoint in ["other", "thing"] {
            let again = credential(&store, endpoint, same.clone()).await;
            let result = store.add(again, MAX, by()).await.expect("an answer");
            assert_eq!(result, Addition::Taken(Box::new(first.clone())));
        }
        let gone = store.remove(first.id, None, by()).await.expect("removed");
        assert_eq!(gone, Some(first.clone()));
        assert_eq!(
            store.remove(first.id, None, by()).await.expect("gone"),
            None
        );
        let freed = added(&store, "other", same).await;
        assert!(freed.id > first.id, "a row of its own");
    }
    // Identities are told apart by each byte.
    added(&store, "thing", psk("One")).await;
    added(&store, "thing", psk("one ")).await;
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn rows_are_never_used_again_also_after_a_restart(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let first = added(&store, "thing", psk("one")).await;
    store.remove(first.id, None, by()).await.expect("removed");
    let unused = store.reserve().await.expect("a row");
    store.close().await;
    let store = database.open().await;
    let next = store.reserve().await.expect("a row");
    assert!(unused > first.id && next > unused);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn found_by_what_they_are(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for (endpoint, proof) in [
        ("b", psk("Über_1")),
        ("a", rpk(0xab)),
        ("b", x509(3, 50)),
        ("c", x509(4, 500)),
    ] {
        added(&store, endpoint, proof).await;
    }
    let by = |change: fn(&mut CredentialFilter)| {
        let mut filter = everything();
        change(&mut filter);
        labels(&store, filter)
    };
    let of_b = by(|filter| filter.endpoint = Some(name("b"))).await;
    assert_eq!(of_b, ["Über_1", "03"]);
    let certificates = by(|filter| filter.kind = Some(CredentialKind::X509)).await;
    assert_eq!(certificates, ["03", "04"]);
    let ending = by(|filter| filter.expires_before = Some(at(51))).await;
    assert_eq!(ending, ["03"]);
    assert_eq!(
        by(|filter| filter.search = Some("ABAB".into())).await.len(),
        1
    );
    assert_eq!(
        by(|filter| filter.search = Some("Über_".into())).await,
        ["Über_1"]
    );
    assert_eq!(
        by(|filter| filter.search = Some("BER_1".into())).await,
        ["Über_1"]
    );
    assert_eq!(
        by(|filter| filter.search = Some("100%".into())).await.len(),
        4
    );
    for nothing in ["0_", "%1", "x'"] {
        let mut filter = everything();
        filter.search = Some(nothing.into());
        assert_eq!(labels(&store, filter).await, Vec::<String>::new());
    }

    let mut seen = Vec::new();
    let mut filter = CredentialFilter {
        limit: 3,
        ..CredentialFilter::default()
    };
    loop {
        let page = store.list(&filter).await.expect("read");
        let Some(last) = page.last() else {
            break;
        };
        filter.after = Some((last.endpoint.clone(), last.id));
        seen.extend(page.iter().map(|row| row.endpoint.to_string()));
    }
    assert_eq!(seen, ["a", "b", "b", "c"]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_use_is_noted_and_changes_nothing_else(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let one = added(&store, "thing", psk("one")).await;
    let two = added(&store, "thing", psk("two")).await;
    let revision = store.revision().await.expect("read");
    let used: Vec<CredentialId> = (0..3_000).map(CredentialId).chain([one.id]).collect();
    let of_both = [one.id, two.id].iter().all(|id| used.contains(id));
    assert!(of_both, "more than are there, and both");
    store.touch(used, at(77)).await.expect("noted");
    let expected = [one, two].map(|row| StoredCredential {
        last_used_at: Some(at(77)),
        ..row
    });
    assert_eq!(store.list(&everything()).await.expect("read"), expected);
    assert_eq!(store.revision().await.expect("read"), revision);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn each_change_is_seen_by_another_process(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    let beside = database.open_beside().await;
    let mut last = server.revision().await.expect("read");
    let mut changed = async |what: &str| {
        let now = server.revision().await.expect("read");
        assert_ne!(now, last, "{what}");
        last = now;
    };
    let one = added(&beside, "thing", psk("one")).await;
    changed("added").await;
    // A refused one changes nothing; a removal and an addition do not cancel each other out.
    beside.remove(one.id, None, by()).await.expect("removed");
    changed("removed").await;
    assert!(beside.revoke(revoked("0a"), by()).await.expect("revoked"));
    changed("revoked").await;
    assert!(beside.restore("0a", by()).await.expect("restored"));
    changed("restored").await;
    let two = added(&beside, "thing", x509(0x0b, 50)).await;
    changed("added").await;
    let other = credential(&beside, "other", x509(0x0b, 50)).await;
    assert!(other.id > two.id);
    let refused = server.add(other, MAX, by()).await.expect("an answer");
    assert_eq!(refused, Addition::Taken(Box::new(two)));
    assert_eq!(
        server.revision().await.expect("read"),
        beside.revision().await.expect("read")
    );
    beside.close().await;
    server.close().await;
}

#[rstest]
#[tokio::test]
async fn a_revoked_certificate_does_not_come_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let one = added(&store, "thing", x509(3, 50)).await;
    let gone = store
        .remove(one.id, Some(revoked("03")), by())
        .await
        .expect("removed");
    assert_eq!(gone, Some(one));
    assert_eq!(store.revoked().await.expect("read"), [revoked("03")]);
    let again = credential(&store, "thing", x509(3, 50)).await;
    let refused = store
        .add(again.clone(), MAX, by())
        .await
        .expect("an answer");
    assert_eq!(refused, Addition::Revoked(revoked("03")));
    // What is on the list stays as it was.
    let other = RevokedCertificate {
        reason: "another".into(),
        endpoint: None,
        ..revoked("03")
    };
    assert!(!store.revoke(other, by()).await.expect("an answer"));
    assert_eq!(store.revoked().await.expect("read"), [revoked("03")]);
    assert!(store.restore("03", by()).await.expect("restored"));
    assert!(!store.restore("03", by()).await.expect("not there"));
    assert_eq!(store.revoked().await.expect("read"), []);
    assert_eq!(
        store.add(again, MAX, by()).await.expect("stored"),
        Addition::Added
    );
    // Nothing is revoked for a credential that is not there.
    let nothing = store
        .remove(CredentialId(999), Some(revoked("04")), by())
        .await;
    assert_eq!(nothing.expect("an answer"), None);
    assert_eq!(store.revoked().await.expect("read"), []);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn one_too_many_changes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let limit = 2;
    // Rows that are gone do not count, although their ids stay used.
    let gone = added(&store, "thing", psk("gone")).await;
    store.remove(gone.id, None, by()).await.expect("removed");
    let first = added(&store, "thing", psk("first")).await;
    let second = credential(&store, "thing", rpk(2)).await;
    let result = store
        .add(second.clone(), limit, by())
        .await
        .expect("stored");
    assert_eq!(result, Addition::Added);
    let revision = store.revision().await.expect("read");
    let third = credential(&store, "other", psk("third")).await;
    let refused = store
        .add(third.clone(), limit, by())
        .await
        .expect_err("full");
    assert!(
        matches!(refused, StoreError::Full { limit: 2, .. }),
        "{refused}"
    );
    let expected = [first.clone(), second];
    assert_eq!(store.list(&everything()).await.expect("read"), expected);
    assert_eq!(store.revision().await.expect("read"), revision);
    // What is there already is said to be there.
    let again = credential(&store, "other", psk("first")).await;
    let result = store.add(again, limit, by()).await.expect("an answer");
    assert_eq!(result, Addition::Taken(Box::new(first.clone())));
    store.remove(first.id, None, by()).await.expect("removed");
    let result = store.add(third, limit, by()).await.expect("room again");
    assert_eq!(result, Addition::Added);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn two_processes_together_store_no_more_than_may_be(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    let beside = database.open_beside().await;
    let limit = 5;
    let mut stored = 0;
    for round in 0..5 {
        let one = credential(&server, "thing", psk(&format!("one {round}"))).await;
        let other = credential(&beside, "thing", psk(&format!("other {round}"))).await;
        let (one, other) =
            tokio::join!(server.add(one, limit, by()), beside.add(other, limit, by()));
        for result in [one, other] {
            match result {
                Ok(addition) => {
                    assert_eq!(addition, Addition::Added);
                    stored += 1;
                }
                Err(error) => assert!(matches!(error, StoreError::Full { .. }), "{error}"),
            }
        }
    }
    assert_eq!(stored, 5);
    assert_eq!(server.ids().await.expect("read").len(), 5);
    beside.close().await;
    server.close().await;
}
