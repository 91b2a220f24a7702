//! Settings as they are shown: without what opens something.

use super::Settings;

/// What is shown in the place of a secret.
const MASK: &str = "…";

impl Settings {
    /// The settings with every secret masked, to be shown.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        shown.database.url = mask_password(&self.database.url);
        if !shown.oidc.client_secret.is_empty() {
            shown.oidc.client_secret = MASK.to_owned();
        }
        shown
    }
}

/// The address of a database without what opens it: neither `user:PASSWORD@` nor any parameter.
fn mask_password(url: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, _)) => (address, "?…"),
        None => (url, ""),
    };
    // Perhaps a `?` in a password, which is `%3F` in an address: then what is in front of it is secret too.
    if !address.contains('@') && url.contains('@') {
        let scheme = address.split_once("://").map_or("", |(scheme, _)| scheme);
        return format!("{scheme}://…");
    }
    let masked = address.split_once("://").and_then(|(scheme, rest)| {
        let (credentials, host) = rest.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:…@{host}"))
    });
    format!("{}{parameters}", masked.as_deref().unwrap_or(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_the_database_is_not_shown() {
        for (url, shown) in [
            ("", ""),
            (
                "postgres://nexus:secret@db/flow",
                "postgres://nexus:…@db/flow",
            ),
            (
                "postgres://nexus:a@b:c@db:5432/flow",
                "postgres://nexus:…@db:5432/flow",
            ),
            ("postgres://nexus:sec?ret@db/flow", "postgres://…"),
            (
                "postgres://nexus@db/flow?password=secret",
                "postgres://nexus@db/flow?…",
            ),
        ] {
            assert_eq!(mask_password(url), shown);
        }
    }

    #[test]
    fn nothing_else_changes_and_a_secret_of_a_client_is_masked() {
        let mut settings = Settings::defaults();
        assert_eq!(settings.without_secrets(), settings);
        settings.oidc.client_secret = "hidden".to_owned();
        assert_eq!(settings.without_secrets().oidc.client_secret, MASK);
    }
}
