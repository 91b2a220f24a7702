//! What the devices of `simulate` and `load` prove themselves with.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use zeroize::Zeroizing;

use crate::domain::EndpointName;
use crate::net::dtls::{ClientCredentials, ClientSettings};
use crate::security::certificates::file_stem;
use crate::security::credential_input::public_key;
use crate::sim::{FleetSecurity, SimSecurity};

use super::server_url::Url;

/// Credentials, for a server that is reached by `coaps://`.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct SecurityArgs {
    /// Pre-shared key; `{name}` in the identity is the name of a device, `n` in such braces its number.
    /// Without either, several devices get their number behind the identity
    #[arg(long, value_name = "IDENTITY:HEXKEY", conflicts_with_all = ["cert", "key", "ca", "rpk"])]
    psk: Option<String>,
    /// Certificate of the device; for several devices a folder with NAME.crt and NAME.key for each
    #[arg(long, value_name = "PEM")]
    cert: Option<PathBuf>,
    /// Private key of the certificate; not for a folder
    #[arg(long, value_name = "PEM", requires = "cert")]
    key: Option<PathBuf>,
    /// CA that the server's certificate must be of; without one any server is believed
    #[arg(long, value_name = "PEM", requires = "cert")]
    ca: Option<PathBuf>,
    /// Private key whose raw public key (RFC 7250) the device shows; for several devices a folder with
    /// NAME.key for each
    #[arg(long, value_name = "PEM", conflicts_with_all = ["cert", "key", "ca"])]
    rpk: Option<PathBuf>,
    /// Public key that the server must show, or a certificate with it; without one any server is
    /// believed
    #[arg(long, value_name = "PEM", requires = "rpk")]
    server_key: Option<PathBuf>,
    /// Do not offer connection ids (RFC 9146): a device whose address changes shakes hands again
    #[arg(long)]
    no_connection_id: bool,
}

impl SecurityArgs {
    /// The CA that the server's certificate must be of.
    pub(super) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// How the devices prove themselves to this server; none on plain CoAP. The server's certificate must be
    /// for its host.
    pub(super) fn for_server(
        &self,
        server: &str,
        url: Url<'_>,
        count: usize,
    ) -> anyhow::Result<Option<FleetSecurity>> {
        let security = self.fleet(url.host, count)?;
        if url.is_secure && security.is_none() {
            bail!("--server {server}: --psk, --cert or --rpk is needed for coaps://");
        }
        if !url.is_secure && security.is_some() {
            bail!("--server {server}: --psk, --cert and --rpk are for coaps://");
        }
        Ok(security)
    }

    /// How the devices prove themselves; none: they do not. The server's certificate must be for
    /// `host`.
    fn fleet(&self, host: &str, count: usize) -> anyhow::Result<Option<FleetSecurity>> {
        let fleet = self.credentials(host, count)?;
        Ok(match self.no_connection_id {
            true => fleet.map(FleetSecurity::without_connection_ids),
            false => fleet,
        })
    }

    fn credentials(&self, host: &str, count: usize) -> anyhow::Result<Option<FleetSecurity>> {
        if let Some(psk) = &self.psk {
            let template = Template::parse(psk, count).context("--psk")?;
            // What is wrong with it is wrong for all devices.
            template
                .of(&EndpointName::new("device").context("--psk")?, 1)
                .context("--psk")?;
            return Ok(Some(FleetSecurity::new(move |name, number| {
                let settings = template.of(name, number);
                settings.map_err(|error| format!("--psk: {error:#}"))
            })));
        }
        if let Some(key) = &self.rpk {
            return self.raw_public_keys(key, count).map(Some);
        }
        let Some(certificate) = &self.cert else {
            return Ok(None);
        };
        let ca = self.ca.as_deref().map(read).transpose()?;
        let host = host.to_owned();
        let make = move |certificate: &Path, key: &Path| -> anyhow::Result<SimSecurity> {
            let pem = (read(certificate)?, read(key)?);
            let credentials = ClientCredentials::x509(&pem.0, &pem.1, ca.as_deref());
            Ok(SimSecurity::new(ClientSettings {
                server_name: Some(host.clone()),
                ..ClientSettings::new(credentials.with_context(|| shown(certificate))?)
            }))
        };
        if certificate.is_dir() {
            if self.key.is_some() {
                bail!("--key: the keys are in the folder of --cert");
            }
            let folder = certificate.clone();
            return Ok(Some(FleetSecurity::new(move |name, _| {
                let stem = file_stem(name);
                let certificate = folder.join(format!("{stem}.crt"));
                let key = folder.join(format!("{stem}.key"));
                make(&certificate, &key).map_err(|error| format!("{error:#}"))
            })));
        }
        if count > 1 {
            bail!("--cert: a certificate is for one device; name a folder for {count} of them");
        }
        let Some(key) = &self.key else {
            bail!("--cert: --key is missing");
        };
        let security = make(certificate, key)?;
        Ok(Some(FleetSecurity::new(move |_, _| Ok(security.clone()))))
    }

