//! Reports of outside gateways on their way to the actor of a device, which may be new.

use actix::dev::SendError;
use actix::prelude::*;
use tokio::sync::oneshot;

use super::{RegistryActor, Start};
use crate::domain::{EndpointName, GatewayReport};
use crate::endpoint::{NotTaken, Report};
use crate::registry::OperateError;

/// What becomes of a report, in time.
pub(in crate::registry) type Outcome = oneshot::Receiver<Result<(), NotTaken>>;

/// A gateway reports something of a device.
#[derive(Debug, Message)]
#[rtype(result = "Result<Outcome, OperateError>")]
pub(in crate::registry) struct ReportOn {
    pub(in crate::registry) endpoint: EndpointName,
    pub(in crate::registry) report: Box<GatewayReport>,
}

impl Handler<ReportOn> for RegistryActor {
    type Result = Result<Outcome, OperateError>;

    fn handle(&mut self, message: ReportOn, _: &mut Self::Context) -> Self::Result {
        let ReportOn { endpoint, report } = message;
        let known = self.tables.state.borrow().id(&endpoint);
        let door = match known {
            Some(id) => self.actor(id, Some(&endpoint)).ok_or(OperateError::Busy)?,
            None => {
                // Who may register is settled by the gateway and by whoever gave it a token:
                // `registration.unknown_endpoints` is about strangers on the network.
                let limit = self.max_endpoints;
                if self.tables.state.borrow().known() >= limit {
                    return Err(OperateError::TooManyEndpoints { limit });
                }
                let id = self.links.writer.ids().endpoint();
                self.tables.state.borrow_mut().know(endpoint.clone(), id);
                self.start_actor(id, endpoint, Start::New)
            }
        };
        let (message, outcome) = Report::new(report);
        if let Err(SendError::Full(_) | SendError::Closed(_)) = door.put(message) {
            // It has gone back by being dropped, and is sent again in a moment.
            self.links.metrics.refused.inc();
        }
        Ok(outcome)
    }
}
