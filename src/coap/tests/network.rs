//! Whole exchanges over a bad network: each request has its effect at most once, and exactly once
//! when it is answered; bodies of any size arrive as they were sent.

use proptest::prelude::*;

use super::pair::{Faults, Pair, Side, peer_of};
use super::*;

fn faults() -> impl Strategy<Value = Faults> {
    (0_u64..25, 0_u64..30, 1_u64..3_000, any::<u64>()).prop_map(
        |(loss, duplicate, delay_ms, seed)| Faults {
            loss,
            duplicate,
            delay_ms,
            seed,
        },
    )
}

fn config(block_size: usize) -> EndpointConfig {
    EndpointConfig {
        block_size,
        max_body: 20_000,
        ..EndpointConfig::default()
    }
}

/// What came of a request.
#[derive(Debug)]
struct Outcome {
    effects: Vec<Vec<u8>>,
    answer: Result<Vec<u8>, ExchangeFailure>,
}

/// The server asks the device something, and the device answers with a body of so many bytes, at
/// once or after a while.
fn exchange(pair: &mut Pair, request: Request, answer: &[u8], think: Duration) -> Outcome {
    let outgoing = outgoing(request);
    let now = pair.now;
    pair.server
        .request(now, peer_of(Side::Device), outgoing)
        .expect("begun");
    let mut effects = Vec::new();
    let mut outcome = None;
    let mut thinking: Vec<(Instant, RequestKey)> = Vec::new();
    while pair.step() {
        let now = pair.now;
        while let Some(event) = pair.device.poll_event() {
            let Event::Request { key, request } = event else {
                panic!("the device is only asked: {event:?}");
            };
            effects.push(request.payload);
            thinking.push((now + think, key));
        }
        thinking.retain(|(at, key)| {
            if *at <= now {
                pair.device.respond(now, key, content(answer));
            }
            *at > now
        });
        while let Some(event) = pair.server.poll_event() {
            match event {
                Event::Response { response, .. } => {
                    assert!(outcome.is_none(), "one end");
                    outcome = Some(Ok(response.payload));
                }
                Event::Failed { failure, .. } => {
                    assert!(outcome.is_none(), "one end");
                    outcome = Some(Err(failure));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    Outcome {
        effects,
        answer: outcome.expect("every exchange ends"),
    }
}

fn good() -> Faults {
    Faults {
        loss: 0,
        duplicate: 0,
        delay_ms: 20,
        seed: 1,
    }
}

#[test]
fn bodies_of_every_size_around_the_blocks_arrive_both_ways() {
    for size in [
        0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 1023, 1024, 1025, 5000,
    ] {
        for block_size in [16, 64, 1024] {
            let mut pair = Pair::new(config(block_size), good());
            let mut request = get("/3/0");
            request.code = Code::FETCH;
            request.payload = bytes(size);
            let outcome = exchange(&mut pair, request, &bytes(size + 7), Duration::ZERO);
            assert_eq!(outcome.effects, [bytes(size)], "{size} in {block_size}");
            assert_eq!(
                outcome.answer,
                Ok(bytes(size + 7)),
                "{size} in {block_size}"
            );
        }
    }
}

#[test]
fn a_network_that_loses_everything_ends_every_exchange() {
    let faults = Faults {
        loss: 100,
        ..good()
    };
    let mut pair = Pair::new(config(64), faults);
    let outcome = exchange(&mut pair, get("/3/0"), b"x", Duration::ZERO);
    assert!(outcome.effects.is_empty());
    assert_eq!(outcome.answer, Err(ExchangeFailure::NotAcknowledged));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_request_has_its_effect_once(faults in faults(), think_ms in 0_u64..4_000) {
        let mut pair = Pair::new(config(1024), faults);
        let mut request = get("/3/0/4");
        request.code = Code::POST;
        request.payload = b"now".to_vec();
        let think = Duration::from_millis(think_ms);
        let outcome = exchange(&mut pair, request, b"done", think);
        prop_assert!(outcome.effects.len() <= 1);
        match outcome.answer {
            Ok(answer) => {
                prop_assert_eq!(answer, b"done");
                prop_assert_eq!(outcome.effects, [b"now"]);
            }
            Err(failure) => prop_assert_eq!(failure, ExchangeFailure::NotAcknowledged),
        }
    }

    #[test]
    fn bodies_survive_the_network(
        faults in faults(),
        sent in 0_usize..3_000,
        answered in 0_usize..3_000,
        block in 0_u8..=6,
    ) {
        let size = Exponent::new(block).expect("a size").size().max(64);
        let mut pair = Pair::new(config(size), faults);
        let mut request = get("/3/0");
        request.code = Code::POST;
        request.payload = bytes(sent);
        let outcome = exchange(&mut pair, request, &bytes(answered), Duration::ZERO);
        prop_assert!(outcome.effects.len() <= 1, "{:?}", outcome.effects.len());
        for effect in &outcome.effects {
            prop_assert_eq!(effect, &bytes(sent));
        }
        match outcome.answer {
            Ok(answer) => {
                prop_assert_eq!(answer, bytes(answered));
                prop_assert_eq!(outcome.effects.len(), 1);
            }
            Err(failure) => prop_assert_eq!(failure, ExchangeFailure::NotAcknowledged),
        }
    }

    #[test]
    fn notifications_are_seen_once_and_acknowledged(faults in faults()) {
        let mut pair = Pair::new(config(1024), faults);
        let mut seen = Vec::new();
        let mut acknowledged = Vec::new();
        let mut timed_out = Vec::new();
        let mut sent = Vec::new();
        for sequence in 0..5_u32 {
            let mut response = content(&sequence.to_be_bytes());
            response.options.set_uint(number::OBSERVE, sequence);
            let now = pair.now;
            let id = pair
                .device
                .notify(now, peer_of(Side::Server), token(b"n"), response, true)
                .expect("sent");
            sent.push(id);
        }
        while pair.step() {
            let now = pair.now;
            while let Some(event) = pair.server.poll_event() {
                let Event::Notification { key, response, .. } = event else {
                    panic!("{event:?}");
                };
                seen.push(response.payload);
                pair.server.acknowledge(now, &key);
            }
            while let Some(event) = pair.device.poll_event() {
                match event {
                    Event::NotificationAcknowledged { message_id, .. } => acknowledged.push(message_id),
                    Event::NotificationTimedOut { message_id, .. } => timed_out.push(message_id),
                    other => panic!("{other:?}"),
                }
            }
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), count, "each once");
        prop_assert!(acknowledged.len() <= count);
        let mut ended = [acknowledged, timed_out].concat();
        ended.sort_unstable();
        sent.sort_unstable();
        prop_assert_eq!(ended, sent, "each ends once");
    }
}
