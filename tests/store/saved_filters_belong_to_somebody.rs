//! Saved filters: one's own are seen by oneself, shared ones by everybody; a name is there once; who is removed takes
//! theirs along.

use flownexus::domain::Doer;
use flownexus::store::{
    ApiToken, AuditStore, FilterReach, FilterToSave, ForgottenFilter, Role, SavedFilter,
    SavedFilterStore as _, Store, StoreError, TokenStore, User, UserStore,
};
use rstest::rstest;

use super::samples::{at, newest};
use crate::support::database::{Engine, TestDatabase};

fn by(actor: &str) -> Doer {
    Doer {
        actor: actor.to_owned(),
        remote: "192.0.2.1".to_owned(),
    }
}

async fn save(
    store: &Store,
    owner: &str,
    name: &str,
    view: &str,
    shared: bool,
) -> Result<(SavedFilter, bool), StoreError> {
    let filter = FilterToSave {
        name: name.to_owned(),
        view: view.to_owned(),
        shared,
    };
    store.save(filter, by(owner), 2).await
}

async fn seen(store: &Store, owner: &str) -> Vec<(String, String)> {
    let seen = store.seen_by(owner).await.expect("read").into_iter();
    seen.map(|filter| (filter.name, filter.view)).collect()
}

#[rstest]
#[tokio::test]
async fn saved_filters_belong_to_somebody(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let ada = User::new("ada", Role::Viewer, "no hash".to_owned());
    UserStore::add(&store, ada, by("admin"))
        .await
        .expect("made");
    let (lab, is_new) = save(&store, "ada", "lab", "tag=lab", false)
        .await
        .expect("saved");
    assert!(is_new);
    save(&store, "ada", "Late", "state=late", true)
        .await
        .expect("saved");
    let full = save(&store, "ada", "more", "", false).await;
    assert!(matches!(full, Err(StoreError::Full { limit: 2, .. })));
    // One that is there is replaced, however many there are.
    let (again, is_new) = save(&store, "ada", "lab", "tag=lab&state=asleep", false)
        .await
        .expect("saved");
    assert_eq!((again.id, is_new), (lab.id, false));
    // Another's of the same name is another one.
    let (other, _) = save(&store, "grace", "lab", "tag=attic", false)
        .await
        .expect("saved");
    assert_ne!(other.id, lab.id);
    store.close().await;

    let store = database.open().await;
    let pair = |name: &str, view: &str| (name.to_owned(), view.to_owned());
    let late = pair("Late", "state=late");
    let lab = pair("lab", "tag=lab&state=asleep");
    assert_eq!(seen(&store, "ada").await, [late.clone(), lab]);
    let attic = pair("lab", "tag=attic");
    assert_eq!(seen(&store, "grace").await, [late.clone(), attic.clone()]);
    let forget = async |id, reach, owner| store.forget(id, reach, by(owner)).await.expect("asked");
    // Whoever looked while it was shared finds it gone once its owner has it for themselves again.
    let (shown, _) = save(&store, "grace", "lab", "tag=attic", true)
        .await
        .expect("shared");
    let reach = FilterReach::Own;
    assert_eq!(
        forget(shown.id, reach, "ada").await,
        ForgottenFilter::SharedByAnother
    );
    save(&store, "grace", "lab", "tag=attic", false)
        .await
        .expect("for herself");
    for reach in [FilterReach::Own, FilterReach::OwnAndShared] {
        let forgotten = forget(other.id, reach, "ada").await;
        assert_eq!(forgotten, ForgottenFilter::Unseen);
    }
    assert_eq!(seen(&store, "grace").await, [late.clone(), attic]);
    for forgotten in [ForgottenFilter::Removed, ForgottenFilter::Unseen] {
        assert_eq!(forget(other.id, reach, "grace").await, forgotten);
    }
    let lines = AuditStore::list(&store, &newest(20, None))
        .await
        .expect("read");
    let lines: Vec<(&str, &str)> = lines
        .iter()
        .rev()
        .filter(|line| line.action.starts_with("saved_filter"))
        .map(|line| (line.action.as_str(), line.subject.as_str()))
        .collect();
    let expected = [
        ("saved_filter.create", "lab"),
        ("saved_filter.create", "Late"),
        ("saved_filter.update", "lab"),
        ("saved_filter.create", "lab"),
        ("saved_filter.update", "lab"),
        ("saved_filter.update", "lab"),
        ("saved_filter.delete", "lab"),
    ];
    assert_eq!(lines, expected);

    // What was shared stays, so that nobody misses it.
    let removed = UserStore::remove(&store, "ada", by("admin")).await;
    assert!(removed.expect("removed"));
    let shared = [late];
    assert_eq!(seen(&store, "ada").await, shared);

    // Tokens take theirs along as people do, those of a person with the person.
    let eve = User::new("eve", Role::Viewer, "no hash".to_owned());
    UserStore::add(&store, eve, by("admin"))
        .await
        .expect("made");
    let mut ids = Vec::new();
    for (name, key, owner) in [("server", 1, None), ("own", 2, Some("eve"))] {
        let token = ApiToken {
            id: 0,
            name: name.to_owned(),
            role: Role::Viewer,
            hash: vec![key; 32],
            created_at: at(0),
            expires_at: None,
            last_used_at: None,
            owner: owner.map(str::to_owned),
        };
        let token = TokenStore::add(&store, token, by("admin")).await;
        ids.push(token.expect("made").id);
        save(&store, &format!("token:{name}"), "mine", "tag=lab", false)
            .await
            .expect("saved");
    }
    let removed = TokenStore::remove(&store, ids[0], None, by("admin")).await;
    assert!(removed.expect("removed"));
    assert_eq!(seen(&store, "token:server").await, shared);
    assert_eq!(seen(&store, "token:own").await.len(), 2);
    let removed = UserStore::remove(&store, "eve", by("admin")).await;
    assert!(removed.expect("removed"));
    assert_eq!(seen(&store, "token:own").await, shared);
    store.close().await;
}
