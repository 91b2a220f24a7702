//! The simulated devices of `serve --demo`: half of them speak plain CoAP, the others DTLS with
//! pre-shared keys that are made for them.
//!
//! A key is derived from that of the vault, so that it is the same at each start and stands nowhere in
//! the open; its credential is stored once. A device that has a credential of somebody else is left out.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::{DEMO_INTERVAL, reachable};
use crate::domain::{Doer, EndpointName};
use crate::net::dtls::{ClientCredentials, ClientSettings};
use crate::net::https::Trust;
use crate::security::{CheckedProof, PskKey, Vault};
use crate::sim::{
    FirmwareSettings, Fleet, FleetSecurity, FleetSettings, SimSecurity, endpoint_name,
};
use crate::store::{CredentialFilter, StoredProof};
use crate::web::credentials::{Credentials, NewCredential};

/// Where the devices find the server, and who lets them in.
pub(super) struct Surroundings {
    /// Plain CoAP, where it is served.
    pub(super) plain: Option<SocketAddr>,
    /// CoAP over DTLS, where it is served.
    pub(super) secure: Option<SocketAddr>,
    /// Where firmware images are served over HTTPS.
    pub(super) images: SocketAddr,
    /// Whom the devices believe there; none: anybody.
    pub(super) trust: Option<Trust>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) vault: Vault,
}

/// Running devices.
pub(super) struct Demo(JoinHandle<Vec<Fleet>>);

/// How one of the devices speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    LeftOut,
    Plain,
    Secure,
}

impl Demo {
    /// Starts `count` devices, on this thread. Returns at once: credentials of many devices take a while.
    pub(super) fn start(count: usize, around: Surroundings) -> Self {
        Self(actix_rt::spawn(start(count, around)))
    }

    /// Has the devices deregister.
    pub(super) async fn stop(self) {
        // Those that have not begun yet do not begin any more.
        self.0.abort();
        for fleet in self.0.await.unwrap_or_default() {
            fleet.stop().await;
        }
    }
}

async fn start(count: usize, around: Surroundings) -> Vec<Fleet> {
    let (mut plain, mut secure) = (BTreeSet::new(), BTreeSet::new());
    for number in (1_u64..).take(count) {
        let Ok(name) = endpoint_name(Some(PREFIX), number) else {
            break;
        };
        match around.way_of(&name, number).await {
            Ok(Way::LeftOut) => {}
            Ok(Way::Plain) => drop(plain.insert(number)),
            Ok(Way::Secure) => drop(secure.insert(number)),
            Err(error) => {
                tracing::warn!(endpoint.name = %name, "The demo goes without {name}: {error:#}");
            }
        }
    }
    let mut fleets = Vec::new();
    // Names of their own: `simulate` beside the demo adds devices instead of taking these over.
    let settings = |server, only| FleetSettings {
        interval: DEMO_INTERVAL,
        // The map shows where they are.
        send_interval: Some(SEND_INTERVAL),
        prefix: Some(PREFIX.to_owned()),
        only: Some(only),
        firmware: Some(FirmwareSettings {
            base: Some(format!("https://{}", reachable(around.images))),
            ..FirmwareSettings::default()
        }),
        trust: around.trust.clone(),
        ..FleetSettings::new(reachable(server), count)
    };
    if let Some(server) = around.plain.filter(|_| !plain.is_empty()) {
        fleets.push(Fleet::start(settings(server, plain)));
    }
    if let Some(server) = around.secure.filter(|_| !secure.is_empty()) {
        let vault = around.vault.clone();
        let security = FleetSecurity::new(move |name, _| {
            let (identity, key) = pair(&vault, name).map_err(|error| error.to_string())?;
            let credentials = ClientCredentials::psk(&identity, key.to_vec());
            let credentials = credentials.map_err(|error| error.to_string())?;
            Ok(SimSecurity::new(ClientSettings::new(credentials)))
        });
        fleets.push(Fleet::start(FleetSettings {
            security: Some(security),
            ..settings(server, secure)
        }));
    }
    fleets
}

impl Surroundings {
    /// How a device speaks: as at the start before, where it has a credential of ours. For the others
    /// every second one is given one.
    async fn way_of(&self, name: &EndpointName, number: u64) -> anyhow::Result<Way> {
        let filter = CredentialFilter {
            endpoint: Some(name.clone()),
            limit: CREDENTIALS_LOOKED_AT,
            ..CredentialFilter::default()
        };
        let held = self.credentials.list(&filter).await?;
        let (identity, key) = pair(&self.vault, name)?;
        let is_ours = held.iter().any(|held| {
            held.created_by == BY
                && matches!(&held.proof, StoredProof::Psk { identity: its, .. } if *its == identity)
        });
        let wants_secure = number.is_multiple_of(2) || self.plain.is_none();
        match self.secure {
            Some(_) if is_ours => Ok(Way::Secure),
            _ if !held.is_empty() => {
                tracing::warn!(endpoint.name = %name,
                    "The demo goes without {name}, which has credentials that it cannot use");
                Ok(Way::LeftOut)
            }
            Some(_) if wants_secure => {
                let new = NewCredential {
                    endpoint: name.clone(),
                    proof: CheckedProof::Psk { identity, key },
                    note: NOTE.to_owned(),
                    by: Doer::from_nowhere(BY),
                };
                self.credentials.add(new).await?;
                Ok(Way::Secure)
            }
            _ if self.plain.is_some() => Ok(Way::Plain),
            _ => Ok(Way::LeftOut),
        }
    }
}

/// The identity and the key of a device.
fn pair(vault: &Vault, name: &EndpointName) -> anyhow::Result<(String, PskKey)> {
    let key = vault.derive::<KEY_BYTES>(&format!("pre-shared key of the demo: {name}"))?;
    let identity = format!("{BY} {name}");
    Ok((identity, PskKey::new(key.to_vec())))
}

const SEND_INTERVAL: Duration = Duration::from_secs(5);
const PREFIX: &str = "demo-";
/// Who has made the credentials; begins their identities too, so that they are nobody else's.
const BY: &str = "serve --demo";
const NOTE: &str = "made for the demo; may be removed when there is none any more";
const KEY_BYTES: usize = 16;
/// More than an endpoint usually has.
const CREDENTIALS_LOOKED_AT: u64 = 16;
