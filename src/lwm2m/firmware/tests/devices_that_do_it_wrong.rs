//! Devices that fail, refuse, fall silent or lie, and the words that say so.

use rstest::rstest;

use super::*;

#[rstest]
#[case(2, UpdateResult::NoStorage, "not enough storage")]
#[case(3, UpdateResult::OutOfMem, "out of memory")]
#[case(4, UpdateResult::ConnectionLost, "the connection was lost")]
#[case(5, UpdateResult::IntegrityFailed, "its checksum does not fit")]
#[case(6, UpdateResult::UnsupFw, "not made for this device")]
#[case(7, UpdateResult::InvalidUri, "the URI cannot be used")]
#[case(8, UpdateResult::UpdateFailed, "could not be installed")]
#[case(9, UpdateResult::UnsupProto, "is not spoken")]
#[case(10, UpdateResult::Cancelled, "it was cancelled")]
#[case(11, UpdateResult::Deferred, "puts it off")]
#[case(12, UpdateResult::UpdateFailed, "which means nothing")]
fn a_result_of_the_device_ends_it_in_words(
    #[case] code: i64,
    #[case] result: UpdateResult,
    #[case] words: &str,
) {
    // While it downloads, …
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    script.says(&[(RESULT, code), (STATE, 0)]);
    script.ended(result, words);
    // … without ever beginning, …
    let mut script = Script::offered_by_https();
    script.says(&[(RESULT, code)]);
    script.ended(result, words);
    // … told by the state first and the result only when asked, …
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    script.says(&[(STATE, 0)]);
    script.stands(0, code);
    script.ended(result, words);
    // … and after the restart.
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, code);
    script.ended(result, words);
}

#[test]
fn a_device_without_object_5_is_told_apart() {
    let mut script = Script::new(None, None);
    script.answers(Ask::Read(INSTANCE), "4.04");
    script.ended(UpdateResult::UnsupFw, "does not have object 5");
    let mut script = Script::new(None, None);
    script.happens(Event::Registered { has_object: false });
    script.ended(UpdateResult::UnsupFw, "does not announce object 5");
}

#[rstest]
#[case("4.00", UpdateResult::InvalidUri)]
#[case("4.05", UpdateResult::UnsupProto)]
#[case("4.01", UpdateResult::UpdateFailed)]
fn a_uri_that_is_refused_ends_it(#[case] code: &str, #[case] result: UpdateResult) {
    let mut script = Script::new(None, None);
    script.up_to_the_offer();
    script.answers(Ask::Offer(UpdateMethod::PullHttps), code);
    script.stands(0, 0);
    script.ended(
        result,
        &format!("did not take the URI (5/0/1): the device answered {code}"),
    );
}

/// The answer to the first offer was lost, as the server was killed for example, and the device refuses another one while
/// it downloads.
#[rstest]
#[case(1)]
#[case(2)]
fn a_uri_that_is_refused_as_it_was_taken_before_is_taken(#[case] state: i64) {
    let mut script = Script::new(None, None);
    script.up_to_the_offer();
    script.answers(Ask::Offer(UpdateMethod::PullHttps), "4.00");
    script.stands(state, 0);
    if state == 1 {
        assert_eq!(script.update.state, UpdateState::Downloading);
        script.says(&[(STATE, 2)]);
    }
    assert_eq!(script.asked, Some(Ask::Install));
    script.answers(Ask::Install, "2.04");
}

#[test]
fn a_push_that_is_too_large_ends_in_no_storage_and_one_that_failed_inside_is_made_again() {
    let mut script = Script::new(Some(UpdateMethod::Push), None);
    script.up_to_the_offer();
    script.answers(Ask::Push, "5.00");
    script.passes(LIMITS.start);
    script.answers(Ask::Push, "4.13");
    script.ended(UpdateResult::NoStorage, "did not take the image (5/0/0)");
}

