//! What each role may do with devices' logs.

use crate::domain::{EndpointId, LogResource, StoredLogLine};
use crate::store::LogFilter;
use crate::web::ApiError;

use super::views::{Operator, Viewer};

/// The largest number of log resources.
const MAX_LOG_RESOURCES: usize = 100;

impl Viewer {
    /// Lines of a device's log, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn logs(
        &self,
        endpoint: EndpointId,
        filter: &LogFilter,
    ) -> Result<Vec<StoredLogLine>, ApiError> {
        Ok(self.stores().logs.list(endpoint, filter).await?)
    }

    /// Which values are logs, by id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn log_resources(&self) -> Result<Vec<LogResource>, ApiError> {
        Ok(self.stores().log_resources.list().await?)
    }
}

impl Operator {
    /// Lets values be logs; in force when this returns.
    ///
    /// # Errors
    /// 409 when there is one like it or there are too many.
    pub async fn add_log_resource(&self, resource: LogResource) -> Result<LogResource, ApiError> {
        let _counting = self.state.counting.lock().await;
        let known = self.log_resources().await?;
        if known.len() >= MAX_LOG_RESOURCES {
            let detail = format!("there are {MAX_LOG_RESOURCES} log resources already");
            return Err(ApiError::conflict("too_many_log_resources", detail));
        }
        let same =
            |one: &LogResource| one.path == resource.path && one.selection == resource.selection;
        if known.iter().any(same) {
            let detail = "there is one of this path and filter already";
            return Err(ApiError::conflict("exists", detail));
        }
        let (stores, by) = (self.stores(), self.identity().doer());
        let resource = stores.log_resources.add(resource, by).await?;
        self.devices().reload_log_resources().await?;
        Ok(resource)
    }

    /// Lets values be values again. What became lines stays.
    ///
    /// # Errors
    /// 404 without such a log resource.
    pub async fn remove_log_resource(&self, id: i64) -> Result<(), ApiError> {
        let (stores, by) = (self.stores(), self.identity().doer());
        if !stores.log_resources.remove(id, by).await? {
            return Err(ApiError::not_found(format!(
                "there is no log resource {id}"
            )));
        }
        self.devices().reload_log_resources().await?;
        Ok(())
    }
}
