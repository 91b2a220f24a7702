//! Rollouts as pages show them: bars, badges, groups, devices, and what may be done.

use serde::Serialize;

use super::words;
use crate::domain::{
    DailyWindow, GroupSize, GroupSpec, GroupState, OnError, Rollout, RolloutState, RolloutTarget,
    TargetCounts, TargetStatus, Timestamp, count,
};

/// A rollout in the list of all.
#[derive(Debug, Serialize)]
pub(super) struct RolloutLine {
    id: i64,
    name: String,
    version: String,
    devices: String,
    state: Badge,
    pub(super) is_over: bool,
    waits_for: String,
    reason: String,
    bar: Bar,
    legend: Vec<Part>,
    created_at: Timestamp,
    created_by: String,
}

impl RolloutLine {
    pub(super) fn of(rollout: &Rollout) -> Self {
        let counts = rollout.counts();
        Self {
            id: rollout.id.0,
            name: rollout.spec.name.clone(),
            version: rollout.version.clone(),
            devices: rollout.spec.selection.to_string(),
            state: Badge::of_state(rollout.state),
            is_over: rollout.finished_at.is_some(),
            waits_for: rollout.waits_for.clone().unwrap_or_default(),
            reason: rollout.reason.clone().unwrap_or_default(),
            bar: Bar::of(&counts, None),
            legend: parts(&counts),
            created_at: rollout.created_at,
            created_by: rollout.created_by.clone(),
        }
    }
}

/// A rollout on its own page.
#[derive(Debug, Serialize)]
pub(super) struct RolloutView {
    #[serde(flatten)]
    line: RolloutLine,
    count: String,
    method: &'static str,
    newcomers: bool,
    at_once: u32,
    start_at: Option<Timestamp>,
    window: String,
    on_error: &'static str,
    roll_back_to: String,
    groups: Vec<GroupLine>,
    /// Newest first: what happens now is above.
    log: Vec<LogLine>,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    actions: Vec<Action>,
    is_removable: bool,
}

impl RolloutView {
    /// `back_to`: the version of the image that devices are given on the way back, where it is one for all.
    pub(super) fn of(rollout: &Rollout, back_to: Option<String>) -> Self {
        let spec = &rollout.spec;
        let log = rollout.log.iter().rev().map(|line| LogLine {
            at: line.at,
            text: line.text.clone(),
        });
        let groups = spec.groups.iter().zip(&rollout.groups).enumerate();
        let devices = rollout.counts().all() as usize;
        Self {
            line: RolloutLine::of(rollout),
            count: count(devices, "device"),
            method: spec.method.map_or("as each device can", words::way),
            newcomers: spec.newcomers,
            at_once: spec.at_once,
            start_at: spec.start_at,
            window: spec
                .window
                .as_ref()
                .map(DailyWindow::to_string)
                .unwrap_or_default(),
            on_error: on_error_words(spec.on_error),
            roll_back_to: back_to.unwrap_or_else(|| "what each device ran before".to_owned()),
            groups: groups
                .map(|(index, (spec, state))| GroupLine::of(index, spec, state))
                .collect(),
            log: log.collect(),
            started_at: rollout.started_at,
            finished_at: rollout.finished_at,
            actions: actions(rollout),
            is_removable: rollout.is_removable(),
        }
    }
}

/// What happens when too many devices fail, in words.
pub(super) fn on_error_words(on_error: OnError) -> &'static str {
    match on_error {
        OnError::Pause => "pause until somebody decides",
        OnError::RollBack => "roll back: devices get back what they ran",
        OnError::Stop => "stop: it is over",
    }
}

/// Something that may be asked of a rollout as it stands.
#[derive(Debug, Serialize)]
struct Action {
    /// As the API calls it.
    name: &'static str,
    label: &'static str,
    icon: &'static str,
    /// Of the button: `btn-primary` and the like.
    look: &'static str,
    /// What the person is asked first; nothing where no harm can come of it.
    question: String,
}

