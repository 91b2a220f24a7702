//! What the devices of the pages' tests have cost.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flownexus::domain::{Day, DayTraffic, EndpointId, EndpointName, Traffic, TrafficKind};
use flownexus::store::{StoreError, TrafficStore};

use super::Fleet;

#[async_trait]
impl TrafficStore for Fleet {
    async fn add(
        &self,
        _: Vec<(EndpointName, Day, DayTraffic)>,
    ) -> Result<Vec<EndpointName>, StoreError> {
        Ok(Vec::new())
    }

    async fn days(
        &self,
        _: Option<EndpointId>,
        from: Day,
        to: Day,
    ) -> Result<BTreeMap<Day, DayTraffic>, StoreError> {
        let mut day = DayTraffic::default();
        for (number, kind) in (1..).zip(TrafficKind::ALL) {
            let traffic = Traffic {
                up_bytes: 1_000 * number,
                up_messages: 10 * number,
                down_bytes: 300 * number,
                down_messages: 9 * number,
            };
            day.add(kind, traffic);
        }
        Ok([from, to].into_iter().map(|at| (at, day)).collect())
    }

    async fn remove_before(&self, _: Day) -> Result<(), StoreError> {
        Ok(())
    }
}
