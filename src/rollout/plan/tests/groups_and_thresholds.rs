//! Groups begin one after the other, and too many failures end it.

use super::*;

#[test]
fn a_group_begins_when_enough_of_the_one_before_succeeded() {
    let mut world = World::started(
        spec(three_groups(80, 20)),
        natures(100, &[(0, Nature::Fails)]),
    );
    let begun = |world: &World| world.updates.len();
    assert_eq!(begun(&world), 5);
    assert!(
        world
            .waits_for()
            .contains("`canary`: 0 of 5 succeeded, 4 must; 5 updates are under way"),
        "{}",
        world.waits_for()
    );
    assert!(world.step());
    assert_eq!(begun(&world), 15, "{}", world.log());
    assert_eq!(world.run(), RolloutState::Finished);
    assert_eq!(world.count(TargetStatus::Succeeded), 99);
    assert_eq!(world.count(TargetStatus::Failed), 1);
    assert_eq!(world.most_at_once, 10);
    let log = world.log();
    for line in [
        "olga made it for 100 devices",
        "olga started it",
        "group `canary` begins: 5 devices",
        "group `canary` reached its threshold: 4 of 5 succeeded",
        "group `tenth` begins: 10 devices",
        "every device had its turn",
    ] {
        assert!(log.contains(line), "{log}");
    }
}

#[test]
fn a_group_waits_until_enough_have_succeeded() {
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &[]));
    world.now = world.now.plus(Duration::from_secs(599));
    world.tell_of_updates();
    world.turn();
    assert_eq!(world.updates.len(), 5);
    let group = |index: usize| world.plan.rollout().groups[index].clone();
    assert!(group(0).forward.begun_at.is_some() && group(0).forward.passed_at.is_none());
    assert!(group(1).forward.begun_at.is_none());
}

#[test]
fn too_many_failures_roll_back_what_was_changed_group_by_group() {
    let failing: Vec<_> = (8..15).map(|index| (index, Nature::Fails)).collect();
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &failing));
    assert_eq!(world.run(), RolloutState::RolledBack, "{}", world.log());
    assert_eq!(world.count(TargetStatus::RolledBack), 8);
    assert_eq!(world.count(TargetStatus::Failed), 7);
    assert_eq!(world.count(TargetStatus::Cancelled), 85);
    let log = world.log();
    let reason = world.plan.rollout().reason.clone().unwrap_or_default();
    assert!(
        reason.contains(
            "it failed on 7 of 10 devices of group `tenth` (70 %), and it may on 20 % at most"
        ),
        "{reason}"
    );
    let canary = log
        .find("group `canary` goes back: 5 devices")
        .expect("the canaries");
    let tenth = log
        .find("group `tenth` goes back: 3 devices")
        .expect("the next");
    assert!(canary < tenth, "{log}");
    let back = world
        .updates
        .iter()
        .filter(|(update, _)| update.is_roll_back);
    assert!(
        back.clone()
            .all(|(update, _)| update.firmware_id == FirmwareId(1))
    );
    assert_eq!(back.count(), 8);
}

#[test]
fn what_is_under_way_when_it_goes_back_is_taken_back_or_follows() {
    // The second and the third begin later: when the first has failed, they are at it.
    let late = Nature::Busy(30);
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 50, 10)]),
        natures(3, &[(0, Nature::Fails), (1, late), (2, late)]),
    );
    assert_eq!(world.run(), RolloutState::RolledBack, "{}", world.log());
    // One could still be taken back, the other one ran the image in the end.
    assert_eq!(world.count(TargetStatus::Cancelled), 1);
    assert_eq!(world.count(TargetStatus::RolledBack), 1);
    assert_eq!(world.count(TargetStatus::Failed), 1);
}

#[test]
fn without_a_changed_device_it_is_stopped() {
    let failing: Vec<_> = (0..5).map(|index| (index, Nature::Fails)).collect();
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &failing));
    assert_eq!(world.run(), RolloutState::Stopped);
    assert_eq!(world.updates.len(), 5);
    assert_eq!(world.count(TargetStatus::Cancelled), 95);
}

#[test]
fn errors_pause_or_stop_where_that_is_wanted() {
    let failing = [(0, Nature::Fails), (1, Nature::Fails)];
    let pausing = RolloutSpec {
        on_error: OnError::Pause,
        ..spec(three_groups(80, 20))
    };
    let mut world = World::started(pausing, natures(100, &failing));
    assert_eq!(world.run(), RolloutState::Paused);
    assert_eq!(world.updates.len(), 5);
    assert_eq!(world.waits_for(), "somebody to resume it");
    // Whoever has looked at it and resumes it does not run into the same failures again.
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.run(), RolloutState::Finished, "{}", world.log());
    assert_eq!(world.count(TargetStatus::Succeeded), 98);

    let stopping = RolloutSpec {
        on_error: OnError::Stop,
        ..spec(three_groups(80, 20))
    };
    let mut world = World::started(stopping, natures(100, &failing));
    assert_eq!(world.run(), RolloutState::Stopped);
    assert_eq!(world.count(TargetStatus::Succeeded), 3);
    assert_eq!(world.count(TargetStatus::Cancelled), 95);
}

