//! Payloads in every format, after a byte each for the format and the base path.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| flownexus::lwm2m::fuzzing::codec(data));
