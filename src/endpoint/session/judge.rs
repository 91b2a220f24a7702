//! Where each rule stands with each path of one device, and what a value or the passing of time
//! makes of it. Pure, and without a word of sessions: rules and values come in, findings and changed
//! states go out.
//!
//! Two clocks: how long a condition held, by the values, is counted between their own times; when no
//! value comes, it is counted from the arrival of the value that began it, on the clock that never
//! jumps. Absence knows the second one only.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::{
    Condition, EndpointId, Node, Now, PathPattern, Phase, Rule, RuleId, RuleState, Side, Threshold,
    Timestamp, Value, span,
};

/// The states of one device.
#[derive(Debug)]
pub(super) struct Judge {
    endpoint_id: EndpointId,
    watches: BTreeMap<(RuleId, PathPattern), Watch>,
    /// Not later than the first of all clocks; none when no clock runs.
    due: Option<Instant>,
    /// Values that were not judged because there are too many states.
    refused: u64,
}

/// One state, with its clocks.
#[derive(Debug)]
struct Watch {
    state: RuleState,
    /// When the running clock began.
    clock: Option<Instant>,
    /// When the last event was made.
    event: Option<Instant>,
    /// When the pending condition is told of if no value changes that.
    due: Option<Instant>,
    /// Which beginning of the clock is on disk.
    written: Option<Instant>,
}

/// What a rule found.
#[derive(Debug, PartialEq)]
pub(super) struct Finding<'a> {
    pub(super) rule: &'a Rule,
    pub(super) place: PathPattern,
    /// The value that made it; without one it was time.
    pub(super) value: Option<usize>,
    pub(super) at: Timestamp,
    pub(super) message: String,
}

/// What came of it: findings in the order of the values, and the states to be written.
#[derive(Debug, Default)]
pub(super) struct Outcome<'a> {
    pub(super) findings: Vec<Finding<'a>>,
    pub(super) states: Vec<RuleState>,
}

/// What the judgement of one value needs.
struct Case<'n, 'a> {
    now: Now,
    rule: &'a Rule,
    node: &'n Node,
    /// The time of the value, at the latest when it arrived: a clock that runs ahead does not keep
    /// its place for ever.
    at: Timestamp,
    /// Known to be older than another one.
    stale: bool,
}

impl Judge {
    /// The judge of a device, with what is stored.
    pub(super) fn new(now: Now, endpoint_id: EndpointId, states: Vec<RuleState>) -> Self {
        let mut judge = Self {
            endpoint_id,
            watches: BTreeMap::new(),
            due: None,
            refused: 0,
        };
        for state in states {
            let instant = |at: Timestamp| {
                let ago = now.wall.since(at);
                now.instant.checked_sub(ago).unwrap_or(now.instant)
            };
            let watch = Watch {
                clock: state.clock_at.map(instant),
                event: state.event_at.map(instant),
                written: state.clock_at.map(instant),
                // When exactly is for the rule to say: it is looked at right away.
                due: state.clock_at.map(|_| now.instant),
                state,
            };
            if watch.due.is_some() {
                judge.due = Some(now.instant);
            }
            let key = (watch.state.rule, watch.state.place);
            judge.watches.insert(key, watch);
        }
        judge
    }

    /// When [`Judge::time`] is wanted next; it may have nothing to say then.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// True when nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// True when a value was not judged because of the limit, since that was last asked for.
    pub(super) fn has_refused(&self) -> bool {
        self.refused > 0
    }

