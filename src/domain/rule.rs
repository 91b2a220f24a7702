//! Rules: what makes an event of values, or of their absence.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids::{EndpointId, EventId, RuleId};
use super::names::names;
use super::pattern::PathPattern;
use super::selection::Selection;
use super::time::Timestamp;
use super::words::span;

/// A rule that is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Its row; 0 before it is stored.
    pub id: RuleId,
    /// Grows whenever what it watches changes; what was remembered for an earlier one is void.
    pub revision: i64,
    /// What people said of it.
    pub spec: RuleSpec,
}

/// What people say of a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleSpec {
    /// Its name, unique.
    pub name: String,
    /// Only then it is looked at.
    pub enabled: bool,
    /// Which values it is about. Each path that fits is watched by itself.
    pub path: PathPattern,
    /// For which devices.
    pub selection: Selection,
    /// When there is an event.
    pub condition: Condition,
    /// How bad that is.
    pub severity: Option<Severity>,
    /// The type of its events; the rule's name when there is none.
    pub event_type: Option<String>,
    /// Whose latest values go into the event beside the value itself; when there are none: the
    /// other resources of the same object instance.
    pub include: Vec<PathPattern>,
    /// Between two events of one device and path lie at least so many seconds. What happens in
    /// between and still holds afterwards is told then.
    pub cooldown_s: u64,
}

/// When a rule makes an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Condition {
    /// No value for so long, once for each gap.
    Absence {
        /// Seconds, at least 1.
        after_s: u64,
    },
    /// A value that differs from the one that was told of last, at first from the first one.
    Change {
        /// Numbers must differ by at least so much.
        by: Option<f64>,
    },
    /// A number that leaves a range, once until it is back.
    Threshold(Threshold),
}

/// The range that a number should be in, with at least one of its ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// More than this is too much.
    pub above: Option<f64>,
    /// Less than this is too little.
    pub below: Option<f64>,
    /// After too much, this or less is back; [`above`](Self::above) less the hysteresis otherwise.
    pub clear_above: Option<f64>,
    /// After too little, this or more is back; [`below`](Self::below) and the hysteresis otherwise.
    pub clear_below: Option<f64>,
    /// How far inside of the range is back, where no number is given for that end.
    pub hysteresis: Option<f64>,
    /// It must hold for so many seconds.
    pub for_s: u64,
}

/// An end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Side {
    /// Too much. Conditions without sides are on this one.
    High,
    /// Too little.
    Low,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// To be looked at now.
    Critical,
}

// The mildest first.
names!(Severity, "severity", {
    Info = "info",
    Warning = "warning",
    Critical = "critical",
});

/// Why a rule makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidRule {
    /// The field that is to blame, for example `condition.above`.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Where a rule stands with one path of one device: what must not be forgotten by a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleState {
    /// The rule.
    pub rule: RuleId,
    /// Its revision; see [`Rule::revision`].
    pub revision: i64,
    /// The device.
    pub endpoint_id: EndpointId,
    /// The path; or the rule's own pattern, while a rule on absence has not seen any value.
    pub place: PathPattern,
    /// How far it is.
    pub phase: Phase,
    /// The time of the newest value that was judged, at the latest when it arrived.
    pub newest_at: Option<Timestamp>,
    /// Since when the condition holds by the times of the values, while it is pending.
    pub since: Option<Timestamp>,
    /// From when the clock of a pending condition runs; the time that the server was down is
    /// forgiven.
    pub clock_at: Option<Timestamp>,
    /// The time of the last event.
    pub event_at: Option<Timestamp>,
    /// The value that changes are told against, as a text that differs when the value does.
    pub reported: Option<String>,
    /// The value that is told of once the cooldown is over.
    pub seen: Option<String>,
}

/// How far a condition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// It does not hold.
    Idle,
    /// It holds, but not for long enough, or too short after the last event. On absence: a value
    /// came, and the time until the next one runs.
    Pending(Side),
    /// It was told of and still holds.
    Over(Side),
}