fn actions(rollout: &Rollout) -> Vec<Action> {
    use RolloutState::{Finished, Paused, Ready, RolledBack, RollingBack, Running, Stopped};
    let counts = rollout.counts();
    let waiting = count(counts.of(TargetStatus::Waiting) as usize, "device");
    let action = |name, label, icon, look, question: String| Action {
        name,
        label,
        icon,
        look,
        question,
    };
    let start = || {
        let version = &rollout.version;
        let question = format!(
            "Start this rollout? {waiting} will be given {version}, as soon as their turn comes."
        );
        action("start", "Start", "player-play", "btn-primary", question)
    };
    let pause = || {
        let nothing = String::new();
        action("pause", "Pause", "player-pause", "", nothing)
    };
    let resume = || {
        let question = format!("Resume this rollout? {waiting} will be begun in their turn.");
        let question = if rollout.is_back {
            "Resume this rollout? It goes on taking the image back.".to_owned()
        } else {
            question
        };
        action("resume", "Resume", "player-play", "btn-primary", question)
    };
    let stop = || {
        let question = "Stop this rollout for good? Updates that can still be taken back are; devices that were \
                        changed stay as they are."
            .to_owned();
        let look = "btn-outline-danger";
        action("stop", "Stop", "player-stop", look, question)
    };
    let roll_back = || {
        let question = "Roll this rollout back? Devices that were changed get back what they ran before, group by \
                        group."
            .to_owned();
        let (label, look) = ("Roll back", "btn-outline-warning");
        action("roll-back", label, "arrow-back-up", look, question)
    };
    match rollout.state {
        Ready => vec![start(), stop()],
        Running => vec![pause(), roll_back(), stop()],
        Paused if rollout.is_back => vec![resume(), stop()],
        Paused => vec![resume(), roll_back(), stop()],
        RollingBack => vec![pause(), stop()],
        Finished | Stopped => vec![roll_back()],
        RolledBack => Vec::new(),
    }
}

#[derive(Debug, Serialize)]
struct GroupLine {
    index: usize,
    name: String,
    size: String,
    /// How it stands, in words, and since when.
    stands: &'static str,
    since: Option<Timestamp>,
    success_percent: u8,
    error_percent: u8,
    bar: Bar,
    legend: Vec<Part>,
}

impl GroupLine {
    fn of(index: usize, spec: &GroupSpec, state: &GroupState) -> Self {
        let devices = count(state.counts.all() as usize, "device");
        let (forward, back) = (state.forward, state.back);
        let (stands, since) = if back.passed_at.is_some() {
            ("went back", back.passed_at)
        } else if back.begun_at.is_some() {
            ("goes back, begun", back.begun_at)
        } else if forward.passed_at.is_some() {
            ("reached its threshold", forward.passed_at)
        } else if forward.begun_at.is_some() {
            ("begun", forward.begun_at)
        } else {
            ("not begun", None)
        };
        Self {
            index,
            name: spec.name.clone(),
            size: match spec.size {
                GroupSize::Percent(percent) => format!("{devices} ({percent} % of all)"),
                GroupSize::Count(_) | GroupSize::Rest => devices,
            },
            stands,
            since,
            success_percent: spec.success_percent,
            error_percent: spec.error_percent,
            bar: Bar::of(&state.counts, Some(spec)),
            legend: parts(&state.counts),
        }
    }
}

#[derive(Debug, Serialize)]
struct LogLine {
    at: Timestamp,
    text: String,
}

/// A device of a rollout.
#[derive(Debug, Serialize)]
pub(super) struct TargetLine {
    endpoint: String,
    group: String,
    status: Badge,
    version_before: String,
    update: Option<i64>,
    back_update: Option<i64>,
    reason: String,
    changed_at: Timestamp,
}

impl TargetLine {
    pub(super) fn of(rollout: &Rollout, target: RolloutTarget) -> Self {
        let group = rollout.spec.groups.get(usize::from(target.group));
        Self {
            endpoint: target.endpoint.to_string(),
            group: group.map(|group| group.name.clone()).unwrap_or_default(),
            status: Badge::of_status(target.status),
            version_before: target.version_before.unwrap_or_default(),
            update: target.update.map(|update| update.0),
            back_update: target.back_update.map(|update| update.0),
            reason: target.reason.unwrap_or_default(),
            changed_at: target.changed_at,
        }
    }
}

/// A word in a colour of the style sheet.
#[derive(Debug, Serialize)]
pub(super) struct Badge {
    /// As the API calls it.
    name: &'static str,
    word: String,
    colour: &'static str,
}

impl Badge {
    fn of_state(state: RolloutState) -> Self {
        let colour = match state {
            RolloutState::Ready => "secondary",
            RolloutState::Running => "azure",
            RolloutState::Paused => "yellow",
            RolloutState::RollingBack => "orange",
            RolloutState::Finished => "green",
            RolloutState::RolledBack => "purple",
            RolloutState::Stopped => "red",
        };
        Self {
            name: state.name(),
            word: spoken(state.name()),
            colour,
        }
    }

    fn of_status(status: TargetStatus) -> Self {
        Self {
            name: status.name(),
            word: spoken(status.name()),
            colour: colour(status),
        }
    }
}

/// `ROLLED_BACK` becomes `rolled back`.
pub(super) fn spoken(name: &str) -> String {
    name.to_lowercase().replace('_', " ")
}

fn colour(status: TargetStatus) -> &'static str {
    match status {
        TargetStatus::Waiting => "secondary",
        TargetStatus::Updating => "azure",
        TargetStatus::Succeeded => "green",
        TargetStatus::Unchanged => "teal",
        TargetStatus::Failed => "red",
        TargetStatus::Skipped => "yellow",
        TargetStatus::Cancelled => "secondary",
        TargetStatus::RollingBack => "orange",
        TargetStatus::RolledBack => "purple",
        TargetStatus::RollBackFailed => "pink",
    }
}

