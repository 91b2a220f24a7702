//! What the devices of `simulate` do with firmware (object 5).

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::net::https::Trust;
use crate::sim::{FirmwareBehaviour, FirmwareSettings};

use super::server_url::Url;

/// Arguments of `simulate` about object 5.
#[derive(Args, Clone, Debug)]
pub(super) struct FirmwareArgs {
    #[arg(
        id = "firmware",
        long = "firmware",
        value_name = "BEHAVIOUR",
        help = format!("How the devices behave with their firmware: {}", FirmwareBehaviour::NAMES),
        default_value = "good"
    )]
    pub(super) behaviour: FirmwareBehaviour,
    /// Of a hundred devices so many cannot install any image (update-failed), always the same ones
    #[arg(
        id = "firmware_failing",
        long = "firmware-failing",
        value_name = "PERCENT",
        default_value_t = 0,
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    pub(super) failing: u8,
    /// What the devices run at first (3/0/3)
    #[arg(long, value_name = "VERSION", default_value = "1.0.0")]
    firmware_version: String,
    /// What a Package URI without a host is put behind, for example `https://fw.example.com:8443`; without
    /// it, port 8443 of the server's host over HTTPS. `session`: it is asked of the server over CoAP
    #[arg(long, value_name = "URL")]
    firmware_base: Option<String>,
    /// CA that the certificate of an HTTPS server with images must be of; without it that of --ca, and
    /// without either any server is believed
    #[arg(long, value_name = "PEM")]
    firmware_ca: Option<PathBuf>,
    /// The devices have no object 5
    #[arg(long)]
    no_firmware: bool,
}

impl FirmwareArgs {
    /// Object 5 of devices whose LwM2M server is there; none, when they are not to have it.
    pub(super) fn settings(&self, server: Url<'_>) -> Option<FirmwareSettings> {
        if self.no_firmware {
            return None;
        }
        let host = match server.host.contains(':') {
            true => format!("[{}]", server.host),
            false => server.host.to_owned(),
        };
        let base = match self.firmware_base.as_deref() {
            None => Some(format!("https://{host}:{PORT}")),
            Some(SESSION) => None,
            Some(base) => Some(base.to_owned()),
        };
        Some(FirmwareSettings {
            version: self.firmware_version.clone(),
            base,
            ..FirmwareSettings::default()
        })
    }

    /// Whom they believe over HTTPS; `ca`: that of DTLS.
    ///
    /// # Errors
    /// The file cannot be read, or holds no certificate.
    pub(super) fn trust(&self, ca: Option<&Path>) -> anyhow::Result<Option<Trust>> {
        let (path, option) = match (&self.firmware_ca, ca) {
            (Some(path), _) => (path.as_path(), "--firmware-ca"),
            (None, Some(path)) => (path, "--ca"),
            (None, None) => return Ok(None),
        };
        let trust = std::fs::read(path)
            .map_err(anyhow::Error::from)
            .and_then(|pem| Ok(Trust::authorities(&pem)?));
        let trust = trust.with_context(|| format!("{option} {}", path.display()))?;
        Ok(Some(trust))
    }
}

/// Of `firmware.listen` when nobody has changed it.
const PORT: u16 = 8443;
const SESSION: &str = "session";

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        firmware: FirmwareArgs,
    }

    fn parsed(arguments: &[&str]) -> FirmwareArgs {
        let arguments = ["simulate"].iter().chain(arguments);
        Command::try_parse_from(arguments)
            .expect("arguments")
            .firmware
    }

    fn refused(arguments: &[&str]) -> String {
        let arguments = ["simulate"].iter().chain(arguments);
        let parsed = Command::try_parse_from(arguments);
        parsed.map(drop).expect_err("refused").to_string()
    }

    #[test]
    fn a_path_alone_leads_to_the_server_s_host_unless_another_is_named() {
        let base = |server: &str, arguments: &[&str]| {
            let url = Url::parse(server).expect("a URL");
            parsed(arguments).settings(url).expect("object 5").base
        };
        let named = |base: &str| Some(base.to_owned());
        assert_eq!(
            base("coap://fw.example.com", &[]),
            named("https://fw.example.com:8443")
        );
        assert_eq!(base("coaps://[::1]:7000", &[]), named("https://[::1]:8443"));
        let other = ["--firmware-base", "https://cdn.example.com"];
        assert_eq!(
            base("coap://localhost", &other),
            named("https://cdn.example.com")
        );
        assert_eq!(
            base("coap://localhost", &["--firmware-base", "session"]),
            None
        );
        let url = Url::parse("coap://localhost").expect("a URL");
        assert_eq!(parsed(&["--no-firmware"]).settings(url), None);
    }

    #[test]
    fn behaviours_and_shares_are_checked() {
        let slow = parsed(&["--firmware", "slow=500", "--firmware-failing", "30"]);
        assert_eq!(slow.behaviour, FirmwareBehaviour::Slow(500));
        assert_eq!(slow.failing, 30);
        let error = refused(&["--firmware", "perfect"]);
        assert!(
            error.contains("perfect") && error.contains("skips-states"),
            "{error}"
        );
        assert!(refused(&["--firmware-failing", "101"]).contains("101"));
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("a path");
        let error = parsed(&["--firmware-ca", path]).trust(None);
        let error = format!("{:#}", error.expect_err("no certificate"));
        assert!(
            error.contains("--firmware-ca") && error.contains(path),
            "{error}"
        );
        let error = parsed(&[]).trust(Some(Path::new("/none/ca.crt")));
        assert!(format!("{:#}", error.expect_err("no file")).contains("--ca /none/ca.crt"));
        assert_eq!(parsed(&[]).trust(None).expect("nobody"), None);
    }
}
