//! What the vault promises.

use proptest::prelude::*;

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A vault whose key is in the variable.
fn vault(key: u8) -> Vault {
    Vault::with(Path::new("/nowhere"), Some(&hex::encode([key; 32]))).expect("a key")
}

fn said(result: Result<impl std::fmt::Debug, VaultError>) -> String {
    result.expect_err("refused").to_string()
}

const ROW: CredentialId = CredentialId(7);

proptest! {
    #[test]
    fn what_is_sealed_opens_for_its_row_and_identity_only(
        row in any::<i64>(),
        other_row in any::<i64>(),
        identity in ".{0,128}",
        other_identity in ".{0,128}",
        secret in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let vault = vault(1);
        let (row, other_row) = (CredentialId(row), CredentialId(other_row));
        let blob = vault.seal(row, &identity, &secret).expect("sealed");
        let opened = vault.unseal(row, &identity, &blob).expect("opened");
        prop_assert_eq!(&*opened, &secret);
        prop_assert_eq!(vault.unseal(other_row, &identity, &blob).is_ok(), row == other_row);
        prop_assert_eq!(
            vault.unseal(row, &other_identity, &blob).is_ok(),
            identity == other_identity
        );
    }

    #[test]
    fn a_blob_that_is_not_as_it_was_does_not_open(
        secret in proptest::collection::vec(any::<u8>(), 1..80),
        at in any::<proptest::sample::Index>(),
        flip in 1_u8..,
        cut in any::<proptest::sample::Index>(),
    ) {
        let vault = vault(1);
        let blob = vault.seal(ROW, "thing", &secret).expect("sealed");
        let mut changed = blob.clone();
        changed[at.index(blob.len())] ^= flip;
        prop_assert!(vault.unseal(ROW, "thing", &changed).is_err());
        prop_assert!(vault.unseal(ROW, "thing", &blob[..cut.index(blob.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(blob in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(vault(1).unseal(ROW, "thing", &blob).is_err());
    }
}

#[test]
fn the_same_secret_is_sealed_differently_each_time_and_nowhere_readable() {
    let secret = b"a very secret key";
    let first = vault(1).seal(ROW, "thing", secret).expect("sealed");
    let second = vault(1).seal(ROW, "thing", secret).expect("sealed");
    assert_ne!(first, second);
    assert!(!first.windows(secret.len()).any(|part| part == secret));
}

#[test]
fn the_key_file_is_made_at_the_first_use_for_its_owner_alone() {
    let folder = folder();
    let file = folder.path().join(SECRETS_KEY_FILE);
    let vault = Vault::with(folder.path(), None).expect("no key yet");
    assert!(!file.exists());
    let beside = Vault::with(folder.path(), None).expect("no key yet");
    let blob = vault.seal(ROW, "thing", b"secret").expect("sealed");
    let metadata = fs::metadata(&file).expect("a file");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(metadata.len(), 32);
    let names: Vec<_> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, [SECRETS_KEY_FILE], "no draft stays behind");
    // One that looked before the file was there finds it, and does not make another.
    assert_eq!(
        *beside.unseal(ROW, "thing", &blob).expect("opened"),
        b"secret"
    );
    beside.seal(ROW, "thing", b"more").expect("sealed");
    let again = Vault::with(folder.path(), None).expect("the key");
    assert_eq!(
        *again.unseal(ROW, "thing", &blob).expect("opened"),
        b"secret"
    );
}

#[test]
fn many_that_begin_at_once_agree_on_one_key() {
    let folder = folder();
    let vaults: Vec<Vault> = (0..8)
        .map(|_| Vault::with(folder.path(), None).expect("no key yet"))
        .collect();
    let blobs: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = vaults
            .iter()
            .map(|vault| scope.spawn(|| vault.seal(ROW, "thing", b"secret").expect("sealed")))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    for blob in blobs {
        for vault in &vaults {
            vault.unseal(ROW, "thing", &blob).expect("the same key");
        }
    }
}

#[test]
fn a_key_that_others_can_read_or_of_the_wrong_length_is_refused() {
    let folder = folder();
    let file = folder.path().join(SECRETS_KEY_FILE);
    fs::write(&file, [1; 32]).expect("a file");
    for mode in [0o640, 0o604, 0o620, 0o677] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("a mode");
        let text = said(Vault::with(folder.path(), None));
        assert!(
            text.contains("secrets.key can be read by others")
                || text.contains("secrets.key, can be read by others"),
            "{text}"
        );
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");
    Vault::with(folder.path(), None).expect("a key");
    fs::write(&file, [1; 33]).expect("a file");
    let text = said(Vault::with(folder.path(), None));
    assert!(text.contains("33 bytes and not 32"), "{text}");
}

#[test]
fn the_variable_wins_over_the_file_and_must_be_64_hex_digits() {
    let folder = folder();
    Vault::with(folder.path(), None)
        .expect("no key yet")
        .seal(ROW, "thing", b"secret")
        .expect("sealed");
    let by_variable = Vault::with(folder.path(), Some(&"0a".repeat(32))).expect("a key");
    let blob = by_variable.seal(ROW, "thing", b"secret").expect("sealed");
    vault(0x0a)
        .unseal(ROW, "thing", &blob)
        .expect("the same key");
    for wrong in ["", "0a", &"0a".repeat(33), &"0g".repeat(32)] {
        let text = said(Vault::with(folder.path(), Some(wrong)));
        assert_eq!(text, "FLOWNEXUS_SECRETS_KEY must be 64 hex digits");
    }
}

#[test]
fn the_key_that_is_missing_is_named_and_none_is_made_for_it() {
    let folder = folder();
    let blob = vault(1).seal(ROW, "thing", b"secret").expect("sealed");
    let name = hex::encode(&blob[1..5]);
    let empty = Vault::with(folder.path(), None).expect("no key yet");
    let text = said(empty.unseal(ROW, "thing", &blob));
    assert!(
        text.contains(&name) && text.contains("secrets.key"),
        "{text}"
    );
    assert!(!folder.path().join(SECRETS_KEY_FILE).exists());
    let text = said(vault(2).unseal(ROW, "thing", &blob));
    assert!(
        text.contains(&name) && text.contains("FLOWNEXUS_SECRETS_KEY holds the key"),
        "{text}"
    );
}

#[test]
fn a_key_is_not_printed() {
    assert_eq!(format!("{:?}", vault(0x5a)), "Vault { .. }");
}

#[test]
fn derived_keys_outlive_the_vault_and_differ_by_purpose() {
    let folder = tempfile::tempdir().expect("a folder");
    let derive = |purpose: &str| {
        let vault = Vault::with(folder.path(), None).expect("a vault");
        vault.derive::<80>(purpose).expect("a key").to_vec()
    };
    let tickets = derive("tickets");
    assert_eq!(derive("tickets"), tickets);
    assert_ne!(derive("cookies"), tickets);
    assert!(tickets.chunks(16).all(|part| part != [0; 16]));
}
