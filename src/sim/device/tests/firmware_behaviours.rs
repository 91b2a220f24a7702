//! Each way in which it goes wrong with the firmware of a device: which states and results it shows.

use super::firmware_is_pulled::{hash, image_of, lost};
use super::*;
use crate::sim::{FirmwareBehaviour, Midway, Quirks};

const URI: &str = "https://fw.example.com/binaries/v2.0.0.bin";

fn with(firmware: FirmwareBehaviour) -> Bench {
    Bench::registered(|settings| {
        settings.quirks = Quirks {
            firmware,
            ..Quirks::default()
        };
    })
}

/// States and results from the URI on, until nothing more happens; tells the device to install once when
/// that is possible.
fn course(bench: &mut Bench) -> Vec<(i64, i64)> {
    let image = image_of("2.0.0", 100_000);
    let mut seen = Vec::new();
    let mut look = |bench: &Bench| {
        let state = bench.firmware_state();
        if seen.last() != Some(&state) {
            seen.push(state);
        }
    };
    look(bench);
    assert_eq!(bench.write_uri(URI), Code::CHANGED);
    look(bench);
    let mut is_told = false;
    for _ in 0..200 {
        if !bench.fetched.is_empty() {
            bench.send_piece(&image, "tag");
        } else if bench.firmware_state() == (2, 0) && !is_told {
            is_told = true;
            assert_eq!(bench.execute_update(), Code::CHANGED);
        } else if !bench.device.is_registered() && !bench.asked.is_empty() {
            bench.confirm_registration();
        } else {
            bench.pass(1.0);
        }
        look(bench);
    }
    seen
}

fn running(bench: &mut Bench) -> String {
    let response = bench.get("/3/0/3", ContentFormat::Text);
    String::from_utf8(response.payload).expect("text")
}

#[test]
fn each_result_comes_in_its_state() {
    use FirmwareBehaviour as B;
    for (behaviour, expected) in [
        (B::Good, &[(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)][..]),
        (B::NoStorage, &[(0, 0), (1, 0), (0, 2)]),
        (B::OutOfMemory, &[(0, 0), (1, 0), (0, 3)]),
        (B::ConnectionLost, &[(0, 0), (1, 0), (0, 4)]),
        (B::WrongHash, &[(0, 0), (1, 0), (0, 5)]),
        (B::UnsupportedImage, &[(0, 0), (1, 0), (0, 6)]),
        (B::InvalidUri, &[(0, 0), (0, 7)]),
        (B::UpdateFailed, &[(0, 0), (1, 0), (2, 0), (3, 0), (2, 8)]),
        (B::UnsupportedProtocol, &[(0, 0), (0, 9)]),
        (B::Cancelled, &[(0, 0), (1, 0), (2, 0), (0, 10)]),
        (B::Deferred, &[(0, 0), (1, 0), (2, 0), (2, 11)]),
        (B::LostMidway(Midway::Reports), &[(0, 0), (1, 0), (0, 4)]),
        (B::NeverStarts, &[(0, 0)]),
        (B::Stalls, &[(0, 0), (1, 0)]),
        (B::SkipsStates, &[(0, 0), (2, 0), (0, 1)]),
        (
            B::SilentReboot { installs: true },
            &[(0, 0), (1, 0), (2, 0), (3, 0), (0, 0)],
        ),
    ] {
        let mut bench = with(behaviour);
        assert_eq!(course(&mut bench), expected, "{behaviour}");
        let installed = matches!(behaviour, B::Good | B::SkipsStates | B::SilentReboot { .. });
        let version = if installed { "2.0.0" } else { "1.0.0" };
        assert_eq!(running(&mut bench), version, "{behaviour}");
        assert_eq!(bench.report().installs.len(), usize::from(installed));
    }
}

