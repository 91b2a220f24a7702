use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use flownexus::config::FirmwareNames;
use flownexus::domain::{Doer, FirmwareImage, Selection};
use flownexus::store::{
    AuditStore, FirmwareFolder, FirmwareShelf as _, FirmwareStore, NewImage, ReceiveError,
    ReceivedFile, Shelf, Store, StoreError,
};
use rstest::rstest;
use sha2::{Digest as _, Sha256};

use super::samples::{at, newest};
use crate::support::database::{Engine, TestDatabase};

const MANY: u64 = 100;

fn ada() -> Doer {
    Doer {
        actor: "ada".into(),
        remote: "192.0.2.7".into(),
    }
}

fn new_image(version: &str, name: &str) -> NewImage {
    NewImage {
        version: version.into(),
        name: name.into(),
        notes: "for the lab\nü".into(),
        selection: Selection {
            names: vec!["urn:imei:*".into()],
            tags: vec!["lab".into()],
        },
        at: at(5),
    }
}

fn bytes(seed: u8, count: usize) -> Vec<u8> {
    let next = |last: &u8| Some(last.wrapping_mul(37).wrapping_add(11));
    std::iter::successors(Some(seed), next)
        .take(count)
        .collect()
}

fn received(database: &TestDatabase, bytes: &[u8]) -> ReceivedFile {
    let folder = FirmwareFolder::of(&database.settings);
    let mut file = folder.begin(1 << 20).expect("a file");
    for part in bytes.chunks(1000) {
        file.write(part).expect("written");
    }
    file.finish().expect("on disk")
}

async fn add(
    database: &TestDatabase,
    store: &Store,
    version: &str,
    bytes: &[u8],
) -> Result<FirmwareImage, StoreError> {
    let new = new_image(version, &format!("{version}.bin"));
    FirmwareStore::add(store, new, received(database, bytes), ada(), MANY).await
}

async fn shelf(database: &TestDatabase, store: &Store) -> Shelf {
    let shelf = Shelf::new(Arc::new(store.clone()), &database.settings);
    shelf.reload().await.expect("read");
    shelf
}

/// All of its bytes, read in parts of an odd size.
fn read(shelved: &flownexus::store::Shelved) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 777];
    loop {
        let count = shelved.bytes.read(all.len() as u64, &mut buffer);
        match count.expect("read") {
            0 => return all,
            count => all.extend(&buffer[..count]),
        }
    }
}

fn folder(database: &TestDatabase) -> PathBuf {
    database.settings.data_dir.join("firmware")
}

fn files(database: &TestDatabase) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder(database)) else {
        return BTreeSet::new();
    };
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.into_string().expect("text"))
        .collect()
}

fn file_of(image: &FirmwareImage) -> String {
    format!("{}.bin", image.key)
}

/// A file with a name as the store gives it, of an age.
fn file_of_age(database: &TestDatabase, name: &str, age: Duration) {
    let path = folder(database).join(name);
    fs::write(&path, b"what is left").expect("written");
    let file = File::options().write(true).open(path).expect("opened");
    file.set_modified(SystemTime::now() - age).expect("older");
}

