//! What each role may see of what devices and the server say to each other, and of what it costs.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::domain::{Day, DayTraffic, Path};
use crate::lens::{Conversation, Facts};
use crate::store::EndpointRow;
use crate::web::ApiError;
use crate::web::models::of_device;

use super::views::{Operator, Viewer};

impl Viewer {
    /// The last messages of a device, oldest first, without what is secret.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn conversation(&self, row: &EndpointRow) -> Result<Conversation, ApiError> {
        let messages = self.state.lens.messages(&row.name);
        if messages.is_empty() {
            return Ok(Conversation::default());
        }
        let observations = self.observations(row.id).await?;
        let units: BTreeMap<Path, String> = self
            .latest(row.id)
            .await?
            .into_iter()
            .filter(|stored| stored.path.resource_id() == Some(SENSOR_UNITS))
            .map(|stored| (stored.path.truncated(2), stored.value.to_string()))
            .collect();
        let models = self.models();
        let registration = row.registration.as_ref();
        let facts = Facts {
            endpoint: &row.name,
            view: of_device(&models, registration),
            root: registration.map_or("", |registration| registration.root.as_str()),
            observations: &observations,
            units: &units,
        };
        Ok(Conversation::read(&messages, &facts))
    }

    /// The traffic of a device, or of all of them together, from one day to another; what is not written down yet
    /// counts.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn traffic(
        &self,
        row: Option<&EndpointRow>,
        from: Day,
        to: Day,
    ) -> Result<BTreeMap<Day, DayTraffic>, ApiError> {
        let id = row.map(|row| row.id);
        let mut days = self.stores().traffic.days(id, from, to).await?;
        for (day, traffic) in self.state.lens.pending(row.map(|row| &row.name)) {
            if (from..=to).contains(&day) {
                let sum = days.entry(day).or_default();
                for (kind, traffic) in traffic.kinds() {
                    sum.add(kind, traffic);
                }
            }
        }
        Ok(days)
    }
}

impl Operator {
    /// Where CoAP is served, plainly and over DTLS, for a file of messages.
    pub fn coap_addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.state.coap
    }
}

/// The resource in which a sensor tells the units of its values.
const SENSOR_UNITS: u16 = 5701;
