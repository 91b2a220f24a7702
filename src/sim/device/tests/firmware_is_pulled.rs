//! Object 5 with a Package URI, by a device that does as it should.

use sha2::{Digest as _, Sha256};

use super::*;

impl Bench {
    /// 5/0/3 and 5/0/5, as a server would read them.
    pub(super) fn firmware_state(&self) -> (i64, i64) {
        let number = |path: &str| match self.device.value(&at(path)) {
            Some(Value::Integer(number)) => *number,
            other => panic!("{path}: {other:?}"),
        };
        (number("/5/0/3"), number("/5/0/5"))
    }

    pub(super) fn write_uri(&mut self, uri: &str) -> Code {
        self.ask(text(Code::PUT, "/5/0/1", uri)).code
    }

    pub(super) fn execute_update(&mut self) -> Code {
        self.ask(request(Code::POST, "/5/0/2")).code
    }

    /// Sends what is asked for next of an image with this tag.
    pub(super) fn send_piece(&mut self, image: &[u8], tag: &str) {
        let fetch = self.fetched.pop().expect("a piece is asked for");
        let from = fetch.offset as usize;
        let to = (from + fetch.most).min(image.len());
        let piece = Piece {
            offset: fetch.offset,
            bytes: image[from..to].to_vec(),
            tag: Some(tag.as_bytes().to_vec()),
            total: Some(image.len() as u64),
            is_last: to == image.len(),
        };
        self.input(Input::Fetched {
            download: fetch.download,
            piece: Ok(piece),
        });
    }

    /// Sends pieces as long as some are asked for.
    pub(super) fn send_image(&mut self, image: &[u8], tag: &str) {
        while !self.fetched.is_empty() {
            self.send_piece(image, tag);
        }
    }

    pub(super) fn fail_piece(&mut self, error: FetchError) {
        let fetch = self.fetched.pop().expect("a piece is asked for");
        self.input(Input::Fetched {
            download: fetch.download,
            piece: Err(error),
        });
    }

    pub(super) fn report(&self) -> crate::sim::FirmwareReport {
        self.device.firmware().expect("object 5")
    }

    /// The device has restarted, and registers.
    pub(super) fn comes_back(&mut self) {
        assert!(!self.device.is_registered(), "it has restarted");
        self.pass(1.1);
        self.take_request();
        self.confirm_registration();
    }

    /// From the URI to the registration of a device that runs the image.
    pub(super) fn update_to(&mut self, uri: &str, image: &[u8]) {
        assert_eq!(self.write_uri(uri), Code::CHANGED);
        self.send_image(image, "tag");
        assert_eq!(self.firmware_state(), (2, 0));
        assert_eq!(self.execute_update(), Code::CHANGED);
        assert_eq!(self.firmware_state(), (3, 0));
        self.pass(1.0);
        self.comes_back();
        assert_eq!(self.firmware_state(), (0, 1));
    }
}

pub(super) fn lost() -> FetchError {
    FetchError::ConnectionLost("gone".to_owned())
}

pub(super) fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Says of itself that it is of this version.
pub(super) fn image_of(version: &str, size: usize) -> Vec<u8> {
    let mut image = format!("flownexus-image {version}\n").into_bytes();
    image.extend((0..size).map(|at| (at * 31 % 251) as u8));
    image
}

const URI: &str = "https://fw.example.com/binaries/v0.2.0.bin";

