//! Every limit is filled, and holds; what was held is free again afterwards.

use super::*;

fn tiny() -> EndpointConfig {
    EndpointConfig {
        max_transfers: 4,
        max_transfers_per_peer: 2,
        max_transfer_memory: 4096,
        dedup_per_peer: 3,
        dedup_total: 6,
        dedup_memory: 65_536,
        max_exchanges: 3,
        max_pending_requests: 4,
        ..EndpointConfig::default()
    }
}

fn peer(number: u8) -> Peer {
    Peer::udp(([192, 0, 2, number], 5683).into())
}

#[test]
fn pending_messages_of_one_peer_are_never_forgotten_for_new_ones() {
    let mut solo = Solo::with(tiny());
    for message_id in 0..10 {
        solo.receive_message(&con(Code::POST, message_id, "/rd"));
    }
    assert_eq!(solo.events().len(), 3);
    assert_eq!(solo.counters.dropped_dedup.get(), 7);
    solo.receive_message(&con(Code::POST, 0, "/rd"));
    assert!(solo.events().is_empty(), "a copy of a pending one");
}

#[test]
fn of_one_peer_the_oldest_answer_makes_room() {
    let mut solo = Solo::with(tiny());
    for message_id in 0..10 {
        solo.receive_message(&con(Code::POST, message_id, "/rd"));
        let (key, _) = solo.request_event();
        solo.respond(&key, Response::new(Code::CHANGED));
        solo.sent_one();
        solo.pass(seconds(1));
    }
    solo.receive_message(&con(Code::POST, 9, "/rd"));
    solo.sent_one();
    solo.receive_message(&con(Code::POST, 0, "/rd"));
    solo.request_event();
}

#[test]
fn answers_of_all_peers_together_are_limited() {
    let mut solo = Solo::with(tiny());
    for number in 0..100 {
        solo.receive_from(peer(number), &con(Code::POST, 1, "/rd").encode());
        let (key, _) = solo.request_event();
        solo.respond(&key, Response::new(Code::CHANGED));
        assert!(solo.counters.dedup_entries.get() <= 6);
    }
    solo.pass(seconds(248));
    assert_eq!(solo.counters.dedup_entries.get(), 0);
    assert_eq!(solo.endpoint.next_timeout(), None);
}

#[test]
fn pending_requests_and_notifications_are_limited_together() {
    let mut solo = Solo::with(tiny());
    for number in 0..6 {
        solo.receive_from(peer(number), &con(Code::POST, 1, "/rd").encode());
    }
    let notification = message(MessageType::Confirmable, Code::CONTENT, 1, token(b"n"));
    solo.receive_from(peer(9), &notification.encode());
    let mut events = solo.events();
    assert_eq!(events.len(), 4);
    assert_eq!(solo.counters.dropped_pending.get(), 3);
    let Event::Request { key, .. } = events.remove(0) else {
        panic!("a request");
    };
    solo.respond(&key, Response::new(Code::CHANGED));
    solo.receive_from(peer(9), &notification.encode());
    solo.notification_event();
}

#[test]
fn pending_messages_end_by_themselves_after_the_exchange_lifetime() {
    let mut solo = Solo::with(tiny());
    for number in 0..4 {
        solo.receive_from(peer(number), &con(Code::POST, 1, "/rd").encode());
    }
    let Some(Event::Request { key, .. }) = solo.events().pop() else {
        panic!("a request");
    };
    solo.pass(seconds(248));
    assert_eq!(solo.counters.dedup_entries.get(), 0);
    solo.respond(&key, Response::new(Code::CHANGED));
    assert!(solo.sent().is_empty(), "the peer has given up long ago");
}

#[test]
fn exchanges_are_limited_and_notifications_of_ours_count() {
    let mut solo = Solo::with(tiny());
    for number in 0..3_u8 {
        let mut request = outgoing(get("/3"));
        request.token = token(&[number]);
        solo.ask(request);
    }
    let full = Err(RequestError::TooManyExchanges);
    assert_eq!(
        solo.endpoint
            .request(solo.now, device(), outgoing(get("/3"))),
        full
    );
    assert_eq!(
        solo.endpoint
            .await_response(solo.now, device(), token(b"x"), seconds(1)),
        full
    );
    let notified = solo
        .endpoint
        .notify(solo.now, device(), token(b"x"), content(b""), true);
    assert_eq!(notified, Err(RequestError::TooManyExchanges));
    assert_eq!(solo.counters.dropped_exchanges.get(), 3);
    assert_eq!(solo.counters.exchanges.get(), 3);
    solo.pass(seconds(200));
    assert_eq!(solo.counters.exchanges.get(), 0);
    solo.ask(outgoing(get("/3")));
}

#[test]
fn uploads_that_are_never_finished_cost_little_and_not_for_long() {
    let mut solo = Solo::with(tiny());
    for number in 0..100 {
        let mut block = con(Code::POST, 1, "/rd");
        block.payload = bytes(1024);
        let block = with_block(block, number::BLOCK1, (0, true, 1024));
        solo.receive_from(peer(number), &block.encode());
        assert!(solo.counters.uploads.get() <= 4);
        assert!(solo.counters.transfer_bytes.get() <= 4096);
    }
    assert!(solo.counters.dropped_transfers.get() >= 96);
    solo.pass(seconds(94));
    assert_eq!(solo.counters.uploads.get(), 0);
    assert_eq!(solo.counters.transfer_bytes.get(), 0);
}

