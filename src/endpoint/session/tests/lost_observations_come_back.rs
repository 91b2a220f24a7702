//! Observations that end on the device's side or fall silent are noticed, told, and made anew.

use std::time::Duration;

use super::super::Input;
use super::bench::{Bench, content};
use super::wishes::{Willing, attributes, edited, observe};
use crate::coap::{Code, ExchangeFailure, Response, number};
use crate::domain::{
    Lwm2mVersion, OperationKind, OperationRequest, ProfileChange, Token, WantedState,
};
use crate::store::Change;

const LINKS: &str = "</3/0>,</3303/0>,</3304/0>";

/// A device whose temperature is observed, with these attributes.
fn observed(query: &str, list: &[(&str, &str)]) -> (Bench, Willing, Token) {
    let mut bench = Bench::new();
    bench.templates = vec![edited(&observe(1, "/3303/0/5700"), |template| {
        template.attributes = attributes(list);
    })];
    let register = bench.register(query, LINKS);
    bench.feed(register);
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    let token = bench.observations()[0].token;
    (bench, device, token)
}

fn plain() -> (Bench, Willing, Token) {
    observed("ep=thing&lwm2m=1.1&lt=86400", &[])
}

/// A notification that ends the observation.
fn ended(bench: &mut Bench, token: Token, code: Code) {
    let Input::Notification { key, .. } = bench.notification(token, 0, "") else {
        panic!("a notification")
    };
    bench.feed(Input::Notification {
        key,
        response: Response::new(code),
        more: None,
    });
}

fn losses(bench: &Bench) -> usize {
    bench
        .changes()
        .iter()
        .filter(|change| matches!(change, Change::Event { event_type, .. } if event_type == "observation_lost"))
        .count()
}

/// Turns the clock to the next deadline and lets the session look.
fn next(bench: &mut Bench) -> Duration {
    let deadline = bench.session.next_deadline(bench.now).expect("a deadline");
    let wait = deadline.saturating_duration_since(bench.now.instant);
    bench.wait(wait);
    bench.feed(Input::Tick);
    wait
}

#[test]
fn a_notification_of_an_error_ends_it_and_it_is_asked_for_again() {
    for code in [
        Code::NOT_FOUND,
        Code::METHOD_NOT_ALLOWED,
        Code::INTERNAL_SERVER_ERROR,
    ] {
        let (mut bench, mut device, token) = plain();
        device.observes.clear();
        ended(&mut bench, token, code);
        let wanted = bench.wanted().remove(0);
        assert_eq!(wanted.state, WantedState::Lost);
        let reason = wanted.reason.expect("a reason");
        assert!(reason.contains(&code.to_string()), "{reason}");
        assert_eq!(losses(&bench), 1, "an event is stored");
        assert_eq!(bench.asked().len(), 1, "not at once");
        assert_eq!(next(&mut bench), Duration::from_secs(10));
        device.answer_all(&mut bench);
        assert_eq!(bench.stands(), WantedState::Active);
        assert_eq!(device.observes.len(), 1);
        assert_ne!(bench.observations()[0].token, token);
    }
}

#[test]
fn a_device_that_refuses_is_not_asked_again_before_it_registers() {
    for code in [Code::METHOD_NOT_ALLOWED, Code::NOT_FOUND, Code::BAD_REQUEST] {
        let mut bench = Bench::new();
        bench.templates = vec![observe(1, "/3303/0/5700")];
        let register = bench.register("ep=thing&lwm2m=1.1&lt=8640000", LINKS);
        bench.feed(register);
        bench.refuse(code);
        let wanted = bench.wanted().remove(0);
        assert_eq!(wanted.state, WantedState::Refused);
        assert!(wanted.reason.expect("a reason").contains(&code.to_string()));
        bench.wait(Duration::from_secs(86_400));
        bench.feed(Input::Tick);
        let update = bench.update("");
        bench.feed(update);
        bench.restart();
        bench.tell(bench.templates.clone());
        assert_eq!(bench.asked().len(), 1);
        let mut device = Willing::default();
        device.register(&mut bench, "ep=thing&lwm2m=1.1&lt=8640000", LINKS);
        device.answer_all(&mut bench);
        assert_eq!(bench.stands(), WantedState::Active);
    }
}