#[test]
fn an_update_goes_from_the_uri_to_the_new_version_and_each_state_is_told() {
    let mut bench = Bench::registered(|_| {});
    bench.observe(1, "/5/0/3");
    bench.observe(2, "/5/0/5");
    let image = image_of("2.0.0", 100_000);
    assert_eq!(bench.write_uri(URI), Code::CHANGED);
    assert_eq!(bench.firmware_state(), (1, 0));
    let first = bench.fetched[0].clone();
    assert_eq!(
        (first.uri.as_str(), first.offset, first.tag),
        (URI, 0, None)
    );
    bench.send_piece(&image, "a");
    let second = bench.fetched[0].clone();
    assert_eq!(second.offset, first.most as u64);
    assert_eq!(second.tag, Some(b"a".to_vec()));
    assert_eq!(bench.report().received, second.offset);
    bench.acknowledge();
    bench.send_image(&image, "a");
    assert_eq!(bench.firmware_state(), (2, 0));
    assert_eq!(bench.hung_up, [first.download]);
    let value = |bench: &Bench, path| bench.device.value(&at(path)).map(ToString::to_string);
    assert_eq!(value(&bench, "/5/0/6").as_deref(), Some("v0.2.0.bin"));
    assert_eq!(value(&bench, "/5/0/7").as_deref(), Some("2.0.0"));
    assert_eq!(value(&bench, "/3/0/3").as_deref(), Some("1.0.0"));
    bench.acknowledge();

    assert_eq!(bench.execute_update(), Code::CHANGED);
    assert_eq!(bench.firmware_state(), (3, 0));
    let told = bench.acknowledge();
    assert_eq!(told.len(), 1, "{told:?}");
    let node = bench.nodes("/5/0/3", &told[0].1);
    assert_eq!(node, [Node::new(at("/5/0/3"), Value::Integer(3))]);
    bench.pass(0.9);
    assert_eq!(bench.ask(get("/3/0/3", None)).code, Code::CONTENT);
    bench.pass(0.1);
    let away = bench.ask_as(Token::default(), get("/3/0/3", None));
    assert_eq!(away, None, "it restarts");
    bench.comes_back();
    assert_eq!(bench.firmware_state(), (0, 1));
    assert_eq!(value(&bench, "/3/0/3").as_deref(), Some("2.0.0"));
    assert_eq!(value(&bench, "/5/0/7").as_deref(), Some(""));
    assert_eq!(bench.device.observations(), 0);
    let report = bench.report();
    assert_eq!(report.version, "2.0.0");
    assert_eq!(report.downloaded_sha256, Some(hash(&image)));
    assert_eq!((report.downloads, report.restarts), (1, 0));
    assert_eq!(report.installs, [("2.0.0".to_owned(), 1)].into());
    assert!(bench.happened.contains(&Happening::Installed));
}

#[test]
fn the_same_device_goes_from_a_to_b_and_back() {
    let mut bench = Bench::registered(|_| {});
    let (a, b) = (image_of("1.0.0", 10), image_of("2.0.0", 40_000));
    for (image, version) in [(&b, "2.0.0"), (&a, "1.0.0"), (&b, "2.0.0")] {
        bench.update_to("https://fw.example.com/image", image);
        assert_eq!(bench.report().version, version);
        assert_eq!(bench.report().downloaded_sha256, Some(hash(image)));
    }
    let installs = [("1.0.0".to_owned(), 1), ("2.0.0".to_owned(), 2)];
    assert_eq!(bench.report().installs, installs.into());
    assert_eq!(bench.report().downloads, 3);
}

#[test]
fn an_image_without_a_line_of_its_own_is_called_after_its_file() {
    let mut bench = Bench::registered(|_| {});
    bench.update_to("coap://server/binaries/v0.1.0.bin?x=1", &[0xff; 5000]);
    assert_eq!(bench.report().version, "0.1.0");
}

#[test]
fn an_image_that_is_not_what_its_line_says_is_not_taken() {
    let mut bench = Bench::registered(|_| {});
    let body = [7; 3000];
    let mut image = format!("flownexus-image 3.0.0 sha256={}\n", hash(&body)).into_bytes();
    image.extend_from_slice(&body);
    *image.last_mut().expect("bytes") = 8;
    bench.write_uri(URI);
    bench.send_image(&image, "a");
    assert_eq!(bench.firmware_state(), (0, 5));
    assert_eq!(bench.execute_update(), Code::METHOD_NOT_ALLOWED);
    *image.last_mut().expect("bytes") = 7;
    bench.update_to(URI, &image);
    assert_eq!(bench.report().version, "3.0.0");
}

#[test]
fn a_path_alone_is_asked_of_the_host_that_the_device_knows() {
    let mut bench = Bench::registered(|_| {});
    bench.write_uri("/binaries/v0.1.0.bin");
    assert_eq!(bench.fetched[0].uri, "/binaries/v0.1.0.bin");
    let mut bench = Bench::registered(|settings| {
        let firmware = settings.firmware.as_mut().expect("object 5");
        firmware.base = Some("https://fw.example.com:8443/".to_owned());
    });
    bench.write_uri("/binaries/v0.1.0.bin");
    assert_eq!(
        bench.fetched[0].uri,
        "https://fw.example.com:8443/binaries/v0.1.0.bin"
    );
}

#[test]
fn a_uri_that_is_none_and_a_protocol_that_it_does_not_speak_have_their_results() {
    let mut bench = Bench::registered(|_| {});
    for (uri, result) in [
        ("no uri", 7),
        ("https:///path", 7),
        ("https://fw .example.com/a", 7),
        ("ftp://fw.example.com/a", 9),
        ("http://fw.example.com/a", 9),
        ("coaps://fw.example.com/a", 9),
    ] {
        assert_eq!(bench.write_uri(uri), Code::CHANGED, "{uri}");
        assert_eq!(bench.firmware_state(), (0, result), "{uri}");
        assert_eq!(bench.fetched, []);
    }
    assert_eq!(bench.write_uri("HTTPS://fw.example.com/a"), Code::CHANGED);
    assert_eq!(bench.firmware_state(), (1, 0), "the old result is gone");
}

