//! What each role may do with rules.

use crate::domain::{Rule, RuleId, RuleSpec};
use crate::web::ApiError;

use super::views::{Operator, Viewer};

impl Viewer {
    /// What makes events of values, by id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn rules(&self) -> Result<Vec<Rule>, ApiError> {
        Ok(self.stores().rules.list().await?)
    }

    /// One rule.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn rule(&self, id: RuleId) -> Result<Rule, ApiError> {
        let rules = self.rules().await?;
        let rule = rules.into_iter().find(|rule| rule.id == id);
        rule.ok_or_else(|| unknown(id))
    }
}

impl Operator {
    /// Stores a rule; it is in force when this returns.
    ///
    /// # Errors
    /// 409 when the name is taken or there are too many.
    pub async fn add_rule(&self, spec: RuleSpec) -> Result<Rule, ApiError> {
        let most = self.settings().rules.max;
        let _counting = self.state.counting.lock().await;
        if self.rules().await?.len() >= most {
            let detail = format!("there are {most} rules already (rules.max)");
            return Err(ApiError::conflict("too_many_rules", detail));
        }
        let added = self.stores().rules.add(spec, self.identity().doer());
        let rule = added.await.map_err(ApiError::of_named)?;
        self.devices().reload_rules().await?;
        Ok(rule)
    }

    /// Replaces a rule.
    ///
    /// # Errors
    /// 404 without such a rule, 409 when another one has the name.
    pub async fn replace_rule(&self, id: RuleId, spec: RuleSpec) -> Result<Rule, ApiError> {
        let replaced = self
            .stores()
            .rules
            .replace(id, spec, self.identity().doer());
        let rule = replaced
            .await
            .map_err(ApiError::of_named)?
            .ok_or_else(|| unknown(id))?;
        self.devices().reload_rules().await?;
        Ok(rule)
    }

    /// Removes a rule and what is remembered for it.
    ///
    /// # Errors
    /// 404 without such a rule.
    pub async fn remove_rule(&self, id: RuleId) -> Result<(), ApiError> {
        if !self
            .stores()
            .rules
            .remove(id, self.identity().doer())
            .await?
        {
            return Err(unknown(id));
        }
        self.devices().reload_rules().await?;
        self.stores().rules.forget_states(id).await?;
        Ok(())
    }
}

fn unknown(id: RuleId) -> ApiError {
    ApiError::not_found(format!("there is no rule {id}"))
}
