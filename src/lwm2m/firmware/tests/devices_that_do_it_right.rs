//! Devices that do what the object says, in every order that it allows.

use super::*;

fn pulled() -> Script {
    let mut script = Script::new(None, None);
    script.up_to_the_order();
    script
}

#[test]
fn an_image_is_pulled_installed_and_seen_to_run() {
    let mut script = pulled();
    script.answers(Ask::Install, "2.04");
    script.says(&[(STATE, 3)]);
    script.registers();
    script.stands(0, 1);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "it runs 1.2.0 (5/0/5 = 1)");
    for line in [
        "olga asks for 1.2.0",
        "the device runs 1.1.0",
        "the device took the URI (5/0/1)",
        "the device says that it is DOWNLOADING",
        "the device says that it is DOWNLOADED",
        "the device was told to install and agreed",
        "the device registered again",
    ] {
        script.has_told(line);
    }
}

#[test]
fn an_image_is_pushed_when_the_device_only_takes_pushes() {
    let mut script = Script::new(None, None);
    script.says(&[(STATE, 0), (Path::resource(5, 0, 9), 1)]);
    script.answers(Ask::Read(INSTANCE), "2.05");
    script.runs("1.1.0");
    script.answers(Ask::Observe(STATE), "2.05");
    script.answers(Ask::Observe(RESULT), "2.05");
    script.has_told("the image goes by push");
    for done in [1, 300, 600, 1000, 1024] {
        script.happens(blocks(done));
    }
    script.has_told("block 600 of 1024 (58 %)");
    // The state comes before the answer to the last block.
    script.says(&[(STATE, 1)]);
    script.says(&[(STATE, 2)]);
    script.answers(Ask::Push, "2.04");
    script.answers(Ask::Install, "2.04");
    script.registers();
    script.stands(0, 1);
    script.runs("v1.2.0");
    script.ended(UpdateResult::Success, "it runs v1.2.0");
}

#[test]
fn the_way_follows_what_the_device_says() {
    let protocols = |id| Path::resource_instance(5, 0, 8, id);
    let delivery = Path::resource(5, 0, 9);
    for (values, method) in [
        (
            vec![(protocols(0), 3), (delivery, 0)],
            UpdateMethod::PullHttps,
        ),
        (
            vec![(protocols(0), 0), (protocols(1), 1), (delivery, 0)],
            UpdateMethod::PullCoap,
        ),
        (
            vec![(protocols(0), 0), (delivery, 2)],
            UpdateMethod::PullCoap,
        ),
        (vec![(protocols(0), 2), (delivery, 2)], UpdateMethod::Push),
        (vec![(delivery, 2)], UpdateMethod::PullHttps),
        (vec![(delivery, 1), (protocols(0), 3)], UpdateMethod::Push),
        (vec![], UpdateMethod::PullHttps),
    ] {
        let mut script = Script::new(None, None);
        script.says(&values);
        script.up_to_the_offer();
        assert_eq!(script.update.method, Some(method), "{values:?}");
    }
    let mut script = Script::new(None, None);
    script.says(&[(protocols(0), 2), (delivery, 0)]);
    script.up_to_the_offer();
    script.ended(UpdateResult::UnsupProto, "only over HTTP");
}

#[test]
fn the_operator_s_choice_comes_before_what_the_device_says() {
    let mut script = Script::new(Some(UpdateMethod::Push), None);
    script.says(&[(Path::resource(5, 0, 9), 0)]);
    script.up_to_the_offer();
    assert_eq!(script.asked, Some(Ask::Push));
}

#[test]
fn what_is_left_of_an_earlier_update_is_put_away_first() {
    let mut script = Script::new(None, None);
    script.stands(2, 0);
    script.runs("1.1.0");
    script.answers(Ask::Reset, "2.04");
    script.answers(Ask::Observe(STATE), "2.05");
    script.answers(Ask::Observe(RESULT), "2.05");
    assert_eq!(script.asked, Some(Ask::Offer(UpdateMethod::PullHttps)));
}

#[test]
fn the_result_of_the_update_before_is_not_taken_for_that_of_this_one() {
    let mut script = Script::new(None, None);
    script.stands(0, 8);
    script.runs("1.1.0");
    script.answers(Ask::Observe(STATE), "2.05");
    script.answers(Ask::Observe(RESULT), "2.05");
    script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
    // Asked because it does not begin: it has not touched its result.
    script.passes(LIMITS.start);
    script.stands(0, 8);
    assert_eq!(
        script.asked,
        Some(Ask::Offer(UpdateMethod::PullHttps)),
        "{}",
        script.story()
    );
    script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
    script.says(&[(STATE, 1), (RESULT, 0)]);
    script.says(&[(STATE, 0), (RESULT, 8)]);
    script.ended(UpdateResult::UpdateFailed, "5/0/5 = 8");
}

