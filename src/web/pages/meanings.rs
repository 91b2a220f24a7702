//! What numbers of the objects of OMA mean. The registry says it in the descriptions of resources only, so the models do
//! not know it.

/// The words for each number of a resource that stands for something; empty where numbers are just numbers.
pub(super) fn meanings(object: u16, resource: u16) -> &'static [(i64, &'static str)] {
    match (object, resource) {
        (3, 6) => &POWER_SOURCES,
        (3, 11) => &ERROR_CODES,
        (3, 20) => &BATTERY_STATUS,
        (4, 0 | 1) => &BEARERS,
        (5, 3) => &UPDATE_STATES,
        (5, 5) => &UPDATE_RESULTS,
        (5, 8) => &UPDATE_PROTOCOLS,
        (5, 9) => &DELIVERY_METHODS,
        _ => &[],
    }
}

/// Units that only the description of a resource tells.
pub(super) fn described_units(object: u16, resource: u16) -> Option<&'static str> {
    match (object, resource) {
        (3, 7) => Some("mV"),
        (3, 8) => Some("mA"),
        (3, 10 | 21) => Some("kB"),
        _ => None,
    }
}

const POWER_SOURCES: [(i64, &str); 8] = [
    (0, "DC power"),
    (1, "internal battery"),
    (2, "external battery"),
    (3, "fuel cell"),
    (4, "Power over Ethernet"),
    (5, "USB"),
    (6, "AC power"),
    (7, "solar"),
];

const ERROR_CODES: [(i64, &str); 9] = [
    (0, "no error"),
    (1, "low battery"),
    (2, "external power is off"),
    (3, "GPS module failed"),
    (4, "weak signal"),
    (5, "out of memory"),
    (6, "SMS failed"),
    (7, "no IP connectivity"),
    (8, "peripheral fails"),
];

const BATTERY_STATUS: [(i64, &str); 7] = [
    (0, "normal"),
    (1, "charging"),
    (2, "charged"),
    (3, "damaged"),
    (4, "low"),
    (5, "not installed"),
    (6, "unknown"),
];

const BEARERS: [(i64, &str); 14] = [
    (0, "GSM"),
    (1, "TD-SCDMA"),
    (2, "WCDMA"),
    (3, "CDMA2000"),
    (4, "WiMAX"),
    (5, "LTE-TDD"),
    (6, "LTE-FDD"),
    (7, "NB-IoT"),
    (21, "WLAN"),
    (22, "Bluetooth"),
    (23, "IEEE 802.15.4"),
    (41, "Ethernet"),
    (42, "DSL"),
    (43, "PLC"),
];

const UPDATE_STATES: [(i64, &str); 4] = [
    (0, "idle"),
    (1, "downloading"),
    (2, "downloaded"),
    (3, "updating"),
];

const UPDATE_RESULTS: [(i64, &str); 12] = [
    (0, "none yet"),
    (1, "success"),
    (2, "not enough storage"),
    (3, "out of memory"),
    (4, "connection lost"),
    (5, "integrity check failed"),
    (6, "unsupported image"),
    (7, "invalid URI"),
    (8, "update failed"),
    (9, "unsupported protocol"),
    (10, "cancelled"),
    (11, "deferred"),
];

const UPDATE_PROTOCOLS: [(i64, &str); 6] = [
    (0, "CoAP"),
    (1, "CoAPs"),
    (2, "HTTP"),
    (3, "HTTPS"),
    (4, "CoAP over TCP"),
    (5, "CoAPs over TCP"),
];

const DELIVERY_METHODS: [(i64, &str); 3] = [(0, "pull"), (1, "push"), (2, "pull and push")];