    /// How many values were not judged because of the limit, since the last call.
    pub(super) fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Judges values by these rules, in the order of their times. At most `limit` states are kept.
    pub(super) fn values<'a>(
        &mut self,
        now: Now,
        rules: &[&'a Rule],
        nodes: &[Node],
        stale: bool,
        limit: usize,
    ) -> Outcome<'a> {
        let mut outcome = Outcome::default();
        if rules.is_empty() {
            return outcome;
        }
        let time = |node: &Node| node.time.unwrap_or(now.wall).min(now.wall);
        let mut order: Vec<(usize, &Node)> = nodes.iter().enumerate().collect();
        order.sort_by_key(|(_, node)| time(node));
        let mut touched = Vec::new();
        for (index, node) in order {
            for rule in rules.iter().copied() {
                if !rule.spec.path.fits(&node.path) {
                    continue;
                }
                let Some(place) = PathPattern::of(&node.path) else {
                    continue;
                };
                let case = Case {
                    now,
                    rule,
                    node,
                    at: time(node),
                    stale,
                };
                self.value(&case, place, index, limit, &mut touched, &mut outcome);
            }
        }
        self.collect(touched, &mut outcome);
        outcome
    }

    /// Tells of what time alone has made true. States of rules that are not among these end.
    pub(super) fn time<'a>(&mut self, now: Now, rules: &[&'a Rule]) -> Outcome<'a> {
        let mut outcome = Outcome::default();
        if self.due.is_none_or(|due| due > now.instant) {
            return outcome;
        }
        let mut touched = Vec::new();
        self.watches.retain(|_, watch| {
            if watch.due.is_none() {
                return true;
            }
            let rule = rules.iter().copied().find(|rule| watch.is_of(rule));
            let Some(rule) = rule else {
                return false;
            };
            watch.schedule(rule);
            if watch.due.is_some_and(|due| due <= now.instant) {
                touched.push((watch.state.rule, watch.state.place));
                outcome.findings.extend(watch.overdue(now, rule));
            }
            true
        });
        self.due = self.watches.values().filter_map(|watch| watch.due).min();
        self.collect(touched, &mut outcome);
        outcome
    }

    /// Lets the clocks of rules on absence run for what the device announces, where none does yet.
    pub(super) fn begin<'a>(
        &mut self,
        now: Now,
        rules: &[&'a Rule],
        announces: impl Fn(&PathPattern) -> bool,
        limit: usize,
    ) -> Outcome<'a> {
        let mut touched = Vec::new();
        for rule in rules.iter().copied() {
            let Condition::Absence { .. } = rule.spec.condition else {
                continue;
            };
            let of_rule = self.of_rule(rule);
            if of_rule.iter().any(|(_, phase)| *phase != Phase::Idle) {
                continue;
            }
            let mut places: Vec<PathPattern> = of_rule
                .into_iter()
                .map(|(place, _)| place)
                .filter(|place| *place != rule.spec.path && announces(place))
                .collect();
            if places.is_empty() && announces(&rule.spec.path) {
                places.push(rule.spec.path);
            }
            for place in places {
                let Some(watch) = self.watch(rule, place, limit) else {
                    continue;
                };
                watch.run(now, now.wall, Side::High);
                watch.schedule(rule);
                let due = watch.due;
                self.due_at(due);
                touched.push((rule.id, place));
            }
        }
        let mut outcome = Outcome::default();
        self.collect(touched, &mut outcome);
        outcome
    }

    /// The device leaves in order: what it does not send any more is not missed.
    pub(super) fn leave<'a>(&mut self, rules: &[&'a Rule]) -> Outcome<'a> {
        let mut touched = Vec::new();
        for rule in rules.iter().copied() {
            let Condition::Absence { .. } = rule.spec.condition else {
                continue;
            };
            for (place, phase) in self.of_rule(rule) {
                if phase != Phase::Idle
                    && let Some(watch) = self.watches.get_mut(&(rule.id, place))
                {
                    watch.rest();
                    touched.push((rule.id, place));
                }
            }
        }
        self.due = self.watches.values().filter_map(|watch| watch.due).min();
        let mut outcome = Outcome::default();
        self.collect(touched, &mut outcome);
        outcome
    }

    /// Forgets what belongs to rules that are gone or watch something else now.
    pub(super) fn keep(&mut self, rules: &[&Rule]) {
        self.watches
            .retain(|_, watch| rules.iter().any(|rule| watch.is_of(rule)));
        self.due = self.watches.values().filter_map(|watch| watch.due).min();
    }

    fn value<'a>(
        &mut self,
        case: &Case<'_, 'a>,
        place: PathPattern,
        index: usize,
        limit: usize,
        touched: &mut Vec<(RuleId, PathPattern)>,
        outcome: &mut Outcome<'a>,
    ) {
        let rule = case.rule;
        let is_new = !self.watches.contains_key(&(rule.id, place));
        let Some(watch) = self.watch(rule, place, limit) else {
            self.refused = self.refused.saturating_add(1);
            return;
        };
        let before = watch.state.phase;
        let (changed, message) = match &rule.spec.condition {
            Condition::Absence { after_s } => (watch.came(case, *after_s), None),
            Condition::Change { by } => watch.change(case, *by),
            Condition::Threshold(threshold) => watch.threshold(case, threshold),
        };
        watch.schedule(rule);
        let due = watch.due;
        let was_waiting = is_new || before == Phase::Idle;
        self.due_at(due);
        if is_new || changed {
            touched.push((rule.id, place));
        }
        if let Some(message) = message {
            outcome.findings.push(Finding {
                rule,
                place,
                value: Some(index),
                at: case.at,
                message,
            });
        }
        // The first value that fits takes over from "nothing came at all".
        if was_waiting
            && matches!(rule.spec.condition, Condition::Absence { .. })
            && place != rule.spec.path
            && let Some(nothing) = self.watches.get_mut(&(rule.id, rule.spec.path))
            && nothing.state.phase != Phase::Idle
        {
            nothing.rest();
            touched.push((rule.id, rule.spec.path));
        }
    }

    /// The state of a rule at a path, made where it is missing; none when there are too many.
    fn watch(&mut self, rule: &Rule, place: PathPattern, limit: usize) -> Option<&mut Watch> {
        let key = (rule.id, place);
        if !self.watches.contains_key(&key) && self.watches.len() >= limit {
            return None;
        }
        let endpoint_id = self.endpoint_id;
        let fresh = || Watch::new(endpoint_id, rule, place);
        let watch = self.watches.entry(key).or_insert_with(fresh);
        if !watch.is_of(rule) {
            *watch = fresh();
        }
        Some(watch)
    }

    fn of_rule(&self, rule: &Rule) -> Vec<(PathPattern, Phase)> {
        self.watches
            .values()
            .filter(|watch| watch.is_of(rule))
            .map(|watch| (watch.state.place, watch.state.phase))
            .collect()
    }

    fn due_at(&mut self, due: Option<Instant>) {
        self.due = [self.due, due].into_iter().flatten().min();
    }

    /// The states that were touched, each once.
    fn collect(&mut self, mut touched: Vec<(RuleId, PathPattern)>, outcome: &mut Outcome<'_>) {
        touched.sort_unstable();
        touched.dedup();
        for key in touched {
            if let Some(watch) = self.watches.get_mut(&key) {
                watch.written = watch.clock;
                outcome.states.push(watch.state.clone());
            }
        }
    }
}

