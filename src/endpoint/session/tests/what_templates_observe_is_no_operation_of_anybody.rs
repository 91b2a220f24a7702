//! What a template wants to be observed is asked for without being written, and leaves no operation behind
//! when the device does it: what came of it is told by what is wanted. It becomes an operation that people
//! see when the device has to be waited for, or refuses.

use super::super::{Action, Input};
use super::bench::{Bench, Done};
use super::wishes::{Willing, observe, template};
use crate::coap::{Code, ExchangeFailure};
use crate::domain::{
    Observation, ObservationState, OperationKind, OperationStatus, Token, WantedState,
};
use crate::store::{Change, ObservationTemplate};

const LINKS: &str = "</3/0>,</3303/0>,</3304/0>";
const LISTENS: &str = "ep=thing&lwm2m=1.1&lt=86400";
const SLEEPS: &str = "ep=thing&lwm2m=1.1&lt=86400&b=U&Q";

fn two() -> Vec<ObservationTemplate> {
    vec![observe(1, "/3303/0/5700"), observe(2, "/3304/0/5700")]
}

fn registered(query: &str, templates: Vec<ObservationTemplate>) -> Bench {
    let mut bench = Bench::new();
    bench.templates = templates;
    let register = bench.register(query, LINKS);
    bench.feed(register);
    bench
}

#[test]
fn what_is_done_leaves_no_operation() {
    let mut bench = registered(LISTENS, two());
    Willing::default().answer_all(&mut bench);
    assert_eq!(bench.asked().len(), 2);
    assert_eq!(bench.operations(), []);
    let states: Vec<_> = bench.wanted().iter().map(|wanted| wanted.state).collect();
    assert_eq!(states, [WantedState::Active; 2]);
    assert_eq!(bench.on_disk().observations, bench.observations());
}

#[test]
fn the_request_goes_out_with_a_token_that_is_on_disk_and_no_commit_of_its_own() {
    let mut bench = registered(LISTENS, two());
    let token = bench.sent()[0].1.token;
    let position = |wanted: &dyn Fn(&Done) -> bool| bench.done.iter().position(wanted);
    let stored = position(&|done| {
        matches!(done, Done::Committed(changes) if changes.iter().any(|change| matches!(
            change, Change::SaveObservation(observation) if observation.token == token)))
    });
    let sent = position(&|done| matches!(done, Done::Acted(Action::Transmit { .. })));
    assert!(stored.expect("a commit") < sent.expect("a request"));
    assert_eq!(bench.on_disk().observations.len(), 2);
    let commits = |bench: &Bench| {
        let is_commit =
            |done: &&Done| matches!(done, Done::Committed(changes) if !changes.is_empty());
        bench.done.iter().filter(is_commit).count()
    };
    assert_eq!(commits(&bench), 1, "the registration");
    Willing::default().answer_all(&mut bench);
    assert_eq!(commits(&bench), 3, "and an answer each");
}

#[test]
fn what_waits_for_a_device_that_fell_silent_is_seen() {
    let mut bench = registered(SLEEPS, two());
    assert_eq!(bench.operations(), []);
    bench.fail(ExchangeFailure::NotAcknowledged);
    let queued = (OperationKind::Observe, OperationStatus::Queued);
    assert_eq!(bench.operations(), [queued; 2]);
    let update = bench.update("");
    bench.feed(update);
    let mut device = Willing {
        answered: 1,
        ..Willing::default()
    };
    device.answer_all(&mut bench);
    let done = (OperationKind::Observe, OperationStatus::Confirmed);
    assert_eq!(
        bench.operations(),
        [done; 2],
        "what was seen is seen to end"
    );
}

#[test]
fn what_is_wanted_of_a_device_that_sleeps_is_seen() {
    let mut bench = registered(SLEEPS, Vec::new());
    bench.wait(bench.settings.awake + bench.settings.awake);
    bench.tell(two());
    assert_eq!(bench.asked().len(), 0);
    let queued = (OperationKind::Observe, OperationStatus::Queued);
    assert_eq!(bench.operations(), [queued; 2]);
    assert_eq!(bench.on_disk().operations.len(), 2);
}

