//! The list of devices: every filter, every order, both ways through its pages, and the numbers about it.

use std::time::Duration;

use flownexus::domain::{
    EndpointName, Lwm2mVersion, Node, OperationStatus, Path, Peer, Profile, Registration,
    SessionId, Value, Warning,
};
use flownexus::store::{
    Change, DeviceFilter, DevicePlace, DeviceQuery, DeviceSearch as _, DeviceSort, DeviceState,
    FleetLoader as _, FleetWriter as _, Moment, SeriesReader as _, Store,
};
use rstest::rstest;

use super::samples::{at, commit, learned, name, operation, registration, values};
use crate::support::database::{Engine, TestDatabase};

const HOUR: i64 = 3_600_000;

/// Two hours after everybody registered.
fn moment() -> Moment {
    Moment {
        now: at(2 * HOUR),
        awake: Duration::from_secs(60),
    }
}

fn all(sort: DeviceSort, descending: bool) -> DeviceQuery {
    DeviceQuery {
        filter: DeviceFilter::default(),
        sort,
        descending,
        place: None,
        limit: 100,
    }
}

async fn names(store: &Store, filter: DeviceFilter) -> Vec<String> {
    let query = DeviceQuery {
        filter: filter.clone(),
        ..all(DeviceSort::Name, false)
    };
    let page = store.page(&query, moment()).await.expect("read");
    let shown: Vec<String> = page
        .devices
        .iter()
        .map(|one| one.row.name.to_string())
        .collect();
    let found = store.names_matching(&filter, moment(), 100).await;
    let found: Vec<String> = found
        .expect("read")
        .iter()
        .map(EndpointName::to_string)
        .collect();
    assert_eq!(shown, found, "the list and who is asked are the same");
    let many = store
        .count_matching(&filter, moment(), 100)
        .await
        .expect("read");
    assert_eq!(many as usize, found.len());
    shown
}

async fn add(store: &Store, device: &str, change: impl FnOnce(&mut Registration)) {
    let id = store.ids().endpoint();
    let mut is = registration(id, device, &format!("rd-{device}"));
    change(&mut is);
    let register = commit([Change::Register(Box::new(is))]);
    store.commit(register).await.expect("registered");
}

/// Seven devices, each with something of its own.
async fn fill(store: &Store) {
    add(store, "lamp-1", |is| is.lwm2m_version = Lwm2mVersion::V1_0).await;
    add(store, "lamp-2", |is| {
        is.peer = Peer::dtls(
            "[2001:db8::7]:5684".parse().expect("an address"),
            SessionId(7),
        );
        is.registered_at = at(HOUR);
        is.updated_at = at(HOUR);
    })
    .await;
    // In queue mode: one was heard of just now, the other was not.
    add(store, "meter-awake", |is| {
        is.queue_mode = true;
        is.updated_at = at(2 * HOUR - 10_000);
    })
    .await;
    add(store, "meter-asleep", |is| is.queue_mode = true).await;
    // Nine tenths of its lifetime are over.
    add(store, "late", |is| {
        is.lifetime = Duration::from_millis(2 * HOUR as u64 + 1_000);
        is.expires_at = at(2 * HOUR + 1_000);
    })
    .await;
    add(store, "odd", |is| {
        is.warnings = vec![Warning {
            code: "bad_link".into(),
            message: "`<` is missing".into(),
        }];
        is.objects = vec![flownexus::domain::AnnouncedObject {
            path: Path::instance(33, 0),
            version: None,
        }]
        .into();
    })
    .await;
    add(store, "gone_%", |_| {}).await;
    let gone = flownexus::store::EndpointReader::find(store, &name("gone_%")).await;
    let gone = gone.expect("read").expect("there");
    let end = Change::EndRegistration {
        endpoint_id: gone.id,
        registration_id: gone.registration.expect("registered").id,
    };
    store.commit(commit([end])).await.expect("ended");
}

async fn id(store: &Store, device: &str) -> flownexus::domain::EndpointId {
    let row = flownexus::store::EndpointReader::find(store, &name(device)).await;
    row.expect("read").expect("there").id
}

fn told(manufacturer: &str, model: &str, firmware: &str) -> Vec<Node> {
    [(0, manufacturer), (1, model), (3, firmware)]
        .map(|(resource, text)| {
            Node::new(Path::resource(3, 0, resource), Value::String(text.into()))
        })
        .to_vec()
}

