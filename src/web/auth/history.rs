//! What each role may do with the history of values.

use crate::domain::{EndpointId, Path, Timestamp};
use crate::store::{Aggregate, Point, ResourceType, Retention};
use crate::web::ApiError;

use super::views::{Admin, Viewer};

impl Viewer {
    /// The history of a value.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
        aggregate: Aggregate,
    ) -> Result<Vec<Point>, ApiError> {
        let history = &self.stores().history;
        Ok(history
            .history(id, path, from, to, points, aggregate)
            .await?)
    }

    /// The known resource types with how long their values are kept.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retentions(&self) -> Result<Vec<(ResourceType, Retention)>, ApiError> {
        Ok(self.stores().history.retentions().await?)
    }
}

impl Admin {
    /// Says how long values of a resource are kept. What is over age then goes within minutes.
    ///
    /// # Errors
    /// 422 when something coarser would go before what it is computed of.
    pub async fn set_retention(
        &self,
        object_id: u16,
        resource_id: u16,
        retention: Retention,
    ) -> Result<ResourceType, ApiError> {
        if let Some((key, detail)) = retention.or(self.settings().history.days()).wrong() {
            // The fields are called as the settings.
            let field = key.trim_start_matches("history.");
            return Err(ApiError::invalid(field, detail));
        }
        let history = &self.stores().history;
        let is = history
            .set_retention(object_id, resource_id, retention, self.identity().doer())
            .await?;
        Ok(is)
    }
}
