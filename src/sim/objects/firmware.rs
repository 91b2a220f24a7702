//! Object 5, Firmware Update, and 3/0/3: what a server sees of the firmware (OMA-TS-LightweightM2M Core
//! E.6). What happens to it is decided in [`device`](super::super::device).

use crate::domain::{Lwm2mVersion, Path, Timestamp, Value};

use super::super::firmware::FirmwareSettings;
use super::{Objects, seconds};

/// Object 5 as it is after the device was switched on: nothing happens.
pub(in crate::sim) fn begin(objects: &mut Objects, settings: &FirmwareSettings) {
    objects.put(at(PACKAGE_URI), Value::String(String::new()));
    objects.put(at(STATE), Value::Integer(0));
    objects.put(at(RESULT), Value::Integer(0));
    show_package(objects, "", "");
    for (id, protocol) in (0..).zip(&settings.protocols) {
        let place = Path::resource_instance(FIRMWARE, 0, PROTOCOLS, id);
        objects.put(place, Value::Integer((*protocol).into()));
    }
    objects.put(at(DELIVERY), Value::Integer(settings.delivery.into()));
    if objects.table.version >= Lwm2mVersion::V1_2 {
        // Mandatory, as the server chooses it where nobody asks the user.
        objects.put(at(SEVERITY), Value::Integer(1));
        objects.put(at(MAX_DEFER), Value::UnsignedInteger(0));
    }
}

/// 5/0/3, and when it changed.
pub(in crate::sim) fn show_state(objects: &mut Objects, state: u8, now: Timestamp) {
    let state = Value::Integer(state.into());
    let is_new = objects.value(&at(STATE)) != Some(&state);
    objects.put(at(STATE), state);
    if is_new && objects.table.version >= Lwm2mVersion::V1_2 {
        objects.put(at(STATE_CHANGE), Value::Time(seconds(now)));
    }
}

/// 5/0/5
pub(in crate::sim) fn show_result(objects: &mut Objects, result: i64) {
    objects.put(at(RESULT), Value::Integer(result));
}

/// 5/0/6 and 5/0/7: the package that is there, which is not what runs.
pub(in crate::sim) fn show_package(objects: &mut Objects, name: &str, version: &str) {
    objects.put(at(PACKAGE_NAME), Value::String(name.to_owned()));
    objects.put(at(PACKAGE_VERSION), Value::String(version.to_owned()));
}

/// 3/0/3: what runs; nothing, for a device that does not say.
pub(in crate::sim) fn show_version(objects: &mut Objects, version: Option<&str>) {
    let path = Path::resource(3, 0, 3);
    match version {
        Some(version) => objects.put(path, Value::String(version.to_owned())),
        None if objects.value(&path).is_some() => objects.remove(path),
        None => {}
    }
}

/// 5/0/1
pub(in crate::sim) fn uri(objects: &Objects) -> &str {
    match objects.value(&at(PACKAGE_URI)) {
        Some(Value::String(uri)) => uri,
        _ => "",
    }
}

/// 5/0/1 is empty again.
pub(in crate::sim) fn clear_uri(objects: &mut Objects) {
    objects.put(at(PACKAGE_URI), Value::String(String::new()));
}

/// 5/0/5
pub(in crate::sim) fn result(objects: &Objects) -> i64 {
    match objects.value(&at(RESULT)) {
        Some(Value::Integer(result)) => *result,
        _ => 0,
    }
}

fn at(resource: u16) -> Path {
    Path::resource(FIRMWARE, 0, resource)
}

/// Firmware Update
pub(in crate::sim) const FIRMWARE: u16 = 5;
/// Since version 1.1 of the object: 10 Cancel and the three after it.
pub(super) const SINCE_1_1: u16 = 10;
const PACKAGE_URI: u16 = 1;
const STATE: u16 = 3;
const RESULT: u16 = 5;
const PACKAGE_NAME: u16 = 6;
const PACKAGE_VERSION: u16 = 7;
const PROTOCOLS: u16 = 8;
const DELIVERY: u16 = 9;
const SEVERITY: u16 = 11;
const STATE_CHANGE: u16 = 12;
const MAX_DEFER: u16 = 13;
