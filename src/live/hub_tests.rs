//! The bounds of the hub, filled; and what clients get when they are.

use serde_json::Value as Json;

use super::*;
use crate::domain::{LiveBody, LiveKind, Path, Value};

fn limits() -> Live {
    Live {
        max_clients: 3,
        queue_length: 4,
        history: 8,
        max_topics: 2,
        gather_ms: 50,
    }
}

fn hub() -> Hub {
    Hub::starting_at(&limits(), 0)
}

fn name(number: u32) -> EndpointName {
    EndpointName::new(&format!("device-{number}")).expect("a name")
}

fn event(number: u32, kind: LiveKind) -> LiveEvent {
    LiveEvent {
        endpoint: name(number),
        kind,
        time: Timestamp::clamped_from_millis(0),
        body: serde_json::json!({"path": "/3/0/9"}).into(),
    }
}

fn publish(hub: &Hub, number: u32, count: usize) {
    for _ in 0..count {
        hub.publish(vec![event(number, LiveKind::Resource)]);
    }
}

/// What waits for a client: sequence numbers, negative for a resync.
fn waiting(subscription: &Subscription) -> Vec<i64> {
    let mut seqs = Vec::new();
    while let Some(Some(delivery)) = subscription.try_next() {
        seqs.push(match delivery {
            Delivery::Batch(batch) => panic!("a batch: {batch:?}"),
            Delivery::Message(message) => message.seq as i64,
            Delivery::Resync { seq } => -(seq as i64),
        });
    }
    seqs
}

#[test]
fn a_message_reads_as_the_interface_says() {
    let hub = hub();
    let listener = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    hub.publish(vec![event(1, LiveKind::Resource)]);
    let Some(Some(Delivery::Message(message))) = listener.try_next() else {
        panic!("no message");
    };
    assert_eq!(
        message.text(),
        r#"{"seq":1,"kind":"resource","path":"/3/0/9","time":"1970-01-01T00:00:00.000Z","topic":"endpoint:device-1"}"#
    );
}

#[test]
fn the_fields_that_every_message_has_cannot_be_overwritten() {
    let hub = hub();
    let listener = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    let body = serde_json::json!({"seq": 9, "topic": "fleet", "kind": "log", "time": "T"});
    let event = LiveEvent {
        body: body.into(),
        ..event(1, LiveKind::Resource)
    };
    hub.publish(vec![event]);
    let Some(Some(Delivery::Message(message))) = listener.try_next() else {
        panic!("no message");
    };
    assert_eq!(
        message.text(),
        r#"{"seq":1,"kind":"resource","time":"T","topic":"endpoint:device-1"}"#
    );
}

#[test]
fn everybody_gets_what_they_asked_for_once_and_shared() {
    let hub = hub();
    let fleet = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    let one = hub
        .subscribe(vec![Topic::Endpoint(name(1))], None)
        .expect("a place");
    let both = hub
        .subscribe(vec![Topic::Fleet, Topic::Endpoint(name(1))], None)
        .expect("a place");
    publish(&hub, 1, 1);
    publish(&hub, 2, 1);
    hub.publish(vec![event(1, LiveKind::Log), event(2, LiveKind::Log)]);
    assert_eq!(waiting(&fleet), [1, 2]);
    assert_eq!(waiting(&one), [1, 3]);
    assert_eq!(waiting(&both), [1, 2, 3]);

    publish(&hub, 1, 1);
    let taken: Vec<_> = [&fleet, &one]
        .iter()
        .map(|subscription| subscription.try_next())
        .collect();
    let [
        Some(Some(Delivery::Message(first))),
        Some(Some(Delivery::Message(second))),
    ] = taken.as_slice()
    else {
        panic!("no messages");
    };
    assert!(Arc::ptr_eq(first, second));
}

#[test]
fn who_comes_back_after_a_restart_starts_anew_and_misses_nothing_since() {
    let hub = Hub::starting_at(&limits(), 1_000);
    publish(&hub, 1, 2);
    let back = hub.subscribe(vec![Topic::Fleet], Some(900));
    let back = back.expect("a place");
    publish(&hub, 1, 1);
    assert_eq!(waiting(&back), [-1_000, 1_001, 1_002, 1_003]);
    // More than a queue takes is not told again.
    publish(&hub, 1, 2);
    let late = hub.subscribe(vec![Topic::Fleet], Some(900));
    assert_eq!(waiting(&late.expect("a place")), [-1_005]);
}

