//! The traffic of [`FakeStore`]: none but what is counted in the lens.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flownexus::domain::{Day, DayTraffic, EndpointId, EndpointName};
use flownexus::store::{StoreError, TrafficStore};

use super::fake_store::FakeStore;

#[async_trait]
impl TrafficStore for FakeStore {
    async fn add(
        &self,
        _: Vec<(EndpointName, Day, DayTraffic)>,
    ) -> Result<Vec<EndpointName>, StoreError> {
        Ok(Vec::new())
    }

    async fn days(
        &self,
        _: Option<EndpointId>,
        _: Day,
        _: Day,
    ) -> Result<BTreeMap<Day, DayTraffic>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn remove_before(&self, _: Day) -> Result<(), StoreError> {
        Ok(())
    }
}
