//! Programs of others. Where one is not installed its tests are skipped, which is said on standard error,
//! unless `FLOWNEXUS_TEST_REQUIRE` names it.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::process::{Command, Output, Stdio};

/// The client of `libcoap`.
pub(crate) const COAP_CLIENT: &str = "coap-client-openssl";

/// What a program says; nothing where it is not installed.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let run = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match run {
        Ok(output) => Some(output),
        Err(error) => {
            skipped(program, &error);
            None
        }
    }
}

/// It is not installed, which may be.
pub(crate) fn skipped(program: &str, error: &std::io::Error) {
    let required = std::env::var("FLOWNEXUS_TEST_REQUIRE")
        .is_ok_and(|all| all.split(',').any(|one| one.trim() == program));
    assert!(!required, "{program} is required, but: {error}");
    eprintln!("SKIPPED: the program `{program}` is not installed ({error})");
}

/// Everything that it has said.
pub(crate) fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{out}{err}")
}
