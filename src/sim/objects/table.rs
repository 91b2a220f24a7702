//! Which objects and resources simulated devices have.

use crate::domain::Lwm2mVersion;

use super::firmware::{FIRMWARE, SINCE_1_1};

/// The objects of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) struct Table {
    /// The version of LwM2M that it speaks.
    pub(in crate::sim) version: Lwm2mVersion,
    /// Whether it has the objects that are for tests.
    pub(in crate::sim) test_objects: bool,
    /// Whether it has object 5.
    pub(in crate::sim) firmware: bool,
}

impl Table {
    pub(super) fn objects(self) -> impl Iterator<Item = u16> {
        self.rows().map(|row| row.object)
    }

    pub(super) fn resources(self, object: u16) -> &'static [u16] {
        self.rows()
            .find(|row| row.object == object)
            .map_or(&[], |row| row.resources)
    }

    pub(super) fn has_resource(self, object: u16, resource: u16) -> bool {
        let known = self.resources(object).contains(&resource);
        let since = match (object, resource) {
            (1, MUTE_SEND) => Lwm2mVersion::V1_1,
            (FIRMWARE, SINCE_1_1..) => Lwm2mVersion::V1_2,
            _ => Lwm2mVersion::V1_0,
        };
        known && self.version >= since
    }

    fn rows(self) -> impl Iterator<Item = &'static Row> {
        TABLE
            .iter()
            .filter(move |row| self.test_objects || !row.only_for_tests)
            .filter(move |row| self.firmware || row.object != FIRMWARE)
    }
}

/// The version of an object that is not that of the enabler anyway.
pub(super) fn version(object: u16) -> Option<&'static str> {
    match object {
        // As the model of LogData that the device has.
        EVENT_LOG => Some("2.1"),
        // 5518 (Timestamp) came with 1.1.
        3303 | 3304 => Some("1.1"),
        _ => None,
    }
}

/// The objects whose instances a server may create and delete.
pub(super) fn takes_instances(object: u16) -> bool {
    matches!(object, PORTFOLIO | TEST_OBJECT)
}

struct Row {
    object: u16,
    resources: &'static [u16],
    only_for_tests: bool,
}

const fn row(object: u16, resources: &'static [u16]) -> Row {
    Row {
        object,
        resources,
        only_for_tests: false,
    }
}

const fn test_row(object: u16, resources: &'static [u16]) -> Row {
    Row {
        object,
        resources,
        only_for_tests: true,
    }
}

/// In the order of the ids.
const TABLE: &[Row] = &[
    row(1, &[0, 1, 2, 3, 4, 5, 6, 7, 8, MUTE_SEND]),
    row(
        3,
        &[
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        ],
    ),
    row(4, &[0, 1, 2, 3, 4, 8]),
    row(FIRMWARE, &[0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    row(6, &[0, 1, 2, 3, 5, 6]),
    row(PORTFOLIO, &[0]),
    test_row(EVENT_LOG, &[4010, 4011, 4012, 4013, 4014, 4015]),
    row(3303, &SENSOR),
    row(3304, &SENSOR),
    test_row(PUSH_BUTTON, &[5500, 5501, 5750]),
    test_row(
        TEST_OBJECT,
        &[
            0, 1, 2, 3, 4, 5, 6, 110, 120, 125, 130, 140, 150, 160, 170, 180, 1110, 1120, 1125,
            1130, 1140, 1150, 1160, 1170, 1180,
        ],
    ),
    row(EVENT, &[0, 1, 2, 3]),
];

const SENSOR: [u16; 9] = [5518, 5601, 5602, 5603, 5604, 5605, 5700, 5701, 5750];
/// Portfolio: it begins without instances.
pub(super) const PORTFOLIO: u16 = 16;
/// Event Log
pub(super) const EVENT_LOG: u16 = 20;
/// Push button
pub(super) const PUSH_BUTTON: u16 = 3347;
/// LwM2M v1.1 Test Object
pub(super) const TEST_OBJECT: u16 = 3442;
/// The object of events, as the first flownexus observed it.
pub(super) const EVENT: u16 = 10_300;
/// Of object 1, since LwM2M 1.1.
const MUTE_SEND: u16 = 23;