/// Its result comes behind the answer, while the next offer is waited for.
#[test]
fn a_device_that_says_why_it_failed_after_it_answered_is_believed() {
    let mut script = Script::new(Some(UpdateMethod::Push), None);
    script.up_to_the_offer();
    script.answers(Ask::Push, "5.00");
    assert_eq!(script.update.phase, UpdatePhase::Deliver);
    script.says(&[(STATE, 0)]);
    script.says(&[(RESULT, 3)]);
    script.ended(
        UpdateResult::OutOfMem,
        "the device says 5/0/5 = 3: out of memory",
    );
}

#[test]
fn a_push_without_an_answer_is_made_again_three_times() {
    let mut script = Script::new(Some(UpdateMethod::Push), None);
    script.up_to_the_offer();
    for _ in 0..3 {
        script.is_silent(Ask::Push);
    }
    script.ended(
        UpdateResult::ConnectionLost,
        "offered 3 times and the device did not answer",
    );
}

#[test]
fn a_device_that_never_begins_is_offered_the_image_again_and_then_given_up() {
    let mut script = Script::new(None, None);
    script.up_to_the_offer();
    for _ in 0..3 {
        script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
        assert!(script.update.awaited.contains("begin the download"));
        script.passes(LIMITS.start);
        script.stands(0, 0);
    }
    script.ended(
        UpdateResult::UpdateFailed,
        "took the offer 3 times and never began the download",
    );
}

#[test]
fn a_download_that_stands_still_says_where() {
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    script.happens(blocks(412));
    assert_eq!(
        script.update.awaited,
        "the device downloads: block 412 of 1024"
    );
    for _ in 0..3 {
        script.passes(LIMITS.stall);
        script.stands(1, 0);
    }
    script.ended(
        UpdateResult::ConnectionLost,
        "the download stands still: it came as far as block 412 of 1024",
    );
}

#[test]
fn a_slow_download_is_not_given_up_while_blocks_come() {
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    for done in 1..=1024 {
        script.passes(LIMITS.stall / 2);
        script.happens(blocks(done));
    }
    assert!(
        script
            .update
            .awaited
            .contains("the whole image was fetched")
    );
    assert!(script.told.len() < 20, "{}", script.story());
    script.says(&[(STATE, 2)]);
    assert_eq!(script.asked, Some(Ask::Install));
}

#[test]
fn a_connection_that_is_lost_midway_without_a_result_is_followed_by_another_offer() {
    let mut script = Script::new(None, None);
    script.up_to_the_offer();
    for _ in 0..3 {
        script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
        script.says(&[(STATE, 1)]);
        script.happens(blocks(512));
        script.says(&[(STATE, 0)]);
        script.stands(0, 0);
    }
    script.ended(
        UpdateResult::ConnectionLost,
        "gave up the download 3 times without saying why; it came as far as block 512 of 1024",
    );
}

#[test]
fn a_device_that_registers_again_during_the_download_is_asked_and_goes_on() {
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    script.happens(blocks(10));
    script.registers();
    script.has_told("registered again during the download; it came as far as block 10 of 1024");
    script.stands(1, 0);
    script.says(&[(STATE, 2)]);
    assert_eq!(script.asked, Some(Ask::Install));
}

#[test]
fn before_it_is_told_again_to_install_a_device_is_asked() {
    let mut script = Script::new(None, None);
    script.up_to_the_order();
    script.is_silent(Ask::Install);
    script.has_told("no answer to the order to install");
    script.stands(2, 0);
    script.is_silent(Ask::Install);
    script.stands(3, 0);
    assert_eq!(
        (script.asked, script.update.phase),
        (None, UpdatePhase::Restart)
    );
    script.registers();
    script.stands(0, 1);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
    assert_eq!(script.update.installs, 2);
}

#[test]
fn a_device_that_is_told_three_times_in_vain_is_given_up() {
    let mut script = Script::new(None, None);
    script.up_to_the_order();
    for _ in 0..3 {
        script.is_silent(Ask::Install);
        script.stands(2, 0);
    }
    script.ended(
        UpdateResult::UpdateFailed,
        "told 3 times to install it, in vain",
    );
}

