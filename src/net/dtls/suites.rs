//! The cipher suites that may be offered: those that constrained devices have, and none that is
//! weak (RFC 7925 section 4, OMA-TS-LightweightM2M Transport 5.2.8).

/// The registered names, and what OpenSSL calls them.
const SUITES: &[(&str, &str)] = &[
    ("TLS_PSK_WITH_AES_128_CCM_8", "PSK-AES128-CCM8"),
    ("TLS_PSK_WITH_AES_128_CCM", "PSK-AES128-CCM"),
    ("TLS_PSK_WITH_AES_128_GCM_SHA256", "PSK-AES128-GCM-SHA256"),
    ("TLS_PSK_WITH_AES_128_CBC_SHA256", "PSK-AES128-CBC-SHA256"),
    ("TLS_PSK_WITH_AES_256_CCM_8", "PSK-AES256-CCM8"),
    ("TLS_PSK_WITH_AES_256_GCM_SHA384", "PSK-AES256-GCM-SHA384"),
    (
        "TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256",
        "ECDHE-PSK-AES128-CBC-SHA256",
    ),
    (
        "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-PSK-CHACHA20-POLY1305",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
        "ECDHE-ECDSA-AES128-CCM8",
    ),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CCM", "ECDHE-ECDSA-AES128-CCM"),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        "ECDHE-ECDSA-AES128-SHA256",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
];

/// A name that is in the settings and not in the list.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{name}` is not among the cipher suites that can be used: {}",
    known()
)]
pub struct UnknownSuite {
    name: String,
}

/// Which suites a list for OpenSSL is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Only {
    All,
    Psk,
    Certificates,
}

impl Only {
    /// Whether a suite belongs to these, by OpenSSL's name.
    fn takes(self, suite: &str) -> bool {
        match self {
            Self::All => true,
            Self::Psk => suite.contains("PSK"),
            Self::Certificates => !suite.contains("PSK"),
        }
    }
}

/// Whether any of these names is among such suites.
pub(super) fn has_suite(names: &[String], only: Only) -> bool {
    let known = SUITES.iter();
    let mut wanted = known.filter(|(_, theirs)| only.takes(theirs));
    wanted.any(|(ours, _)| names.iter().any(|name| name == ours))
}

/// OpenSSL's list of suites, in the order of these names.
pub(super) fn cipher_list(names: &[String], only: Only) -> Result<String, UnknownSuite> {
    let mut list = String::new();
    for name in names {
        let (_, theirs) = SUITES
            .iter()
            .find(|(ours, _)| ours == name)
            .ok_or_else(|| UnknownSuite { name: name.clone() })?;
        if only.takes(theirs) {
            list.push_str(theirs);
            list.push(':');
        }
    }
    // CCM_8 has a tag of 64 bits, which OpenSSL offers at level 0 only; the suites, groups and
    // signatures are listed one by one instead.
    list.push_str("@SECLEVEL=0");
    Ok(list)
}

fn known() -> String {
    let names: Vec<&str> = SUITES.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use openssl::ssl::{SslContext, SslMethod};

    use super::*;

    #[test]
    fn openssl_has_every_suite() {
        for (name, theirs) in SUITES {
            let list = cipher_list(&[(*name).to_owned()], Only::All).expect("a known suite");
            let mut context = SslContext::builder(SslMethod::dtls()).expect("a context");
            context
                .set_cipher_list(&list)
                .unwrap_or_else(|error| panic!("{theirs}: {error}"));
        }
    }

    #[test]
    fn a_suite_that_is_weak_or_unknown_is_named() {
        let error = cipher_list(&["TLS_PSK_WITH_NULL_SHA256".to_owned()], Only::All)
            .expect_err("no such suite")
            .to_string();
        assert!(error.contains("TLS_PSK_WITH_NULL_SHA256"), "{error}");
        assert!(error.contains("TLS_PSK_WITH_AES_128_CCM_8"), "{error}");
    }
}