impl Watch {
    fn new(endpoint_id: EndpointId, rule: &Rule, place: PathPattern) -> Self {
        Self {
            state: RuleState {
                rule: rule.id,
                revision: rule.revision,
                endpoint_id,
                place,
                phase: Phase::Idle,
                newest_at: None,
                since: None,
                clock_at: None,
                event_at: None,
                reported: None,
                seen: None,
            },
            clock: None,
            event: None,
            due: None,
            written: None,
        }
    }

    fn is_of(&self, rule: &Rule) -> bool {
        self.state.rule == rule.id && self.state.revision == rule.revision
    }

    /// A value came: the gap is over, and the time until the next one runs. True when that must be
    /// written: a clock on disk that is a little behind costs nothing, as each restart forgives
    /// more than that.
    fn came(&mut self, case: &Case<'_, '_>, after_s: u64) -> bool {
        let was = self.state.phase;
        self.newest(case.at);
        self.run(case.now, case.at, Side::High);
        let slack = Duration::from_secs(after_s / 10).min(CLOCK_SLACK);
        let behind = self
            .written
            .is_none_or(|written| case.now.instant.saturating_duration_since(written) >= slack);
        was != self.state.phase || behind
    }

    fn threshold(&mut self, case: &Case<'_, '_>, threshold: &Threshold) -> (bool, Option<String>) {
        let Some(number) = case.node.value.as_number().filter(|it| !it.is_nan()) else {
            return (false, None);
        };
        if !self.is_newest(case) {
            return (false, None);
        }
        let before = self.state.phase;
        match (before, threshold.side(number)) {
            // Told of already, and not back yet.
            (Phase::Over(was), Some(is)) if was == is => return (false, None),
            (Phase::Over(was), None) if !threshold.is_back(was, number) => return (false, None),
            (_, None) => self.rest(),
            (Phase::Pending(was), Some(is)) if was == is => {}
            (_, Some(side)) => self.run(case.now, case.at, side),
        }
        if let Phase::Pending(side) = self.state.phase
            && self.holds_since(case.at, threshold.for_s)
            && self.may_tell(case.at, case.rule.spec.cooldown_s)
        {
            self.tell(case.now, case.at, side);
            let message = outside(case.node, threshold, side);
            return (true, Some(message));
        }
        (before != self.state.phase, None)
    }

