//! Register, Update, Deregister: when they are sent, what they say, and what follows from their answers.

use super::*;
use crate::lwm2m::register::{Call, Limits, classify};

fn path(request: &Request) -> String {
    request.options.uri_path().expect("text").join("/")
}

#[test]
fn a1_it_registers_with_what_it_has_and_the_server_understands_it() {
    for (version, queue_mode, wanted) in [
        (Lwm2mVersion::V1_0, false, "b=U"),
        (Lwm2mVersion::V1_0, true, "b=UQ"),
        (Lwm2mVersion::V1_1, true, "b=U"),
        (Lwm2mVersion::V1_2, false, "b=U"),
    ] {
        let mut bench = Bench::new(|settings| {
            settings.version = version;
            settings.queue_mode = queue_mode.then_some(Duration::from_secs(20));
        });
        bench.input(Input::Start);
        let request = bench.take_request();
        assert_eq!(path(&request), "rd");
        let version_text = format!("lwm2m={version}");
        let query = query(&request.options);
        assert!(
            query.contains(&"ep=dev-1") && query.contains(&"lt=300"),
            "{query:?}"
        );
        assert!(
            query.contains(&wanted) && query.contains(&version_text.as_str()),
            "{query:?}"
        );
        assert_eq!(
            query.contains(&"Q"),
            queue_mode && version > Lwm2mVersion::V1_0
        );
        let call = classify(&request, true, &Limits::default()).expect("a good Register");
        let Call::Register(register) = call else {
            panic!("{call:?}")
        };
        assert_eq!(register.queue_mode, queue_mode);
        assert_eq!(register.warnings, []);
        assert!(register.formats.contains(&11_542));
        let links = register.raw_links;
        assert!(
            links.contains("</1/0>") && links.contains("</16>"),
            "{links}"
        );
        assert!(
            links.contains("</3303>;ver=1.1") && !links.contains("</0"),
            "{links}"
        );
    }
}

#[test]
fn a1_it_sends_an_update_before_the_lifetime_is_over() {
    let mut bench = Bench::registered(|settings| settings.lifetime = Duration::from_secs(100));
    bench.pass(79.9);
    assert_eq!(bench.asked, []);
    bench.pass(0.2);
    let update = bench.take_request();
    assert_eq!(
        (update.code, path(&update).as_str()),
        (Code::POST, "rd/abc")
    );
    assert_eq!((query(&update.options), update.payload.len()), (vec![], 0));
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.pass(79.9);
    assert_eq!(bench.asked, []);
    bench.pass(0.2);
    bench.take_request();
}

#[test]
fn a12_it_registers_again_when_the_server_does_not_know_it() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, "/3303/0/5700");
    bench.input(Input::Update);
    bench.reply(Ok(Response::new(Code::NOT_FOUND)));
    assert!(!bench.device.is_registered());
    assert_eq!(path(&bench.take_request()), "rd");
    assert_eq!(
        bench.device.observations(),
        0,
        "a new registration has no observations"
    );
    bench.confirm_registration();
    assert_eq!(
        bench
            .happened
            .iter()
            .filter(|one| **one == Happening::Registered)
            .count(),
        2
    );
}

#[test]
fn it_registers_again_when_the_server_is_silent() {
    let mut bench = Bench::registered(|_| {});
    bench.input(Input::Update);
    bench.reply(Err(ExchangeFailure::NotAcknowledged));
    assert_eq!(path(&bench.take_request()), "rd");
}

#[test]
fn it_tries_to_register_ever_more_seldom_and_gives_way_to_a_busy_server() {
    let mut bench = Bench::new(|settings| settings.retry_max = Duration::from_secs(20));
    bench.input(Input::Start);
    let mut waits = Vec::new();
    for _ in 0..6 {
        bench.reply(Err(ExchangeFailure::NotAcknowledged));
        let at = bench.device.next_timeout().expect("another try");
        let wait = at.duration_since(bench.now.instant).as_secs_f64();
        waits.push(wait);
        bench.pass(wait + 0.001);
        bench.take_request();
    }
    assert!(
        (1.5..=2.5).contains(&waits[0]) && (3.0..=5.0).contains(&waits[1]),
        "{waits:?}"
    );
    assert!((15.0..=25.0).contains(&waits[5]), "{waits:?}");

    let mut busy = Response::new(Code::SERVICE_UNAVAILABLE);
    busy.options.add_uint(number::MAX_AGE, 90);
    bench.reply(Ok(busy));
    bench.pass(89.0);
    assert_eq!(bench.asked, []);
    bench.pass(1.0);
    bench.take_request();
    bench.confirm_registration();
}

