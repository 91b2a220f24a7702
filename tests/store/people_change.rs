//! Roles, the last admin, second factors, accounts from elsewhere, sessions, and the lines that tell of them.

use flownexus::domain::Doer;
use flownexus::store::{
    AuditFilter, AuditStore, Outsider, Role, SessionStore, Store, StoreError, TokenStore,
    TotpStore as _, User, UserChange, UserSource, UserStore, WebSession,
};
use rstest::rstest;

use super::samples::{at, by};
use crate::support::database::{Engine, TestDatabase};

async fn person(store: &Store, name: &str, role: Role) -> User {
    let user = User {
        created_at: at(0),
        ..User::new(name, role, "$argon2id$".into())
    };
    UserStore::add(store, user, by()).await.expect("added")
}

fn session(key: u8, user: &str) -> WebSession {
    WebSession {
        key_hash: vec![key; 32],
        state: "{}".into(),
        user: Some(user.into()),
        expires_at: at(1_000),
        began_at: Some(at(i64::from(key))),
        used_at: Some(at(i64::from(key))),
        remote: "192.0.2.7".into(),
        agent: "curl/8".into(),
    }
}

/// What was done, oldest first.
async fn told(store: &Store) -> Vec<String> {
    let filter = AuditFilter {
        limit: 1_000,
        ..AuditFilter::default()
    };
    let mut lines = AuditStore::list(store, &filter).await.expect("read");
    lines.reverse();
    let lines = lines.into_iter();
    lines
        .map(|line| format!("{} {} {}", line.action, line.subject, line.detail))
        .collect()
}

const fn role(role: Role) -> UserChange {
    UserChange {
        role: Some(role),
        disabled: None,
    }
}

const fn disabled(disabled: bool) -> UserChange {
    UserChange {
        role: None,
        disabled: Some(disabled),
    }
}

#[rstest]
#[tokio::test]
async fn each_change_is_told_and_ends_what_it_has_to(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let root = person(&store, "root", Role::Admin).await;
    let ada = person(&store, "ada", Role::Operator).await;
    SessionStore::save(&store, session(1, "ada"), None)
        .await
        .expect("saved");
    let changed = store.change("ada", role(Role::Viewer), by()).await;
    let changed = changed.expect("changed").expect("ada");
    assert_eq!((changed.id, changed.role), (ada.id, Role::Viewer));
    // The same again is no change, and nobody is told of it.
    let same = store.change("ada", role(Role::Viewer), by()).await;
    assert_eq!(same.expect("answered"), Some(changed));
    assert_eq!(
        SessionStore::list(&store, Some("ada"), at(0))
            .await
            .expect("read")
            .len(),
        1
    );
    let off = store.change("ada", disabled(true), by()).await;
    assert!(off.expect("changed").expect("ada").disabled);
    assert_eq!(
        SessionStore::list(&store, Some("ada"), at(0))
            .await
            .expect("read"),
        []
    );
    for stranger in ["nobody", "\0"] {
        let none = store.change(stranger, disabled(true), by()).await;
        assert_eq!(none.expect("answered"), None);
    }
    for change in [role(Role::Viewer), disabled(true)] {
        let refused = store.change("root", change, by()).await;
        assert!(matches!(refused, Err(StoreError::LastAdmin)), "{refused:?}");
    }
    let refused = UserStore::remove(&store, "root", by()).await;
    assert!(matches!(refused, Err(StoreError::LastAdmin)), "{refused:?}");
    assert_eq!(
        UserStore::find(&store, "root").await.expect("read"),
        Some(root)
    );
    assert_eq!(
        told(&store).await,
        [
            "user.create root role admin",
            "user.create ada role operator",
            "user.update ada role viewer, was operator",
            "user.update ada disabled",
        ],
        "what was refused is not told"
    );
    store.close().await;
}