#[rstest]
#[tokio::test]
async fn by_each_filter(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    fill(&store).await;
    let lamp = id(&store, "lamp-1").await;
    let profile = Profile {
        tags: vec!["Floor-2".into(), "lab".into()],
        ..Profile::default()
    };
    store
        .commit(commit([
            values(lamp, told("ACME Ltd", "M-100", "1.4.0"), at(0)),
            Change::Profile {
                endpoint_id: lamp,
                profile: Box::new(profile),
            },
        ]))
        .await
        .expect("committed");

    let search = |text: &str| DeviceFilter {
        search: Some(text.into()),
        ..DeviceFilter::default()
    };
    let state = |state| DeviceFilter {
        state: Some(state),
        ..DeviceFilter::default()
    };
    let some = DeviceFilter::default;
    let cases: Vec<(DeviceFilter, &[&str])> = vec![
        (search("LAMP"), &["lamp-1", "lamp-2"]),
        (search("2001:db8::7"), &["lamp-2"]),
        (search("floor"), &["lamp-1"]),
        (search("acme"), &["lamp-1"]),
        (search("m-100"), &["lamp-1"]),
        (search("/33"), &["odd"]),
        (search("_%"), &["gone_%"]),
        (search("\",\""), &[]),
        (search("'; --\0"), &[]),
        (state(DeviceState::Offline), &["gone_%"]),
        (state(DeviceState::Awake), &["meter-awake"]),
        (state(DeviceState::Asleep), &["meter-asleep"]),
        (state(DeviceState::Late), &["late"]),
        (
            state(DeviceState::Registered),
            &[
                "lamp-1",
                "lamp-2",
                "late",
                "meter-asleep",
                "meter-awake",
                "odd",
            ],
        ),
        (
            DeviceFilter {
                tag: Some("lab".into()),
                ..some()
            },
            &["lamp-1"],
        ),
        (
            DeviceFilter {
                queue_mode: Some(true),
                ..some()
            },
            &["meter-asleep", "meter-awake"],
        ),
        (
            DeviceFilter {
                queue_mode: Some(false),
                ..some()
            },
            &["lamp-1", "lamp-2", "late", "odd"],
        ),
        (
            DeviceFilter {
                secure: Some(true),
                ..some()
            },
            &["lamp-2"],
        ),
        (
            DeviceFilter {
                lwm2m_version: Some(Lwm2mVersion::V1_0),
                ..some()
            },
            &["lamp-1"],
        ),
        (
            DeviceFilter {
                firmware: Some("1.4.0".into()),
                ..some()
            },
            &["lamp-1"],
        ),
        (
            DeviceFilter {
                firmware: Some("1.4".into()),
                ..some()
            },
            &[],
        ),
        (
            DeviceFilter {
                object: Some(33),
                ..some()
            },
            &["odd"],
        ),
        (
            DeviceFilter {
                object: Some(3),
                state: Some(DeviceState::Late),
                ..some()
            },
            &["late"],
        ),
        (
            DeviceFilter {
                warnings: Some(true),
                ..some()
            },
            &["odd"],
        ),
    ];
    for (filter, expected) in cases {
        assert_eq!(names(&store, filter.clone()).await, expected, "{filter:?}");
    }
    let without = DeviceFilter {
        warnings: Some(false),
        ..some()
    };
    assert_eq!(names(&store, without).await.len(), 6);
    assert_eq!(store.firmware_versions(9).await.expect("read"), ["1.4.0"]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn by_each_order_and_both_ways_through_the_pages(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    fill(&store).await;
    for (device, firmware) in [("odd", "10.0"), ("late", "9.0"), ("lamp-2", "9.0")] {
        let told = values(id(&store, device).await, told("a", "b", firmware), at(0));
        store.commit(commit([told])).await.expect("committed");
    }
    for sort in DeviceSort::ALL {
        for descending in [false, true] {
            let query = all(sort, descending);
            let whole = store.page(&query, moment()).await.expect("read").devices;
            assert_eq!(whole.len(), 7, "{sort:?}");
            let place = |is_before, device: &flownexus::store::ListedDevice| {
                Some(DevicePlace {
                    key: device.key.clone(),
                    name: device.row.name.clone(),
                    is_before,
                })
            };
            // Forwards, two at a time…
            let mut paged = Vec::new();
            let mut query = DeviceQuery { limit: 2, ..query };
            loop {
                let page = store.page(&query, moment()).await.expect("read");
                assert_eq!(page.has_previous, !paged.is_empty());
                query.place = page.devices.last().and_then(|last| place(false, last));
                paged.extend(page.devices);
                if !page.has_next {
                    break;
                }
            }
            assert_eq!(paged, whole, "{sort:?} {descending}");
            // … and back from the last one.
            let mut back = Vec::new();
            query.place = whole.last().and_then(|last| place(true, last));
            loop {
                let page = store.page(&query, moment()).await.expect("read");
                assert!(page.has_next);
                query.place = page.devices.first().and_then(|first| place(true, first));
                back.splice(0..0, page.devices);
                if !page.has_previous {
                    break;
                }
            }
            assert_eq!(back, whole[..6], "{sort:?} {descending}");
        }
    }
    let by_firmware = store.page(&all(DeviceSort::Firmware, true), moment()).await;
    let by_firmware: Vec<String> = by_firmware
        .expect("read")
        .devices
        .iter()
        .map(|one| one.row.name.to_string())
        .collect();
    assert_eq!(by_firmware[..3], ["late", "lamp-2", "odd"], "as texts");
    store.close().await;
}

/// A page that begins behind a device goes on also when that device is gone.
#[rstest]
#[tokio::test]
async fn a_place_outlives_its_device(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    fill(&store).await;
    let query = DeviceQuery {
        limit: 3,
        ..all(DeviceSort::Name, false)
    };
    let first = store.page(&query, moment()).await.expect("read").devices;
    let last = first.last().expect("three");
    flownexus::store::EndpointReader::remove(&store, last.row.id, None)
        .await
        .expect("forgotten");
    let place = DevicePlace {
        key: last.key.clone(),
        name: last.row.name.clone(),
        is_before: false,
    };
    let next = DeviceQuery {
        place: Some(place),
        ..query
    };
    let next = store.page(&next, moment()).await.expect("read").devices;
    assert_eq!(next[0].row.name, name("late"));
    store.close().await;
}

/// The copies in the list follow the latest value, and no other one.
#[rstest]
#[tokio::test]
async fn what_a_device_is_follows_its_latest_values(
    #[values(Engine::Sqlite, Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    add(&store, "lamp", |_| {}).await;
    let lamp = id(&store, "lamp").await;
    let firmware = async || {
        let page = store.page(&all(DeviceSort::Name, false), moment()).await;
        page.expect("read").devices[0].firmware_version.clone()
    };
    assert_eq!(firmware().await, None);
    let tell = async |version: &str, time: i64, stale: bool| {
        let mut change = values(lamp, told("a", "b", version), at(time));
        if let Change::Resources { stale: is, .. } = &mut change {
            *is = stale;
        }
        store.commit(commit([change])).await.expect("committed");
    };
    tell("1.0", 10, false).await;
    assert_eq!(firmware().await.as_deref(), Some("1.0"));
    tell("2.0", 20, false).await;
    tell("1.5", 15, false).await;
    tell("0.1", 30, true).await;
    assert_eq!(firmware().await.as_deref(), Some("2.0"));
    let long = "x".repeat(1_000);
    tell(&long, 40, false).await;
    assert_eq!(firmware().await.map(|text| text.len()), Some(255));
    let paths = vec![Path::resource(3, 0, 0), Path::resource(3303, 0, 5700)];
    let latest = store.latest_at(vec![lamp], paths.clone()).await;
    let latest = latest.expect("read");
    let found = latest
        .iter()
        .map(|one| (one.endpoint_id, one.path, &one.value));
    let expected = Value::String("a".into());
    assert_eq!(found.collect::<Vec<_>>(), [(lamp, paths[0], &expected)]);
    store.close().await;
}

/// By its rhythm where that is known, by its lifetime otherwise; and the downtime of the server is forgiven.
#[rstest]
#[tokio::test]
async fn who_is_late_is_told_with_since_when(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    fill(&store).await;
    // It wakes every ten minutes, the last time after twenty.
    let sleeper = id(&store, "meter-asleep").await;
    let change = Change::Learned {
        endpoint_id: sleeper,
        learned: Box::new(learned()),
    };
    store.commit(commit([change])).await.expect("committed");
    let late = store.late(moment(), 10).await.expect("read");
    let late: Vec<(String, _)> = late
        .into_iter()
        .map(|(row, since)| (row.name.to_string(), since))
        .collect();
    let tenth = (2 * HOUR + 1_000) / 10;
    assert_eq!(
        late,
        [
            ("meter-asleep".to_owned(), at(1_860_000)),
            ("late".to_owned(), at(2 * HOUR + 1_000 - tenth)),
        ]
    );
    assert_eq!(store.late(moment(), 1).await.expect("read").len(), 1);
    let filter = DeviceFilter {
        state: Some(DeviceState::Late),
        ..DeviceFilter::default()
    };
    assert_eq!(
        names(&store, filter.clone()).await,
        ["late", "meter-asleep"]
    );

    let operations = [
        (OperationStatus::Queued, None),
        (OperationStatus::Failed, Some(at(0))),
        (OperationStatus::Failed, Some(at(HOUR))),
        (OperationStatus::Confirmed, Some(at(HOUR))),
    ];
    for (status, finished_at) in operations {
        let mut one = operation(&store, sleeper, "meter-asleep");
        (one.status, one.finished_at) = (status, finished_at);
        let save = Change::SaveOperation(Box::new(one));
        store.commit(commit([save])).await.expect("committed");
    }
    let counts = store.fleet_counts(moment(), at(HOUR)).await.expect("read");
    assert_eq!((counts.known, counts.registered), (7, 6));
    assert_eq!((counts.awake, counts.asleep, counts.late), (1, 1, 2));
    assert_eq!((counts.waiting, counts.failed), (1, 1));
    assert_eq!((counts.updates, counts.rollouts), (0, 0));

    // What is forgiven at a restart counts for lifetimes here, too.
    store
        .load(Duration::from_secs(7_200))
        .await
        .expect("loaded");
    assert_eq!(names(&store, filter).await, ["meter-asleep"]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn nothing_is_counted_further_than_wanted(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let everyone = DeviceFilter::default();
    let none = store.fleet_counts(moment(), at(0)).await.expect("read");
    assert_eq!(none, flownexus::store::FleetCounts::default());
    fill(&store).await;
    for (most, counted) in [(0, 1), (3, 4), (7, 7)] {
        let many = store.count_matching(&everyone, moment(), most).await;
        assert_eq!(many.expect("read"), counted, "up to {most} and one more");
    }
    store.close().await;
}
