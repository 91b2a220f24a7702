//! The rules of [`FakeStore`].

use async_trait::async_trait;
use flownexus::domain::{Doer, Rule, RuleId, RuleSpec};
use flownexus::store::{RuleStore, StoreError};

use super::fake_store::FakeStore;

#[async_trait]
impl RuleStore for FakeStore {
    async fn list(&self) -> Result<Vec<Rule>, StoreError> {
        Ok(self.tables().rules.clone())
    }

    async fn add(&self, spec: RuleSpec, by: Doer) -> Result<Rule, StoreError> {
        let mut tables = self.tables();
        if tables.rules.iter().any(|rule| rule.spec.name == spec.name) {
            return Err(StoreError::Exists(format!("rule `{}`", spec.name)));
        }
        let rule = Rule {
            id: RuleId(tables.next_id()),
            revision: 1,
            spec,
        };
        tables.rules.push(rule.clone());
        self.say(by, "rule.create", rule.id.0, &rule.spec.describe());
        Ok(rule)
    }

    async fn replace(
        &self,
        id: RuleId,
        spec: RuleSpec,
        by: Doer,
    ) -> Result<Option<Rule>, StoreError> {
        let mut tables = self.tables();
        let rule = tables.rules.iter_mut().find(|rule| rule.id == id);
        Ok(rule.map(|rule| {
            rule.spec = spec;
            self.say(by, "rule.update", id.0, &rule.spec.describe());
            rule.clone()
        }))
    }

    async fn remove(&self, id: RuleId, by: Doer) -> Result<bool, StoreError> {
        let rules = &mut self.tables().rules;
        let before = rules.len();
        rules.retain(|rule| rule.id != id);
        let removed = rules.len() < before;
        if removed {
            self.say(by, "rule.delete", id.0, "");
        }
        Ok(removed)
    }

    async fn forget_states(&self, _: RuleId) -> Result<(), StoreError> {
        Ok(())
    }
}
