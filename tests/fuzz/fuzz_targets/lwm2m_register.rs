//! Requests that devices make of the server: a method, then path, query and body on lines.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| flownexus::lwm2m::fuzzing::register(data));
