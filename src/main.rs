//! The `flownexus` program: reads the command line and hands over.

use std::process::ExitCode;

use clap::Parser as _;
use flownexus::cli::Cli;
use tikv_jemallocator::Jemalloc;

/// Gives memory back that actors of idle devices had: that of glibc keeps it (docs/performance.md).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One clear line: what failed, and why, from the outside in.
            eprintln!("flownexus: {error:#}");
            ExitCode::FAILURE
        }
    }
}
