//! What each role may do with saved filters: everybody keeps their own, operators share theirs and remove what is shared.

use crate::store::{FilterToSave, Role, SavedFilter};
use crate::web::ApiError;

use super::views::Viewer;

impl Viewer {
    /// The filters that they see, by their names: their own, and what others share.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn saved_filters(&self) -> Result<Vec<SavedFilter>, ApiError> {
        let owner = self.identity().doer().actor;
        Ok(self.stores().filters.seen_by(&owner).await?)
    }

    /// Saves a filter for who asks; true when they had none of this name.
    ///
    /// # Errors
    /// 403 when a viewer wants to share it, 409 when they have too many.
    pub async fn save_filter(&self, filter: FilterToSave) -> Result<(SavedFilter, bool), ApiError> {
        if filter.shared && !self.may_share() {
            return Err(ApiError::forbidden(
                "to share a filter with everybody needs the role operator",
            ));
        }
        let by = self.identity().doer();
        let limit = self.settings().web.max_saved_filters;
        Ok(self.stores().filters.save(filter, by, limit).await?)
    }

    /// Removes a filter.
    ///
    /// # Errors
    /// 404 when they see none of this number, 403 when it is another's and they are no operator.
    pub async fn remove_filter(&self, id: i64) -> Result<(), ApiError> {
        let unknown = || ApiError::not_found(format!("there is no saved filter {id}"));
        let filters = &self.stores().filters;
        let filter = filters.one(id).await?.ok_or_else(unknown)?;
        if !self.may_remove(&filter) {
            return match filter.shared {
                true => Err(ApiError::forbidden(
                    "to remove what another shares needs the role operator",
                )),
                // What is another's own is nobody else's business.
                false => Err(unknown()),
            };
        }
        match filters.forget(id, self.identity().doer()).await? {
            true => Ok(()),
            false => Err(unknown()),
        }
    }

    /// Whether they may remove this filter.
    pub fn may_remove(&self, filter: &SavedFilter) -> bool {
        filter.owner == self.identity().doer().actor || (filter.shared && self.may_share())
    }

    fn may_share(&self) -> bool {
        self.identity().role >= Role::Operator
    }
}
