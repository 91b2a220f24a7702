use flownexus::domain::{Profile, RegistrationId};
use flownexus::store::{
    Change, EndpointFilter, EndpointReader, EndpointRow, FleetLoader as _, FleetWriter as _,
    ResourceReader as _, Store, StoredEndpoint,
};
use rstest::rstest;

use super::samples::{
    at, commit, device, every_value, name, observation, operation, registration, temperature,
    values, wanted,
};
use crate::support::database::{Engine, TestDatabase};

async fn names(store: &Store, filter: EndpointFilter) -> (Vec<String>, bool) {
    let (rows, more) = EndpointReader::list(store, &filter).await.expect("read");
    (
        rows.into_iter()
            .map(|row: EndpointRow| row.name.to_string())
            .collect(),
        more,
    )
}

#[rstest]
#[tokio::test]
async fn in_pages_by_the_bytes_of_their_names(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    // Byte order; no language sorts like this.
    let sorted = ["100%", "B", "a", "a_b", "aXb", "b", "Ärger", "äb"];
    let mut bytes = sorted;
    bytes.sort_unstable();
    for device_name in sorted.iter().rev() {
        device(&store, device_name).await;
    }
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let filter = EndpointFilter {
            limit: 3,
            after: after.clone(),
            ..EndpointFilter::default()
        };
        let (page, more) = names(&store, filter).await;
        after = page.last().map(|last| name(last));
        found.extend(page);
        if !more {
            break;
        }
    }
    assert_eq!(found, bytes);
    let (none, more) = names(&store, EndpointFilter::default()).await;
    assert!(none.is_empty() && more, "a limit of nothing");
    let everything = EndpointFilter {
        limit: u64::MAX,
        ..EndpointFilter::default()
    };
    assert_eq!(
        names(&store, everything).await,
        (bytes.map(str::to_owned).to_vec(), false)
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn by_a_part_of_the_name_and_by_registration(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for device_name in ["urn:imei:1", "a_b", "aXb", "100%", "ÄRGER"] {
        device(&store, device_name).await;
    }
    let gone = store
        .find(&name("aXb"))
        .await
        .expect("read")
        .expect("there");
    let location = gone.registration.expect("registered").id;
    store
        .commit(commit([Change::EndRegistration {
            endpoint_id: gone.id,
            registration_id: location,
        }]))
        .await
        .expect("ended");

    let search = async |text: &str, registered| {
        let filter = EndpointFilter {
            registered,
            search: Some(text.into()),
            limit: 10,
            ..EndpointFilter::default()
        };
        names(&store, filter).await.0
    };
    assert_eq!(search("IMEI", None).await, ["urn:imei:1"]);
    assert_eq!(search("ärg", None).await, ["ÄRGER"]);
    assert_eq!(search("_", None).await, ["a_b"]);
    assert_eq!(search("%", None).await, ["100%"]);
    assert_eq!(search("\\", None).await, [""; 0]);
    assert_eq!(search("'; --\0", None).await, [""; 0]);
    assert_eq!(search("b", Some(true)).await, ["a_b"]);
    assert_eq!(search("b", Some(false)).await, ["aXb"]);
    assert_eq!(store.count().await.expect("read"), (5, 4));
    let row = store
        .find(&name("aXb"))
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (row.registration, row.created_at, row.last_seen_at),
        (None, at(0), Some(at(0)))
    );
    assert_eq!(
        store.find(&name("axb")).await.expect("read"),
        None,
        "names are exact"
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn by_a_tag(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    for (device_name, tags) in [
        ("a", &["lab", "cold"][..]),
        ("b", &["LAB"]),
        ("c", &["lab_2"]),
        ("d", &["labX2", "実験室"]),
        ("e", &[]),
    ] {
        let id = device(&store, device_name).await;
        let profile = Profile {
            tags: tags.iter().map(ToString::to_string).collect(),
            ..Profile::default()
        };
        store
            .commit(commit([Change::Profile {
                endpoint_id: id,
                profile: Box::new(profile),
            }]))
            .await
            .expect("committed");
    }
    let tagged = async |tag: &str| {
        let filter = EndpointFilter {
            tag: Some(tag.into()),
            limit: 10,
            ..EndpointFilter::default()
        };
        names(&store, filter).await.0
    };
    assert_eq!(tagged("lab").await, ["a"]);
    assert_eq!(tagged("cold").await, ["a"]);
    assert_eq!(tagged("LAB").await, ["b"]);
    assert_eq!(tagged("lab_2").await, ["c"], "an underscore is one");
    assert_eq!(tagged("実験室").await, ["d"]);
    for none in ["la", "%", "\"", "[]", "'; --\0", "\\"] {
        assert_eq!(tagged(none).await, [""; 0], "{none}");
    }
    // The profile stays when the device registers anew.
    let row = store.find(&name("a")).await.expect("read").expect("there");
    let again = registration(row.id, "a", "rd-again");
    store
        .commit(commit([Change::Register(Box::new(again))]))
        .await
        .expect("registered");
    assert_eq!(tagged("lab").await, ["a"]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn with_all_their_data_and_nothing_else(
    #[values(Engine::Sqlite, Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (kept, gone) = (device(&store, "kept").await, device(&store, "gone").await);
    for (id, device) in [(kept, "kept"), (gone, "gone")] {
        // More than one chunk.
        let many = (0..12_000)
            .map(|number| temperature(f64::from(number)))
            .collect();
        store
            .commit(commit([
                Change::SaveObservation(Box::new(observation(&store, id, 1))),
                Change::SaveWanted(Box::new(wanted(&store, id))),
                Change::SaveOperation(Box::new(operation(&store, id, device))),
                values(id, many, at(0)),
                Change::Event {
                    id: store.ids().event(),
                    endpoint_id: id,
                    event_type: "x".into(),
                    nodes: every_value(),
                    at: at(0),
                },
            ]))
            .await
            .expect("committed");
    }
    EndpointReader::remove(&store, gone, None)
        .await
        .expect("removed");
    EndpointReader::remove(&store, gone, None)
        .await
        .expect("again does no harm");

    assert_eq!(
        EndpointReader::find(&store, &name("gone"))
            .await
            .expect("read"),
        None
    );
    assert_eq!(store.latest(gone).await.expect("read"), []);
    for table in [
        "endpoint",
        "registration",
        "observation",
        "wanted_observation",
        "endpoint_operation",
        "event",
    ] {
        assert_eq!(
            database
                .numbers(&format!("SELECT COUNT(*) FROM {table}"))
                .await,
            [1],
            "{table}"
        );
    }
    let values = every_value().len() as i64;
    assert_eq!(
        database.numbers("SELECT COUNT(*) FROM resource").await,
        [12_000 + values]
    );
    assert_eq!(
        database
            .numbers("SELECT COUNT(*) FROM event_resource")
            .await,
        [values]
    );
    assert_eq!(
        database
            .numbers("SELECT COUNT(*) FROM latest_resource")
            .await,
        [1 + values]
    );

    // What was still on its way for the device fails (the journal does not know of that; it is put aside), and it
    // may come back as a new one.
    let late = store
        .commit(commit([Change::SaveObservation(Box::new(observation(
            &store, gone, 1,
        )))]))
        .await;
    assert_eq!(late.is_err(), engine != Engine::Sqlite);
    let again = device(&store, "gone").await;
    assert_ne!(again, gone);
    let StoredEndpoint {
        registration: registered,
        observations,
        operations,
        ..
    } = store.load_endpoint(again).await.expect("read");
    assert_eq!(
        registered,
        Some(registration(again, "gone", &format!("rd-gone-{again}")))
    );
    assert!(observations.is_empty() && operations.is_empty());
    assert_ne!(
        registered.map(|it| it.id),
        Some(RegistrationId::from_text("rd-kept"))
    );
    store.close().await;
}
