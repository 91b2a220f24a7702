//! Times: a start, a window, another try, newcomers.

use super::*;
use crate::domain::{DailyWindow, WindowText};

fn window(from: &str, to: &str) -> DailyWindow {
    let text = WindowText {
        from: from.to_owned(),
        to: to.to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        days: Vec::new(),
    };
    text.try_into().expect("a window")
}

#[test]
fn it_waits_for_its_start() {
    let start_at = Some(time("2026-12-01T00:00:00Z"));
    let mut world = World::started(
        RolloutSpec {
            start_at,
            ..spec(three_groups(80, 20))
        },
        natures(10, &[]),
    );
    assert!(world.updates.is_empty());
    assert_eq!(world.waits_for(), "its start at 2026-12-01T00:00:00.000Z");
    assert!(world.step());
    assert_eq!(Some(world.now), start_at);
    assert_eq!(world.updates.len(), 5);
    assert_eq!(world.run(), RolloutState::Finished);
}

#[test]
fn updates_begin_in_the_window_only_and_may_end_after_it() {
    let open = Some(window("22:00", "23:00"));
    let plan = RolloutSpec {
        window: open,
        at_once: 2,
        ..spec(vec![group("all", GroupSize::Rest, 80, 20)])
    };
    let mut world = World::started(plan, natures(30, &[]));
    world.takes = Duration::from_secs(900);
    assert_eq!(
        world.waits_for(),
        "the window to open at 2026-11-30T21:00:00.000Z"
    );
    assert_eq!(world.run(), RolloutState::Finished);
    for (update, _) in &world.updates {
        let text = update.created_at.to_string();
        assert!(text.contains("T21:"), "{text}");
    }
    // Two at once, four times an hour: 30 take four evenings.
    assert!(world.now > time("2026-12-03T21:00:00Z"), "{}", world.now);
}

#[test]
fn the_way_back_does_not_wait_for_the_window() {
    let open = Some(window("13:00", "13:30"));
    let plan = RolloutSpec {
        window: open,
        ..spec(vec![group("all", GroupSize::Rest, 50, 20)])
    };
    let failing: Vec<_> = (0..5).map(|index| (index, Nature::Fails)).collect();
    let mut world = World::started(plan, natures(20, &failing));
    assert_eq!(world.run(), RolloutState::RolledBack);
    let last = time("2026-11-30T12:45:00Z");
    let back = world
        .updates
        .iter()
        .filter(|(update, _)| update.is_roll_back);
    assert!(back.clone().all(|(update, _)| update.created_at < last));
    assert!(back.count() > 0);
}

#[test]
fn a_device_that_is_busy_is_tried_again_and_holds_nobody_up() {
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 100, 0)]),
        natures(12, &[(3, Nature::Busy(5_000))]),
    );
    assert_eq!(world.run(), RolloutState::Finished, "{}", world.log());
    let (last, _) = world.updates.last().expect("updates");
    assert_eq!(last.endpoint_id, device(3).0);
    assert_eq!(world.count(TargetStatus::Succeeded), 12);
}

#[test]
fn newcomers_join_the_last_group_until_somebody_ends_it() {
    let plan = RolloutSpec {
        newcomers: true,
        ..spec(three_groups(80, 20))
    };
    let mut world = World::started(plan, natures(10, &[]));
    assert_eq!(world.run(), RolloutState::Running);
    assert_eq!(world.waits_for(), "devices that fit and join");
    let joined = world
        .plan
        .join(world.now, vec![device(10), device(11), device(3)]);
    assert_eq!(joined, 2, "one is in it already");
    world.turn();
    assert_eq!(
        world.plan.target(device(11).0).map(|target| target.group),
        Some(2)
    );
    assert_eq!(world.run(), RolloutState::Running);
    assert_eq!(world.count(TargetStatus::Succeeded), 12);
    world.steer(Command::Stop).expect("it ends");
    assert_eq!(world.plan.rollout().state, RolloutState::Finished);
    assert!(world.plan.is_over());
}

#[test]
fn a_device_that_was_removed_holds_nobody_up() {
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 100, 0)]),
        natures(3, &[]),
    );
    world.plan.handle(world.now, Happened::Missing(device(1).0));
    assert_eq!(world.run(), RolloutState::Finished);
    assert_eq!(world.count(TargetStatus::Skipped), 1);
}

#[test]
fn a_device_that_is_not_there_has_its_turn_when_it_comes() {
    let hours = 5 * 3_600;
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 100, 0)]),
        natures(12, &[(3, Nature::Absent(hours))]),
    );
    while world.updates.len() < 11 {
        assert!(world.step());
    }
    let reason = world
        .plan
        .target(device(3).0)
        .and_then(|target| target.reason.clone());
    assert_eq!(reason.as_deref(), Some("it is not registered"));
    world.now = time(BEGAN).plus(Duration::from_secs(hours));
    let names = [device(3).1, device(7).1].into_iter().collect();
    assert!(world.plan.concerns(&names));
    world.plan.came(&names);
    world.turn();
    assert_eq!(world.updates.len(), 12);
    assert_eq!(world.run(), RolloutState::Finished);
}

/// Those that have left a fleet and are still known are no reason to take an image back from the others.
#[test]
fn devices_that_never_come_are_no_failures() {
    let others = [(3, Nature::Absent(u64::MAX)), (4, Nature::Deaf)];
    let mut world = World::started(
        spec(vec![group("all", GroupSize::Rest, 100, 0)]),
        natures(12, &others),
    );
    assert_eq!(world.run(), RolloutState::Finished, "{}", world.log());
    assert_eq!(world.count(TargetStatus::Skipped), 2);
    assert_eq!(world.count(TargetStatus::Succeeded), 10);
    assert!(world.now >= time(BEGAN).plus(Duration::from_secs(7 * 86_400)));
}