#[test]
fn a_device_that_cannot_be_observed_is_asked() {
    let mut script = Script::new(None, None);
    script.stands(0, 0);
    script.runs("1.1.0");
    script.answers(Ask::Observe(STATE), "4.05");
    script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
    script.passes(Duration::from_secs(30));
    script.stands(1, 0);
    script.happens(blocks(500));
    script.passes(Duration::from_secs(30));
    script.stands(2, 0);
    script.answers(Ask::Install, "2.04");
    script.passes(LIMITS.install);
    script.stands(0, 1);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
}

#[test]
fn a_device_that_skips_reports_gets_there_too() {
    // It says nothing but DOWNLOADED, and then nothing but the result.
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 2)]);
    script.answers(Ask::Install, "2.04");
    script.says(&[(RESULT, 1)]);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
}

#[test]
fn a_device_that_repeats_reports_is_told_to_install_once() {
    let mut script = Script::offered_by_https();
    for state in [1, 1, 1, 2, 2, 2] {
        script.says(&[(STATE, state)]);
    }
    assert_eq!(script.update.installs, 1);
    script.answers(Ask::Install, "2.04");
    for state in [2, 3, 3] {
        script.says(&[(STATE, state)]);
    }
    assert_eq!((script.update.installs, script.asked), (1, None));
    let told = script
        .told
        .iter()
        .filter(|line| line.contains("it is DOWNLOADED"));
    assert_eq!(told.count(), 1, "{}", script.story());
}

#[test]
fn a_device_that_installs_by_itself_is_followed() {
    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    script.says(&[(STATE, 3)]);
    script.has_told("installs the image without being told to");
    script.registers();
    script.stands(0, 1);
    script.runs("1.2.0");
    script.ended(UpdateResult::Success, "1.2.0");
}

#[test]
fn a_rollout_leaves_alone_what_runs_already() {
    let mut script = Script::new(None, Some(RolloutId(1)));
    script.stands(0, 1);
    script.runs("1.2.0+17");
    script.ended(
        UpdateResult::Success,
        "runs 1.2.0+17 already; nothing was sent",
    );
    // Whoever asks for one device gets it.
    let mut script = Script::new(None, None);
    script.stands(0, 1);
    script.runs("1.2.0");
    assert_eq!(script.asked, Some(Ask::Observe(STATE)));
}

#[test]
fn a_rollout_takes_nothing_back_from_a_device_that_runs_something_else_by_now() {
    let mut script = Script::new(None, Some(RolloutId(1)));
    script.update.only_from = Some("1.1.0".to_owned());
    script.stands(0, 1);
    script.runs("1.1.5");
    script.ended(UpdateResult::Cancelled, "runs 1.1.5 by now, and not 1.1.0");
    let mut script = Script::new(None, Some(RolloutId(1)));
    script.update.only_from = Some("1.1.0".to_owned());
    script.stands(0, 1);
    script.runs("1.1.0");
    assert_eq!(script.asked, Some(Ask::Observe(STATE)));
}

#[test]
fn the_version_need_not_be_readable() {
    let mut script = pulled();
    script.answers(Ask::Install, "2.04");
    script.registers();
    script.stands(0, 1);
    script.answers(Ask::Read(RUNNING), "4.04");
    script.ended(UpdateResult::Success, "cannot be read (3/0/3)");
}

#[test]
fn an_update_is_cancelled_before_and_after_the_offer_but_not_during_the_installation() {
    let mut script = Script::new(None, None);
    assert_eq!(may_cancel(&script.update), Ok(()));
    script.happens(Event::Cancelled { by: "olga" });
    script.ended(
        UpdateResult::Cancelled,
        "olga cancelled it before the image was offered",
    );
    assert_eq!(may_cancel(&script.update), Err(TooLate::Over));

    let mut script = Script::offered_by_https();
    script.says(&[(STATE, 1)]);
    script.happens(Event::Cancelled { by: "olga" });
    assert_eq!(may_cancel(&script.update), Err(TooLate::Cancelling));
    script.says(&[(STATE, 2)]);
    script.answers(Ask::Reset, "2.04");
    script.ended(
        UpdateResult::Cancelled,
        "olga cancelled it; the device has forgotten the image",
    );

    // It is not known whether it installs.
    let mut script = pulled();
    script.is_silent(Ask::Install);
    assert_eq!(may_cancel(&script.update), Err(TooLate::Installing));

    let mut script = pulled();
    script.answers(Ask::Install, "2.04");
    assert_eq!(may_cancel(&script.update), Err(TooLate::Installing));
    script.happens(Event::Cancelled { by: "olga" });
    assert!(script.update.is_active());
}
