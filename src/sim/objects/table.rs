//! Which objects and resources simulated devices have.

use crate::domain::Lwm2mVersion;

/// Objects in the order of their ids, with their resources.
const TABLE: &[(u16, &[u16])] = &[
    (1, &[0, 1, 2, 3, 6, 7, 8, MUTE_SEND]),
    (
        3,
        &[
            0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        ],
    ),
    (4, &[0, 1, 2, 3, 4, 8]),
    (5, &[0, 1, 2, 3, 5, 9]),
    (6, &[0, 1, 2, 5, 6]),
    (PORTFOLIO, &[0]),
    (3303, &SENSOR),
    (3304, &SENSOR),
    (EVENT, &[0, 1, 2, 3]),
];

const SENSOR: [u16; 9] = [5518, 5601, 5602, 5603, 5604, 5605, 5700, 5701, 5750];
/// The object whose instances a server may create and delete.
pub(super) const PORTFOLIO: u16 = 16;
/// The object of events, as the first flownexus observed it.
pub(super) const EVENT: u16 = 10_300;
/// Of object 1, since LwM2M 1.1.
const MUTE_SEND: u16 = 23;

pub(super) fn objects() -> impl Iterator<Item = u16> {
    TABLE.iter().map(|(object, _)| *object)
}

pub(super) fn resources(object: u16) -> &'static [u16] {
    TABLE
        .iter()
        .find(|(id, _)| *id == object)
        .map_or(&[], |(_, resources)| *resources)
}

pub(super) fn has_object(object: u16) -> bool {
    objects().any(|id| id == object)
}

pub(super) fn has_resource(object: u16, resource: u16, version: Lwm2mVersion) -> bool {
    let known = resources(object).contains(&resource);
    known && ((object, resource) != (1, MUTE_SEND) || version >= Lwm2mVersion::V1_1)
}

/// The version of an object that is not that of the enabler anyway.
pub(super) fn version(object: u16) -> Option<&'static str> {
    // 5518 (Timestamp) came with 1.1.
    matches!(object, 3303 | 3304).then_some("1.1")
}
