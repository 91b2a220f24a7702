//! Start, pause, resume, stop and roll back, at any moment.

use super::*;

#[test]
fn nothing_happens_before_it_is_started() {
    let mut world = World::new(spec(three_groups(80, 20)), natures(10, &[]));
    world.turn();
    assert!(world.updates.is_empty());
    assert_eq!(world.waits_for(), "somebody to start it");
}

#[test]
fn a_pause_begins_nobody_and_lets_updates_end() {
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &[]));
    world.steer(Command::Pause).expect("it pauses");
    assert_eq!(
        world.waits_for(),
        "somebody to resume it; 5 updates are under way"
    );
    while world.step() {}
    assert_eq!(world.count(TargetStatus::Succeeded), 5);
    assert_eq!(world.updates.len(), 5);
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.run(), RolloutState::Finished);
}

#[test]
fn a_stop_takes_back_what_it_can_and_ends_with_the_last_update() {
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &[]));
    world.steer(Command::Stop).expect("it stops");
    assert_eq!(world.plan.rollout().state, RolloutState::Stopped);
    assert!(!world.plan.is_over(), "three updates are under way");
    assert_eq!(world.run(), RolloutState::Stopped);
    assert!(world.plan.is_over());
    assert_eq!(world.count(TargetStatus::Succeeded), 3);
    assert_eq!(world.count(TargetStatus::Cancelled), 97);
    assert_eq!(world.waits_for(), "nothing");
    // And what it had changed can be given back all the same.
    world.steer(Command::RollBack).expect("it goes back");
    assert!(!world.plan.is_over());
    assert_eq!(world.run(), RolloutState::RolledBack);
    assert_eq!(world.count(TargetStatus::RolledBack), 3);
}

#[test]
fn a_way_back_that_was_stopped_can_be_taken_up_again() {
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &[]));
    assert_eq!(world.run(), RolloutState::Finished);
    world.steer(Command::RollBack).expect("it goes back");
    assert!(world.step());
    world.steer(Command::Stop).expect("it stops");
    assert_eq!(world.run(), RolloutState::Stopped);
    let before = world.count(TargetStatus::RolledBack);
    assert!((1..100).contains(&before), "{before}");
    world.steer(Command::RollBack).expect("it goes back");
    assert_eq!(world.run(), RolloutState::RolledBack);
    assert_eq!(world.count(TargetStatus::RolledBack), 100);
}

#[test]
fn a_pause_on_the_way_back_goes_on_back() {
    let mut world = World::started(spec(three_groups(80, 20)), natures(30, &[]));
    assert_eq!(world.run(), RolloutState::Finished);
    world.steer(Command::RollBack).expect("it goes back");
    world.steer(Command::Pause).expect("it pauses");
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.plan.rollout().state, RolloutState::RollingBack);
    assert_eq!(world.run(), RolloutState::RolledBack);
}

#[test]
fn what_cannot_be_done_now_is_refused_with_words() {
    let mut world = World::new(spec(three_groups(80, 20)), natures(10, &[]));
    let refuses = |world: &mut World, command, word: &str| {
        let error = world.steer(command).expect_err(word).to_string();
        assert!(error.contains(word), "{error}");
    };
    refuses(
        &mut world,
        Command::Pause,
        "rollout 7 is READY: it was not started",
    );
    refuses(&mut world, Command::RollBack, "no device was changed");
    world.steer(Command::Start).expect("it starts");
    refuses(&mut world, Command::Start, "started already");
    refuses(&mut world, Command::Resume, "it goes on already");
    assert_eq!(world.run(), RolloutState::Finished);
    refuses(&mut world, Command::Stop, "it is over");
    world.steer(Command::RollBack).expect("it goes back");
    refuses(&mut world, Command::RollBack, "it goes back already");
    assert_eq!(world.run(), RolloutState::RolledBack);
    let word = "no device runs anything that it would have to give back";
    refuses(&mut world, Command::RollBack, word);
}

/// Whoever paused it did not know of failures that came later.
#[test]
fn failures_during_a_pause_of_somebody_count_when_it_is_resumed() {
    let failing: Vec<_> = (0..4).map(|index| (index, Nature::Fails)).collect();
    let mut world = World::started(spec(three_groups(80, 20)), natures(100, &failing));
    world.steer(Command::Pause).expect("it pauses");
    while world.step() {}
    assert_eq!(world.count(TargetStatus::Failed), 4);
    world.steer(Command::Resume).expect("it goes on");
    assert_eq!(world.run(), RolloutState::RolledBack, "{}", world.log());
    assert_eq!(world.count(TargetStatus::Cancelled), 95);
}

#[test]
fn a_turn_begins_so_many_that_somebody_gets_a_word_in() {
    let plan = RolloutSpec {
        at_once: 1_000,
        ..spec(vec![group("all", GroupSize::Rest, 80, 20)])
    };
    let mut world = World::new(plan, natures(700, &[]));
    world
        .plan
        .steer(world.now, Command::Start, "olga")
        .expect("it starts");
    let sizes: Vec<usize> = (0..4)
        .map(|_| {
            let begin = world.decide();
            for one in &begin {
                world.begin(one);
            }
            begin.len()
        })
        .collect();
    assert_eq!(sizes, [200, 200, 200, 100]);
}
