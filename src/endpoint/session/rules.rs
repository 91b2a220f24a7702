//! Rules in a session: every value that arrives is judged in the commit that stores it, and so is
//! the passing of time in a commit of its own. What [`judge`](super::judge) finds becomes an event.

use std::ops::Deref;

use serde_json::json;

use super::judge::{Finding, Outcome};
use super::{CommitStep, Env, Session, Step};
use crate::domain::{LiveKind, Node, PathPattern, Rule, RuleEvent};
use crate::store::{Change, Commit};

/// All rules, replaced as a whole when one changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RuleSet {
    rules: Vec<Rule>,
    /// Differs when the rules do.
    version: u64,
}

impl RuleSet {
    /// These rules.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, version: 1 }
    }

    /// The set that comes after this one.
    #[must_use]
    pub fn replaced_by(&self, rules: Vec<Rule>) -> Self {
        Self {
            rules,
            version: self.version.wrapping_add(1),
        }
    }
}

impl Deref for RuleSet {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.rules
    }
}

impl Session {
    /// Judges values that have just been put into the commit, as its last change.
    pub(super) fn judge_values(
        &mut self,
        env: &Env<'_>,
        nodes: &[Node],
        stale: bool,
        commit: &mut Commit,
    ) {
        let concerned = |rule: &&Rule| {
            rule.spec.enabled
                && nodes.iter().any(|node| rule.spec.path.fits(&node.path))
                && self.is_selected(&rule.spec.selection)
        };
        let rules: Vec<&Rule> = env.rules.iter().filter(concerned).collect();
        if rules.is_empty() {
            return;
        }
        let limit = env.settings.max_rule_states;
        let outcome = self.judge.values(env.now, &rules, nodes, stale, limit);
        self.write_outcome(env, outcome, nodes, commit);
        if self.judge.has_refused() {
            let message = format!(
                "rules would watch more than {limit} of its paths (rules.max_states_per_endpoint); \
                some are not watched"
            );
            self.warn("rule_limit", message, commit);
        }
    }

    /// Tells of what time has made true.
    pub(super) fn judge_time(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if self.judge.due().is_none_or(|due| due > env.now.instant) {
            return;
        }
        let rules = self.rules_in_force(env);
        let outcome = self.judge.time(env.now, &rules);
        self.commit_outcome(env, outcome, steps);
    }

    /// Lets clocks run for what the device announces, and forgets what belongs to rules that are
    /// gone: after each registration, and when the rules were changed.
    pub(super) fn look_at_rules(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        self.rules_version = env.rules.version;
        if env.rules.is_empty() && self.judge.is_empty() {
            return;
        }
        let rules = self.rules_in_force(env);
        self.judge.keep(&rules);
        let Some(registration) = &self.registration else {
            return;
        };
        let announces = |place: &PathPattern| {
            registration
                .objects
                .iter()
                .any(|object| place.may_lie_below(&object.path))
        };
        let limit = env.settings.max_rule_states;
        let outcome = self.judge.begin(env.now, &rules, announces, limit);
        self.commit_outcome(env, outcome, steps);
    }

    /// True when the rules are not those that were looked at last.
    pub(super) fn has_new_rules(&self, env: &Env<'_>) -> bool {
        self.rules_version != env.rules.version
    }

    /// A device that leaves in order is not missed.
    pub(super) fn leave_rules(&mut self, env: &Env<'_>, steps: &mut Vec<Step>) {
        if self.registration.is_none() && !self.judge.is_empty() {
            let rules = self.rules_in_force(env);
            let outcome = self.judge.leave(&rules);
            self.commit_outcome(env, outcome, steps);
        }
    }

    /// How many values were not judged because of the limit, since the last call.
    pub fn take_refused_by_rules(&mut self) -> u64 {
        self.judge.take_refused()
    }

    fn rules_in_force<'a>(&self, env: &Env<'a>) -> Vec<&'a Rule> {
        let selected = |rule: &&Rule| rule.spec.enabled && self.is_selected(&rule.spec.selection);
        env.rules.iter().filter(selected).collect()
    }

    fn commit_outcome(&self, env: &Env<'_>, outcome: Outcome<'_>, steps: &mut Vec<Step>) {
        let mut commit = Commit::default();
        self.write_outcome(env, outcome, &[], &mut commit);
        if !commit.is_empty() {
            steps.push(Step::Commit(Box::new(CommitStep {
                commit,
                ..CommitStep::default()
            })));
        }
    }

    /// Events first: each says which of the values in front of it made it.
    fn write_outcome(
        &self,
        env: &Env<'_>,
        outcome: Outcome<'_>,
        nodes: &[Node],
        commit: &mut Commit,
    ) {
        for finding in outcome.findings {
            self.write_event(env, finding, nodes, commit);
        }
        let states = outcome.states.into_iter().map(Box::new);
        commit.changes.extend(states.map(Change::SaveRuleState));
    }

    fn write_event(
        &self,
        env: &Env<'_>,
        finding: Finding<'_>,
        nodes: &[Node],
        commit: &mut Commit,
    ) {
        let spec = &finding.rule.spec;
        let mut include = spec.include.clone();
        if include.is_empty() {
            include.push(finding.place.truncated(2));
        }
        let id = env.ids.event();
        // What came together with the value; everything else is read with the event.
        let value = finding.value.and_then(|index| nodes.get(index));
        let beside = nodes.iter().filter(|node| {
            Some(node.path) != value.map(|value| value.path)
                && include.iter().any(|pattern| pattern.fits(&node.path))
        });
        let resources: Vec<_> = value
            .into_iter()
            .chain(beside)
            .take(RuleEvent::MAX_VALUES)
            .map(Node::to_json)
            .collect();
        commit.publish.push(self.live(
            LiveKind::Event,
            finding.at,
            json!({
                "id": id.0,
                "type": spec.event_type(),
                "rule": spec.name,
                "severity": spec.severity,
                "message": finding.message,
                "resources": resources,
            }),
        ));
        commit.changes.push(Change::RuleEvent(Box::new(RuleEvent {
            id,
            endpoint_id: self.endpoint_id,
            event_type: spec.event_type().to_owned(),
            rule: spec.name.clone(),
            severity: spec.severity,
            message: finding.message,
            at: finding.at,
            place: finding.place,
            value: finding.value,
            include,
        })));
    }
}