/// An event that a rule makes, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleEvent {
    /// Its row.
    pub id: EventId,
    /// The device.
    pub endpoint_id: EndpointId,
    /// The type of the event.
    pub event_type: String,
    /// The rule's name.
    pub rule: String,
    /// How bad that is.
    pub severity: Option<Severity>,
    /// What happened, in words.
    pub message: String,
    /// When it happened.
    pub at: Timestamp,
    /// The path that it is about, or the rule's pattern when nothing came at all.
    pub place: PathPattern,
    /// The value that made it: its index in the values of the change in front of this one in the
    /// same commit. Without one it was time that made it.
    pub value: Option<usize>,
    /// Whose latest values belong to it, those of the same commit included.
    pub include: Vec<PathPattern>,
}

impl RuleEvent {
    /// The largest number of values in one event.
    pub const MAX_VALUES: usize = 64;
}

impl RuleSpec {
    /// What it is, in words: for the audit log.
    pub fn describe(&self) -> String {
        let off = if self.enabled { "" } else { ", off" };
        let (name, path, condition) = (&self.name, self.path, &self.condition);
        format!("{name}: {path} {condition}, for {}{off}", self.selection)
    }

    /// The longest name, in characters.
    pub const MAX_NAME_CHARS: usize = 100;
    /// The longest event type, in characters.
    pub const MAX_TYPE_CHARS: usize = 64;
    /// The largest number of patterns in [`include`](Self::include).
    pub const MAX_INCLUDE: usize = 16;
    /// The longest time that can be asked for, in seconds: a year.
    pub const MAX_SECONDS: u64 = 31_536_000;

    /// The type of its events.
    pub fn event_type(&self) -> &str {
        self.event_type.as_deref().unwrap_or(&self.name)
    }

    /// True when the two watch the same in the same way, so that what is remembered stays good.
    pub fn watches_like(&self, other: &Self) -> bool {
        self.enabled == other.enabled
            && self.path == other.path
            && self.condition == other.condition
    }

    /// Checks everything that can be wrong with it.
    ///
    /// # Errors
    /// Names the field and says why it makes no sense.
    pub fn check(&self) -> Result<(), InvalidRule> {
        check_label("name", &self.name, Self::MAX_NAME_CHARS)?;
        if let Some(event_type) = &self.event_type {
            check_label("event_type", event_type, Self::MAX_TYPE_CHARS)?;
        }
        self.selection
            .check()
            .map_err(|reason| invalid("filter", reason))?;
        if self.include.len() > Self::MAX_INCLUDE {
            let most = Self::MAX_INCLUDE;
            return Err(invalid(
                "include",
                format!("at most {most} paths can be included"),
            ));
        }
        check_seconds("cooldown_s", self.cooldown_s)?;
        match &self.condition {
            Condition::Absence { after_s: 0 } => {
                Err(invalid("condition.after_s", "must be at least 1"))
            }
            Condition::Absence { after_s } => check_seconds("condition.after_s", *after_s),
            Condition::Change { by: None } => Ok(()),
            Condition::Change { by: Some(by) } if by.is_finite() && *by > 0.0 => Ok(()),
            Condition::Change { by: Some(_) } => {
                Err(invalid("condition.by", "must be a number above 0"))
            }
            Condition::Threshold(threshold) => threshold.check(),
        }
    }
}

impl Condition {
    /// Its kind in the API.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Absence { .. } => "absence",
            Self::Change { .. } => "change",
            Self::Threshold(_) => "threshold",
        }
    }
}

impl fmt::Display for Condition {
    /// The condition as a person reads it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absence { after_s } => write!(f, "no value for {}", span(*after_s)),
            Self::Change { by: None } => f.write_str("any change"),
            Self::Change { by: Some(by) } => write!(f, "a change by {by} or more"),
            Self::Threshold(threshold) => {
                match (threshold.above, threshold.below) {
                    (Some(above), Some(below)) => write!(f, "above {above} or below {below}")?,
                    (Some(above), None) => write!(f, "above {above}")?,
                    (None, Some(below)) => write!(f, "below {below}")?,
                    (None, None) => {}
                }
                if threshold.for_s > 0 {
                    write!(f, " for {}", span(threshold.for_s))?;
                }
                Ok(())
            }
        }
    }
}

impl Threshold {
    /// Where this number is outside of the range.
    pub fn side(&self, number: f64) -> Option<Side> {
        if self.above.is_some_and(|above| number > above) {
            Some(Side::High)
        } else if self.below.is_some_and(|below| number < below) {
            Some(Side::Low)
        } else {
            None
        }
    }