#[test]
fn a_refusal_counts_for_the_template_as_it_was() {
    let template = observe(1, "/3303/0/5700");
    let mut bench = Bench::new();
    bench.templates = vec![template.clone()];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=8640000", LINKS);
    bench.feed(register);
    bench.refuse(Code::METHOD_NOT_ALLOWED);
    bench.tell(vec![edited(&template, |_| {})]);
    assert_eq!(bench.stands(), WantedState::Requested);
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn an_answer_without_observe_is_a_refusal() {
    let mut bench = Bench::new();
    bench.templates = vec![observe(1, "/3303/0/5700")];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", LINKS);
    bench.feed(register);
    bench.answer(content("20.5"));
    assert_eq!(bench.stands(), WantedState::Refused);
    let reason = bench.wanted().remove(0).reason.expect("a reason");
    assert!(reason.contains("does not notify"), "{reason}");
}

#[test]
fn a_reset_of_the_request_is_tried_again_with_growing_waits() {
    let mut bench = Bench::new();
    bench.templates = vec![observe(1, "/3303/0/5700")];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=8640000", LINKS);
    bench.feed(register);
    let mut waits = Vec::new();
    for _ in 0..4 {
        for _ in 0..3 {
            bench.fail(ExchangeFailure::Reset);
            let update = bench.update("");
            bench.feed(update);
        }
        let wanted = bench.wanted().remove(0);
        assert_eq!(wanted.state, WantedState::Lost, "{wanted:?}");
        assert!(wanted.reason.expect("a reason").contains("Reset"));
        waits.push(next(&mut bench).as_secs());
        assert_eq!(bench.stands(), WantedState::Requested);
    }
    assert_eq!(waits, [10, 20, 40, 80]);
    assert_eq!(losses(&bench), 0, "what never was cannot be lost");
}

#[test]
fn waits_do_not_grow_for_ever() {
    use super::super::wanted::backoff;
    let range = (Duration::from_secs(10), Duration::from_secs(3600));
    let seconds = |count| backoff(count, range).as_secs();
    assert_eq!(
        [0, 1, 2, 9, 10, 11, 64, u32::MAX].map(seconds),
        [10, 10, 20, 2560, 3600, 3600, 3600, 3600]
    );
}

#[test]
fn silence_beyond_pmax_is_a_loss() {
    let (mut bench, mut device, token) = observed("ep=thing&lwm2m=1.1&lt=86400", &[("pmax", "60")]);
    // 2 × 60 s and 30 s of grace.
    bench.wait(Duration::from_secs(100));
    let notification = bench.notification(token, 5, "21.0");
    bench.feed(notification);
    bench.wait(Duration::from_secs(149));
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Active);
    assert!(next(&mut bench) <= Duration::from_secs(1));
    let wanted = bench.wanted().remove(0);
    assert_eq!(wanted.state, WantedState::Lost);
    let reason = wanted.reason.expect("a reason");
    assert_eq!(reason, "no notification for 2 × pmax, which is 60 s");
    assert_eq!(losses(&bench), 1);
    next(&mut bench);
    assert_eq!(bench.stands(), WantedState::Requested);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    assert_eq!(
        bench.observations()[0].token,
        token,
        "it may have been there all the time"
    );
}

#[test]
fn a_notification_after_all_ends_the_loss() {
    let (mut bench, _, token) = observed("ep=thing&lwm2m=1.1&lt=86400", &[("pmax", "60")]);
    next(&mut bench);
    assert_eq!(bench.stands(), WantedState::Lost);
    let notification = bench.notification(token, 5, "21.0");
    bench.feed(notification);
    assert_eq!(bench.stands(), WantedState::Active);
    bench.wait(Duration::from_secs(60));
    bench.feed(Input::Tick);
    assert_eq!(bench.asked().len(), 2, "it is not asked for again");
}

