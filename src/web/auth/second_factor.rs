//! One-time codes by time (TOTP, RFC 6238): six digits of SHA-1, a step of 30 seconds, one step of tolerance
//! each way; and the recovery codes that stand in for them.
//!
//! The secret is sealed for the person's row; a code is taken once, by one conditional update of the step
//! that was used last.

use qrcode::QrCode;
use qrcode::render::svg;
use totp_rs::{Builder, Secret, Totp as Codes};
use zeroize::Zeroizing;

use crate::domain::{Doer, Timestamp};
use crate::security::Sealer;
use crate::store::{Totp, TotpStore, User};
use crate::web::ApiError;

use super::tokens::hash;

/// Recovery codes of one person.
pub(super) const RECOVERY_CODES: usize = 10;

/// Bytes of a secret, as RFC 4226 recommends.
const SECRET_BYTES: usize = 20;

/// Characters of a recovery code: 16 of 32 are 80 bits.
const RECOVERY_CHARS: usize = 16;

/// Those of base32: without 0 and 1 no two look alike, and each is as likely.
const RECOVERY_ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Who issues the codes, as apps show it.
const ISSUER: &str = "flownexus";

/// What an app needs to know to make codes. Shown until a code was given.
#[expect(missing_debug_implementations, reason = "it holds a secret")]
pub struct Enrolment {
    /// The secret in base32, for those who type.
    pub secret: String,
    /// The same as an `otpauth:` address.
    pub address: String,
    /// That as an image, an SVG element.
    pub image: String,
}

/// A new secret, sealed for this person.
pub(super) fn new_secret(sealer: &Sealer, user: &User) -> Result<Vec<u8>, ApiError> {
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(secret.as_mut()).map_err(ApiError::internal)?;
    sealer
        .seal(&bound_to(user.id), secret.as_ref())
        .map_err(ApiError::internal)
}

/// What an app needs to know.
pub(super) fn enrolment(sealer: &Sealer, totp: &Totp, user: &User) -> Result<Enrolment, ApiError> {
    let codes = codes(sealer, totp, Some(&user.name))?;
    let address = codes.to_url().map_err(ApiError::internal)?;
    let code = QrCode::new(&address).map_err(ApiError::internal)?;
    let drawn = code
        .render::<svg::Color<'_>>()
        .min_dimensions(220, 220)
        .build();
    // In a page the element stands without the head of a file.
    let image = drawn.find("<svg").and_then(|at| drawn.get(at..));
    Ok(Enrolment {
        secret: codes.secret().to_base32(),
        image: image.unwrap_or_default().to_owned(),
        address,
    })
}