#[test]
fn an_empty_uri_and_an_empty_package_put_everything_back() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 100_000);
    bench.write_uri(URI);
    bench.send_piece(&image, "a");
    let stale = bench.fetched.pop().expect("a piece is asked for");
    assert_eq!(bench.write_uri(""), Code::CHANGED);
    assert_eq!(bench.firmware_state(), (0, 0));
    assert_eq!(bench.hung_up, [stale.download]);
    // What comes too late is of no use.
    bench.input(Input::Fetched {
        download: stale.download,
        piece: Err(lost()),
    });
    assert_eq!(bench.firmware_state(), (0, 0));

    for body in [&b""[..], b"\0"] {
        bench.write_uri(URI);
        bench.send_image(&image, "a");
        assert_eq!(bench.firmware_state(), (2, 0));
        let mut package = request(Code::PUT, "/5/0/0");
        package.options.add_uint(number::CONTENT_FORMAT, 42);
        package.payload = body.to_vec();
        assert_eq!(bench.ask(package).code, Code::CHANGED);
        assert_eq!(bench.firmware_state(), (0, 0));
        assert_eq!(bench.get("/5/0/1", ContentFormat::Text).payload, b"");
    }
}

#[test]
fn what_does_not_fit_the_state_is_refused() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 100);
    assert_eq!(bench.execute_update(), Code::METHOD_NOT_ALLOWED);
    bench.write_uri(URI);
    assert_eq!(bench.execute_update(), Code::METHOD_NOT_ALLOWED);
    assert_eq!(bench.write_uri(URI), Code::BAD_REQUEST, "one at a time");
    bench.send_image(&image, "a");
    assert_eq!(bench.write_uri(URI), Code::BAD_REQUEST);
    assert_eq!(bench.execute_update(), Code::CHANGED);
    for uri in ["", URI] {
        assert_eq!(bench.write_uri(uri), Code::METHOD_NOT_ALLOWED);
    }
    assert_eq!(bench.execute_update(), Code::METHOD_NOT_ALLOWED);
    assert_eq!(bench.firmware_state(), (3, 0));
}

#[test]
fn a_broken_connection_is_made_again_and_goes_on_where_it_was() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 100_000);
    bench.write_uri(URI);
    bench.send_piece(&image, "a");
    let at = bench.fetched[0].offset;
    for wait in [2.0, 4.0, 8.0] {
        bench.fail_piece(lost());
        assert_eq!(bench.fetched, []);
        bench.pass(wait - 0.1);
        assert_eq!(bench.fetched, [], "after {wait} s");
        bench.pass(0.1);
        let again = &bench.fetched[0];
        assert_eq!((again.offset, again.tag.as_deref()), (at, Some(&b"a"[..])));
    }
    bench.send_image(&image, "a");
    assert_eq!(bench.firmware_state(), (2, 0));
    assert_eq!(bench.report().downloaded_sha256, Some(hash(&image)));
    assert_eq!(bench.report().restarts, 0);
}

#[test]
fn a_download_that_comes_to_nothing_says_why() {
    let gone = |error: FetchError, result: i64| {
        let mut bench = Bench::registered(|_| {});
        bench.write_uri(URI);
        while !bench.fetched.is_empty() {
            bench.fail_piece(error.clone());
            bench.pass(120.0);
        }
        assert_eq!(bench.firmware_state(), (0, result), "{error}");
    };
    gone(lost(), 4);
    gone(FetchError::Untrusted("who?".to_owned()), 4);
    gone(FetchError::InvalidUri("404".to_owned()), 7);
    gone(FetchError::UnsupportedProtocol("gopher".to_owned()), 9);
}

#[test]
fn an_image_that_changes_in_the_middle_begins_anew_and_is_never_mixed() {
    let (old, new) = (image_of("2.0.0", 90_000), image_of("3.0.0", 70_000));
    // The server answers from the beginning (HTTP), or with another tag (CoAP).
    for from_zero in [true, false] {
        let mut bench = Bench::registered(|_| {});
        bench.write_uri(URI);
        bench.send_piece(&old, "old");
        bench.send_piece(&old, "old");
        if from_zero {
            bench.fetched[0].offset = 0;
        }
        bench.send_image(&new, "new");
        assert_eq!(bench.firmware_state(), (2, 0));
        let report = bench.report();
        assert_eq!(report.downloaded_sha256, Some(hash(&new)));
        assert_eq!((report.restarts, report.received), (1, new.len() as u64));
        assert_eq!(bench.execute_update(), Code::CHANGED);
        bench.pass(1.0);
        assert_eq!(bench.report().version, "3.0.0");
    }
}