/// Two admins who disable each other at the same moment, in two processes.
#[rstest]
#[tokio::test]
async fn of_two_admins_who_end_each_other_one_stays(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let beside = database.open_beside().await;
    for name in ["one", "other"] {
        person(&store, name, Role::Admin).await;
    }
    for round in 0..10 {
        let (first, second) = match round % 3 {
            0 => tokio::join!(
                async { store.change("one", disabled(true), by()).await.is_ok() },
                async { beside.change("other", disabled(true), by()).await.is_ok() }
            ),
            1 => tokio::join!(
                async { store.change("one", role(Role::Viewer), by()).await.is_ok() },
                async { beside.change("other", disabled(true), by()).await.is_ok() }
            ),
            _ => tokio::join!(
                async { store.change("one", disabled(true), by()).await.is_ok() },
                async { UserStore::remove(&beside, "other", by()).await.is_ok() }
            ),
        };
        assert!(first != second, "round {round}: one of them, and one alone");
        let all = UserStore::list(&store).await.expect("read");
        let admins = all
            .iter()
            .filter(|user| user.role == Role::Admin && !user.disabled);
        assert_eq!(admins.count(), 1, "round {round}");
        if !all.iter().any(|user| user.name == "other") {
            person(&store, "other", Role::Admin).await;
        }
        for name in ["one", "other"] {
            let back = UserChange {
                role: Some(Role::Admin),
                disabled: Some(false),
            };
            store.change(name, back, by()).await.expect("changed");
        }
    }
    beside.close().await;
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_code_is_taken_once_whoever_asks_at_the_same_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let beside = database.open_beside().await;
    person(&store, "ada", Role::Viewer).await;
    assert_eq!(store.totp("ada").await.expect("read"), None);
    assert!(!store.begin_totp("nobody", vec![1]).await.expect("asked"));
    assert!(store.begin_totp("ada", vec![1]).await.expect("begun"));
    assert!(store.begin_totp("ada", vec![2]).await.expect("begun anew"));
    let codes = vec![vec![7; 32], vec![8; 32]];
    let confirm = |secret: u8| store.confirm_totp("ada", vec![secret], 100, codes.clone(), by());
    assert!(!confirm(1).await.expect("asked"), "the secret of before");
    assert!(
        !store
            .use_totp_step("ada", vec![2], 101)
            .await
            .expect("asked")
    );
    assert!(confirm(2).await.expect("confirmed"));
    assert!(!confirm(2).await.expect("asked"), "in force already");
    assert!(!store.begin_totp("ada", vec![3]).await.expect("asked"));
    let totp = store.totp("ada").await.expect("read").expect("there");
    assert!(totp.confirmed);
    assert_eq!((totp.sealed_secret, totp.recovery_codes), (vec![2], 2));
    let ada = UserStore::find(&store, "ada").await.expect("read");
    assert!(ada.expect("ada").has_totp);

    for step in [100, 99] {
        let taken = store.use_totp_step("ada", vec![2], step).await;
        assert!(
            !taken.expect("asked"),
            "it was used to confirm, or is older"
        );
    }
    for step in 101..110 {
        let (one, other) = tokio::join!(
            store.use_totp_step("ada", vec![2], step),
            beside.use_totp_step("ada", vec![2], step)
        );
        assert!(one.expect("asked") != other.expect("asked"), "step {step}");
    }
    let (one, other) = tokio::join!(
        store.use_recovery_code("ada", vec![7; 32], by()),
        beside.use_recovery_code("ada", vec![7; 32], by())
    );
    assert!(one.expect("asked") != other.expect("asked"));
    assert!(
        !store
            .use_recovery_code("bob", vec![8; 32], by())
            .await
            .expect("asked")
    );
    assert!(store.remove_totp("ada", by()).await.expect("removed"));
    assert!(!store.remove_totp("ada", by()).await.expect("asked"));
    assert!(
        !store
            .use_recovery_code("ada", vec![8; 32], by())
            .await
            .expect("asked")
    );
    assert_eq!(store.totp("ada").await.expect("read"), None);
    assert_eq!(
        told(&store).await[1..],
        [
            "totp.enable ada ",
            "totp.recovery_code ada 1 are left",
            "totp.disable ada "
        ]
    );
    beside.close().await;
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn who_comes_from_elsewhere_is_known_by_the_subject(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    person(&store, "root", Role::Admin).await;
    let outsider = |subject: &str, name: &str, role| Outsider {
        subject: format!("https://idp.example {subject}"),
        name: name.into(),
        role,
    };
    let ada = store
        .admit(outsider("1", "ada", Role::Viewer), by())
        .await
        .expect("admitted");
    assert_eq!((ada.source, ada.role), (UserSource::Oidc, Role::Viewer));
    let again = store
        .admit(outsider("1", "renamed", Role::Admin), by())
        .await
        .expect("admitted");
    assert_eq!((again.id, again.name.as_str()), (ada.id, "ada"));
    assert_eq!(again.role, Role::Admin);
    for taken in ["root", "ada", "Root", "ADA"] {
        let refused = store.admit(outsider("2", taken, Role::Viewer), by()).await;
        assert!(
            matches!(refused, Err(StoreError::NotTheirs(_))),
            "{refused:?}"
        );
    }
    let alike = User::new("Ada", Role::Viewer, "$argon2id$".into());
    let alike = UserStore::add(&store, alike, by()).await;
    assert!(
        matches!(alike, Err(StoreError::Exists(_))),
        "in the audit log the two would be one: {alike:?}"
    );
    let set = store.set_password("ada", "$argon2id$", false, by()).await;
    assert!(!set.expect("answered"), "there is no password to set");
    assert_eq!(
        told(&store).await[1..],
        [
            "user.create ada role viewer, by OpenID Connect",
            "user.update ada role admin, was viewer",
        ]
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn sessions_are_listed_and_ended_with_a_line(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let line = |by: Doer| by.line("session.start", "ada", "by password");
    for (key, user) in [(1, "ada"), (2, "ada"), (3, "bob")] {
        let saved = SessionStore::save(&store, session(key, user), Some(line(by())));
        saved.await.expect("saved");
    }
    let half = WebSession {
        user: None,
        ..session(4, "")
    };
    SessionStore::save(&store, half, None).await.expect("saved");
    let keys = async |user: Option<&'static str>, now| {
        let sessions = SessionStore::list(&store, user, at(now)).await;
        let sessions = sessions.expect("read").into_iter();
        sessions.map(|it| it.key_hash[0]).collect::<Vec<_>>()
    };
    assert_eq!(keys(None, 0).await, [3, 2, 1], "the last used first");
    assert_eq!(keys(Some("ada"), 0).await, [2, 1]);
    assert_eq!(
        keys(Some("ada"), 1_000).await,
        [0_u8; 0],
        "their time is over"
    );
    let stored = SessionStore::find(&store, &[1; 32], at(0)).await;
    assert_eq!(stored.expect("read"), Some(session(1, "ada")));
    let end = |keys: Vec<u8>| {
        let keys = keys.into_iter().map(|key| vec![key; 32]).collect();
        store.end(keys, by().line("session.revoke", "ada", ""))
    };
    assert_eq!(end(vec![1, 9]).await.expect("ended"), 1);
    assert_eq!(end(vec![1]).await.expect("answered"), 0);
    assert_eq!(end(Vec::new()).await.expect("answered"), 0);
    assert_eq!(keys(None, 0).await, [3, 2]);
    let told = told(&store).await;
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[3], "session.revoke ada ");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn the_audit_log_is_searched(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for (number, (actor, action, subject)) in [
        ("ada", "user.create", "Bob_1"),
        ("cli", "user.delete", "Bob%2"),
        ("ada", "users", "Ärger"),
        ("bob", "userXcreate", "c"),
    ]
    .into_iter()
    .enumerate()
    {
        let by = Doer {
            actor: actor.into(),
            remote: String::new(),
        };
        let line = flownexus::domain::AuditEntry {
            at: at(number as i64),
            ..by.line(action, subject, "")
        };
        AuditStore::add(&store, line).await.expect("added");
    }
    let found = async |filter: AuditFilter| {
        let filter = AuditFilter { limit: 9, ..filter };
        let lines = AuditStore::list(&store, &filter).await.expect("read");
        let lines = lines.iter().map(|line| line.at.since(at(0)).as_millis());
        lines.collect::<Vec<_>>()
    };
    let text = |text: &str| Some(text.to_owned());
    let actor = |actor: &str| AuditFilter {
        actor: text(actor),
        ..AuditFilter::default()
    };
    let action = |action: &str| AuditFilter {
        action: text(action),
        ..AuditFilter::default()
    };
    let subject = |subject: &str| AuditFilter {
        subject: text(subject),
        ..AuditFilter::default()
    };
    assert_eq!(found(actor("ada")).await, [2, 0]);
    assert_eq!(found(actor("a\0da")).await, [0_u128; 0]);
    assert_eq!(found(action("user.")).await, [1, 0], "no wildcard");
    assert_eq!(found(action("users")).await, [2]);
    assert_eq!(found(action("%.")).await, [0_u128; 0]);
    assert_eq!(found(subject("bob")).await, [1, 0]);
    assert_eq!(found(subject("b_1")).await, [0], "no wildcard");
    assert_eq!(found(subject("%")).await, [1]);
    assert_eq!(found(subject("Ärger")).await, [2]);
    let between = AuditFilter {
        from: Some(at(1)),
        to: Some(at(3)),
        ..AuditFilter::default()
    };
    assert_eq!(found(between).await, [2, 1]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn tokens_go_with_their_owner(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    person(&store, "ada", Role::Operator).await;
    let token = |name: &str, key: u8, owner: Option<&str>| flownexus::store::ApiToken {
        id: 0,
        name: name.into(),
        role: Role::Operator,
        hash: vec![key; 32],
        created_at: at(0),
        expires_at: None,
        last_used_at: None,
        owner: owner.map(str::to_owned),
    };
    let own = TokenStore::add(&store, token("own", 1, Some("ada")), by()).await;
    let own = own.expect("added");
    let taken = TokenStore::add(&store, token("own", 3, None), by()).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");
    TokenStore::add(&store, token("server", 2, None), by())
        .await
        .expect("added");
    let removed = TokenStore::remove(&store, own.id, Some("bob"), by()).await;
    assert!(!removed.expect("answered"), "it is not Bob's");
    assert!(
        UserStore::remove(&store, "ada", by())
            .await
            .expect("removed")
    );
    let left = TokenStore::list(&store).await.expect("read");
    assert_eq!(
        left.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(),
        ["server"]
    );
    assert_eq!(
        told(&store).await[1..],
        [
            "token.create own role operator, of ada",
            "token.create server role operator",
            "user.delete ada ",
        ]
    );
    store.close().await;
}
