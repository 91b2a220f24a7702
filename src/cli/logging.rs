//! What is logged, and how.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// Starts logging on standard error as the settings say.
///
/// # Errors
/// When `log.level` is no level and no filter.
pub(super) fn start(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).with_context(|| {
        format!(
            "setting `log.level`: `{}` is no level and no filter",
            log.level
        )
    })?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    if json {
        builder.json().flatten_event(true).finish().try_init()?;
    } else {
        builder.with_ansi(terminal).finish().try_init()?;
    }
    Ok(())
}

/// Logging of the commands for people: warnings only.
pub(super) fn start_quiet() -> anyhow::Result<()> {
    start(&Log {
        level: "warn".to_owned(),
        format: LogFormat::Text,
    })
}