#[test]
fn each_can_be_set_right_and_the_next_update_succeeds() {
    for name in FirmwareBehaviour::NAMES.split(", ") {
        let name = name.split('[').next().expect("a name");
        if name == "refuses-update" {
            continue;
        }
        let mut bench = with(name.parse().expect(name));
        course(&mut bench);
        bench.device.set_quirks(Quirks::default());
        assert_eq!(bench.write_uri(""), Code::CHANGED, "{name}");
        bench.fetched.clear();
        bench.update_to(URI, &image_of("3.0.0", 50_000));
        assert_eq!(running(&mut bench), "3.0.0", "{name}");
        assert_eq!(bench.report().installs.get("3.0.0"), Some(&1), "{name}");
    }
}

#[test]
fn it_installs_and_comes_back_with_what_it_had() {
    let mut bench = with(FirmwareBehaviour::OldVersion);
    let expected = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1)];
    assert_eq!(course(&mut bench), expected);
    assert_eq!(running(&mut bench), "1.0.0");
    assert_eq!(bench.report().installs.len(), 0);

    let mut bench = with(FirmwareBehaviour::SilentReboot { installs: false });
    let expected = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 0)];
    assert_eq!(course(&mut bench), expected);
    assert_eq!(running(&mut bench), "1.0.0");
}

#[test]
fn it_downloads_slowly() {
    let mut bench = with(FirmwareBehaviour::Slow(10_000));
    let image = image_of("2.0.0", 100_000);
    bench.write_uri(URI);
    let mut quarters = 0;
    while bench.firmware_state() == (1, 0) {
        let received = bench.report().received;
        let fair = quarters * 2500_u64;
        assert!(
            received <= fair + 2500 && received + 2500 >= fair.min(100_000),
            "{received}"
        );
        bench.send_image(&image, "tag");
        bench.pass(0.25);
        quarters += 1;
    }
    assert_eq!(bench.firmware_state(), (2, 0));
    assert_eq!(quarters, 41, "ten seconds and the rest");
}

#[test]
fn it_loses_the_connection_midway_and_goes_on_after_a_while() {
    for size in [100_000, 1000, 10] {
        let mut bench = with(FirmwareBehaviour::LostMidway(Midway::Resumes(
            Duration::from_secs(30),
        )));
        let image = image_of("2.0.0", size);
        bench.write_uri(URI);
        bench.send_image(&image, "tag");
        assert_eq!(bench.hung_up.len(), 1);
        assert_eq!(bench.firmware_state(), (1, 0));
        let half = bench.report().received;
        assert!(
            half < image.len() as u64 && half.is_multiple_of(16),
            "{half}"
        );
        bench.pass(29.0);
        assert_eq!(bench.fetched, []);
        bench.pass(1.0);
        assert_eq!(bench.fetched[0].offset, half);
        bench.send_image(&image, "tag");
        assert_eq!(bench.firmware_state(), (2, 0));
        assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
    }
}

#[test]
fn it_is_gone_midway_and_nobody_hears_of_it_any_more() {
    let mut bench = with(FirmwareBehaviour::LostMidway(Midway::Silent));
    bench.observe(1, "/5/0/3");
    bench.write_uri(URI);
    bench.acknowledge();
    bench.send_image(&image_of("2.0.0", 100_000), "tag");
    assert!(!bench.device.is_registered());
    bench.pass(100_000.0);
    assert_eq!((bench.asked.len(), bench.notified.len()), (0, 0));
    assert_eq!(bench.ask_as(Token::default(), get("/5/0/3", None)), None);
}

#[test]
fn it_stalls_midway_and_keeps_the_connection() {
    let mut bench = with(FirmwareBehaviour::Stalls);
    bench.write_uri(URI);
    bench.send_image(&image_of("2.0.0", 100_000), "tag");
    bench.pass(100_000.0);
    assert_eq!((bench.fetched.len(), bench.hung_up.len()), (0, 0));
    assert_eq!(bench.firmware_state(), (1, 0));
    assert_eq!(bench.get("/5/0/3", ContentFormat::Text).payload, b"1");
}