#[test]
fn without_a_pmax_silence_says_nothing() {
    for list in [&[][..], &[("pmin", "5")], &[("pmax", "0")]] {
        let (mut bench, _, _) = observed("ep=thing&lwm2m=1.1&lt=864000", list);
        bench.wait(Duration::from_secs(800_000));
        bench.feed(Input::Tick);
        assert_eq!(bench.stands(), WantedState::Active, "{list:?}");
    }
}

#[test]
fn a_pmax_that_somebody_wrote_above_the_path_counts_too() {
    let (mut bench, mut device, _) = plain();
    bench.want(OperationRequest {
        attributes: vec![("pmax".to_owned(), Some("100".to_owned()))],
        ..OperationRequest::new(
            OperationKind::WriteAttributes,
            vec![super::bench::path("/3303")],
        )
    });
    device.answer_all(&mut bench);
    assert_eq!(next(&mut bench), Duration::from_secs(230));
    assert_eq!(bench.stands(), WantedState::Lost);
}

#[test]
fn a_pmax_that_is_removed_does_not_count_any_more() {
    let (mut bench, mut device, _) = observed("ep=thing&lwm2m=1.1&lt=86400", &[("pmax", "60")]);
    bench.want(OperationRequest {
        attributes: vec![("pmax".to_owned(), None)],
        ..OperationRequest::new(
            OperationKind::WriteAttributes,
            vec![super::bench::path("/3303/0/5700")],
        )
    });
    device.answer_all(&mut bench);
    bench.wait(Duration::from_secs(40_000));
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a_pmax_that_a_discover_found_counts_too() {
    let (mut bench, _, _) = plain();
    bench.operate(OperationKind::Discover, "/3303/0");
    let mut response = Response::new(Code::CONTENT);
    response.options.add_uint(number::CONTENT_FORMAT, 40);
    response.payload = b"</3303/0>;pmin=10,</3303/0/5700>;pmax=20,</3303/0/5701>;pmax=x".to_vec();
    bench.answer(response);
    assert_eq!(next(&mut bench), Duration::from_secs(70));
    assert_eq!(bench.stands(), WantedState::Lost);
}

#[test]
fn a_pmax_below_pmin_is_none() {
    let (mut bench, mut device, _) = observed("ep=thing&lwm2m=1.1&lt=86400", &[("pmax", "20")]);
    bench.want(OperationRequest {
        attributes: vec![("pmin".to_owned(), Some("30".to_owned()))],
        ..OperationRequest::new(
            OperationKind::WriteAttributes,
            vec![super::bench::path("/3303/0/5700")],
        )
    });
    device.answer_all(&mut bench);
    bench.wait(Duration::from_secs(4_000));
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a_sleeping_device_is_looked_at_when_it_has_woken() {
    let (mut bench, mut device, _) = observed("ep=thing&lwm2m=1.1&lt=86400&Q", &[("pmax", "600")]);
    bench.wait(Duration::from_secs(10_000));
    bench.feed(Input::Tick);
    assert_eq!(
        bench.stands(),
        WantedState::Active,
        "it cannot be asked now"
    );
    let update = bench.update("");
    bench.feed(update);
    assert_eq!(
        bench.stands(),
        WantedState::Active,
        "its notification may follow"
    );
    assert!(next(&mut bench) <= Duration::from_secs(2));
    assert_eq!(bench.stands(), WantedState::Lost);
    next(&mut bench);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a_sleeping_device_whose_notification_woke_it_is_fine() {
    let (mut bench, _, token) = observed("ep=thing&lwm2m=1.1&lt=86400&Q", &[("pmax", "600")]);
    for sequence in 10..20 {
        bench.wait(Duration::from_secs(1_500));
        let notification = bench.notification(token, sequence, "21.0");
        bench.feed(notification);
        bench.wait(Duration::from_secs(3));
        bench.feed(Input::Tick);
        assert_eq!(bench.stands(), WantedState::Active);
    }
    assert_eq!(losses(&bench), 0);
}

#[test]
fn no_deadline_is_in_the_past_of_a_device_that_sleeps() {
    let (mut bench, _, _) = observed("ep=thing&lwm2m=1.1&lt=86400&Q", &[("pmax", "60")]);
    for _ in 0..20 {
        bench.wait(Duration::from_secs(500));
        bench.feed(Input::Tick);
        let deadline = bench
            .session
            .next_deadline(bench.now)
            .expect("its lifetime");
        assert!(
            deadline > bench.now.instant,
            "that would be looked at for ever"
        );
    }
}

#[test]
fn the_time_in_which_the_server_was_down_is_no_silence() {
    let (mut bench, _, _) = observed("ep=thing&lwm2m=1.1&lt=86400", &[("pmax", "60")]);
    bench.wait(Duration::from_secs(5_000));
    bench.restart();
    bench.tell(bench.templates.clone());
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Active);
    assert_eq!(
        next(&mut bench),
        Duration::from_secs(150),
        "pmax is on disk"
    );
    assert_eq!(bench.stands(), WantedState::Lost);
}

#[test]
fn what_is_lost_is_still_asked_for_after_a_restart() {
    let (mut bench, mut device, token) = plain();
    device.observes.clear();
    ended(&mut bench, token, Code::NOT_FOUND);
    bench.restart();
    bench.tell(bench.templates.clone());
    assert_eq!(bench.stands(), WantedState::Lost);
    bench.wait(Duration::from_secs(11));
    bench.feed(Input::Tick);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a_device_without_registration_is_not_looked_at() {
    let (mut bench, _, _) = observed("ep=thing&lwm2m=1.1&lt=100", &[("pmax", "60")]);
    bench.wait(Duration::from_secs(101));
    bench.feed(Input::Tick);
    assert_eq!(bench.session.next_deadline(bench.now), None);
    assert_eq!(
        losses(&bench),
        0,
        "its registration has ended, which says more"
    );
}

#[test]
fn what_somebody_asked_for_comes_back_too() {
    let mut bench = Bench::new();
    let token = bench.observe();
    ended(&mut bench, token, Code::NOT_FOUND);
    assert_eq!(bench.stands(), WantedState::Lost);
    next(&mut bench);
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn an_edrx_device_is_looked_at_at_any_time() {
    let (mut bench, _, _) = observed("ep=thing&lwm2m=1.1&lt=86400&Q", &[("pmax", "60")]);
    bench.feed(Input::Profile {
        change: ProfileChange {
            edrx_cycle: Some(Some(Duration::from_secs(40))),
            ..ProfileChange::default()
        },
        by: None,
        ticket: super::super::Ticket(2),
    });
    bench.wait(Duration::from_secs(151));
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Lost);
}

#[test]
fn losses_in_a_row_are_those_that_follow_quickly() {
    let (mut bench, mut device, token) = plain();
    ended(&mut bench, token, Code::NOT_FOUND);
    assert_eq!(next(&mut bench).as_secs(), 10);
    device.answer_all(&mut bench);
    let again = bench.observations()[0].token;
    ended(&mut bench, again, Code::NOT_FOUND);
    assert_eq!(next(&mut bench).as_secs(), 20, "that was quick");
    device.answer_all(&mut bench);
    let again = bench.observations()[0].token;
    bench.wait(Duration::from_secs(3600));
    ended(&mut bench, again, Code::NOT_FOUND);
    assert_eq!(next(&mut bench).as_secs(), 10, "that held for long");
    assert_eq!(losses(&bench), 3);
}

#[test]
fn devices_of_lwm2m_1_0_are_made_up_for_as_well() {
    let (mut bench, mut device, token) = observed(
        "ep=thing&lwm2m=1.0&lt=86400&b=UQ",
        &[("pmax", "60"), ("epmin", "1")],
    );
    assert_eq!(
        bench
            .session
            .registration
            .as_ref()
            .map(|found| found.lwm2m_version),
        Some(Lwm2mVersion::V1_0)
    );
    assert_eq!(
        bench.asked()[0],
        "PUT /3303/0/5700 pmax=60",
        "1.0 knows no epmin"
    );
    ended(&mut bench, token, Code::NOT_FOUND);
    next(&mut bench);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
}