/// How many devices have a status: a line of the legend of a bar.
#[derive(Debug, Serialize)]
struct Part {
    status: Badge,
    count: u32,
}

fn parts(counts: &TargetCounts) -> Vec<Part> {
    let part = |status: TargetStatus| Part {
        status: Badge::of_status(status),
        count: counts.of(status),
    };
    let parts = ORDER.into_iter().map(part);
    parts.filter(|part| part.count > 0).collect()
}

/// A bar of what the devices have become. Good news grows from its left, bad news from its right, so that they meet
/// the marks of the thresholds from their sides.
#[derive(Debug, Serialize)]
struct Bar {
    segments: Vec<Segment>,
    /// Where its marks are, in percent of its width.
    marks: Vec<f64>,
    /// What it shows, for those who do not see it.
    label: String,
}

#[derive(Debug, Serialize)]
struct Segment {
    status: &'static str,
    /// In percent of the width of the bar.
    x: f64,
    width: f64,
    label: String,
}

/// From the left of a bar to its right.
const ORDER: [TargetStatus; TargetStatus::ALL.len()] = [
    TargetStatus::Succeeded,
    TargetStatus::Unchanged,
    TargetStatus::RolledBack,
    TargetStatus::Updating,
    TargetStatus::RollingBack,
    TargetStatus::Waiting,
    TargetStatus::Cancelled,
    TargetStatus::Skipped,
    TargetStatus::RollBackFailed,
    TargetStatus::Failed,
];

impl Bar {
    fn of(counts: &TargetCounts, thresholds: Option<&GroupSpec>) -> Self {
        let all = counts.all();
        let percent = |count: u32| {
            let percent = f64::from(count) * 100.0 / f64::from(all.max(1));
            (percent * 1000.0).round() / 1000.0
        };
        let (mut segments, mut words) = (Vec::new(), Vec::new());
        let mut before = 0;
        for status in ORDER {
            let count = counts.of(status);
            if count == 0 {
                continue;
            }
            let label = format!("{count} {}", spoken(status.name()));
            words.push(label.clone());
            // What waits is the ground that the rest is drawn on.
            if status != TargetStatus::Waiting {
                segments.push(Segment {
                    status: status.name(),
                    x: percent(before),
                    width: percent(count),
                    label,
                });
            }
            before += count;
        }
        let label = match words.as_slice() {
            [] => "no devices".to_owned(),
            words => format!("Of {all}: {}", words.join(", ")),
        };
        let mut marks: Vec<f64> = thresholds
            .into_iter()
            .flat_map(|group| {
                let error = 100_u8.saturating_sub(group.error_percent);
                [f64::from(group.success_percent), f64::from(error)]
            })
            .filter(|mark| *mark < 100.0)
            .collect();
        marks.dedup();
        Self {
            segments,
            marks,
            label,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(TargetStatus, u32)]) -> TargetCounts {
        TargetCounts::from(
            of.iter()
                .copied()
                .collect::<std::collections::BTreeMap<_, _>>(),
        )
    }

    #[test]
    fn a_bar_grows_from_both_sides_and_leaves_what_waits() {
        let counts = counts(&[
            (TargetStatus::Failed, 1),
            (TargetStatus::Waiting, 4),
            (TargetStatus::Updating, 2),
            (TargetStatus::Succeeded, 1),
        ]);
        let group = GroupSpec {
            name: "a".to_owned(),
            size: GroupSize::Rest,
            success_percent: 90,
            error_percent: 10,
        };
        let bar = Bar::of(&counts, Some(&group));
        let shown: Vec<(&str, f64, f64)> = bar
            .segments
            .iter()
            .map(|segment| (segment.status, segment.x, segment.width))
            .collect();
        assert_eq!(
            shown,
            [
                ("SUCCEEDED", 0.0, 12.5),
                ("UPDATING", 12.5, 25.0),
                ("FAILED", 87.5, 12.5)
            ]
        );
        assert_eq!(bar.marks, [90.0]);
        assert_eq!(
            bar.label,
            "Of 8: 1 succeeded, 2 updating, 4 waiting, 1 failed"
        );
        let empty = Bar::of(&TargetCounts::default(), None);
        assert_eq!(
            (empty.segments.len(), empty.label.as_str()),
            (0, "no devices")
        );
    }

    #[test]
    fn every_status_has_its_place_in_the_bar() {
        for status in TargetStatus::ALL {
            let places = ORDER.into_iter().filter(|is| *is == status);
            assert_eq!(places.count(), 1, "{status:?}");
        }
    }
}