#[test]
fn a_way_back_that_fails_too_waits_for_somebody() {
    let mut others: Vec<_> = (8..15).map(|index| (index, Nature::Fails)).collect();
    others.extend([(0, Nature::StaysNew), (1, Nature::StaysNew)]);
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &others));
    assert_eq!(world.run(), RolloutState::Paused, "{}", world.log());
    let reason = world.plan.rollout().reason.clone().unwrap_or_default();
    assert!(
        reason.contains("the way back failed on 2 of 5 devices of group `canary`"),
        "{reason}"
    );
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.run(), RolloutState::RolledBack, "{}", world.log());
    assert_eq!(world.count(TargetStatus::RollBackFailed), 2);
    assert_eq!(world.count(TargetStatus::RolledBack), 6);
}

#[test]
fn devices_that_run_it_or_cannot_be_updated_are_no_failures() {
    let others: Vec<_> = (0..4)
        .map(|index| (index, Nature::NoObject))
        .chain([(4, Nature::Current)])
        .collect();
    let mut world = World::started(spec(three_groups(100, 0)), natures(100, &others));
    assert_eq!(world.run(), RolloutState::Finished, "{}", world.log());
    assert_eq!(world.count(TargetStatus::Skipped), 4);
    assert_eq!(world.count(TargetStatus::Unchanged), 1);
    // What was not changed by the rollout is not given back either.
    world.steer(Command::RollBack).expect("it goes back");
    assert_eq!(world.run(), RolloutState::RolledBack);
    assert_eq!(world.count(TargetStatus::Unchanged), 1);
    assert_eq!(world.count(TargetStatus::RolledBack), 95);
}

#[test]
fn a_device_without_an_image_of_what_it_ran_cannot_go_back() {
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 50, 50)]),
        natures(4, &[(0, Nature::Mute)]),
    );
    assert_eq!(world.run(), RolloutState::Finished);
    world.images.remove(0);
    world.steer(Command::RollBack).expect("it goes back");
    assert_eq!(world.run(), RolloutState::Paused, "{}", world.log());
    let reason = |index| {
        let target = world.plan.target(device(index).0).expect("a target");
        target.reason.clone().unwrap_or_default()
    };
    assert!(
        reason(0).contains("did not say which firmware it ran"),
        "{}",
        reason(0)
    );
    assert!(
        reason(1).contains("it ran 1.0.0 before, and there is no image of that here"),
        "{}",
        reason(1)
    );
}

#[test]
fn what_could_not_be_given_back_can_be_once_its_image_is_there() {
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 50, 50)]),
        natures(4, &[]),
    );
    assert_eq!(world.run(), RolloutState::Finished);
    let old = world.images.remove(0);
    world.steer(Command::RollBack).expect("it goes back");
    assert_eq!(world.run(), RolloutState::Paused);
    world.images.push(old);
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.run(), RolloutState::RolledBack);
    assert_eq!(world.count(TargetStatus::RolledBack), 4);
}

#[test]
fn a_group_in_which_no_device_could_be_updated_is_no_proof() {
    let others: Vec<_> = (0..5).map(|index| (index, Nature::NoObject)).collect();
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &others));
    assert_eq!(world.run(), RolloutState::Paused);
    assert!(world.updates.is_empty());
    let reason = world.plan.rollout().reason.clone().unwrap_or_default();
    assert_eq!(reason, "no device of group `canary` could be updated");
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.run(), RolloutState::Finished);
}

#[test]
fn a_device_that_was_told_to_install_and_fell_silent_is_given_back_what_it_ran() {
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 50, 50)]),
        natures(4, &[(0, Nature::Lost)]),
    );
    assert_eq!(world.run(), RolloutState::Finished);
    assert_eq!(world.count(TargetStatus::Failed), 1);
    world.steer(Command::RollBack).expect("it goes back");
    assert_eq!(world.run(), RolloutState::RolledBack);
    assert_eq!(world.count(TargetStatus::RolledBack), 4);
}

#[test]
fn devices_can_be_given_another_image_on_the_way_back() {
    let to = RolloutSpec {
        roll_back_to: Some(FirmwareId(1)),
        ..spec(three_groups(80, 20))
    };
    let mut world = World::started(to, natures(10, &[(0, Nature::Mute)]));
    assert_eq!(world.run(), RolloutState::Finished);
    world.steer(Command::RollBack).expect("it goes back");
    assert_eq!(world.run(), RolloutState::RolledBack);
    assert_eq!(world.count(TargetStatus::RolledBack), 10);
}

#[test]
fn an_image_is_found_by_its_version_and_by_what_a_device_makes_of_it() {
    use super::super::pick::image_of;
    let images = [image(1, "v1.0.0"), image(2, "1.0.0+7"), image(3, "1.1.0")];
    let found = |version| image_of(version, &images).map(|image| image.id.0);
    assert_eq!(found("1.0.0+7"), Some(2));
    assert_eq!(found("1.0.0"), Some(1));
    assert_eq!(found("2.0.0"), None);
}
