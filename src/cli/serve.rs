//! `serve`: runs everything.

use clap::Args;

use super::{SettingsArgs, logging};
use crate::app;

/// Arguments of `serve`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Also run N simulated devices in this process, which speak real UDP to the server
    #[arg(long, value_name = "N", default_value_t = 0)]
    demo: usize,
    /// Check the settings, print those in force, and end
    #[arg(long)]
    check_config: bool,
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings.load()?;
    if args.check_config {
        print!("{}", toml::to_string(&settings.without_secrets())?);
        return Ok(());
    }
    logging::start(&settings.log)?;
    actix_rt::System::new().block_on(app::serve(settings, args.demo))
}
