//! What templates want is observed: after a Register, an Update, a change of the templates and of
//! the profile, and what they no longer want is ended.

use std::time::Duration;

use super::super::{Action, Input, Ticket};
use super::bench::{Bench, path};
use super::wishes::{Willing, attributes, edited, observe, template};
use crate::coap::Code;
use crate::domain::{
    ContentFormat, OperationKind, OperationRequest, OperationStatus, ProfileChange, Selection,
    WantedState,
};
use crate::store::{Change, ObservationTemplate};

const LINKS: &str = "</3/0>,</3303/0>,</3304/0>";

fn registered(templates: Vec<ObservationTemplate>) -> (Bench, Willing) {
    registered_with("ep=thing&lwm2m=1.1&lt=300", templates)
}

fn registered_with(query: &str, templates: Vec<ObservationTemplate>) -> (Bench, Willing) {
    let mut bench = Bench::new();
    bench.templates = templates;
    let register = bench.register(query, LINKS);
    bench.feed(register);
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    (bench, device)
}

#[test]
fn a_template_is_applied_when_the_device_registers() {
    let (bench, device) = registered(vec![observe(1, "/3303/0/5700"), observe(2, "/5/0/3")]);
    assert_eq!(bench.asked(), ["GET /3303/0/5700 observe=0"]);
    assert_eq!(device.observes.len(), 1);
    assert_eq!(bench.stands(), WantedState::Active);
    let wanted = bench.wanted().remove(0);
    assert_eq!(wanted.template.map(|template| template.id), Some(1));
    assert_eq!(wanted.user, None);
}

#[test]
fn paths_of_every_level_can_be_wanted() {
    let paths = ["/3303", "/3303/0", "/3303/0/5700", "/3/0/7/0"];
    let templates = (1..).zip(paths).map(|(id, at)| observe(id, at)).collect();
    let (bench, device) = registered(templates);
    assert_eq!(device.observes.len(), 4, "{:?}", bench.asked());
}

#[test]
fn a_template_is_for_devices_of_some_names() {
    for (pattern, is_asked) in [("th?ng", true), ("other*", false)] {
        let named = edited(&observe(1, "/3303/0/5700"), |template| {
            template.selection.names = vec![pattern.to_owned()];
        });
        let (bench, _) = registered(vec![named]);
        assert_eq!(!bench.asked().is_empty(), is_asked, "{pattern}");
    }
}

#[test]
fn a_tag_brings_its_templates_and_takes_them_away() {
    let tagged = edited(&observe(1, "/3303/0/5700"), |template| {
        template.selection = Selection {
            names: Vec::new(),
            tags: vec!["lab".to_owned()],
        };
    });
    let (mut bench, mut device) = registered(vec![tagged]);
    assert!(bench.asked().is_empty());
    bench.tag(&["lab", "cold"]);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    bench.tag(&["cold"]);
    device.answer_all(&mut bench);
    assert_eq!(
        bench.asked(),
        ["GET /3303/0/5700 observe=0", "GET /3303/0/5700 observe=1"]
    );
    assert!(device.observes.is_empty() && bench.wanted().is_empty());
}

#[test]
fn a_profile_is_stored_before_it_is_answered_and_survives_everything() {
    let (mut bench, mut device) = registered(Vec::new());
    let change = ProfileChange {
        tags: Some(vec!["lab".to_owned()]),
        awake: Some(Some(Duration::from_secs(20))),
        ..ProfileChange::default()
    };
    bench.done.clear();
    bench.feed(Input::Profile {
        change,
        by: None,
        ticket: Ticket(3),
    });
    use super::bench::Done;
    let stored = bench.done.iter().position(|done| {
        matches!(done, Done::Committed(changes)
            if changes.iter().any(|change| matches!(change, Change::Profile { .. })))
    });
    let answered = bench.done.iter().position(|done| {
        matches!(done, Done::Acted(Action::Profiled(Ticket(3), profile)) if profile.tags == ["lab"])
    });
    assert!(stored.expect("a commit") < answered.expect("an answer"));
    device.register(&mut bench, "ep=thing&lwm2m=1.1&lt=300", LINKS);
    bench.restart();
    assert_eq!(bench.session.profile.awake, Some(Duration::from_secs(20)));
    // What does not change anything is answered too.
    bench.done.clear();
    bench.feed(Input::Profile {
        change: ProfileChange::default(),
        by: None,
        ticket: Ticket(4),
    });
    assert!(bench.changes().is_empty());
    assert!(
        bench
            .actions()
            .any(|action| matches!(action, Action::Profiled(Ticket(4), _)))
    );
}