#[test]
fn a_client_that_falls_behind_starts_anew_instead_of_being_buffered() {
    let hub = hub();
    let slow = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    publish(&hub, 1, 100);
    {
        let state = hub.shared.lock();
        let client = state.clients.values().next().expect("the client");
        assert_eq!(client.queue.capacity(), 0, "nothing is kept for it");
    }
    assert_eq!(waiting(&slow), [-100]);
    publish(&hub, 1, 2);
    assert_eq!(waiting(&slow), [101, 102]);
    assert_eq!(hub.counters().resyncs.get(), 1);
    assert_eq!(hub.counters().dropped.get(), 100);
    assert_eq!(hub.counters().published.get(), 102);
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed() {
    let hub = hub();
    publish(&hub, 1, 3);
    publish(&hub, 2, 2);
    let topic = || vec![Topic::Endpoint(name(1))];
    let back = |after| hub.subscribe(topic(), Some(after)).expect("a place");
    assert_eq!(waiting(&back(1)), [2, 3]);
    assert_eq!(waiting(&back(5)), [0_i64; 0]);
    assert_eq!(waiting(&back(6)), [-5], "a number never sent");
}

#[test]
fn a_client_that_was_away_too_long_starts_anew() {
    let hub = hub();
    publish(&hub, 1, 20);
    let back = |after| {
        hub.subscribe(vec![Topic::Fleet], Some(after))
            .expect("a place")
    };
    assert_eq!(hub.shared.lock().history.len(), 8);
    assert_eq!(waiting(&back(11)), [-20], "no longer in the history");
    assert_eq!(waiting(&back(13)), [-20], "more than a queue takes");
    assert_eq!(waiting(&back(16)), [17, 18, 19, 20]);
}

#[test]
fn numbers_from_before_a_restart_are_not_believed() {
    let hub = Hub::starting_at(&limits(), 1_000_000);
    let back = hub.subscribe(vec![Topic::Fleet], Some(7)).expect("a place");
    assert_eq!(waiting(&back), [-1_000_000]);
}

#[test]
fn places_and_topics_are_limited_and_places_are_freed() {
    let hub = hub();
    let mut places: Vec<_> = (0..3)
        .map(|_| hub.subscribe(vec![Topic::Fleet], None).expect("a place"))
        .collect();
    let refused = hub.subscribe(vec![Topic::Fleet], None).expect_err("full");
    assert_eq!(refused, SubscribeError::TooManyClients { limit: 3 });
    places.pop();
    assert_eq!(hub.counters().clients.get(), 2);
    let topics = (0..3).map(|number| Topic::Endpoint(name(number))).collect();
    let refused = hub.subscribe(topics, None).expect_err("too many topics");
    assert_eq!(refused, SubscribeError::TooManyTopics { limit: 2 });
    drop(places);
    assert_eq!(hub.counters().clients.get(), 0);
    assert!(hub.shared.lock().topics.is_empty());
    assert!(hub.shared.lock().fleet.is_empty());
}

#[test]
fn a_client_that_never_takes_anything_loses_its_place() {
    let hub = hub();
    let stuck = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    publish(&hub, 1, 5);
    {
        let mut state = hub.shared.lock();
        let client = state.clients.values_mut().next().expect("the client");
        client.behind_since = Instant::now().checked_sub(GIVE_UP_AFTER);
    }
    publish(&hub, 1, 1);
    assert_eq!(stuck.try_next(), None);
    assert_eq!(hub.counters().given_up.get(), 1);
    drop(stuck);
    assert_eq!(hub.counters().clients.get(), 0);
}

#[tokio::test]
async fn a_client_that_waits_is_woken() {
    let hub = hub();
    let mut listener = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    let publisher = hub.clone();
    let waiting = tokio::spawn(async move { listener.next().await });
    tokio::task::yield_now().await;
    publish(&publisher, 1, 1);
    let delivery = waiting.await.expect("no panic").expect("not given up");
    assert!(matches!(delivery, Delivery::Message(message) if message.seq == 1));
}

#[tokio::test]
async fn closing_sends_everybody_away_for_good() {
    let hub = hub();
    let mut listener = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    let waiting = tokio::spawn(async move { listener.next().await });
    tokio::task::yield_now().await;
    hub.close();
    assert_eq!(waiting.await.expect("no panic"), None);
    assert_eq!(hub.counters().clients.get(), 0);
    let refused = hub.subscribe(vec![Topic::Fleet], None).expect_err("closed");
    assert_eq!(refused, SubscribeError::Closed);
    publish(&hub, 1, 1);
}

fn value(number: u32, value: i64) -> LiveEvent {
    LiveEvent {
        body: LiveBody::Resource {
            path: Path::resource(3303, 0, 5700),
            value: Value::Integer(value),
        },
        ..event(number, LiveKind::Resource)
    }
}

/// One whose batches end by their size alone.
fn patient_hub() -> Hub {
    let limits = Live {
        gather_ms: 10_000,
        ..limits()
    };
    Hub::starting_at(&limits, 0)
}

/// The numbers of the messages of a batch.
fn seqs(batch: &Batch) -> Vec<u64> {
    batch.messages().iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn a_batch_has_the_newest_value_of_each_path_and_is_written_once() {
    let hub = hub();
    let mut first = hub.subscribe_gathered(None).expect("a place");
    let mut second = hub.subscribe_gathered(None).expect("a place");
    hub.publish(vec![
        value(1, 10),
        value(2, 20),
        event(1, LiveKind::Updated),
        value(1, 11),
        event(1, LiveKind::Log),
    ]);
    assert_eq!(first.try_next(), Some(None), "it is being gathered");
    let Some(Delivery::Batch(batch)) = first.next().await else {
        panic!("no batch");
    };
    assert_eq!(seqs(&batch), [2, 3, 4]);
    assert_eq!(hub.counters().coalesced.get(), 1);
    let text: Json = serde_json::from_str(&batch.text()).expect("JSON");
    assert_eq!(text[0]["value"], 20);
    assert_eq!(text[2]["value"], 11);
    let Some(Delivery::Batch(same)) = second.next().await else {
        panic!("no batch");
    };
    assert!(Arc::ptr_eq(&batch, &same));
    assert_eq!(batch.text().as_ptr(), same.text().as_ptr(), "shared");
}

#[test]
fn a_batch_that_is_full_ends_before_its_time() {
    let hub = patient_hub();
    let listener = hub.subscribe_gathered(None).expect("a place");
    publish(&hub, 1, 7);
    assert_eq!(listener.try_next(), Some(None));
    publish(&hub, 1, 1);
    let Some(Some(Delivery::Batch(batch))) = listener.try_next() else {
        panic!("no batch");
    };
    assert_eq!(seqs(&batch), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn who_comes_back_for_batches_gets_what_was_missed_as_one() {
    let hub = patient_hub();
    let other = hub.subscribe_gathered(None).expect("a place");
    publish(&hub, 1, 6);
    let back = hub.subscribe_gathered(Some(1)).expect("a place");
    let Some(Some(Delivery::Batch(batch))) = back.try_next() else {
        panic!("no batch");
    };
    assert_eq!(
        seqs(&batch),
        [2, 3, 4, 5, 6],
        "more than a queue takes of single ones"
    );
    assert_eq!(back.try_next(), Some(None), "none of them twice");
    let Some(Some(Delivery::Batch(batch))) = other.try_next() else {
        panic!("no batch");
    };
    assert_eq!(seqs(&batch), [1, 2, 3, 4, 5, 6]);
    publish(&hub, 1, 20);
    drop(back);
    let late = hub.subscribe_gathered(Some(2)).expect("a place");
    assert_eq!(waiting(&late), [-26]);
}

#[test]
fn who_takes_no_batches_starts_anew_and_nothing_is_kept_for_nobody() {
    let hub = patient_hub();
    let slow = hub.subscribe_gathered(None).expect("a place");
    for _ in 0..=MAX_BATCHES {
        publish(&hub, 1, 8);
    }
    let all = 8 * (MAX_BATCHES as u64 + 1);
    assert_eq!(hub.counters().dropped.get(), all);
    assert_eq!(waiting(&slow), [-(all as i64)]);
    publish(&hub, 1, 1);
    drop(slow);
    assert_eq!(hub.shared.lock().gathering.due(), None);
    assert!(hub.shared.lock().gathered.is_empty());
}

/// What a device and the server say is told to those who asked for that, and never kept.
#[tokio::test]
async fn what_is_said_has_a_topic_of_its_own() {
    let hub = Hub::starting_at(&limits(), 0);
    let name = event(1, LiveKind::Messages).endpoint;
    let mut listening = hub
        .subscribe(vec![Topic::Messages(name.clone())], None)
        .expect("a place");
    let mut fleet = hub.subscribe(vec![Topic::Fleet], None).expect("a place");
    let of_device = vec![Topic::Endpoint(name.clone())];
    let mut device = hub.subscribe(of_device, None).expect("a place");
    assert!(hub.listened_to().contains(&name));
    hub.publish(vec![
        event(1, LiveKind::Messages),
        event(1, LiveKind::Updated),
    ]);
    let told = listening.next().await.expect("a message");
    let Delivery::Message(told) = told else {
        panic!("{told:?}");
    };
    assert_eq!(told.seq, 1);
    assert!(
        told.text().contains("\"topic\":\"messages:"),
        "{}",
        told.text()
    );
    for other in [&mut fleet, &mut device] {
        let told = other.next().await.expect("a message");
        assert!(matches!(told, Delivery::Message(told) if told.seq == 2));
    }
    drop((fleet, device));
    // Nobody gets it later.
    let mut late = hub
        .subscribe(vec![Topic::Messages(name)], Some(0))
        .expect("a place");
    let nothing = tokio::time::timeout(Duration::from_millis(20), late.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    drop((listening, late));
    assert!(hub.listened_to().is_empty());
}