#[test]
fn one_peer_cannot_push_out_the_uploads_of_others() {
    let mut solo = Solo::with(tiny());
    let block = |path: &str, message_id| {
        let mut block = con(Code::POST, message_id, path);
        block.payload = bytes(16);
        with_block(block, number::BLOCK1, (0, true, 16)).encode()
    };
    solo.receive_from(peer(1), &block("/good", 1));
    for message_id in 0..50 {
        solo.receive_from(peer(2), &block(&format!("/bad{message_id}"), message_id));
    }
    while solo.endpoint.poll_transmit().is_some() {}
    let mut last = con(Code::POST, 2, "/good");
    last.payload = b"end".to_vec();
    let last = with_block(last, number::BLOCK1, (1, false, 16));
    solo.receive_from(peer(1), &last.encode());
    let (_, request) = solo.request_event();
    assert_eq!(request.payload.len(), 19);
}

#[test]
fn served_bodies_are_limited() {
    let mut solo = Solo::with(tiny());
    for number in 0..50 {
        solo.receive_from(peer(number), &con(Code::GET, 1, "/3").encode());
        let (key, _) = solo.request_event();
        solo.respond(&key, content(&bytes(1500)));
        assert!(solo.counters.served.get() <= 4);
        assert!(solo.counters.transfer_bytes.get() <= 4096);
    }
    assert!(solo.counters.served.get() > 0);
    solo.pass(seconds(94));
    assert_eq!(solo.counters.served.get(), 0);
}

#[test]
fn a_body_larger_than_all_memory_is_still_answered() {
    let mut solo = Solo::with(tiny());
    solo.receive_message(&con(Code::GET, 1, "/3"));
    let (key, _) = solo.request_event();
    solo.respond(&key, content(&bytes(10_000)));
    solo.sent_one();
    let request = with_block(con(Code::GET, 2, "/3"), number::BLOCK2, (1, false, 1024));
    solo.receive_message(&request);
    let (key, _) = solo.request_event();
    solo.respond(&key, content(&bytes(10_000)));
    assert_eq!(
        block_of(&solo.sent_one(), number::BLOCK2),
        Some((1, true, 1024))
    );
}

#[test]
fn answers_that_are_fetched_share_the_memory() {
    let mut solo = Solo::with(EndpointConfig {
        max_exchanges: 10,
        ..tiny()
    });
    let mut failures = 0;
    for number in 0..6_u8 {
        let mut request = outgoing(get("/3"));
        request.token = token(&[number]);
        solo.ask(request);
        let sent = solo.sent_one();
        let answer = piggybacked(&sent, Code::CONTENT, &bytes(1024));
        solo.receive_message(&with_block(answer, number::BLOCK2, (0, true, 1024)));
        solo.sent();
        failures += solo.events().len();
    }
    assert_eq!(failures, 2);
    assert_eq!(solo.counters.transfer_bytes.get(), 4096);
}

#[test]
fn a_storm_of_strangers_costs_one_bounded_answer_each() {
    // `GET /` and `GET /.well-known/core` at a high rate, each with a new message id.
    let mut solo = Solo::with(tiny());
    for message_id in 0..5_000 {
        solo.receive_message(&con(Code::GET, message_id, "/.well-known/core"));
        let (key, _) = solo.request_event();
        solo.respond(&key, Response::new(Code::NOT_FOUND));
        assert_eq!(solo.sent().len(), 1);
    }
    assert_eq!(solo.counters.dedup_entries.get(), 3);
}

#[test]
fn gauges_are_shared_by_endpoints_and_go_down_with_them() {
    let counters = Counters::default();
    let now = Instant::now();
    let mut endpoints: Vec<_> = (0..3)
        .map(|seed| Endpoint::new(tiny(), counters.clone(), seed))
        .collect();
    for endpoint in &mut endpoints {
        endpoint
            .request(now, device(), outgoing(get("/3")))
            .expect("begun");
    }
    assert_eq!(counters.exchanges.get(), 3);
    endpoints.pop();
    assert_eq!(counters.exchanges.get(), 2);
    endpoints.clear();
    assert_eq!(counters.exchanges.get(), 0);
}

#[test]
fn everything_that_is_counted_is_registered() {
    let counters = Counters::default();
    let mut registry = prometheus_client::registry::Registry::default();
    counters.register(&mut registry);
    counters.malformed.inc();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    for line in [
        "flownexus_coap_datagrams_received_total{result=\"malformed\"} 1",
        "flownexus_coap_exchanges_ended_total{outcome=\"not_answered\"} 0",
        "flownexus_coap_dropped_by_limit_total{limit=\"dedup\"} 0",
        "flownexus_coap_retransmissions_total 0",
        "flownexus_coap_resets_sent_total 0",
        "flownexus_coap_exchanges 0",
        "flownexus_coap_dedup_entries 0",
        "flownexus_coap_transfers{kind=\"block1_in\"} 0",
        "flownexus_coap_transfer_memory_bytes 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