#[test]
fn a_new_template_reaches_a_device_that_is_registered() {
    let (mut bench, mut device) = registered(Vec::new());
    bench.tell(vec![
        observe(1, "/3303/0/5700"),
        template(2, OperationKind::Read, &["/3/0"]),
    ]);
    device.answer_all(&mut bench);
    assert_eq!(
        bench.asked(),
        ["GET /3/0", "GET /3303/0/5700 observe=0"],
        "what is read is read once"
    );
    bench.tell(bench.templates.clone());
    device.answer_all(&mut bench);
    assert_eq!(bench.asked().len(), 2, "nothing is new");
}

#[test]
fn a_template_that_is_removed_or_disabled_ends_its_observation() {
    let template = observe(1, "/3303/0/5700");
    let disabled = edited(&template, |template| template.enabled = false);
    for after in [vec![], vec![disabled]] {
        let (mut bench, mut device) = registered(vec![template.clone()]);
        bench.tell(after);
        device.answer_all(&mut bench);
        assert!(device.observes.is_empty());
        assert!(bench.observations().is_empty() && bench.wanted().is_empty());
        assert_eq!(
            bench.asked().last().map(String::as_str),
            Some("GET /3303/0/5700 observe=1")
        );
    }
}

#[test]
fn a_template_with_another_path_ends_one_observation_and_makes_another() {
    let template = observe(1, "/3303/0/5700");
    let (mut bench, mut device) = registered(vec![template.clone()]);
    bench.tell(vec![edited(&template, |template| {
        template.paths = vec![path("/3304/0/5700")];
    })]);
    device.answer_all(&mut bench);
    let observes: Vec<_> = device.observes.values().cloned().collect();
    assert_eq!(observes, ["GET /3304/0/5700 observe=0 "]);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn what_waits_for_a_template_that_is_gone_is_not_asked_for() {
    let template = observe(1, "/3303/0/5700");
    let mut bench = Bench::new();
    bench.templates = vec![template];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300&Q", LINKS);
    bench.feed(register);
    // Nobody answers, the device sleeps, and the request waits again.
    bench.fail(crate::coap::ExchangeFailure::NotAcknowledged);
    assert_eq!(
        bench.operations(),
        [(OperationKind::Observe, OperationStatus::Queued)]
    );
    bench.tell(Vec::new());
    assert_eq!(
        bench.operations(),
        [
            (OperationKind::Observe, OperationStatus::Cancelled),
            (OperationKind::CancelObserve, OperationStatus::Queued)
        ],
        "it may have come through all the same"
    );
}

#[test]
fn attributes_are_written_before_the_observation_is_made() {
    let with = edited(&observe(1, "/3303/0/5700"), |template| {
        template.attributes = attributes(&[("pmin", "5"), ("pmax", "60"), ("gt", "21.5")]);
    });
    let (bench, device) = registered(vec![with]);
    assert_eq!(
        bench.asked(),
        [
            "PUT /3303/0/5700 pmin=5 pmax=60 gt=21.5",
            "GET /3303/0/5700 observe=0"
        ]
    );
    assert_eq!(device.observes.len(), 1);
}

#[test]
fn each_path_of_a_composite_gets_the_attributes_that_it_can_have() {
    let with = edited(
        &template(
            1,
            OperationKind::ObserveComposite,
            &["/3303/0/5700", "/3/0"],
        ),
        |template| template.attributes = attributes(&[("pmax", "60"), ("st", "0.5"), ("con", "1")]),
    );
    let (bench, _) = registered(vec![with]);
    // `st` is for numbers, and LwM2M 1.1 knows no `con`.
    assert_eq!(
        bench.asked(),
        [
            "PUT /3/0 pmax=60",
            "PUT /3303/0/5700 pmax=60 st=0.5",
            "FETCH / observe=0"
        ]
    );
}

#[test]
fn attributes_that_changed_are_written_and_those_that_went_are_removed() {
    let with = edited(&observe(1, "/3303/0/5700"), |template| {
        template.attributes = attributes(&[("pmin", "5"), ("pmax", "60")]);
    });
    let (mut bench, mut device) = registered(vec![with.clone()]);
    bench.tell(vec![edited(&with, |template| {
        template.attributes = attributes(&[("pmax", "90")]);
    })]);
    assert_eq!(
        bench.stands(),
        WantedState::Active,
        "the observation goes on"
    );
    device.answer_all(&mut bench);
    assert_eq!(
        bench.asked()[2..],
        ["PUT /3303/0/5700 pmax=90 pmin"],
        "and is not asked for again"
    );
    bench.tell(Vec::new());
    device.answer_all(&mut bench);
    assert_eq!(
        bench.asked().last().map(String::as_str),
        Some("GET /3303/0/5700 observe=1")
    );
}

#[test]
fn an_observation_is_made_without_the_attributes_that_the_device_refuses() {
    let with = edited(&observe(1, "/3303/0/5700"), |template| {
        template.attributes = attributes(&[("pmax", "60")]);
    });
    let mut bench = Bench::new();
    bench.templates = vec![with];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", LINKS);
    bench.feed(register);
    bench.refuse(Code::METHOD_NOT_ALLOWED);
    let mut device = Willing {
        answered: 1,
        ..Willing::default()
    };
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    let error = bench.wanted().remove(0).attributes_error.expect("a reason");
    assert!(error.contains("4.05"), "{error}");
    // Silence cannot be told without them.
    bench.wait(Duration::from_secs(250));
    bench.feed(Input::Tick);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn another_format_is_asked_for_with_the_same_token() {
    let template = observe(1, "/3303/0/5700");
    let (mut bench, mut device) = registered(vec![template.clone()]);
    let token = bench.observations()[0].token;
    bench.tell(vec![edited(&template, |template| {
        template.format = Some(ContentFormat::SenmlCbor);
    })]);
    device.answer_all(&mut bench);
    let (_, request) = bench.sent().pop().expect("a request");
    assert_eq!(
        (request.token, request.request.options.accept()),
        (token, Some(ContentFormat::SenmlCbor.code()))
    );
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn several_templates_that_want_the_same_make_one_observation() {
    let first = observe(1, "/3303/0/5700");
    let (mut bench, mut device) = registered(vec![first, observe(2, "/3303/0/5700")]);
    assert_eq!(device.observes.len(), 1);
    bench.tell(vec![observe(2, "/3303/0/5700")]);
    device.answer_all(&mut bench);
    assert_eq!(bench.asked().len(), 1, "the other one wants it still");
    assert_eq!(
        bench.wanted()[0].template.map(|template| template.id),
        Some(2)
    );
}

#[test]
fn an_object_that_is_announced_later_is_observed_then_and_one_that_is_gone_no_longer() {
    let mut bench = Bench::new();
    bench.templates = vec![observe(1, "/3303/0/5700"), observe(2, "/3304/0/5700")];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", "</3303/0>");
    bench.feed(register);
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    let update = bench.update_links("</3304/0>");
    bench.feed(update);
    device.answer_all(&mut bench);
    let observes: Vec<_> = device.observes.values().cloned().collect();
    assert_eq!(observes, ["GET /3304/0/5700 observe=0 "]);
}

#[test]
fn a_registration_begins_with_nothing_observed_and_ends_with_nothing_wanted() {
    let (mut bench, mut device) = registered(vec![observe(1, "/3303/0/5700")]);
    let old = bench.observations()[0].token;
    device.register(&mut bench, "ep=thing&lwm2m=1.1&lt=300", LINKS);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
    assert_ne!(bench.observations()[0].token, old);
    let deregister = bench.deregister();
    bench.feed(deregister);
    assert!(bench.wanted().is_empty());
    device.register(&mut bench, "ep=thing&lwm2m=1.1&lt=300", LINKS);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a_change_while_the_server_was_down_is_made_up_for() {
    let (mut bench, mut device) = registered(vec![observe(1, "/3303/0/5700")]);
    bench.templates = vec![observe(2, "/3304/0/5700")];
    bench.restart();
    // The registry tells every actor that it starts from what is stored.
    bench.tell(bench.templates.clone());
    device.answer_all(&mut bench);
    let observes: Vec<_> = device.observes.values().cloned().collect();
    assert_eq!(observes, ["GET /3304/0/5700 observe=0 "]);
    bench.restart();
    bench
        .done
        .retain(|done| matches!(done, super::bench::Done::Committed(_)));
    bench.tell(bench.templates.clone());
    assert!(bench.sent().is_empty(), "all is as it should be");
}

#[test]
fn no_more_is_asked_for_than_a_device_may_observe() {
    let mut bench = Bench::new();
    bench.settings.max_observations = 1;
    bench.templates = vec![observe(1, "/3303/0/5700"), observe(2, "/3304/0/5700")];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", LINKS);
    bench.feed(register);
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    let wanted = bench.wanted();
    assert_eq!(wanted[1].state, WantedState::Missing);
    let reason = wanted[1].reason.as_deref().expect("a reason");
    assert!(reason.contains("operations.max_observations"), "{reason}");
    // As soon as there is room, the other one gets it.
    bench.tell(vec![observe(2, "/3304/0/5700")]);
    device.answer_all(&mut bench);
    assert_eq!(bench.stands(), WantedState::Active);
}

#[test]
fn a_queue_without_room_is_tried_again_later() {
    let mut bench = Bench::new();
    bench.settings.max_operations = 1;
    bench.templates = vec![observe(1, "/3303/0/5700"), observe(2, "/3304/0/5700")];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", LINKS);
    bench.feed(register);
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    let deadline = bench.session.next_deadline(bench.now).expect("a deadline");
    bench.wait(deadline.saturating_duration_since(bench.now.instant));
    bench.feed(Input::Tick);
    device.answer_all(&mut bench);
    assert_eq!(device.observes.len(), 2);
}

#[test]
fn what_a_template_reads_is_read_once_for_each_registration() {
    let read = template(1, OperationKind::Read, &["/3/0"]);
    let (mut bench, mut device) = registered(vec![read.clone()]);
    let update = bench.update_links(LINKS);
    bench.feed(update);
    assert_eq!(bench.asked(), ["GET /3/0"]);
    bench.tell(vec![edited(&read, |template| {
        template.selection.tags = vec!["lab".to_owned()];
    })]);
    bench.tag(&["lab"]);
    device.answer_all(&mut bench);
    assert_eq!(bench.asked().len(), 2, "it was chosen by its new tag");
    bench.tag(&["lab", "cold"]);
    device.answer_all(&mut bench);
    assert_eq!(bench.asked().len(), 2);
}

#[test]
fn what_somebody_takes_back_is_not_asked_for_again() {
    let mut bench = Bench::new();
    bench.templates = vec![observe(1, "/3303/0/5700"), observe(2, "/3304/0/5700")];
    let register = bench.register("ep=thing&lwm2m=1.1&lt=300", LINKS);
    bench.feed(register);
    let waiting = bench
        .session
        .pending()
        .find(|operation| operation.status == OperationStatus::Queued)
        .expect("the second")
        .id;
    bench.feed(Input::Cancel {
        id: waiting,
        by: None,
        ticket: Ticket(5),
    });
    let mut device = Willing::default();
    device.answer_all(&mut bench);
    assert_eq!(bench.asked(), ["GET /3303/0/5700 observe=0"]);
    assert!(!bench.wanted()[1].is_wanted());
}

#[test]
fn a_request_of_somebody_is_not_made_twice_by_a_template() {
    let (mut bench, mut device) = registered(Vec::new());
    bench.want(OperationRequest::new(
        OperationKind::Observe,
        vec![path("/3303/0/5700")],
    ));
    bench.tell(vec![observe(1, "/3303/0/5700")]);
    device.answer_all(&mut bench);
    assert_eq!(bench.asked().len(), 1);
    let wanted = bench.wanted().remove(0);
    assert_eq!(wanted.user.as_deref(), Some("ada"));
    assert_eq!(wanted.template.map(|template| template.id), Some(1));
}