#[test]
fn a_device_that_refuses_to_install_is_told_again_and_then_given_up_with_its_words() {
    let mut script = Script::new(None, None);
    script.up_to_the_order();
    for _ in 0..3 {
        script.answers(Ask::Install, "4.05");
        script.stands(2, 0);
    }
    script.ended(
        UpdateResult::UpdateFailed,
        "the device refused to install: the device answered 4.05",
    );
}

#[test]
fn a_device_that_restarts_without_a_report_is_waited_for_and_then_given_up() {
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, 0);
    script.runs("1.2.0");
    script.has_told("the device restarted without a report; it runs 1.2.0");
    assert!(
        script
            .update
            .awaited
            .contains("its report (5/0/5) is awaited")
    );
    script.passes(LIMITS.install);
    script.stands(0, 0);
    script.runs("1.2.0");
    script.ended(
        UpdateResult::UpdateFailed,
        "restarted without a report: 5/0/5 says nothing, and it runs 1.2.0",
    );
    // A report that comes late counts.
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, 0);
    script.runs("1.2.0");
    script.says(&[(RESULT, 1)]);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
}

#[test]
fn a_device_that_comes_back_with_the_old_version_has_failed_whatever_it_says() {
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, 1);
    script.runs("1.1.0");
    script.ended(
        UpdateResult::UpdateFailed,
        "came back with the old version: it runs 1.1.0 and not 1.2.0",
    );
}

#[test]
fn a_device_that_comes_back_as_it_was_is_looked_at_twice_and_then_given_up() {
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, 0);
    script.runs("1.1.0");
    script.has_told("the device restarted without a report; it runs 1.1.0, as before");
    assert!(script.update.awaited.contains("it is asked once more"));
    script.passes(LIMITS.report);
    script.stands(0, 0);
    script.runs("1.1.0");
    script.ended(
        UpdateResult::UpdateFailed,
        "came back with the old version and without a report: it is IDLE (5/0/3 = 0), 5/0/5 says nothing, and it runs 1.1.0, as before, 2 min later as well",
    );
}

#[test]
fn a_device_that_registers_first_and_reports_a_little_later_is_believed() {
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, 0);
    script.runs("1.1.0");
    script.says(&[(RESULT, 8)]);
    script.ended(
        UpdateResult::UpdateFailed,
        "the device says 5/0/5 = 8: the image could not be installed",
    );
}

#[test]
fn a_device_that_registers_once_with_the_old_version_and_restarts_again_is_waited_for() {
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(0, 0);
    script.runs("1.1.0");
    // A second time, which begins a new wait: the look that was due falls into it.
    script.passes(LIMITS.report / 2);
    script.registers();
    script.stands(0, 0);
    script.runs("1.1.0");
    script.passes(LIMITS.report / 2);
    assert_eq!(script.asked, None, "{}", script.story());
    // It says that it installs after all, and comes back with the new one.
    script.says(&[(STATE, 3)]);
    script.passes(LIMITS.report / 2);
    script.stands(3, 0);
    script.passes(LIMITS.report * 2);
    assert!(script.update.is_active(), "{}", script.story());
    script.registers();
    script.stands(0, 1);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
}

/// Which firmware it ran is not known, or it is given the same once more: that it runs the old one is no sign.
#[test]
fn a_silent_restart_is_waited_for_where_the_old_version_says_nothing() {
    let mut unknown = Script::new(None, None);
    unknown.stands(0, 0);
    unknown.answers(Ask::Read(RUNNING), "4.04");
    let mut same = Script::new(None, None);
    same.stands(0, 0);
    same.runs("1.2.0");
    for (mut script, running) in [(unknown, "1.1.0"), (same, "1.2.0")] {
        script.answers(Ask::Observe(STATE), "4.05");
        script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
        script.says(&[(STATE, 2)]);
        script.answers(Ask::Install, "2.04");
        script.registers();
        script.stands(0, 0);
        script.runs(running);
        script.passes(LIMITS.report * 2);
        assert_eq!(script.update.until, script.update.install_by);
        script.says(&[(RESULT, 1)]);
        script.runs("1.2.0");
        script.ended(UpdateResult::Success, "1.2.0");
    }
}

