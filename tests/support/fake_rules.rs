//! The rules of [`FakeStore`].

use async_trait::async_trait;
use flownexus::domain::{Rule, RuleId, RuleSpec};
use flownexus::store::{RuleStore, StoreError};

use super::fake_store::FakeStore;

#[async_trait]
impl RuleStore for FakeStore {
    async fn list(&self) -> Result<Vec<Rule>, StoreError> {
        Ok(self.tables().rules.clone())
    }

    async fn add(&self, spec: RuleSpec) -> Result<Rule, StoreError> {
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
        Ok(rule)
    }

    async fn replace(&self, id: RuleId, spec: RuleSpec) -> Result<Option<Rule>, StoreError> {
        let mut tables = self.tables();
        let rule = tables.rules.iter_mut().find(|rule| rule.id == id);
        Ok(rule.map(|rule| {
            rule.spec = spec;
            rule.clone()
        }))
    }

    async fn remove(&self, id: RuleId) -> Result<bool, StoreError> {
        let rules = &mut self.tables().rules;
        let before = rules.len();
        rules.retain(|rule| rule.id != id);
        Ok(rules.len() < before)
    }

    async fn forget_states(&self, _: RuleId) -> Result<(), StoreError> {
        Ok(())
    }
}
