//! Object 20, Event Log: what happened, as lines of text, while somebody wants it written down
//! (OMA-TS-LWM2M_EventLog).

use crate::domain::{Path, Timestamp, Value};

use super::table::{EVENT, EVENT_LOG};
use super::{Objects, seconds};

/// The log as it is after the device was switched on: it runs, and is empty.
pub(super) fn begin(objects: &mut Objects) {
    objects.put(at(CLASS), Value::Integer(GENERIC));
    objects.put(at(DATA_FORMAT), Value::Integer(UNSPECIFIED));
    empty(objects);
    objects.put(at(STATUS), Value::Integer(0));
}

/// `LogStart`: begins anew, or goes on after what is there when argument 0 is 1.
pub(in crate::sim) fn start(objects: &mut Objects, argument: Option<&str>) {
    if argument != Some("1") {
        empty(objects);
    }
    show(objects, true);
}

/// `LogStop`: what was written stays, unless argument 0 is 1.
pub(in crate::sim) fn stop(objects: &mut Objects, argument: Option<&str>) {
    if argument == Some("1") {
        empty(objects);
    }
    show(objects, false);
}

/// Writes the event that the device just had, if it has a log and that runs.
pub(super) fn write(objects: &mut Objects, now: Timestamp) {
    let Some(Value::Opaque(bytes)) = objects.value(&at(DATA)) else {
        return;
    };
    if !is_running(objects) {
        return;
    }
    let message = objects.value(&Path::resource(EVENT, 0, 3));
    let message = message.map(ToString::to_string).unwrap_or_default();
    let mut bytes = bytes.clone();
    bytes.extend_from_slice(format!("{} {message}\n", seconds(now)).as_bytes());
    // The oldest lines make room.
    while bytes.len() > MAX_BYTES {
        let line = bytes.iter().position(|byte| *byte == b'\n');
        bytes.drain(..line.map_or(bytes.len(), |end| end + 1));
    }
    objects.put(at(DATA), Value::Opaque(bytes));
    show(objects, true);
}

fn empty(objects: &mut Objects) {
    objects.put(at(DATA), Value::Opaque(Vec::new()));
}

fn is_running(objects: &Objects) -> bool {
    matches!(objects.value(&at(STATUS)), Some(Value::Integer(status)) if status & STOPPED == 0)
}

fn show(objects: &mut Objects, running: bool) {
    let has_data =
        matches!(objects.value(&at(DATA)), Some(Value::Opaque(bytes)) if !bytes.is_empty());
    let status = if running { 0 } else { STOPPED } | if has_data { HAS_DATA } else { 0 };
    objects.put(at(STATUS), Value::Integer(status));
}

fn at(resource: u16) -> Path {
    Path::resource(EVENT_LOG, 0, resource)
}

const CLASS: u16 = 4010;
const STATUS: u16 = 4013;
const DATA: u16 = 4014;
const DATA_FORMAT: u16 = 4015;
/// Bits of `LogStatus`.
const STOPPED: i64 = 1;
const HAS_DATA: i64 = 2;
/// `LogClass`: generic.
const GENERIC: i64 = 0;
/// `LogDataFormat`: not specified.
const UNSPECIFIED: i64 = 0;
/// Of the log.
const MAX_BYTES: usize = 4096;
