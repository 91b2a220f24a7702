//! Passwords: Argon2id, off the worker threads, a few at a time.

use std::sync::Arc;

use actix_web::web;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

use crate::web::ApiError;

/// The shortest password that is accepted, in characters.
pub const MIN_CHARS: usize = 10;

/// The longest password that is accepted, in bytes.
pub const MAX_BYTES: usize = 1024;

/// Hashes at once: each takes 19 MiB, and logins must not starve everything else.
const MAX_AT_ONCE: usize = 2;

/// Characters of a random password: no two of them look alike.
const RANDOM_ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// Characters of a random password; 20 of 56 are 116 bits.
const RANDOM_CHARS: usize = 20;

/// A hash of nothing anybody knows, verified when a login name is unknown, so that the answer takes
/// as long as for a known one.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Hashes and verifies, bounded in number.
#[derive(Clone, Debug)]
pub struct PasswordHashing {
    places: Arc<Semaphore>,
}

impl Default for PasswordHashing {
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
        }
    }
}

impl PasswordHashing {
    /// Checks a new password's length and hashes it.
    ///
    /// # Errors
    /// 422 when it is too short or too long.
    pub async fn hash_new(&self, password: String) -> Result<String, ApiError> {
        check_new(&password).map_err(|why| ApiError::invalid("password", why))?;
        self.run(move || hash(&password)).await?
    }

    /// True when the password is the one that was hashed. Without a hash it takes as long, and is
    /// false.
    ///
    /// # Errors
    /// When the server is shutting down.
    pub async fn verify(&self, password: String, hash: Option<String>) -> Result<bool, ApiError> {
        if password.len() > MAX_BYTES {
            return Ok(false);
        }
        self.run(move || {
            let right = verify(&password, hash.as_deref().unwrap_or(NOBODY));
            right && hash.is_some()
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let _place = self.places.acquire().await.map_err(ApiError::internal)?;
        web::block(work).await.map_err(ApiError::internal)
    }
}

/// Why a text cannot be a password.
///
/// # Errors
/// Says so in words.
pub fn check_new(password: &str) -> Result<(), String> {
    if password.chars().count() < MIN_CHARS {
        return Err(format!("a password has at least {MIN_CHARS} characters"));
    }
    if password.len() > MAX_BYTES {
        return Err(format!("a password has at most {MAX_BYTES} bytes"));
    }
    Ok(())
}

/// Hashes on this thread, as a PHC string; for commands. Takes tens of milliseconds and 19 MiB.
///
/// # Errors
/// When the operating system has no random bytes or no memory.
pub fn hash(password: &str) -> Result<String, ApiError> {
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(ApiError::internal)
}

fn verify(password: &str, hash: &str) -> bool {
    match PasswordHash::new(hash) {
        Ok(hash) => Argon2::default()
            .verify_password(password.as_bytes(), &hash)
            .is_ok(),
        Err(error) => {
            tracing::error!(error = %error, "A stored password hash cannot be read: {error}");
            false
        }
    }
}

/// A random password, easy to read and to type.
///
/// # Errors
/// When the operating system has no random bytes.
pub fn random() -> Result<String, ApiError> {
    let mut password = String::with_capacity(RANDOM_CHARS);
    while password.len() < RANDOM_CHARS {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
        let fair = RANDOM_ALPHABET.len() * (256 / RANDOM_ALPHABET.len());
        let chosen = bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < fair)
            .map(|byte| char::from(RANDOM_ALPHABET[byte % RANDOM_ALPHABET.len()]));
        password.extend(chosen.take(RANDOM_CHARS - password.len()));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_fits_its_hash_only() {
        let stored = hash("correct horse").expect("a hash");
        assert!(stored.starts_with("$argon2id$"));
        assert!(verify("correct horse", &stored));
        assert!(!verify("wrong horse", &stored));
        assert!(!verify("correct horse", "rubbish"));
        assert_ne!(stored, hash("correct horse").expect("a hash"), "no salt");
    }

    #[test]
    fn nobody_has_a_readable_hash_that_nothing_fits() {
        assert!(PasswordHash::new(NOBODY).is_ok());
        assert!(!verify("", NOBODY));
    }

    #[test]
    fn random_passwords_are_long_and_differ() {
        let first = random().expect("random bytes");
        assert_eq!(first.len(), RANDOM_CHARS);
        assert!(check_new(&first).is_ok());
        assert_ne!(first, random().expect("random bytes"));
    }
}