#[test]
fn a_refusal_is_seen() {
    let mut bench = registered(LISTENS, vec![observe(1, "/3303/0/5700")]);
    bench.refuse(Code::METHOD_NOT_ALLOWED);
    let failed = (OperationKind::Observe, OperationStatus::Failed);
    assert_eq!(bench.operations(), [failed]);
    assert_eq!(bench.stands(), WantedState::Refused);
}

#[test]
fn what_is_read_is_an_operation_with_what_came_of_it() {
    let mut bench = registered(
        LISTENS,
        vec![template(1, OperationKind::Read, &["/3303/0/5700"])],
    );
    let queued = (OperationKind::Read, OperationStatus::Queued);
    assert_eq!(bench.operations(), [queued]);
    Willing::default().answer_all(&mut bench);
    let done = (OperationKind::Read, OperationStatus::Confirmed);
    assert_eq!(bench.operations(), [done]);
}

#[test]
fn a_kill_before_the_answer_is_made_good_with_the_same_tokens() {
    let mut bench = registered(LISTENS, two());
    let tokens = |bench: &Bench| -> Vec<Token> {
        let observations = bench.on_disk().observations;
        observations.iter().map(|found| found.token).collect()
    };
    let before = tokens(&bench);
    bench.restart();
    // Whoever starts tells every device of the templates.
    bench.feed(Input::Templates { changed: [].into() });
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    assert_eq!(tokens(&bench), before);
    assert!(device.observes.keys().all(|token| before.contains(token)));
    let states: Vec<_> = bench.observations().iter().map(|one| one.state).collect();
    assert_eq!(states, [ObservationState::Active; 2]);
}

#[test]
fn a_notification_of_one_that_was_answered_to_the_server_before_the_kill_is_taken() {
    let mut bench = registered(LISTENS, vec![observe(1, "/3303/0/5700")]);
    let token = bench.sent()[0].1.token;
    bench.restart();
    let notification = bench.notification(token, 3, "21.5");
    bench.done.clear();
    bench.feed(notification);
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Acknowledge(_)))
    );
    assert!(
        bench
            .changes()
            .iter()
            .any(|change| matches!(change, Change::Resources { .. }))
    );
}

#[test]
fn what_is_taken_back_before_it_was_asked_needs_no_word_to_the_device() {
    let mut bench = registered(LISTENS, two());
    bench.tell(vec![observe(1, "/3303/0/5700")]);
    Willing::default().answer_all(&mut bench);
    assert_eq!(bench.asked(), ["GET /3303/0/5700 observe=0"]);
    assert_eq!(bench.on_disk().observations.len(), 1);
    assert_eq!(bench.operations(), []);
}

#[test]
fn a_session_that_is_made_anew_asks_again_when_the_device_is_heard() {
    for query in [LISTENS, SLEEPS] {
        let mut bench = registered(query, two());
        let before = bench.on_disk();
        // As after a commit that failed: nobody tells it of templates.
        bench.restart();
        let update = bench.update("");
        bench.feed(update);
        let mut device = Willing::default();
        device.answer_all(&mut bench);
        assert_eq!(device.observes.len(), 2, "{query}");
        let states: Vec<_> = bench.wanted().iter().map(|wanted| wanted.state).collect();
        assert_eq!(states, [WantedState::Active; 2], "{query}");
        let tokens = |observations: &[Observation]| -> Vec<Token> {
            observations.iter().map(|found| found.token).collect()
        };
        assert_eq!(tokens(&bench.observations()), tokens(&before.observations));
    }
}

#[test]
fn what_could_not_be_sent_is_seen_and_what_waits_behind_it() {
    let mut bench = Bench::new();
    bench.templates = two();
    bench.loses_its_session = true;
    bench.handshake(1, "thing");
    let register = bench.register(SLEEPS, LINKS);
    bench.feed(register);
    assert!(bench.sent().is_empty());
    let queued = (OperationKind::Observe, OperationStatus::Queued);
    assert_eq!(bench.operations(), [queued; 2]);
    assert_eq!(bench.on_disk().operations.len(), 2);
}