#[test]
fn it_tells_each_state_twice() {
    let mut bench = with(FirmwareBehaviour::RepeatsStates);
    bench.observe(1, "/5/0/3");
    bench.observe(2, "/3/0/3");
    let image = image_of("2.0.0", 100);
    bench.write_uri(URI);
    let mut told = Vec::new();
    let mut take = |bench: &mut Bench| {
        for _ in 0..5 {
            for (_, response, _) in bench.acknowledge() {
                told.extend(bench.nodes("/5/0/3", &response));
            }
            bench.pass(0.0);
        }
    };
    take(&mut bench);
    bench.send_image(&image, "tag");
    take(&mut bench);
    bench.execute_update();
    take(&mut bench);
    let states: Vec<String> = told.iter().map(|node| node.value.to_string()).collect();
    assert_eq!(states, ["1", "1", "2", "2", "3", "3"]);
}

#[test]
fn it_refuses_to_update() {
    for (with_error, code) in [
        (false, Code::METHOD_NOT_ALLOWED),
        (true, Code::INTERNAL_SERVER_ERROR),
    ] {
        let mut bench = with(FirmwareBehaviour::RefusesUpdate { with_error });
        bench.write_uri(URI);
        bench.send_image(&image_of("2.0.0", 100), "tag");
        assert_eq!(bench.execute_update(), code);
        assert_eq!(bench.firmware_state(), (2, 0));
    }
}

#[test]
fn it_has_no_version() {
    let mut bench = with(FirmwareBehaviour::NoVersion);
    assert_eq!(bench.ask(get("/3/0/3", None)).code, Code::NOT_FOUND);
    bench.update_to(URI, &image_of("2.0.0", 100));
    assert_eq!(bench.ask(get("/3/0/3", None)).code, Code::NOT_FOUND);
    assert_eq!(bench.report().version, "2.0.0");
    bench.device.set_quirks(Quirks::default());
    assert_eq!(running(&mut bench), "2.0.0");
}

#[test]
fn a_deferred_update_is_carried_out_when_it_is_asked_for_again() {
    let mut bench = with(FirmwareBehaviour::Deferred);
    course(&mut bench);
    assert_eq!(bench.firmware_state(), (2, 11));
    assert_eq!(bench.execute_update(), Code::CHANGED);
    assert_eq!(bench.firmware_state(), (3, 0));
    bench.pass(1.0);
    bench.comes_back();
    assert_eq!(
        (bench.firmware_state(), running(&mut bench).as_str()),
        ((0, 1), "2.0.0")
    );
}

#[test]
fn a_failed_update_can_be_tried_again() {
    let mut bench = with(FirmwareBehaviour::UpdateFailed);
    course(&mut bench);
    bench.device.set_quirks(Quirks::default());
    assert_eq!(bench.execute_update(), Code::CHANGED);
    bench.pass(1.0);
    bench.comes_back();
    assert_eq!(running(&mut bench), "2.0.0");
}

#[test]
fn an_image_beyond_its_storage_does_not_fit() {
    let mut bench = Bench::registered(|settings| settings.quirks.storage = Some(50_000));
    bench.write_uri(URI);
    bench.send_image(&image_of("2.0.0", 100_000), "tag");
    assert_eq!(bench.firmware_state(), (0, 2));
    bench.update_to(URI, &image_of("2.0.0", 40_000));
}

#[test]
fn a_download_is_tried_for_a_while_and_not_for_ever() {
    let mut bench = with(FirmwareBehaviour::Good);
    bench.write_uri(URI);
    let mut tries = 0;
    while !bench.fetched.is_empty() {
        bench.fail_piece(lost());
        tries += 1;
        bench.pass(120.0);
    }
    assert_eq!((tries, bench.firmware_state()), (7, (0, 4)));
}