    /// True when this number is back after it was outside on that side.
    pub fn is_back(&self, side: Side, number: f64) -> bool {
        match side {
            Side::High => self.clear_high().is_none_or(|clear| number <= clear),
            Side::Low => self.clear_low().is_none_or(|clear| number >= clear),
        }
    }

    fn clear_high(&self) -> Option<f64> {
        let hysteresis = self.hysteresis.unwrap_or(0.0);
        self.clear_above
            .or_else(|| self.above.map(|above| above - hysteresis))
    }

    fn clear_low(&self) -> Option<f64> {
        let hysteresis = self.hysteresis.unwrap_or(0.0);
        self.clear_below
            .or_else(|| self.below.map(|below| below + hysteresis))
    }

    fn check(&self) -> Result<(), InvalidRule> {
        let numbers = [
            ("condition.above", self.above),
            ("condition.below", self.below),
            ("condition.clear_above", self.clear_above),
            ("condition.clear_below", self.clear_below),
            ("condition.hysteresis", self.hysteresis),
        ];
        for (field, number) in numbers {
            if number.is_some_and(|number| !number.is_finite()) {
                return Err(invalid(field, "must be a number"));
            }
        }
        if self.above.is_none() && self.below.is_none() {
            let reason = "a threshold needs `above` or `below`";
            return Err(invalid("condition.above", reason));
        }
        if let (Some(above), Some(below)) = (self.above, self.below)
            && above < below
        {
            let reason = "must not be less than `below`: every value would be outside";
            return Err(invalid("condition.above", reason));
        }
        if self.hysteresis.is_some_and(|hysteresis| hysteresis < 0.0) {
            return Err(invalid("condition.hysteresis", "must not be negative"));
        }
        let ends = [
            ("condition.clear_above", self.clear_above, self.above),
            ("condition.clear_below", self.clear_below, self.below),
        ];
        for (field, clear, end) in ends {
            if clear.is_some() && end.is_none() {
                let reason = "there is no such end of the range to come back from";
                return Err(invalid(field, reason));
            }
            if clear.is_some() && self.hysteresis.is_some() {
                return Err(invalid(field, "give this or `hysteresis`, not both"));
            }
        }
        if self.clear_high() > self.above && self.above.is_some() {
            return Err(invalid(
                "condition.clear_above",
                "must not be above `above`",
            ));
        }
        if let (Some(clear), Some(below)) = (self.clear_low(), self.below)
            && clear < below
        {
            return Err(invalid(
                "condition.clear_below",
                "must not be below `below`",
            ));
        }
        if let (Some(high), Some(low)) = (self.clear_high(), self.clear_low())
            && high < low
        {
            let field = if self.hysteresis.is_some() {
                "condition.hysteresis"
            } else {
                "condition.clear_above"
            };
            return Err(invalid(field, "no value would ever be back in the range"));
        }
        check_seconds("condition.for_s", self.for_s)
    }
}

impl Phase {
    /// The name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Pending(Side::High) => "pending",
            Self::Pending(Side::Low) => "pending_low",
            Self::Over(Side::High) => "over",
            Self::Over(Side::Low) => "over_low",
        }
    }
}

impl FromStr for Phase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [
            Self::Idle,
            Self::Pending(Side::High),
            Self::Pending(Side::Low),
            Self::Over(Side::High),
            Self::Over(Side::Low),
        ];
        all.into_iter()
            .find(|phase| phase.name() == text)
            .ok_or_else(|| format!("`{text}` is no phase of a rule"))
    }
}

fn check_label(field: &'static str, text: &str, most: usize) -> Result<(), InvalidRule> {
    let chars = text.chars().count();
    if chars == 0 || chars > most || text.trim() != text || text.chars().any(char::is_control) {
        return Err(invalid(
            field,
            format!(
                "it has 1 to {most} characters, no control characters and no space around them"
            ),
        ));
    }
    Ok(())
}

fn check_seconds(field: &'static str, seconds: u64) -> Result<(), InvalidRule> {
    let most = RuleSpec::MAX_SECONDS;
    if seconds > most {
        return Err(invalid(field, format!("must be at most {most} (a year)")));
    }
    Ok(())
}