#[rstest]
#[tokio::test]
async fn with_their_bytes_and_across_a_restart(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    assert_eq!(FirmwareStore::list(&store).await.expect("read"), []);
    let (old, new) = (bytes(1, 100_000), bytes(2, 70_001));
    let first = add(&database, &store, "0.1.0", &old).await.expect("added");
    let second = add(&database, &store, "0.2.0", &new).await.expect("added");
    assert!(second.id > first.id);
    assert_eq!(
        (first.size, first.sha256.clone()),
        (100_000, hex::encode(Sha256::digest(&old)))
    );
    assert_eq!(
        (first.created_at, first.created_by.as_str()),
        (at(5), "ada")
    );
    assert_eq!(first.notes, "for the lab\nü");
    assert_eq!(first.selection, new_image("x", "x").selection);
    assert!(first.key.len() == 32 && first.key != second.key);
    store.close().await;

    let store = database.open().await;
    let stored = FirmwareStore::list(&store).await.expect("read");
    assert_eq!(stored, [second.clone(), first.clone()]);
    let found = FirmwareStore::find(&store, first.id).await.expect("read");
    assert_eq!(found, Some(first.clone()));
    let shelf = shelf(&database, &store).await;
    for (image, bytes) in [(&first, &old), (&second, &new)] {
        let shelved = shelf.image(image.id).expect("there");
        assert_eq!(*shelved.image, *image);
        assert_eq!(shelved.bytes.size(), image.size);
        assert_eq!(hex::encode(shelved.bytes.tag()), image.sha256[..16]);
        assert!(read(&shelved) == *bytes, "{}", image.version);
        let past = shelved.bytes.read(image.size + 1, &mut [0; 8]);
        assert_eq!(past.expect("nothing"), 0);
        let named = shelf.named(&image.name).expect("by name");
        assert_eq!(named.image.id, image.id);
    }

    // Whoever reads goes on reading; nobody else begins to, and the id is not given out again.
    let reading = shelf.image(second.id).expect("there");
    let removed = FirmwareStore::remove(&store, second.id, ada()).await;
    assert!(removed.expect("removed"));
    let again = FirmwareStore::remove(&store, second.id, ada()).await;
    assert!(!again.expect("gone"));
    assert!(shelf.reload().await.expect("read"), "it has changed");
    assert!(!shelf.reload().await.expect("read"), "once");
    assert!(shelf.image(second.id).is_none() && shelf.named(&second.name).is_none());
    assert!(read(&reading) == new);
    assert_eq!(files(&database), BTreeSet::from([file_of(&first)]));
    let third = add(&database, &store, "0.2.0", &new).await.expect("added");
    assert!(third.id > second.id && third.key != second.key);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_people_say_of_one_changes_and_all_of_it_is_in_the_audit_log(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let image = add(&database, &store, "1.0+7", b"image")
        .await
        .expect("added");
    let shelf = shelf(&database, &store).await;
    let reading = shelf.image(image.id).expect("there");
    let described = store
        .describe(image.id, "do not\0 use".into(), Selection::default(), ada())
        .await
        .expect("written")
        .expect("there");
    assert_eq!(described.notes, "do not\u{fffd} use");
    let expected = FirmwareImage {
        notes: described.notes.clone(),
        selection: Selection::default(),
        ..image.clone()
    };
    assert_eq!(described, expected);
    assert!(shelf.reload().await.expect("read"));
    let shelved = shelf.image(image.id).expect("there");
    assert_eq!(*shelved.image, described);
    assert!(
        Arc::ptr_eq(&shelved.bytes, &reading.bytes),
        "the file is open once"
    );
    let nobody = flownexus::domain::FirmwareId(image.id.0 + 1);
    let missing = store.describe(nobody, String::new(), Selection::default(), ada());
    assert_eq!(missing.await.expect("written"), None);
    FirmwareStore::remove(&store, image.id, ada())
        .await
        .expect("removed");
    let lines = AuditStore::list(&store, &newest(10, None))
        .await
        .expect("read");
    let lines: Vec<_> = lines
        .iter()
        .map(|line| {
            assert_eq!((&*line.actor, &*line.remote), ("ada", "192.0.2.7"));
            (&*line.action, &*line.subject, &*line.detail)
        })
        .collect();
    let hash = hex::encode(Sha256::digest(b"image"));
    let added = format!("1.0+7.bin, 5 bytes, SHA-256 {hash}, for urn:imei:* #lab");
    let removed = format!("1.0+7.bin, SHA-256 {hash}");
    assert_eq!(
        lines,
        [
            ("firmware.remove", "1.0+7", &*removed),
            (
                "firmware.describe",
                "1.0+7",
                "for every device, notes of 13 bytes"
            ),
            ("firmware.add", "1.0+7", &*added),
        ]
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn one_of_each_version_and_name_and_no_more_than_there_may_be(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let first = add(&database, &store, "1.0", b"first")
        .await
        .expect("added");
    for (version, name, limit, sentence) in [
        (
            "1.0",
            "other.bin",
            MANY,
            "a firmware image of version 1.0 (1.0.bin) exists already",
        ),
        (
            "1.1",
            "1.0.bin",
            MANY,
            "a firmware image of the name 1.0.bin (version 1.0) exists already",
        ),
        (
            "1.1",
            "1.1.bin",
            1,
            "there may be at most 1 firmware images",
        ),
    ] {
        let file = received(&database, b"another");
        let refused = FirmwareStore::add(&store, new_image(version, name), file, ada(), limit);
        let error = refused.await.expect_err(sentence);
        assert_eq!(error.to_string(), sentence);
        assert_eq!(files(&database), BTreeSet::from([file_of(&first)]));
    }
    let stored = FirmwareStore::list(&store).await.expect("read");
    assert_eq!(stored, [first]);
    let lines = AuditStore::list(&store, &newest(10, None))
        .await
        .expect("read");
    assert_eq!(lines.len(), 1, "of what happened: {lines:?}");
    store.close().await;
}

#[tokio::test]
async fn a_file_is_neither_empty_nor_too_large_and_leaves_nothing_when_it_is_given_up() {
    let database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    let folder = FirmwareFolder::of(&database.settings);
    let mut file = folder.begin(10).expect("a file");
    file.write(&[0; 10]).expect("written");
    assert_eq!(files(&database).len(), 1);
    let error = file.write(&[0]).expect_err("one more");
    assert_eq!(
        error.to_string(),
        "the file has more than 10 bytes (firmware.max_image_bytes)"
    );
    drop(file);
    assert_eq!(files(&database), BTreeSet::new());
    let empty = folder.begin(10).expect("a file").finish();
    assert!(matches!(empty, Err(ReceiveError::Empty)), "{empty:?}");
    drop(received(&database, b"given up"));
    assert_eq!(files(&database), BTreeSet::new());
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
    let shelf = shelf(&database, &server).await;
    let beside = database.open_beside().await;
    let image = add(&database, &beside, "1.0", b"beside")
        .await
        .expect("added");
    assert!(shelf.reload().await.expect("read"));
    assert_eq!(read(&shelf.image(image.id).expect("there")), b"beside");
    FirmwareStore::remove(&beside, image.id, ada())
        .await
        .expect("removed");
    beside.close().await;
    assert!(shelf.reload().await.expect("read"));
    assert!(shelf.image(image.id).is_none());
    assert_eq!(files(&database), BTreeSet::new());
    server.close().await;
}

/// A row without its file would be the end of it: the server looks in its own folder.
#[tokio::test]
async fn not_beside_a_server_that_has_another_folder() {
    let Some(database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    let server = database.open().await;
    let other = database.elsewhere();
    let beside = other.open_beside().await;
    let refused = add(&other, &beside, "1.0", b"beside").await;
    let sentence = refused.expect_err("elsewhere").to_string();
    assert!(sentence.contains("another data folder"), "{sentence}");
    assert_eq!(FirmwareStore::list(&server).await.expect("read"), []);
    assert_eq!(files(&other), BTreeSet::new());
    beside.close().await;
    server.close().await;
}

#[rstest]
#[tokio::test]
async fn what_a_crash_leaves_is_cleared_away_and_nothing_else(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let arriving = received(&database, b"arriving while the server starts again");
    let [part, old, fresh] = ["a", "b", "c"].map(|digit| digit.repeat(32));
    let (part, old, fresh) = (
        format!("{part}.part"),
        format!("{old}.bin"),
        format!("{fresh}.bin"),
    );
    let hours = Duration::from_secs(2 * 3600);
    file_of_age(&database, &part, Duration::ZERO);
    file_of_age(&database, &old, hours);
    file_of_age(&database, &fresh, Duration::ZERO);
    file_of_age(&database, "README", hours);
    store.close().await;

    // Without any image this may be the wrong database: then files of images stay.
    let store = database.open().await;
    let left = files(&database);
    assert!(!left.contains(&part), "{left:?}");
    assert!(left.contains(&old) && left.contains(&fresh), "{left:?}");
    let image = FirmwareStore::add(&store, new_image("1", "1"), arriving, ada(), MANY).await;
    let image = image.expect("nobody took its file away");
    let kept = folder(&database).join(file_of(&image));
    let kept = File::options().write(true).open(kept).expect("opened");
    kept.set_modified(SystemTime::now() - hours).expect("older");
    store.close().await;

    let store = database.open().await;
    let expected = [file_of(&image), fresh, "README".to_owned()];
    assert_eq!(files(&database), BTreeSet::from(expected));
    let shelf = shelf(&database, &store).await;
    assert!(shelf.image(image.id).is_some());
    store.close().await;
}

#[tokio::test]
async fn an_image_without_its_file_is_left_out_until_it_is_back() {
    let database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    let store = database.open().await;
    let (one, other) = (bytes(1, 5000), bytes(2, 5000));
    let first = add(&database, &store, "1", &one).await.expect("added");
    let second = add(&database, &store, "2", &other).await.expect("added");
    let path = folder(&database).join(file_of(&first));
    fs::write(&path, b"shorter").expect("written");
    let shelf = shelf(&database, &store).await;
    assert!(shelf.image(first.id).is_none() && shelf.named(&first.name).is_none());
    assert!(shelf.image(second.id).is_some());
    assert!(!shelf.reload().await.expect("read"), "nothing has changed");
    fs::write(&path, &one).expect("written");
    assert!(shelf.reload().await.expect("read"), "it is back");
    assert!(read(&shelf.image(first.id).expect("there")) == one);
    // Gone between two looks: nothing is given, and nothing falls over.
    fs::remove_file(&path).expect("removed");
    assert!(shelf.image(first.id).is_none());
    store.close().await;
}

#[tokio::test]
async fn names_are_guessed_or_not_as_the_settings_say() {
    let mut database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    let store = database.open().await;
    let image = add(&database, &store, "1", b"image").await.expect("added");
    let other = add(&database, &store, "2", b"other").await.expect("added");
    for names in [FirmwareNames::Plain, FirmwareNames::Unguessable] {
        database.settings.firmware.names = names;
        let shelf = shelf(&database, &store).await;
        let is_plain = names == FirmwareNames::Plain;
        let (key, name) = (&image.key, &image.name);
        let path = if is_plain {
            format!("/binaries/{name}")
        } else {
            format!("/binaries/{key}/{name}")
        };
        assert_eq!(shelf.path(&image), path);
        for (path, is_there) in [
            (name.clone(), is_plain),
            (format!("{key}/{name}"), true),
            (format!("{}/{name}", other.key), false),
            (format!("{}/{name}", &key[..31]), false),
            (format!("{}/{name}", key.to_uppercase()), false),
            (format!("/{name}"), false),
            (format!("/{key}/{name}"), false),
            (format!("x/{key}/{name}"), false),
            (format!("{key}/"), false),
            (format!("{key}.bin"), false),
            (format!("../firmware/{key}.bin"), false),
            (String::new(), false),
        ] {
            let found = shelf.named(&path);
            assert_eq!(found.is_some(), is_there, "{names:?} {path}");
        }
    }
    store.close().await;
}
