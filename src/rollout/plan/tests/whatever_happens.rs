//! Whatever devices do, people say and crashes destroy: it ends, nobody is updated twice, limits hold.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Step,
    /// Killed before anything of the next turn is begun.
    CrashBeforeBegin,
    /// Killed when half of it is begun.
    CrashAmidBegin,
    /// It is not known what became of the next devices, and they are looked up.
    Doubt,
    Steer(Command),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Step),
        1 => Just(Act::CrashBeforeBegin),
        1 => Just(Act::CrashAmidBegin),
        1 => Just(Act::Doubt),
        1 => select(vec![Command::Pause, Command::Resume, Command::Resume, Command::Stop, Command::RollBack])
            .prop_map(Act::Steer),
    ]
}

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        8 => Just(Nature::Good),
        1 => Just(Nature::Fails),
        1 => Just(Nature::StaysNew),
        1 => Just(Nature::Current),
        1 => Just(Nature::NoObject),
        1 => Just(Nature::Mute),
        1 => Just(Nature::Lost),
        1 => Just(Nature::Deaf),
        1 => (0_u64..5_000).prop_map(Nature::Absent),
        1 => (0_u64..5_000).prop_map(Nature::Busy),
    ]
}

/// The next thing happens, but not all of its turn is begun.
fn begin_some(world: &mut World, how_many: impl Fn(usize) -> usize) {
    let ends = world.updates.iter().map(|(_, end)| *end);
    if let Some(next) = ends.filter(|end| *end > world.now).min() {
        world.now = next;
    }
    world.tell_of_updates();
    let begin = world.decide();
    for one in begin.iter().take(how_many(begin.len())) {
        world.begin(one);
    }
}

fn check(world: &World, at_once: u32) -> Result<(), TestCaseError> {
    let rollout = world.plan.rollout();
    for status in [TargetStatus::Updating, TargetStatus::RollingBack] {
        let active = world.plan.active().filter(|target| target.status == status);
        prop_assert!(active.count() <= at_once as usize);
    }
    let counts = rollout.counts();
    prop_assert_eq!(counts.all() as usize, world.plan.len());
    for (before, after) in rollout.groups.iter().zip(rollout.groups.iter().skip(1)) {
        prop_assert!(after.forward.begun_at.is_none() || before.forward.passed_at.is_some());
        prop_assert!(after.back.begun_at.is_none() || before.back.passed_at.is_some());
    }
    prop_assert_eq!(
        rollout.state.is_over() && world.plan.active().count() == 0,
        rollout.finished_at.is_some()
    );
    prop_assert_eq!(rollout.finished_at.is_some(), rollout.waits_for.is_none());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_and_nobody_is_updated_twice(
        natures in prop::collection::vec(nature(), 1..60),
        (success, error) in (1_u8..=100).prop_flat_map(|success| (Just(success), 0..=(100 - success))),
        at_once in 1_u32..20,
        on_error in select(OnError::ALL.to_vec()),
        acts in prop::collection::vec(act(), 0..40),
    ) {
        let plan = RolloutSpec { at_once, on_error, ..spec(three_groups(success, error)) };
        // That a device is begun twice is noticed where it is begun.
        let mut world = World::started(plan, natures);
        check(&world, at_once)?;
        for act in acts {
            match act {
                Act::Step => {
                    world.step();
                }
                Act::CrashBeforeBegin => {
                    begin_some(&mut world, |_| 0);
                    world.crash();
                }
                Act::CrashAmidBegin => {
                    begin_some(&mut world, |all| all / 2);
                    world.crash();
                }
                Act::Doubt => {
                    for one in world.decide() {
                        if one.device.0 % 2 == 0 {
                            world.begin(&one);
                        } else {
                            let device = one.device;
                            world.plan.handle(world.now, Happened::NotBegun { device, why: NotBegun::InDoubt });
                            world.plan.handle(world.now, Happened::Missing(device));
                        }
                    }
                    world.turn();
                }
                Act::Steer(command) => {
                    let _ = world.steer(command);
                }
            }
            check(&world, at_once)?;
        }
        for _ in 0..200 {
            if world.run() == RolloutState::Paused {
                world.steer(Command::Resume).expect("it goes on");
            }
        }
        prop_assert!(world.plan.is_over(), "{:?}\n{}", world.plan.rollout(), world.log());
        check(&world, at_once)?;
        // Whoever runs what was taken back is known to.
        if world.plan.rollout().state == RolloutState::RolledBack {
            for target in world.plan.targets() {
                let is_known = target.status == TargetStatus::RollBackFailed;
                prop_assert!(is_known || !world.runs_it(target.endpoint_id), "{target:?}");
            }
        }
    }
}
