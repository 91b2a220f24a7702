//! A rollout in every state, with devices in every status, and texts that are markup.

use flownexus::domain::{
    DailyWindow, FirmwareId, GroupSize, GroupSpec, OnError, RolloutId, RolloutSpec, RolloutState,
    Selection, UpdateMethod, WindowText,
};

use crate::support::fake_rollouts::{FakeRollouts, of_every_status};

use super::{ASLEEP, GONE, HOSTILE, RICH, ago};

/// The one that is under way, with every status.
pub(crate) const RUNNING: i64 = 3;

pub(super) fn samples() -> FakeRollouts {
    let mut names = vec![RICH, ASLEEP, GONE, HOSTILE];
    let more: Vec<String> = (0..8).map(|at| format!("rollout-{at}")).collect();
    names.extend(more.iter().map(String::as_str));
    let rollouts = FakeRollouts::of_devices(&names);
    let states = [
        RolloutState::Ready,
        RolloutState::Paused,
        RolloutState::Running,
        RolloutState::RollingBack,
        RolloutState::Finished,
        RolloutState::RolledBack,
        RolloutState::Stopped,
    ];
    for (id, state) in (1..).zip(states) {
        rollouts.make(spec(id), "<b>ada");
        rollouts.change(RolloutId(id), |rollout, targets| {
            rollout.state = state;
            rollout.waits_for = (!state.is_over()).then(|| "the device <b>".to_owned());
            if state != RolloutState::Ready {
                rollout.reason = Some("<b>2 of 3 devices failed".to_owned());
                rollout.started_at = Some(ago(600));
                rollout.groups[0].forward.begun_at = Some(ago(600));
                rollout.groups[0].forward.passed_at = Some(ago(300));
                of_every_status(targets);
            }
            if matches!(state, RolloutState::RollingBack | RolloutState::RolledBack) {
                rollout.is_back = true;
                rollout.groups[0].back.begun_at = Some(ago(60));
            }
            for target in targets.iter_mut().take(3) {
                target.version_before = Some("<b>1.0".to_owned());
                target.reason = Some("the device <b>fell silent".to_owned());
                target.update = Some(flownexus::domain::FirmwareUpdateId(71));
            }
            rollout.finished_at = state.is_over().then(|| ago(10));
            rollout.tell(ago(300), "group `<b>canary` passed".to_owned());
        });
    }
    rollouts
}

fn spec(id: i64) -> RolloutSpec {
    let group = |name: &str, size| GroupSpec {
        name: name.to_owned(),
        size,
        success_percent: 90,
        error_percent: 10,
    };
    let window = WindowText {
        from: "22:00".to_owned(),
        to: "05:00".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        days: vec!["sat".to_owned()],
    };
    let full = id == RUNNING;
    RolloutSpec {
        name: format!("<b>autumn {id}"),
        firmware: FirmwareId(2),
        method: full.then_some(UpdateMethod::Push),
        selection: Selection::default(),
        newcomers: full,
        groups: vec![
            group("<b>canary", GroupSize::Count(2)),
            group("tenth", GroupSize::Percent(10)),
            group("rest", GroupSize::Rest),
        ],
        at_once: 10,
        start_at: full.then(|| ago(0)),
        window: full.then(|| DailyWindow::try_from(window).expect("a window")),
        on_error: OnError::RollBack,
        roll_back_to: full.then_some(FirmwareId(9)),
    }
}
