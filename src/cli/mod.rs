//! The command line, one file per subcommand.

mod cert;
mod credential;
mod device_security;
mod firmware;
mod healthcheck;
mod load;
mod logging;
mod migrate;
mod models;
mod openapi;
mod serve;
mod server_url;
mod simulate;
mod simulated_firmware;
mod token;
mod user;

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Settings;
use crate::store::{Role, Store};

/// Self-hosted LwM2M device management: server, backend and live dashboard in one binary.
#[derive(Debug, Parser)]
#[command(name = "flownexus", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a CA and the certificates of servers and devices
    Cert(cert::CertArgs),
    /// Manage what devices prove themselves with
    Credential(credential::CredentialArgs),
    /// Manage firmware images
    Firmware(firmware::FirmwareArgs),
    /// Ask a running server whether it is ready; exits with 1 when it is not
    Healthcheck(SettingsArgs),
    /// Put load on a server and measure what it does
    Load(load::LoadArgs),
    /// Bring the database to this version and end
    Migrate(SettingsArgs),
    /// Manage object models
    Models(models::ModelsArgs),
    /// Print the OpenAPI document of the REST API
    Openapi,
    /// Run everything (the default)
    Serve(serve::ServeArgs),
    /// Run simulated devices against a server
    Simulate(simulate::SimulateArgs),
    /// Manage tokens for programs
    Token(token::TokenArgs),
    /// Manage people
    User(user::UserArgs),
}

/// Where the settings are.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct SettingsArgs {
    /// A TOML file with settings that differ from the defaults; environment variables
    /// `FLOWNEXUS__SECTION__KEY` override it
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl SettingsArgs {
    fn load(&self) -> anyhow::Result<Settings> {
        Ok(Settings::load(self.config.as_deref())?)
    }
}

/// A role, as the command line names it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RoleArg {
    /// Reads
    Viewer,
    /// Operates devices too
    Operator,
    /// Manages people, tokens and settings too
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Admin => Self::Admin,
        }
    }
}

impl Cli {
    /// Runs the command and returns when it has ended.
    ///
    /// # Errors
    /// Says what failed, in one line.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            None => serve::run(&serve::ServeArgs::default()),
            Some(Command::Serve(args)) => serve::run(&args),
            Some(Command::Cert(args)) => cert::run(args),
            Some(Command::Credential(args)) => credential::run(args),
            Some(Command::Firmware(args)) => firmware::run(args),
            Some(Command::Healthcheck(args)) => healthcheck::run(&args),
            Some(Command::Load(args)) => {
                logging::start_quiet()?;
                load::run(&args)
            }
            Some(Command::Migrate(args)) => migrate::run(&args),
            Some(Command::Models(args)) => models::run(args),
            Some(Command::Openapi) => openapi::run(),
            Some(Command::Simulate(args)) => {
                logging::start_quiet()?;
                actix_rt::System::new().block_on(simulate::run(args))
            }
            Some(Command::Token(args)) => token::run(args),
            Some(Command::User(args)) => user::run(args),
        }
    }
}

/// Writes to standard output; a reader that has seen enough, as `head` has, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs one command of administration on the store, beside a running server or without one.
fn with_store<T, F>(settings: &SettingsArgs, work: impl FnOnce(Store) -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    logging::start_quiet()?;
    let settings = settings.load()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(async {
        let store = Store::open_beside(&settings).await?;
        let result = work(store.clone()).await;
        store.close().await;
        result
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// `clap` makes a new line of it wherever it stands, and there is no way to say that it should not.
    #[test]
    fn no_help_text_has_the_sign_of_clap_for_a_new_line() {
        fn look(command: &clap::Command) -> usize {
            let name = command.get_name();
            let mut seen = 0;
            for argument in command.get_arguments() {
                for help in [argument.get_help(), argument.get_long_help()] {
                    let help = help.map(ToString::to_string).unwrap_or_default();
                    assert!(
                        !help.contains("{n}"),
                        "{name}, {}: {help}",
                        argument.get_id()
                    );
                    seen += usize::from(!help.is_empty());
                }
            }
            seen + command.get_subcommands().map(look).sum::<usize>()
        }
        assert!(look(&Cli::command()) > 50);
    }
}
