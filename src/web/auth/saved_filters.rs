//! What each role may do with saved filters: everybody keeps their own, operators share theirs and remove what is shared.

use crate::store::{FilterReach, FilterToSave, ForgottenFilter, SavedFilter};
use crate::web::ApiError;

use super::views::{Operator, Viewer};

impl Viewer {
    /// The filters that they see, by their names: their own, and what others share.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn saved_filters(&self) -> Result<Vec<SavedFilter>, ApiError> {
        let owner = self.identity().doer().actor;
        Ok(self.stores().filters.seen_by(&owner).await?)
    }

    /// Saves a filter for who asks alone; true when they had none of this name.
    ///
    /// # Errors
    /// 409 when they have too many.
    pub async fn keep_filter(
        &self,
        name: String,
        view: String,
    ) -> Result<(SavedFilter, bool), ApiError> {
        self.save_filter(name, view, false).await
    }

    /// Removes a filter of one's own.
    ///
    /// # Errors
    /// 404 when they see none of this number, 403 when it is another's who shares it.
    pub async fn remove_own_filter(&self, id: i64) -> Result<(), ApiError> {
        self.forget_filter(id, FilterReach::Own).await
    }

    /// Whether a filter is of who asks.
    pub fn owns(&self, filter: &SavedFilter) -> bool {
        filter.owner == self.identity().doer().actor
    }

    async fn save_filter(
        &self,
        name: String,
        view: String,
        shared: bool,
    ) -> Result<(SavedFilter, bool), ApiError> {
        let by = self.identity().doer();
        let limit = self.settings().web.max_saved_filters;
        let filter = FilterToSave { name, view, shared };
        Ok(self.stores().filters.save(filter, by, limit).await?)
    }

    async fn forget_filter(&self, id: i64, reach: FilterReach) -> Result<(), ApiError> {
        let by = self.identity().doer();
        match self.stores().filters.forget(id, reach, by).await? {
            ForgottenFilter::Removed => Ok(()),
            ForgottenFilter::SharedByAnother => Err(ApiError::forbidden(
                "to remove what another shares needs the role operator",
            )),
            ForgottenFilter::Unseen => {
                let detail = format!("there is no saved filter {id}");
                Err(ApiError::not_found(detail))
            }
        }
    }
}

impl Operator {
    /// Saves a filter for everybody; true when who asks had none of this name.
    ///
    /// # Errors
    /// 409 when they have too many.
    pub async fn share_filter(
        &self,
        name: String,
        view: String,
    ) -> Result<(SavedFilter, bool), ApiError> {
        self.save_filter(name, view, true).await
    }

    /// Removes a filter that one sees: of one's own, or shared.
    ///
    /// # Errors
    /// 404 when they see none of this number.
    pub async fn remove_seen_filter(&self, id: i64) -> Result<(), ApiError> {
        self.forget_filter(id, FilterReach::OwnAndShared).await
    }
}