/// What it said before it restarted is not taken for what it says now.
#[test]
fn a_device_that_cannot_be_read_after_its_restart_has_not_come_back_as_it_was() {
    let mut script = Script::told_to_install();
    script.says(&[(STATE, 0), (RESULT, 0)]);
    script.registers();
    script.answers(Ask::Read(INSTANCE), "4.05");
    script.runs("1.1.0");
    assert_eq!(script.update.until, script.update.install_by);
    script.passes(LIMITS.install);
    script.answers(Ask::Read(INSTANCE), "4.05");
    script.runs("1.1.0");
    script.ended(
        UpdateResult::UpdateFailed,
        "restarted without a report: 5/0/5 says nothing, and it runs 1.1.0",
    );
}

#[test]
fn what_the_package_calls_itself_is_not_what_runs() {
    let mut script = Script::offered_by_https();
    script.happens(Event::Values(&[
        node(Path::resource(5, 0, 7), Value::String("1.2.0".to_owned())),
        node(STATE, Value::Integer(2)),
    ]));
    script.has_told("the package that the device has calls itself 1.2.0");
    script.answers(Ask::Install, "2.04");
    script.registers();
    script.stands(0, 1);
    script.runs("1.1.0");
    script.ended(UpdateResult::UpdateFailed, "it runs 1.1.0");
}

#[test]
fn a_device_that_says_success_before_it_restarts_is_waited_for() {
    let mut script = Script::told_to_install();
    script.says(&[(RESULT, 1)]);
    script.runs("1.1.0");
    assert!(script.update.is_active(), "{}", script.story());
    script.registers();
    script.stands(0, 1);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
}

#[test]
fn a_device_that_is_told_to_install_and_falls_silent_is_given_up() {
    let mut script = Script::told_to_install();
    script.passes(LIMITS.install);
    script.is_silent(Ask::Read(INSTANCE));
    script.ended(
        UpdateResult::ConnectionLost,
        "was told to install and was not heard of since",
    );
}

#[test]
fn a_device_that_lost_power_before_it_installed_is_told_again() {
    let mut script = Script::told_to_install();
    script.registers();
    script.stands(2, 0);
    script.has_told("did not install it; it is told again");
    assert_eq!(script.asked, Some(Ask::Install));
}

#[test]
fn a_device_that_sleeps_for_longer_than_is_waited_is_given_up() {
    let mut script = Script::new(None, None);
    script.asked = None;
    script.happens(Event::Ended {
        status: OperationStatus::Expired,
        code: None,
        error: Some("its time ran out before the device could be reached"),
    });
    script.ended(
        UpdateResult::ConnectionLost,
        "did not take the next request for 1.2.0 within 7 d",
    );
}

#[test]
fn an_operation_that_somebody_takes_back_ends_the_update() {
    let mut script = Script::new(None, None);
    script.asked = None;
    script.happens(Event::Ended {
        status: OperationStatus::Cancelled,
        code: None,
        error: None,
    });
    script.ended(UpdateResult::Cancelled, "took back the operation");
}

/// It refuses the URI and begins to download before it has answered where it stands: the time of the download passed
/// while the answer was still awaited, and the update went on without an end.
#[test]
fn a_device_that_speaks_before_it_answers_does_not_take_away_the_end() {
    let mut script = Script::new(None, None);
    script.up_to_the_offer();
    script.answers(Ask::Offer(UpdateMethod::PullHttps), "4.04");
    assert_eq!(script.asked, Some(Ask::Read(INSTANCE)));
    let end = script.now.plus(LIMITS.wait_for_device);
    script.says(&[(STATE, 1)]);
    script.happens(blocks(412));
    script.passes(LIMITS.stall);
    assert_eq!(script.asked, Some(Ask::Read(INSTANCE)));
    assert_eq!(script.update.until, Some(end), "{}", script.story());
    // The time of the operation is over, and that is told in a moment.
    script.passes(LIMITS.wait_for_device);
    assert!(script.update.is_active() && script.update.until > Some(end));
    script.now = end;
    script.answers(Ask::Read(INSTANCE), "2.05");
    assert!(script.update.is_active() && script.update.until.is_some());
}