fn invalid(field: &'static str, reason: impl Into<String>) -> InvalidRule {
    InvalidRule {
        field,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threshold(above: Option<f64>, below: Option<f64>) -> Threshold {
        Threshold {
            above,
            below,
            ..Threshold::default()
        }
    }

    fn spec(condition: Condition) -> RuleSpec {
        RuleSpec {
            name: "too warm".to_owned(),
            enabled: true,
            path: "/3303/*/5700".parse().expect("a pattern"),
            selection: Selection::default(),
            condition,
            severity: None,
            event_type: None,
            include: Vec::new(),
            cooldown_s: 0,
        }
    }

    #[track_caller]
    fn blamed(condition: Condition) -> &'static str {
        spec(condition).check().expect_err("no sense").field
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let of = Condition::Threshold;
        assert_eq!(blamed(of(threshold(None, None))), "condition.above");
        assert_eq!(
            blamed(of(threshold(Some(10.0), Some(20.0)))),
            "condition.above"
        );
        assert_eq!(
            blamed(of(threshold(Some(f64::NAN), None))),
            "condition.above"
        );
        let hysteresis = |hysteresis| Threshold {
            hysteresis: Some(hysteresis),
            ..threshold(Some(30.0), Some(20.0))
        };
        assert_eq!(blamed(of(hysteresis(-1.0))), "condition.hysteresis");
        assert_eq!(blamed(of(hysteresis(8.0))), "condition.hysteresis");
        assert_eq!(spec(of(hysteresis(5.0))).check(), Ok(()));
        let clear = Threshold {
            clear_above: Some(31.0),
            ..threshold(Some(30.0), None)
        };
        assert_eq!(blamed(of(clear)), "condition.clear_above");
        let clear = Threshold {
            clear_below: Some(1.0),
            ..threshold(Some(30.0), None)
        };
        assert_eq!(blamed(of(clear)), "condition.clear_below");
        let clear = Threshold {
            clear_below: Some(10.0),
            ..threshold(None, Some(20.0))
        };
        assert_eq!(blamed(of(clear)), "condition.clear_below");
        assert_eq!(
            blamed(Condition::Absence { after_s: 0 }),
            "condition.after_s"
        );
        assert_eq!(blamed(Condition::Change { by: Some(0.0) }), "condition.by");
        assert_eq!(
            blamed(of(Threshold {
                for_s: u64::MAX,
                ..threshold(Some(1.0), None)
            })),
            "condition.for_s"
        );
        let nameless = RuleSpec {
            name: " ".to_owned(),
            ..spec(Condition::Change { by: None })
        };
        assert_eq!(nameless.check().expect_err("a space").field, "name");
    }

    #[test]
    fn a_range_with_hysteresis_says_what_is_outside_and_what_is_back() {
        let range = Threshold {
            hysteresis: Some(2.0),
            ..threshold(Some(30.0), Some(10.0))
        };
        assert_eq!(range.side(30.0), None);
        assert_eq!(range.side(30.1), Some(Side::High));
        assert_eq!(range.side(9.9), Some(Side::Low));
        assert!(!range.is_back(Side::High, 28.1) && range.is_back(Side::High, 28.0));
        assert!(!range.is_back(Side::Low, 11.9) && range.is_back(Side::Low, 12.0));
        assert_eq!(range.side(f64::NAN), None);
    }

    #[test]
    fn conditions_survive_json_and_are_read_by_people() {
        let all = [
            (Condition::Absence { after_s: 7200 }, "no value for 2 h"),
            (Condition::Change { by: None }, "any change"),
            (
                Condition::Change { by: Some(0.5) },
                "a change by 0.5 or more",
            ),
            (
                Condition::Threshold(Threshold {
                    for_s: 90,
                    ..threshold(Some(30.0), Some(10.0))
                }),
                "above 30 or below 10 for 90 s",
            ),
        ];
        for (condition, words) in all {
            assert_eq!(condition.to_string(), words);
            let json = serde_json::to_string(&condition).expect("JSON");
            let read: Condition = serde_json::from_str(&json).expect(&json);
            assert_eq!(read, condition);
        }
    }

    #[test]
    fn severities_and_phases_survive_their_names() {
        for severity in Severity::ALL {
            assert_eq!(severity.name().parse(), Ok(severity));
        }
        assert!("fatal".parse::<Severity>().is_err());
        for phase in [
            Phase::Idle,
            Phase::Pending(Side::High),
            Phase::Pending(Side::Low),
            Phase::Over(Side::High),
            Phase::Over(Side::Low),
        ] {
            assert_eq!(phase.name().parse(), Ok(phase));
        }
    }
}
