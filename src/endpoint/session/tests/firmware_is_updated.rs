//! A firmware update in a session: each step is an operation, stored in one commit with the line of the timeline that
//! tells of it, and goes on where it was after a restart of the server.

use super::bench::{Bench, content};
use super::images::instance;
use crate::coap::{Code, Response, number};
use crate::domain::{
    EndpointId, OperationKind, OperationStatus, Origin, RolloutId, RolloutStep, Selection,
    UpdateMethod, UpdatePhase, UpdateResult, UpdateState,
};
use crate::endpoint::session::tests::bench::Done;
use crate::endpoint::session::{Action, Input, Ticket, UpdateRefusal};
use crate::lwm2m::firmware::TooLate;
use crate::store::Change;

fn ok() -> Response {
    Response::new(Code::CHANGED)
}

/// A device that took the URI.
fn offered() -> Bench {
    let mut bench = Bench::with_firmware(5000);
    bench
        .ask_for_update(Some(UpdateMethod::PullHttps), Selection::default())
        .expect("begun");
    bench.up_to_the_offer();
    bench.answer(ok());
    bench
}

fn notify(bench: &mut Bench, path: &str, value: &str) {
    let observed = bench
        .changes()
        .into_iter()
        .rev()
        .find_map(|change| match change {
            Change::SaveObservation(observation)
                if observation.paths.iter().any(|it| it.to_string() == path) =>
            {
                Some((observation.token, observation.last_sequence))
            }
            _ => None,
        });
    let (token, _) = observed.expect("an observation");
    let sequence = u32::try_from(bench.done.len()).expect("a small number") + 10;
    let input = bench.notification(token, sequence, value);
    bench.feed(input);
}

#[test]
fn each_step_is_an_operation_in_one_commit_with_its_line() {
    let mut bench = Bench::with_firmware(5000);
    let update = bench
        .ask_for_update(Some(UpdateMethod::PullHttps), Selection::default())
        .expect("begun");
    assert_eq!(update.phase, UpdatePhase::Examine);
    assert_eq!(bench.newest_request(), "0.01 /5/0");
    bench.up_to_the_offer();
    assert_eq!(bench.newest_request(), "0.03 /5/0/1");
    let (_, offer) = bench.sent().pop().expect("the offer");
    assert_eq!(offer.request.payload, b"pull_https://here/7");
    bench.answer(ok());
    notify(&mut bench, "/5/0/3", "1");
    assert_eq!(bench.firmware_update().state, UpdateState::Downloading);
    notify(&mut bench, "/5/0/3", "2");
    assert_eq!(bench.newest_request(), "0.02 /5/0/2");
    bench.answer(ok());
    assert_eq!(bench.firmware_update().state, UpdateState::Updating);
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>,</5/0>");
    bench.feed(register);
    // The observations are asked for again too; what matters is answered by path.
    for _ in 0..4 {
        let answer = match bench.newest_request().as_str() {
            "0.01 /5/0" => instance(0, 1),
            "0.01 /3/0/3" => content("1.2.0"),
            _ => {
                let mut observed = content("0");
                observed.options.add_uint(number::OBSERVE, 2);
                observed
            }
        };
        bench.answer(answer);
    }
    let update = bench.firmware_update();
    assert_eq!(
        update.result,
        UpdateResult::Success,
        "{:#?}",
        bench.timeline()
    );
    assert_eq!(update.state, UpdateState::Idle);
    let kinds: Vec<OperationKind> = bench.operations().iter().map(|(kind, _)| *kind).collect();
    assert!(kinds.contains(&OperationKind::Execute));
    let open = bench
        .operations()
        .into_iter()
        .filter(|(_, status)| !status.is_final());
    let open: Vec<_> = open.map(|(kind, _)| kind).collect();
    assert_eq!(
        open,
        [OperationKind::CancelObserve; 2],
        "nothing else is left to do"
    );
    // Wherever the update is stored, the operation that it waits for is stored in the same commit or earlier.
    let mut stored = Vec::new();
    for done in &bench.done {
        let Done::Committed(changes) = done else {
            continue;
        };
        let operations = changes.iter().filter_map(|change| match change {
            Change::SaveOperation(operation) if operation.origin == Origin::Firmware => {
                Some(operation.id)
            }
            _ => None,
        });
        stored.extend(operations);
        for change in changes {
            if let Change::SaveFirmwareUpdate(update) = change {
                let awaited = update.operation;
                assert!(awaited.is_none_or(|id| stored.contains(&id)), "{update:#?}");
            }
        }
    }
}

#[test]
fn what_was_observed_for_it_is_not_observed_any_more_when_it_is_over() {
    let mut bench = offered();
    notify(&mut bench, "/5/0/5", "7");
    assert_eq!(bench.firmware_update().result, UpdateResult::InvalidUri);
    // Two cancels, one after the other.
    for _ in 0..2 {
        assert!(bench.newest_request().starts_with("0.01 /5/0/"));
        let (_, request) = bench.sent().pop().expect("a request");
        assert_eq!(request.request.options.observe(), Some(1));
        bench.answer(content("0"));
    }
    assert!(bench.on_disk().observations.is_empty());
    assert!(bench.on_disk().wanted.is_empty());
}

