use std::collections::HashSet;

use flownexus::domain::{AuditEntry, ContentFormat, OperationKind, Path, Selection, Timestamp};
use flownexus::store::{
    ApiToken, AuditStore, Change, FleetWriter, ObservationTemplate, Role, SessionStore, Store,
    StoreError, TemplateStore, TokenStore, User, UserStore, WebSession,
};
use rstest::rstest;

use super::samples::{at, by, commit, newest};
use crate::support::database::{Engine, TestDatabase};

fn user(name: &str, role: Role) -> User {
    User {
        must_change_password: true,
        created_at: at(1),
        ..User::new(name, role, "$argon2id$v=19$m=19456$x$y".into())
    }
}

fn session(key: u8, user: Option<&str>) -> WebSession {
    WebSession {
        key_hash: vec![key; 32],
        state: "{\"a\":\"b\"}".into(),
        user: user.map(str::to_owned),
        expires_at: at(1_000),
        began_at: Some(at(1)),
        used_at: Some(at(1)),
        remote: "192.0.2.1".into(),
        agent: "curl/8".into(),
    }
}

#[rstest]
#[tokio::test]
async fn people(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    assert_eq!(
        UserStore::list(&store).await.expect("read"),
        [],
        "there is no account that nobody made"
    );
    let mut all = Vec::new();
    for (name, role) in [
        ("Zoë", Role::Admin),
        ("ada", Role::Operator),
        ("Bob", Role::Viewer),
    ] {
        all.push(
            UserStore::add(&store, user(name, role), by())
                .await
                .expect("added"),
        );
    }
    let taken = UserStore::add(&store, user("ada", Role::Admin), by()).await;
    assert!(
        matches!(&taken, Err(StoreError::Exists(what)) if what.contains("ada")),
        "{taken:?}"
    );
    all.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(UserStore::list(&store).await.expect("read"), all);
    assert_eq!(
        UserStore::find(&store, "Zoë")
            .await
            .expect("read")
            .map(|it| it.role),
        Some(Role::Admin)
    );
    for stranger in ["ADA", "ada ", "", "a\0da", "' OR 1=1 --"] {
        assert_eq!(
            UserStore::find(&store, stranger).await.expect("read"),
            None,
            "{stranger:?}"
        );
        assert!(
            !UserStore::remove(&store, stranger, by())
                .await
                .expect("answered"),
            "{stranger:?}"
        );
        assert!(
            !store
                .set_password(stranger, "x", false, by())
                .await
                .expect("answered"),
            "{stranger:?}"
        );
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_new_password_ends_the_sessions(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for name in ["ada", "bob"] {
        UserStore::add(&store, user(name, Role::Viewer), by())
            .await
            .expect("added");
    }
    for (key, user) in [(1, Some("ada")), (2, Some("bob")), (3, None)] {
        SessionStore::save(&store, session(key, user), None)
            .await
            .expect("saved");
    }
    let alive = async |store: &Store| {
        let mut alive = Vec::new();
        for key in 1..=3 {
            if SessionStore::find(store, &[key; 32], at(0))
                .await
                .expect("read")
                .is_some()
            {
                alive.push(key);
            }
        }
        alive
    };
    assert!(
        store
            .set_password("ada", "$argon2id$new", false, by())
            .await
            .expect("set")
    );
    assert_eq!(alive(&store).await, [2, 3]);
    let ada = UserStore::find(&store, "ada")
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (ada.password_hash.as_str(), ada.must_change_password),
        ("$argon2id$new", false)
    );
    let bob = UserStore::find(&store, "bob")
        .await
        .expect("read")
        .expect("there");
    assert!(bob.must_change_password, "the others keep theirs");
    assert!(
        UserStore::remove(&store, "bob", by())
            .await
            .expect("removed")
    );
    assert_eq!(alive(&store).await, [3]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn sessions(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut one = session(1, None);
    SessionStore::save(&store, one.clone(), None)
        .await
        .expect("saved");
    one.user = Some("ada".into());
    one.state = "{}".into();
    let replaced = store.replace(one.clone()).await.expect("replaced");
    assert!(replaced);
    let gone = session(9, None);
    assert!(
        !store.replace(gone.clone()).await.expect("looked"),
        "a session that was ended does not come back"
    );
    let found = SessionStore::find(&store, &gone.key_hash, at(0)).await;
    assert_eq!(found.expect("read"), None);
    assert_eq!(
        SessionStore::find(&store, &one.key_hash, at(999))
            .await
            .expect("read"),
        Some(one.clone())
    );
    assert_eq!(
        SessionStore::find(&store, &one.key_hash, at(1_000))
            .await
            .expect("read"),
        None,
        "it has ended"
    );
    assert_eq!(
        SessionStore::find(&store, b"?", at(0)).await.expect("read"),
        None
    );
    SessionStore::save(
        &store,
        WebSession {
            expires_at: at(5_000),
            ..session(2, None)
        },
        None,
    )
    .await
    .expect("saved");
    assert_eq!(store.prune(at(1_000)).await.expect("pruned"), 1);
    SessionStore::remove(&store, &[2; 32])
        .await
        .expect("removed");
    assert_eq!(store.prune(Timestamp::MAX).await.expect("pruned"), 0);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn tokens_of_programs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let token = ApiToken {
        id: 0,
        name: "grafana".into(),
        role: Role::Viewer,
        hash: vec![7; 32],
        created_at: at(0),
        expires_at: Some(at(9)),
        last_used_at: None,
        owner: None,
    };
    let stored = TokenStore::add(&store, token.clone(), by())
        .await
        .expect("added");
    let taken = TokenStore::add(
        &store,
        ApiToken {
            hash: vec![8; 32],
            ..token.clone()
        },
        by(),
    )
    .await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    assert_eq!(
        TokenStore::find(&store, &[7; 32]).await.expect("read"),
        Some(stored.clone())
    );
    assert_eq!(
        TokenStore::find(&store, &[8; 32]).await.expect("read"),
        None
    );
    store.used(stored.id, at(5)).await.expect("noted");
    let used = ApiToken {
        last_used_at: Some(at(5)),
        ..stored.clone()
    };
    assert_eq!(TokenStore::list(&store).await.expect("read"), [used]);
    assert!(
        TokenStore::remove(&store, stored.id, None, by())
            .await
            .expect("removed")
    );
    assert!(
        !TokenStore::remove(&store, stored.id, None, by())
            .await
            .expect("answered")
    );
    let again = TokenStore::add(&store, token, by()).await.expect("added");
    assert!(
        again.id > stored.id,
        "an id that the audit log names means one token for ever"
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn the_audit_log(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for number in 0..5 {
        let entry = AuditEntry {
            id: 0,
            at: at(number),
            actor: "token:grafana".into(),
            remote: "192.0.2.1".into(),
            action: "endpoint.delete".into(),
            subject: format!("device {number} \0"),
            detail: String::new(),
        };
        AuditStore::add(&store, entry).await.expect("added");
    }
    let first = AuditStore::list(&store, &newest(2, None))
        .await
        .expect("read");
    assert_eq!(
        first.iter().map(|line| line.at).collect::<Vec<_>>(),
        [at(4), at(3)]
    );
    assert_eq!(first[0].subject, "device 4 \u{fffd}");
    let rest = AuditStore::list(&store, &newest(10, Some(first[1].id)))
        .await
        .expect("read");
    assert_eq!(
        rest.iter().map(|line| line.at).collect::<Vec<_>>(),
        [at(2), at(1), at(0)]
    );
    store.close().await;
}

/// A server and the command line beside it.
#[rstest]
#[tokio::test]
async fn the_audit_log_of_two_processes(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    let beside = database.open_beside().await;
    let line = |who: &str, number: i64| AuditEntry {
        id: 0,
        at: at(number),
        actor: who.into(),
        remote: String::new(),
        action: "x".into(),
        subject: number.to_string(),
        detail: String::new(),
    };
    let mut written = HashSet::new();
    for round in 0..5 {
        // Three in one commit, and one beside them.
        let changes = (0..3).map(|index| {
            let line = line("server", round * 3 + index);
            written.insert((line.actor.clone(), line.subject.clone()));
            Change::Audit(Box::new(line))
        });
        let written_now = server.commit(commit(changes));
        let other = line("beside", round);
        written.insert((other.actor.clone(), other.subject.clone()));
        let (one, other) = tokio::join!(written_now, AuditStore::add(&beside, other));
        one.expect("written");
        other.expect("written");
    }
    let lines = AuditStore::list(&server, &newest(100, None))
        .await
        .expect("read");
    let ids: HashSet<i64> = lines.iter().map(|line| line.id).collect();
    assert_eq!(ids.len(), 20, "an id is one line's for ever");
    let found: HashSet<_> = lines
        .iter()
        .map(|line| (line.actor.clone(), line.subject.clone()))
        .collect();
    assert_eq!(found, written);
    let of_server: Vec<_> = lines
        .iter()
        .filter(|line| line.actor == "server")
        .map(|line| line.at)
        .collect();
    let newest_first: Vec<_> = (0..15).rev().map(at).collect();
    assert_eq!(of_server, newest_first);
    beside.close().await;
    server.close().await;
}

#[rstest]
#[tokio::test]
async fn templates(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let first = TemplateStore::list(&store).await.expect("read");
    let described: Vec<_> = first
        .iter()
        .map(|it| format!("{} {:?}", it.kind, it.paths))
        .collect();
    assert_eq!(
        described,
        [
            "read [/3]",
            "observe [/3303/0/5700]",
            "observe [/3304/0/5700]",
            "observe [/5/0/3]",
            "observe [/5/0/5]",
            "observe_composite [/10300]",
        ]
    );
    let template = ObservationTemplate {
        id: 0,
        paths: vec![Path::object(3), Path::resource(3303, 0, 5700)],
        kind: OperationKind::ObserveComposite,
        selection: Selection::default(),
        attributes: Vec::new(),
        format: None,
        enabled: true,
        revision: 0,
    };
    let added = TemplateStore::add(&store, template, by())
        .await
        .expect("added");
    let edited = ObservationTemplate {
        paths: vec![Path::resource(3303, 0, 5700)],
        kind: OperationKind::Observe,
        selection: Selection {
            names: vec!["urn:imei:35*".into()],
            tags: vec!["lab".into()],
        },
        attributes: vec![("pmin".into(), "5".into()), ("gt".into(), "21.5".into())],
        format: Some(ContentFormat::SenmlCbor),
        enabled: false,
        ..added.clone()
    };
    let replaced = TemplateStore::update(&store, edited.clone(), by())
        .await
        .expect("replaced")
        .expect("there");
    assert_eq!(replaced.revision, added.revision + 1, "a change is counted");
    let again = TemplateStore::update(&store, edited.clone(), by())
        .await
        .expect("replaced")
        .expect("there");
    assert_eq!(
        again,
        ObservationTemplate {
            revision: added.revision + 2,
            ..edited.clone()
        }
    );
    let listed = TemplateStore::list(&store).await.expect("read");
    assert_eq!(listed.last(), Some(&again));
    let unknown = ObservationTemplate {
        id: added.id + 1,
        ..edited
    };
    assert_eq!(
        TemplateStore::update(&store, unknown, by())
            .await
            .expect("answered"),
        None
    );
    assert!(
        TemplateStore::remove(&store, added.id, by())
            .await
            .expect("removed")
    );
    assert!(
        TemplateStore::remove(&store, first[0].id, by())
            .await
            .expect("removed")
    );
    assert!(
        !TemplateStore::remove(&store, first[0].id, by())
            .await
            .expect("answered")
    );
    store.close().await;
    let store = database.open().await;
    assert_eq!(
        TemplateStore::list(&store).await.expect("read"),
        first[1..],
        "what was removed stays so"
    );
    store.close().await;
}