/// The step of a code that fits now.
pub(super) fn step_of(
    sealer: &Sealer,
    totp: &Totp,
    code: &str,
    now: Timestamp,
) -> Result<Option<i64>, ApiError> {
    let digits: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let seconds = u64::try_from(now.as_millis() / 1000).unwrap_or_default();
    let step = codes(sealer, totp, None)?.check(&digits, seconds);
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

/// Takes a code, or a recovery code; false when it does not fit or was taken before.
pub(super) async fn take(
    store: &dyn TotpStore,
    sealer: &Sealer,
    user: &User,
    code: &str,
    by: Doer,
) -> Result<bool, ApiError> {
    let Some(totp) = store.totp(&user.name).await?.filter(|totp| totp.confirmed) else {
        return Ok(false);
    };
    if let Some(step) = step_of(sealer, &totp, code, Timestamp::system())? {
        let sealed = totp.sealed_secret;
        return Ok(store.use_totp_step(&user.name, sealed, step).await?);
    }
    match recovery_hash(user.id, code) {
        Some(hash) => Ok(store.use_recovery_code(&user.name, hash, by).await?),
        None => Ok(false),
    }
}

/// New recovery codes, and what is stored of them.
pub(super) fn recovery_codes(user_id: i64) -> Result<(Vec<String>, Vec<Vec<u8>>), ApiError> {
    let mut codes = Vec::with_capacity(RECOVERY_CODES);
    let mut hashes = Vec::with_capacity(RECOVERY_CODES);
    for _ in 0..RECOVERY_CODES {
        let mut bytes = [0; RECOVERY_CHARS];
        getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
        let letters: String = bytes
            .iter()
            .filter_map(|byte| RECOVERY_ALPHABET.get(usize::from(byte % 32)))
            .map(|letter| char::from(*letter))
            .collect();
        let groups: Vec<&str> = [0..4, 4..8, 8..12, 12..16]
            .into_iter()
            .filter_map(|group| letters.get(group))
            .collect();
        hashes.extend(recovery_hash(user_id, &letters));
        codes.push(groups.join("-"));
    }
    Ok((codes, hashes))
}

/// What is stored of a recovery code: with the row, so that equal codes of two people differ. Eighty random bits
/// need no slow hash.
fn recovery_hash(user_id: i64, code: &str) -> Option<Vec<u8>> {
    let letters: String = code
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    (letters.len() == RECOVERY_CHARS).then(|| hash(&format!("recovery {user_id} {letters}")))
}

fn codes(sealer: &Sealer, totp: &Totp, account: Option<&str>) -> Result<Codes, ApiError> {
    let secret = sealer
        .open(&bound_to(totp.user_id), &totp.sealed_secret)
        .ok_or_else(|| {
            ApiError::internal(
                "the secret of one-time codes does not open: it was sealed with another key \
                 (secrets.key), or changed; an admin can remove the second factor",
            )
        })?;
    let mut builder = Builder::new()
        .with_secret(Secret::from(secret.as_slice()))
        .with_skew(1);
    if let Some(account) = account {
        // A colon would end the name of the issuer.
        builder = builder
            .with_issuer(Some(ISSUER))
            .with_account_name(account.replace(':', "."));
    }
    builder.build().map_err(ApiError::internal)
}

fn bound_to(user_id: i64) -> Vec<u8> {
    format!("flownexus totp {user_id}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Role;

    fn sealer() -> Sealer {
        Sealer::new(Zeroizing::new([7; 32]))
    }

    /// RFC 6238, appendix B: the secret `12345678901234567890` at 59 s gives …287082.
    #[test]
    fn codes_are_those_of_the_standard_and_one_step_is_forgiven() {
        let sealed = sealer().seal(&bound_to(3), b"12345678901234567890");
        let totp = Totp {
            user_id: 3,
            sealed_secret: sealed.expect("sealed"),
            confirmed: true,
            recovery_codes: 0,
        };
        let at = |seconds: i64| Timestamp::clamped_from_millis(seconds * 1000);
        let step = |seconds| step_of(&sealer(), &totp, "287 082", at(seconds)).expect("opened");
        assert_eq!(step(59), Some(1));
        assert_eq!(step(29), Some(1), "the clock of the phone is ahead");
        assert_eq!(step(61), Some(1), "or behind");
        assert_eq!(step(91), None);
        for rubbish in ["", "28708", "2870822", "abcdef", "٢٨٧٠٨٢"] {
            let step = step_of(&sealer(), &totp, rubbish, at(59));
            assert_eq!(step.expect("opened"), None, "{rubbish}");
        }
        let moved = Totp { user_id: 4, ..totp };
        assert!(step_of(&sealer(), &moved, "287082", at(59)).is_err());
    }

    #[test]
    fn an_app_is_told_by_an_image_and_in_words() {
        let user = User {
            id: 3,
            ..User::new("a:b", Role::Viewer, String::new())
        };
        let totp = Totp {
            user_id: 3,
            sealed_secret: new_secret(&sealer(), &user).expect("a secret"),
            confirmed: false,
            recovery_codes: 0,
        };
        let enrolment = enrolment(&sealer(), &totp, &user).expect("opened");
        assert!(enrolment.image.starts_with("<svg"));
        assert_eq!(enrolment.secret.len(), 32);
        assert!(enrolment.address.contains(&enrolment.secret));
        assert!(enrolment.address.contains("a.b"));
    }

    #[test]
    fn recovery_codes_differ_and_are_read_as_people_type_them() {
        let (codes, hashes) = recovery_codes(3).expect("random bytes");
        assert_eq!(
            (codes.len(), hashes.len()),
            (RECOVERY_CODES, RECOVERY_CODES)
        );
        let typed = codes[0].to_uppercase().replace('-', " ");
        assert_eq!(recovery_hash(3, &typed).as_ref(), Some(&hashes[0]));
        assert_ne!(recovery_hash(4, &typed).as_ref(), Some(&hashes[0]));
        assert_ne!(hashes[0], hashes[1]);
        assert_eq!(recovery_hash(3, "short"), None);
    }
}