#[test]
fn an_update_goes_on_where_it_was_after_a_restart() {
    let mut bench = offered();
    notify(&mut bench, "/5/0/3", "1");
    let before = bench.firmware_update();
    bench.restart();
    notify(&mut bench, "/5/0/3", "2");
    assert_eq!(bench.newest_request(), "0.02 /5/0/2");
    assert_eq!(bench.firmware_update().id, before.id);
    // Killed while the order to install is on its way: nobody knows whether it arrived, so the device is asked first.
    bench.restart();
    bench.fail(crate::coap::ExchangeFailure::NotAnswered);
    assert_eq!(
        bench.newest_request(),
        "0.01 /5/0",
        "{:#?}",
        bench.timeline()
    );
    bench.answer(instance(3, 0));
    assert_eq!(bench.firmware_update().phase, UpdatePhase::Restart);
}

#[test]
fn a_deadline_that_passes_while_the_server_is_down_is_looked_at_at_the_start() {
    let mut bench = offered();
    bench.wait(bench.settings.update_limits.start);
    bench.restart();
    let due = bench.session.next_deadline(bench.now).expect("a deadline");
    assert!(due <= bench.now.instant);
    bench.feed(Input::Tick);
    assert_eq!(bench.newest_request(), "0.01 /5/0");
}

#[test]
fn a_second_update_and_one_for_others_and_a_device_without_the_object_are_refused() {
    let mut bench = Bench::with_firmware(5000);
    let others = Selection {
        names: vec!["other*".to_owned()],
        tags: Vec::new(),
    };
    let refusal = bench.ask_for_update(None, others).expect_err("for others");
    assert_eq!(
        refusal.to_string(),
        "1.2.0 is not meant for this device, but for other*"
    );
    let update = bench
        .ask_for_update(None, Selection::default())
        .expect("begun");
    let refusal = bench
        .ask_for_update(None, Selection::default())
        .expect_err("a second one");
    assert_eq!(
        refusal,
        UpdateRefusal::Active {
            id: update.id,
            version: "1.2.0".to_owned(),
            rollout: None,
        }
    );
    let mut bench = Bench::new();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>");
    bench.feed(register);
    let refusal = bench
        .ask_for_update(None, Selection::default())
        .expect_err("no object");
    assert_eq!(refusal, UpdateRefusal::NoObject);
}

/// A device that was removed and has registered anew is another one, and its rollout knows nothing of it.
#[test]
fn a_rollout_begins_with_the_device_that_it_means_and_when_that_is_there() {
    let step = |device| RolloutStep {
        id: RolloutId(4),
        is_back: false,
        device: EndpointId(device),
        only_from: None,
    };
    let mut bench = Bench::with_firmware(5000);
    let ask = |bench: &mut Bench, device| {
        bench.ask_for_update_of(Some(step(device)), None, Selection::default())
    };
    assert_eq!(
        ask(&mut bench, 8).expect_err("another"),
        UpdateRefusal::Another
    );
    let leave = bench.deregister();
    bench.feed(leave);
    assert_eq!(
        ask(&mut bench, 7).expect_err("absent"),
        UpdateRefusal::Absent
    );
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>,</5/0>");
    bench.feed(register);
    let update = ask(&mut bench, 7).expect("begun");
    assert_eq!(update.rollout, Some(RolloutId(4)));
    assert_eq!(
        ask(&mut bench, 7).expect_err("a second one"),
        UpdateRefusal::Active {
            id: update.id,
            version: "1.2.0".to_owned(),
            rollout: Some(RolloutId(4)),
        }
    );
}

#[test]
fn a_device_that_is_not_registered_is_updated_when_it_comes() {
    let mut bench = Bench::with_firmware(5000);
    let leave = bench.deregister();
    bench.feed(leave);
    bench
        .ask_for_update(None, Selection::default())
        .expect("begun");
    assert!(bench.session.is_needed());
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>,</5/0>");
    bench.feed(register);
    assert_eq!(bench.newest_request(), "0.01 /5/0");
    let mut bench = Bench::with_firmware(5000);
    let leave = bench.deregister();
    bench.feed(leave);
    bench
        .ask_for_update(None, Selection::default())
        .expect("begun");
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>");
    bench.feed(register);
    let update = bench.firmware_update();
    assert_eq!(update.result, UpdateResult::UnsupFw);
    assert!(
        bench
            .timeline()
            .last()
            .expect("a line")
            .contains("does not announce object 5")
    );
}

