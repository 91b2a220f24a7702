//! What the devices of the pages' tests have cost.

use std::collections::BTreeMap;

use flownexus::domain::{Day, DayTraffic, Traffic, TrafficKind};

use super::Fleet;
use crate::support::fake_traffic::tells_traffic;

tells_traffic!(Fleet, first_and_last);

/// Something of every kind on the first and on the last day.
fn first_and_last(from: Day, to: Day) -> BTreeMap<Day, DayTraffic> {
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
    [from, to].into_iter().map(|at| (at, day)).collect()
}
