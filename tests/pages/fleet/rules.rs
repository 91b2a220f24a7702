//! The rules of the fleet.

use async_trait::async_trait;
use flownexus::domain::{Condition, Doer, Rule, RuleId, RuleSpec, Selection, Severity, Threshold};
use flownexus::store::{RuleStore, StoreError};

use super::Fleet;

/// A rule of each kind, one of them with markup in its name.
pub(super) fn samples() -> Vec<Rule> {
    let conditions = [
        Condition::Threshold(Threshold {
            above: Some(30.0),
            below: Some(-5.5),
            hysteresis: Some(2.0),
            for_s: 60,
            ..Threshold::default()
        }),
        Condition::Change { by: None },
        Condition::Absence { after_s: 7200 },
    ];
    let names = ["<b>too warm</b>", "door", "silence"];
    (1..)
        .zip(names.into_iter().zip(conditions))
        .map(|(id, (name, condition))| Rule {
            id: RuleId(id),
            revision: 1,
            spec: RuleSpec {
                name: name.to_owned(),
                enabled: id != 2,
                path: "/3303/*/5700".parse().expect("a pattern"),
                selection: Selection {
                    names: vec!["urn:*".to_owned()],
                    tags: vec!["lab".to_owned()],
                },
                condition,
                severity: (id == 1).then_some(Severity::Warning),
                event_type: (id == 3).then(|| "gone".to_owned()),
                include: vec!["/3/0/9".parse().expect("a pattern")],
                cooldown_s: 600,
            },
        })
        .collect()
}

#[async_trait]
impl RuleStore for Fleet {
    async fn list(&self) -> Result<Vec<Rule>, StoreError> {
        Ok(self.lock().rules.clone())
    }

    async fn add(&self, spec: RuleSpec, _: Doer) -> Result<Rule, StoreError> {
        let mut state = self.lock();
        if state.rules.iter().any(|rule| rule.spec.name == spec.name) {
            return Err(StoreError::Exists(format!("rule `{}`", spec.name)));
        }
        let id = RuleId(state.rules.len() as i64 + 1);
        let rule = Rule {
            id,
            revision: 1,
            spec,
        };
        state.rules.push(rule.clone());
        Ok(rule)
    }

    async fn replace(
        &self,
        id: RuleId,
        spec: RuleSpec,
        _: Doer,
    ) -> Result<Option<Rule>, StoreError> {
        let mut state = self.lock();
        let rule = state.rules.iter_mut().find(|rule| rule.id == id);
        Ok(rule.map(|rule| {
            rule.spec = spec;
            rule.clone()
        }))
    }

    async fn remove(&self, id: RuleId, _: Doer) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let before = state.rules.len();
        state.rules.retain(|rule| rule.id != id);
        Ok(state.rules.len() < before)
    }

    async fn forget_states(&self, _: RuleId) -> Result<(), StoreError> {
        Ok(())
    }
}
