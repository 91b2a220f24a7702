//! What is found again of what was appended, whatever happened in between.

use proptest::prelude::*;

use super::*;

const FILE_BYTES: u64 = 4_096;

fn record_of(payload: &[u8]) -> Vec<u8> {
    let mut record = vec![0; RECORD_HEAD];
    record.extend(payload);
    record
}

fn begin(folder: &Path) -> Journal {
    let left = Left::find(folder).expect("a folder");
    left.go_on(FILE_BYTES, 0).expect("a journal")
}

fn found(folder: &Path, after: u64) -> Vec<Record> {
    let left = Left::find(folder).expect("the folder");
    let records = left.files().iter().map(|file| file.records(after));
    records.flat_map(|records| records.expect("read")).collect()
}

fn numbers(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.number).collect()
}

#[test]
fn what_was_appended_is_found_over_all_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = begin(folder.path());
    let payloads: Vec<Vec<u8>> = (0..100_u8).map(|byte| vec![byte; 500]).collect();
    for payload in &payloads {
        journal.append(&mut record_of(payload)).expect("appended");
    }
    let records = found(folder.path(), 0);
    assert_eq!(numbers(&records), (1..=100).collect::<Vec<_>>());
    assert!(
        records
            .iter()
            .zip(&payloads)
            .all(|(is, was)| is.payload == *was)
    );
    assert_eq!(numbers(&found(folder.path(), 97)), [98, 99, 100]);
    // A record that is larger than a file has one to itself.
    let large = vec![7; 3 * FILE_BYTES as usize];
    journal.append(&mut record_of(&large)).expect("appended");
    journal.append(&mut record_of(b"small")).expect("appended");
    let records = found(folder.path(), 100);
    assert_eq!(numbers(&records), [101, 102]);
    assert_eq!(records[0].payload, large);
}

#[test]
fn files_are_used_again_and_what_they_held_is_not_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = begin(folder.path());
    journal.prepare().expect("a file");
    for number in 1..=200_u64 {
        journal
            .append(&mut record_of(&[number as u8; 100]))
            .expect("appended");
        journal.trim(number.saturating_sub(3));
        let left = numbers(&found(folder.path(), number.saturating_sub(3)));
        assert_eq!(
            left,
            (number.saturating_sub(2).max(1)..=number).collect::<Vec<_>>()
        );
    }
    let files = fs::read_dir(folder.path()).expect("the folder").count();
    assert!(files <= 1 + 1 + SPARES, "{files} files");
    journal.remove().expect("removed");
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);
}

#[test]
fn a_record_that_could_not_be_written_is_void_whatever_of_it_is_on_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = begin(folder.path());
    journal.append(&mut record_of(b"one")).expect("appended");
    // The disk says no, although all of it is there.
    let mut void = record_of(b"void");
    seal(&mut void, 2).expect("sealed");
    let current = journal.current.as_mut().expect("a file");
    current
        .file
        .write_all_at(&void, current.at)
        .expect("written");
    journal.close_current();
    assert_eq!(journal.append(&mut record_of(b"two")).expect("appended"), 2);
    let records = found(folder.path(), 0);
    assert_eq!(numbers(&records), [1, 2]);
    assert_eq!(records[1].payload, b"two");
}

#[test]
fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("refused.jsonl"), "{}").expect("written");
    fs::write(folder.path().join("spare.journal"), [0; 100]).expect("written");
    let mut journal = begin(folder.path());
    journal.append(&mut record_of(b"one")).expect("appended");
    assert_eq!(numbers(&found(folder.path(), 0)), [1]);
    journal.remove().expect("removed");
    assert!(folder.path().join("refused.jsonl").exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever the power failed: what was on disk before is found, and nothing else.
    #[test]
    fn of_a_file_that_was_cut_or_spoilt_the_records_before_that_count(
        lengths in prop::collection::vec(0..200_usize, 1..12),
        at in 0..2_000_usize,
        spoil in prop::option::of(1..=255_u8),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut journal = begin(folder.path());
        let mut ends = Vec::new();
        for length in &lengths {
            let mut record = record_of(&vec![0xAB; *length]);
            journal.append(&mut record).expect("appended");
            ends.push(journal.current.as_ref().expect("a file").at);
        }
        let path = named(folder.path(), 1);
        let mut bytes = fs::read(&path).expect("the file");
        let at = at % bytes.len();
        match spoil {
            Some(bit) => bytes[at] ^= bit,
            None => bytes.truncate(at),
        }
        fs::write(&path, bytes).expect("written");
        let whole = ends.iter().filter(|end| **end <= at as u64).count() as u64;
        prop_assert_eq!(numbers(&found(folder.path(), 0)), (1..=whole).collect::<Vec<_>>());
    }
}