#[test]
fn an_image_that_never_stays_the_same_is_given_up() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 100_000);
    bench.write_uri(URI);
    let mut tags = 0;
    while !bench.fetched.is_empty() {
        tags += 1;
        bench.send_piece(&image, &format!("{tags}"));
        bench.pass(0.0);
    }
    assert_eq!(bench.firmware_state(), (0, 4));
    assert!(tags < 50, "{tags}");
}

#[test]
fn an_image_that_ends_too_early_is_fetched_on() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 20_000);
    bench.write_uri(URI);
    let fetch = bench.fetched.pop().expect("a piece is asked for");
    let short = Piece {
        offset: 0,
        bytes: image[..500].to_vec(),
        tag: None,
        total: Some(image.len() as u64),
        is_last: true,
    };
    bench.input(Input::Fetched {
        download: fetch.download,
        piece: Ok(short),
    });
    assert_eq!(bench.firmware_state(), (1, 0));
    bench.pass(2.0);
    assert_eq!(bench.fetched[0].offset, 500);
}

#[test]
fn a_restart_loses_what_is_on_its_way_and_keeps_what_is_there() {
    let mut bench = Bench::registered(|_| {});
    let image = image_of("2.0.0", 100_000);
    bench.write_uri(URI);
    bench.send_piece(&image, "a");
    bench.fetched.clear();
    assert_eq!(bench.ask(request(Code::POST, "/3/0/4")).code, Code::CHANGED);
    assert_eq!(bench.hung_up.len(), 1);
    bench.comes_back();
    assert_eq!(bench.firmware_state(), (0, 0));

    bench.write_uri(URI);
    bench.send_image(&image, "a");
    for path in ["/3/0/4", "/3/0/5"] {
        assert_eq!(bench.ask(request(Code::POST, path)).code, Code::CHANGED);
        bench.comes_back();
        assert_eq!(bench.firmware_state(), (2, 0), "{path}");
    }
    assert_eq!(bench.execute_update(), Code::CHANGED);
    bench.pass(1.0);
    bench.comes_back();
    bench.ask(request(Code::POST, "/3/0/5"));
    bench.comes_back();
    let version = bench.get("/3/0/3", ContentFormat::Text).payload;
    assert_eq!(version, b"2.0.0", "a factory reset is no other firmware");
}

#[test]
fn object_5_is_that_of_the_version_that_the_device_speaks() {
    for version in [Lwm2mVersion::V1_0, Lwm2mVersion::V1_1, Lwm2mVersion::V1_2] {
        let mut bench = Bench::new(|settings| settings.version = version);
        bench.input(Input::Start);
        let links = String::from_utf8(bench.take_request().payload).expect("text");
        assert!(
            links.contains("</5/0>") && !links.contains("</5>;ver"),
            "{links}"
        );
        bench.confirm_registration();
        assert_eq!(bench.get("/5/0/9", ContentFormat::Text).payload, b"2");
        let protocols = bench.get("/5/0/8", ContentFormat::Tlv);
        let protocols = bench.nodes("/5/0/8", &protocols);
        let protocols: Vec<String> = protocols
            .iter()
            .map(|node| node.value.to_string())
            .collect();
        assert_eq!(protocols, ["0", "3"]);
        bench.write_uri(URI);
        let cancelled = bench.ask(request(Code::POST, "/5/0/10")).code;
        let changed = bench.ask(get("/5/0/12", None)).code;
        if version < Lwm2mVersion::V1_2 {
            assert_eq!((cancelled, changed), (Code::NOT_FOUND, Code::NOT_FOUND));
            continue;
        }
        assert_eq!((cancelled, changed), (Code::CHANGED, Code::CONTENT));
        assert_eq!(bench.firmware_state(), (0, 10));
        let again = bench.ask(request(Code::POST, "/5/0/10")).code;
        assert_eq!(again, Code::METHOD_NOT_ALLOWED, "nothing is left to cancel");
    }
}

#[test]
fn a_device_may_have_no_object_5() {
    let mut bench = Bench::new(|settings| settings.firmware = None);
    bench.input(Input::Start);
    let links = String::from_utf8(bench.take_request().payload).expect("text");
    assert!(!links.contains("</5"), "{links}");
    bench.confirm_registration();
    assert_eq!(bench.write_uri(URI), Code::NOT_FOUND);
    assert_eq!(bench.execute_update(), Code::NOT_FOUND);
    assert_eq!(bench.device.firmware(), None);
    assert_eq!(bench.get("/3/0/3", ContentFormat::Text).payload, b"1.0.0");
}
