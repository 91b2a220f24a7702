//! Object definitions in XML.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| flownexus::lwm2m::fuzzing::ddf(data));
