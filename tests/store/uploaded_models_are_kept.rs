use flownexus::store::{ModelEntry, ModelMark, ModelStore, Store, StoreError, UploadedModel};
use rstest::rstest;

use super::samples::{at, by};
use crate::support::database::{Engine, TestDatabase};

const MANY: u64 = 100;

fn model(object_id: u16, version: &str, source: &str) -> UploadedModel {
    UploadedModel {
        entry: ModelEntry {
            id: 0,
            object_id,
            version: version.into(),
            name: format!("Pump ü {object_id}"),
            created_at: at(1),
            created_by: "token:ci".into(),
        },
        source: source.into(),
    }
}

async fn keys(store: &Store) -> Vec<(u16, String)> {
    let entries = ModelStore::list(store).await.expect("read");
    let keys = entries.into_iter();
    keys.map(|entry| (entry.object_id, entry.version)).collect()
}

#[rstest]
#[tokio::test]
async fn with_their_definition_and_across_a_restart(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    assert_eq!(ModelStore::list(&store).await.expect("read"), []);
    assert_eq!(store.mark().await.expect("read"), ModelMark::default());
    let source = "<LWM2M>é &amp; 'x'\r\n</LWM2M>".repeat(50_000);
    let models = vec![
        model(65_534, "2.10", &source),
        model(7, "1.0", "<a/>"),
        model(65_534, "2.9", "<b/>"),
    ];
    let added = store
        .add(models.clone(), false, MANY, by())
        .await
        .expect("stored");
    assert!(added.iter().all(|model| !model.replaced));
    store.close().await;

    let store = database.open().await;
    let expected = [
        (7, "1.0".to_owned()),
        (65_534, "2.10".to_owned()),
        (65_534, "2.9".to_owned()),
    ];
    assert_eq!(keys(&store).await, expected);
    let found = ModelStore::find(&store, 65_534, "2.10")
        .await
        .expect("read")
        .expect("stored");
    assert_eq!(found.source, source);
    assert_eq!(found.entry, added[0].entry);
    for (object, version) in [
        (65_534, "2.1"),
        (65_534, "2.11"),
        (8, "1.0"),
        (7, "' OR 1=1 --"),
    ] {
        let found = ModelStore::find(&store, object, version).await;
        assert_eq!(found.expect("read"), None, "{object} {version}");
    }
    let newer = store.newer_than(added[0].entry.id, 1).await.expect("read");
    assert_eq!(newer.len(), 1);
    assert_eq!(newer[0].entry, added[1].entry);
    assert_eq!(newer[0].source, "<a/>");
    assert!(
        ModelStore::remove(&store, 7, "1.0", by())
            .await
            .expect("removed")
    );
    assert!(
        !ModelStore::remove(&store, 7, "1.0", by())
            .await
            .expect("gone")
    );
    assert_eq!(keys(&store).await, expected[1..]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn all_of_an_upload_or_none(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let first = store
        .add(vec![model(7, "1.0", "<old/>")], false, MANY, by())
        .await
        .expect("stored");
    let upload = || vec![model(8, "1.0", "<c/>"), model(7, "1.0", "<new/>")];
    let refused = store.add(upload(), false, MANY, by()).await;
    assert!(
        matches!(&refused, Err(StoreError::Exists(what)) if what.contains("object 7 version 1.0")),
        "{refused:?}"
    );
    assert_eq!(keys(&store).await, [(7, "1.0".to_owned())]);
    let kept = ModelStore::find(&store, 7, "1.0").await.expect("read");
    assert_eq!(kept.expect("still there").source, "<old/>");

    let added = store.add(upload(), true, MANY, by()).await.expect("stored");
    let replaced: Vec<bool> = added.iter().map(|model| model.replaced).collect();
    assert_eq!(replaced, [false, true]);
    assert!(added[1].entry.id > first[0].entry.id, "a row of its own");
    let new = ModelStore::find(&store, 7, "1.0").await.expect("read");
    assert_eq!(new.expect("replaced").source, "<new/>");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn no_more_than_there_may_be(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let upload = |ids: &[u16]| ids.iter().map(|id| model(*id, "1.0", "<a/>")).collect();
    store
        .add(upload(&[1, 2]), false, 2, by())
        .await
        .expect("two");
    let refused = store.add(upload(&[3]), false, 2, by()).await;
    assert!(
        matches!(&refused, Err(StoreError::Full { limit: 2, .. })),
        "{refused:?}"
    );
    assert_eq!(keys(&store).await.len(), 2);
    // What takes the place of another needs none.
    store
        .add(upload(&[2]), true, 2, by())
        .await
        .expect("replaced");
    store
        .add(upload(&[2]), true, 1, by())
        .await
        .expect("also later");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn the_mark_differs_after_every_change(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut last = store.mark().await.expect("read");
    for step in 0..6 {
        match step {
            0 | 1 => drop(
                store
                    .add(vec![model(step, "1.0", "<a/>")], false, MANY, by())
                    .await
                    .expect("added"),
            ),
            2 => drop(
                store
                    .add(vec![model(1, "1.0", "<b/>")], true, MANY, by())
                    .await
                    .expect("replaced"),
            ),
            // The newest goes, and another comes.
            3 => assert!(
                ModelStore::remove(&store, 1, "1.0", by())
                    .await
                    .expect("removed")
            ),
            4 => drop(
                store
                    .add(vec![model(1, "1.0", "<b/>")], false, MANY, by())
                    .await
                    .expect("added"),
            ),
            _ => assert!(
                ModelStore::remove(&store, 0, "1.0", by())
                    .await
                    .expect("removed")
            ),
        }
        let mark = store.mark().await.expect("read");
        assert_ne!(mark, last, "step {step}");
        assert_eq!(store.mark().await.expect("read"), mark);
        last = mark;
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn also_those_that_come_from_beside(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    let before = server.mark().await.expect("read");
    let beside = database.open_beside().await;
    beside
        .add(vec![model(9, "1.0", "<a/>")], false, MANY, by())
        .await
        .expect("stored");
    beside.close().await;
    assert_ne!(server.mark().await.expect("read"), before);
    assert_eq!(keys(&server).await, [(9, "1.0".to_owned())]);
    server.close().await;
}