    fn change(&mut self, case: &Case<'_, '_>, by: Option<f64>) -> (bool, Option<String>) {
        let Some(mark) = mark(&case.node.value) else {
            return (false, None);
        };
        if !self.is_newest(case) {
            return (false, None);
        }
        let Some(reported) = self.state.reported.clone() else {
            self.state.reported = Some(mark);
            return (true, None);
        };
        let pending = self.state.phase != Phase::Idle;
        if !differs(&reported, &mark, by) {
            self.rest();
            return (pending, None);
        }
        if self.may_tell(case.at, case.rule.spec.cooldown_s) {
            self.tell(case.now, case.at, Side::High);
            self.rest();
            self.state.reported = Some(mark);
            return (true, Some(changed(case.node, &reported)));
        }
        if !pending {
            self.run(case.now, case.at, Side::High);
        }
        let is_new = self.state.seen.as_ref() != Some(&mark);
        self.state.seen = Some(mark);
        (!pending || is_new, None)
    }

    /// Its clock has come to its end.
    fn overdue<'a>(&mut self, now: Now, rule: &'a Rule) -> Option<Finding<'a>> {
        let Phase::Pending(side) = self.state.phase else {
            return None;
        };
        let place = self.state.place;
        let message = match &rule.spec.condition {
            Condition::Absence { after_s } => {
                format!("nothing came on {place} for {}", span(*after_s))
            }
            Condition::Change { .. } => {
                let Some(seen) = self.state.seen.take() else {
                    self.rest();
                    return None;
                };
                let message = format!("{place} has changed{}", number_of(" to ", &seen));
                self.state.reported = Some(seen);
                message
            }
            Condition::Threshold(threshold) => {
                format!("{place} is {}", range_words(threshold, side))
            }
        };
        self.tell(now, now.wall, side);
        if let Condition::Change { .. } = rule.spec.condition {
            self.rest();
        }
        Some(Finding {
            rule,
            place,
            value: None,
            at: now.wall,
            message,
        })
    }

    /// The condition begins to hold.
    fn run(&mut self, now: Now, at: Timestamp, side: Side) {
        self.state.phase = Phase::Pending(side);
        self.state.since = Some(at);
        self.state.clock_at = Some(now.wall);
        self.clock = Some(now.instant);
    }

    /// It does not hold any more.
    fn rest(&mut self) {
        self.state.phase = Phase::Idle;
        self.state.seen = None;
        self.stop();
    }

    /// It is told of.
    fn tell(&mut self, now: Now, at: Timestamp, side: Side) {
        self.state.phase = Phase::Over(side);
        self.state.event_at = Some(at);
        self.event = Some(now.instant);
        self.stop();
    }

    fn stop(&mut self) {
        self.state.since = None;
        self.state.clock_at = None;
        self.clock = None;
        self.due = None;
    }

    /// Says when time alone makes a pending condition true.
    fn schedule(&mut self, rule: &Rule) {
        let Phase::Pending(_) = self.state.phase else {
            self.due = None;
            return;
        };
        let holds = match &rule.spec.condition {
            Condition::Absence { after_s } => *after_s,
            Condition::Change { .. } => 0,
            Condition::Threshold(threshold) => threshold.for_s,
        };
        let held = self.clock.and_then(|at| at.checked_add(seconds(holds)));
        let cooled = self
            .event
            .and_then(|at| at.checked_add(seconds(rule.spec.cooldown_s)));
        self.due = held.map(|held| cooled.map_or(held, |cooled| cooled.max(held)));
    }

    fn holds_since(&self, at: Timestamp, for_s: u64) -> bool {
        let since = self.state.since.unwrap_or(at);
        at.since(since) >= seconds(for_s)
    }

    fn may_tell(&self, at: Timestamp, cooldown_s: u64) -> bool {
        self.state
            .event_at
            .is_none_or(|last| at.since(last) >= seconds(cooldown_s))
    }

    /// False for a value that is older than another one: it is history.
    fn is_newest(&mut self, case: &Case<'_, '_>) -> bool {
        let newest = !case.stale && self.state.newest_at.is_none_or(|newest| newest <= case.at);
        if newest {
            self.newest(case.at);
        }
        newest
    }

    fn newest(&mut self, at: Timestamp) {
        self.state.newest_at = Some(self.state.newest_at.map_or(at, |newest| newest.max(at)));
    }
}

