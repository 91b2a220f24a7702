//! What a gateway's token may do.

use super::Operator;
use crate::domain::{EndpointName, GatewayReport};
use crate::web::ApiError;

impl Operator {
    /// Stores what an outside gateway reports of a device, wholly or not at all. Values are no
    /// doings of people: they are in the history of the device, not in the audit log.
    ///
    /// # Errors
    /// 429 when the device would be one too many, 503 when the server is busy.
    pub async fn report(
        &self,
        endpoint: &EndpointName,
        report: GatewayReport,
    ) -> Result<(), ApiError> {
        Ok(self.state.devices.report(endpoint, report).await?)
    }
}