    /// Raw public keys, by the file of one private key or a folder of many.
    fn raw_public_keys(&self, key: &Path, count: usize) -> anyhow::Result<FleetSecurity> {
        let server = self
            .server_key
            .as_deref()
            .map(|path| public_key(&read(path)?).with_context(|| shown(path)))
            .transpose()
            .context("--server-key")?;
        let make = move |key: &Path| -> anyhow::Result<SimSecurity> {
            let pem = Zeroizing::new(read(key)?);
            let credentials = ClientCredentials::raw_public_key(&pem, server.clone());
            let credentials = credentials.with_context(|| shown(key))?;
            Ok(SimSecurity::new(ClientSettings::new(credentials)))
        };
        if key.is_dir() {
            let folder = key.to_owned();
            return Ok(FleetSecurity::new(move |name, _| {
                let key = folder.join(format!("{}.key", file_stem(name)));
                make(&key).map_err(|error| format!("--rpk: {error:#}"))
            }));
        }
        if count > 1 {
            bail!("--rpk: a key is for one device; name a folder for {count} of them");
        }
        let security = make(key).context("--rpk")?;
        Ok(FleetSecurity::new(move |_, _| Ok(security.clone())))
    }
}

/// The pre-shared key of devices whose identities differ.
#[derive(Debug, PartialEq)]
struct Template {
    identity: String,
    key: Vec<u8>,
}

impl Template {
    fn parse(psk: &str, count: usize) -> anyhow::Result<Self> {
        // Names of devices have colons, digits have none.
        let (identity, digits) = psk.rsplit_once(':').context("must be IDENTITY:HEXKEY")?;
        // The key is not repeated in an error.
        let key = hex::decode(digits).ok();
        let key = key.context("the key must be an even number of hexadecimal digits")?;
        let mut identity = identity.to_owned();
        let differs = identity.contains(NUMBER) || identity.contains(NAME);
        if count > 1 && !differs {
            identity.push_str(NUMBER);
        }
        Ok(Self { identity, key })
    }

    fn of(&self, name: &EndpointName, number: u64) -> anyhow::Result<SimSecurity> {
        let identity = self.identity.replace(NUMBER, &number.to_string());
        let identity = identity.replace(NAME, name.as_str());
        let credentials = ClientCredentials::psk(&identity, self.key.clone())?;
        Ok(SimSecurity::new(ClientSettings::new(credentials)))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

const NUMBER: &str = "{n}";
const NAME: &str = "{name}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_ids_are_offered_unless_they_are_switched_off() {
        let name = EndpointName::new("pump").expect("a name");
        for (no_connection_id, expected) in [(false, Some(0)), (true, None)] {
            let args = SecurityArgs {
                psk: Some("pump:00ff".to_owned()),
                no_connection_id,
                ..SecurityArgs::default()
            };
            let fleet = args.fleet("localhost", 1).expect("credentials");
            let security = fleet.expect("DTLS").of(&name, 1).expect("credentials");
            assert_eq!(security.client.connection_id, expected);
        }
    }

    fn identity(psk: &str, count: usize) -> String {
        let template = Template::parse(psk, count).expect("a key");
        let name = EndpointName::new("urn:imei:350000000000014").expect("a name");
        let security = template.of(&name, 7).expect("credentials");
        // Shows the identity, never the key.
        format!("{:?}", security.client.credentials)
    }

    #[test]
    fn identities_of_several_devices_differ() {
        assert_eq!(identity("pump:00ff", 1), "Psk(pump)");
        assert_eq!(identity("pump-:00ff", 2), "Psk(pump-7)");
        assert_eq!(identity("pump-{n}-x:00ff", 2), "Psk(pump-7-x)");
        assert_eq!(identity("{name}:00ff", 2), "Psk(urn:imei:350000000000014)");
        assert_eq!(identity("urn:imei:1:00ff", 1), "Psk(urn:imei:1)");
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_repeated() {
        for psk in ["pump", "pump:0f0", "pump:secret", "pump:", ":00ff"] {
            let args = SecurityArgs {
                psk: Some(psk.to_owned()),
                ..SecurityArgs::default()
            };
            let error = args.fleet("localhost", 1).expect_err(psk);
            let error = format!("{error:#}");
            assert!(error.starts_with("--psk: "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn certificates_of_several_devices_are_in_a_folder() {
        let one = SecurityArgs {
            cert: Some("device.crt".into()),
            key: Some("device.key".into()),
            ..SecurityArgs::default()
        };
        let error = format!("{:#}", one.fleet("localhost", 2).expect_err("one file"));
        assert!(error.contains("folder for 2"), "{error}");
        let error = format!("{:#}", one.fleet("localhost", 1).expect_err("no file"));
        assert!(error.contains("cannot read device.crt"), "{error}");

        let many = SecurityArgs {
            cert: Some(std::env::temp_dir()),
            ..SecurityArgs::default()
        };
        assert!(many.fleet("localhost", 2).expect("a folder").is_some());
        let with_key = SecurityArgs {
            key: Some("device.key".into()),
            ..many
        };
        assert!(with_key.fleet("localhost", 2).is_err());
    }
}