#[test]
fn what_the_server_says_when_it_refuses_is_told_once_until_it_registers() {
    let mut bench = Bench::new(|settings| settings.retry_max = Duration::from_secs(20));
    bench.input(Input::Start);
    let refuse = |bench: &mut Bench, code, reason: &str| {
        bench.reply(Ok(Response::refusal(code, reason)));
        bench.pass(30.0);
    };
    let forbidden = (Code::FORBIDDEN, "another endpoint".to_owned());
    refuse(&mut bench, Code::FORBIDDEN, "another endpoint");
    refuse(&mut bench, Code::FORBIDDEN, "another endpoint");
    assert_eq!(bench.denied, std::slice::from_ref(&forbidden));
    // Another reason, another code, and the first one again.
    refuse(&mut bench, Code::FORBIDDEN, "stranger\r\nWARN no");
    refuse(&mut bench, Code::BAD_REQUEST, "another endpoint");
    refuse(&mut bench, Code::FORBIDDEN, "another endpoint");
    let stranger = (Code::FORBIDDEN, "stranger  WARN no".to_owned());
    let bad = (Code::BAD_REQUEST, "another endpoint".to_owned());
    assert_eq!(bench.denied, [forbidden.clone(), stranger, bad]);
    // A server that never says the same, and whatever it is.
    for number in 0..20 {
        refuse(&mut bench, Code::FORBIDDEN, &format!("{number}"));
    }
    assert_eq!(bench.denied.len(), 8);
    bench.confirm_registration();
    bench.input(Input::Update);
    bench.reply(Ok(Response::new(Code::NOT_FOUND)));
    bench.denied.clear();
    refuse(&mut bench, Code::FORBIDDEN, &"x".repeat(1_000));
    refuse(&mut bench, Code::FORBIDDEN, "another endpoint");
    let long = (Code::FORBIDDEN, "x".repeat(200));
    assert_eq!(bench.denied, [long, forbidden]);
}

#[test]
fn a_busy_server_gets_the_same_update_later() {
    let mut bench = Bench::registered(|_| {});
    bench.write(Code::PUT, "/1/0/1", &[("/1/0/1", Value::Integer(60))]);
    assert_eq!(query(&bench.take_request().options), ["lt=60"]);
    bench.reply(Ok(Response::new(Code::SERVICE_UNAVAILABLE)));
    bench.pass(3.0);
    assert_eq!(query(&bench.take_request().options), ["lt=60"]);
}

#[test]
fn int_102_a_new_lifetime_is_told_at_once_and_kept() {
    let mut bench = Bench::registered(|_| {});
    let written = bench.write(Code::PUT, "/1/0/1", &[("/1/0/1", Value::Integer(50))]);
    assert_eq!(written.code, Code::CHANGED);
    assert_eq!(query(&bench.take_request().options), ["lt=50"]);
    bench.reply(Ok(Response::new(Code::CHANGED)));
    bench.pass(40.1);
    assert_eq!(query(&bench.take_request().options), Vec::<&str>::new());
}

#[test]
fn int_104_the_server_triggers_an_update() {
    let mut bench = Bench::registered(|_| {});
    assert_eq!(bench.ask(request(Code::POST, "/1/0/8")).code, Code::CHANGED);
    assert_eq!(path(&bench.take_request()), "rd/abc");
}

#[test]
fn int_241_it_reboots_and_comes_back_with_a_new_register() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, "/3303/0/5700");
    assert_eq!(bench.ask(request(Code::POST, "/3/0/4")).code, Code::CHANGED);
    assert!(!bench.device.is_registered());
    let while_down = bench.ask_as(Token::default(), get("/3/0/0", None));
    assert_eq!(while_down, None, "a device that boots hears nothing");
    bench.pass(1.1);
    assert_eq!(path(&bench.take_request()), "rd");
    bench.confirm_registration();
    assert_eq!(bench.device.observations(), 0);
}

#[test]
fn a2_it_deregisters_when_it_is_switched_off() {
    let mut bench = Bench::registered(|_| {});
    bench.input(Input::Stop { deregister: true });
    let request = bench.take_request();
    assert_eq!(
        (request.code, path(&request).as_str()),
        (Code::DELETE, "rd/abc")
    );
    assert!(!bench.finished);
    bench.reply(Ok(Response::new(Code::DELETED)));
    assert!(bench.finished);
    assert!(bench.happened.contains(&Happening::Deregistered));
    assert_eq!(bench.device.next_timeout(), None);
}

#[test]
fn it_deregisters_once_its_register_is_answered() {
    let mut bench = Bench::new(|_| {});
    bench.input(Input::Start);
    bench.input(Input::Stop { deregister: true });
    assert!(!bench.finished);
    bench.confirm_registration();
    assert_eq!(bench.take_request().code, Code::DELETE);
}

#[test]
fn a3_it_can_fall_silent_in_the_middle_of_things() {
    let mut bench = Bench::registered(|_| {});
    bench.input(Input::Stop { deregister: false });
    assert!(bench.finished);
    assert_eq!(bench.asked, []);
    assert_eq!(bench.ask_as(Token::default(), get("/3/0/0", None)), None);
}

#[test]
fn an_answer_to_what_it_gave_up_means_nothing() {
    let mut bench = Bench::registered(|_| {});
    bench.input(Input::Answered {
        exchange: 77,
        answer: Ok(Response::new(Code::NOT_FOUND)),
    });
    assert!(bench.device.is_registered());
}