/// A value as a text that differs when the value does: numbers as they are, of whatever type, and
/// everything else as a hash, so that a state stays small. Nothing for what is no number though its
/// type says so.
fn mark(value: &Value) -> Option<String> {
    Some(match value {
        Value::Boolean(on) => on.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::UnsignedInteger(number) => number.to_string(),
        Value::Float(number) if number.is_nan() => return None,
        // 21.0 and 21 are the same number.
        Value::Float(number) if number.fract() == 0.0 && number.abs() < EXACT => {
            (*number as i64).to_string()
        }
        Value::Float(number) => number.to_string(),
        Value::Time(seconds) => seconds.to_string(),
        Value::Corelink(text) | Value::String(text) => hash(text.as_bytes()),
        Value::Objlnk(link) => hash(link.to_string().as_bytes()),
        Value::Opaque(bytes) => hash(bytes),
    })
}

/// FNV-1a: not against malice, which could only hide a change of its own value.
fn hash(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("#{hash:016x}")
}

fn differs(reported: &str, mark: &str, by: Option<f64>) -> bool {
    let numbers = reported.parse::<f64>().ok().zip(mark.parse::<f64>().ok());
    match (by, numbers) {
        (Some(by), Some((before, after))) => (after - before).abs() >= by,
        _ => reported != mark,
    }
}

fn outside(node: &Node, threshold: &Threshold, side: Side) -> String {
    let path = node.path;
    let value = shown(&node.value);
    format!("{path} is {value}, {}", range_words(threshold, side))
}

fn range_words(threshold: &Threshold, side: Side) -> String {
    let end = match side {
        Side::High => threshold.above.map(|above| format!("above {above}")),
        Side::Low => threshold.below.map(|below| format!("below {below}")),
    };
    let mut words = end.unwrap_or_default();
    if threshold.for_s > 0 {
        words.push_str(" for ");
        words.push_str(&span(threshold.for_s));
    }
    words
}

fn changed(node: &Node, reported: &str) -> String {
    let (path, value) = (node.path, shown(&node.value));
    format!(
        "{path} has changed{} to {value}",
        number_of(" from ", reported)
    )
}

/// The number of a mark; nothing where it is a hash.
fn number_of(word: &str, mark: &str) -> String {
    if mark.starts_with('#') {
        String::new()
    } else {
        format!("{word}{mark}")
    }
}

/// The value as an event's message shows it, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut letters = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter });
    let mut shown: String = letters.by_ref().take(MAX_SHOWN_CHARS).collect();
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Floats up to here hold whole numbers exactly.
const EXACT: f64 = (1_u64 << 53) as f64;
/// Of a value so much is in a message.
const MAX_SHOWN_CHARS: usize = 80;
/// A clock of absence on disk is behind by at most this, and by at most a tenth of its time.
const CLOCK_SLACK: Duration = Duration::from_secs(10);

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
