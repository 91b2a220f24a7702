//! Logging in by OpenID Connect.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// See `[oidc]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Oidc {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: String,
    pub client_secret_file: String,
    pub scopes: Vec<String>,
    pub label: String,
    pub name_claim: String,
    pub role_claim: String,
    pub roles: BTreeMap<String, OidcRole>,
    pub default_role: OidcRole,
    pub allowed: Vec<String>,
    pub ca_file: String,
    pub timeout_ms: u64,
    pub cache_s: u64,
}

/// What somebody may do for whom a provider vouches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OidcRole {
    /// Nothing: the login is refused.
    None,
    /// Reads.
    Viewer,
    /// Operates devices too.
    Operator,
    /// Manages people, credentials and settings too.
    Admin,
}

impl Oidc {
    /// True when people may log in this way.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    /// The first setting that makes no sense, by its key, and why. `public_url` is that of `[web]`.
    pub(super) fn wrong(&self, public_url: &str) -> Option<(&'static str, String)> {
        if !public_url.is_empty() && !is_origin(public_url) {
            let reason =
                "must be https://HOST or http://HOST, with a port where needed and without a path";
            return Some(("web.public_url", reason.to_owned()));
        }
        if !self.is_on() {
            return None;
        }
        let checks = [
            (
                "oidc.issuer",
                is_safe(&self.issuer),
                "must begin with https:// (http:// is for this machine alone)",
            ),
            ("oidc.client_id", !self.client_id.is_empty(), "is missing"),
            (
                "oidc.client_secret_file",
                self.client_secret.is_empty() || self.client_secret_file.is_empty(),
                "and oidc.client_secret cannot both be set",
            ),
            (
                "web.public_url",
                !public_url.is_empty(),
                "is needed for [oidc]: the provider sends people back there",
            ),
            (
                "oidc.scopes",
                self.scopes.iter().any(|scope| scope == "openid"),
                "must hold openid",
            ),
            ("oidc.name_claim", !self.name_claim.is_empty(), "is missing"),
            (
                "oidc.timeout_ms",
                (100..=60_000).contains(&self.timeout_ms),
                "must be from 100 to 60000",
            ),
        ];
        let (key, _, reason) = checks.into_iter().find(|(_, is_right, _)| !is_right)?;
        Some((key, reason.to_owned()))
    }
}

/// True for an address that nobody on the way can read or change: https, or this machine.
pub fn is_safe(address: &str) -> bool {
    if address.starts_with("https://") {
        return true;
    }
    let Some(rest) = address.strip_prefix("http://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_origin(address: &str) -> bool {
    let rest = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '?', '#', '@', ' ', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_machine_alone() {
        for safe in [
            "https://idp.example",
            "http://127.0.0.1:9000/realm",
            "http://localhost:9000",
            "http://[::1]:9000",
        ] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in [
            "http://idp.example",
            "http://127.0.0.1@evil.example",
            "http://localhost.evil.example",
            "ftp://localhost",
            "",
        ] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }
}