#[test]
fn a_device_that_never_comes_is_given_up() {
    let mut bench = Bench::with_firmware(5000);
    let leave = bench.deregister();
    bench.feed(leave);
    bench
        .ask_for_update(None, Selection::default())
        .expect("begun");
    bench.wait(bench.settings.update_limits.wait_for_device);
    let due = bench.session.next_deadline(bench.now).expect("a deadline");
    assert!(due <= bench.now.instant);
    bench.feed(Input::Tick);
    let update = bench.firmware_update();
    assert_eq!(
        update.result,
        UpdateResult::ConnectionLost,
        "{:#?}",
        bench.timeline()
    );
    assert!(!bench.session.is_needed());
}

#[test]
fn an_image_that_was_removed_ends_the_update_in_words() {
    let mut bench = Bench::with_firmware(5000);
    bench
        .ask_for_update(Some(UpdateMethod::PullHttps), Selection::default())
        .expect("begun");
    bench.images.0.clear();
    bench.up_to_the_offer();
    let update = bench.firmware_update();
    assert_eq!(update.result, UpdateResult::UpdateFailed);
    assert_eq!(
        update.reason.as_deref(),
        Some("1.2.0 was removed from this server")
    );
    assert_eq!(
        bench.session.next_deadline(bench.now).map(|_| ()),
        Some(()),
        "the lifetime"
    );
}

#[test]
fn a_cancelled_update_takes_back_what_waits_and_tells_a_device_that_was_offered_the_image() {
    let mut bench = Bench::with_firmware(5000);
    let update = bench
        .ask_for_update(None, Selection::default())
        .expect("begun");
    let cancel = |id| Input::CancelUpdate {
        id,
        by: None,
        ticket: Ticket(2),
    };
    bench.feed(cancel(update.id));
    assert_eq!(bench.firmware_update().result, UpdateResult::Cancelled);
    // The read that was on its way ends, and nobody heeds it.
    bench.answer(instance(0, 0));
    assert_eq!(bench.firmware_update().result, UpdateResult::Cancelled);
    bench.feed(cancel(update.id));
    assert!(bench.actions().any(|action| matches!(
        action,
        Action::UpdateRefused(_, UpdateRefusal::NotActive(_))
    )));

    let update = bench
        .ask_for_update(Some(UpdateMethod::PullHttps), Selection::default())
        .expect("another");
    bench.up_to_the_offer();
    bench.answer(ok());
    bench.feed(cancel(update.id));
    assert_eq!(bench.newest_request(), "0.03 /5/0/1");
    let (_, request) = bench.sent().pop().expect("a request");
    assert_eq!(request.request.payload, b"");
    bench.answer(ok());
    assert_eq!(bench.firmware_update().result, UpdateResult::Cancelled);
}

/// Told to install, a device may restart before it acknowledges that. Whoever believed that the update was taken back
/// would not know that the device runs the image.
#[test]
fn an_update_that_is_perhaps_being_installed_is_not_taken_back() {
    let mut bench = offered();
    notify(&mut bench, "/5/0/3", "2");
    assert_eq!(bench.newest_request(), "0.02 /5/0/2");
    let update = bench.firmware_update();
    assert_eq!(update.phase, UpdatePhase::Install);
    bench.feed(Input::CancelUpdate {
        id: update.id,
        by: None,
        ticket: Ticket(2),
    });
    let refused = bench.actions().any(|action| {
        matches!(
            action,
            Action::UpdateRefused(_, UpdateRefusal::TooLate(TooLate::Installing))
        )
    });
    assert!(refused);
    assert!(bench.firmware_update().is_active());
}

#[test]
fn what_waits_for_a_device_is_taken_back_when_the_update_is_over() {
    // One that is not registered cannot be asked, so the first read waits.
    let mut bench = Bench::with_firmware(5000);
    let leave = bench.deregister();
    bench.feed(leave);
    let update = bench
        .ask_for_update(None, Selection::default())
        .expect("begun");
    let read = update.operation.expect("an operation");
    bench.feed(Input::CancelUpdate {
        id: update.id,
        by: None,
        ticket: Ticket(2),
    });
    assert_eq!(bench.firmware_update().result, UpdateResult::Cancelled);
    assert_eq!(bench.stored(read).status, OperationStatus::Cancelled);
    assert!(!bench.session.is_needed());
    let sent = bench.sent().len();
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>,</5/0>");
    bench.feed(register);
    assert_eq!(bench.sent().len(), sent, "nothing is asked any more");
}

#[test]
fn a_push_whose_device_comes_back_without_the_object_does_not_stay_on_its_way() {
    let mut bench = Bench::with_firmware(5000);
    bench
        .ask_for_update(Some(UpdateMethod::Push), Selection::default())
        .expect("begun");
    bench.up_to_the_offer();
    let push = bench.firmware_update().operation.expect("an operation");
    let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>");
    bench.feed(register);
    assert_eq!(bench.firmware_update().result, UpdateResult::UnsupFw);
    assert_eq!(bench.stored(push).status, OperationStatus::Cancelled);
}
