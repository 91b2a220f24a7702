//! Which attributes there are, where, since when, and which contradict each other.

use super::*;
use crate::domain::RefusedFormats;
use crate::lwm2m::Models;

const V1_0: Lwm2mVersion = Lwm2mVersion::V1_0;
const V1_1: Lwm2mVersion = Lwm2mVersion::V1_1;
const V1_2: Lwm2mVersion = Lwm2mVersion::V1_2;

fn check(version: Lwm2mVersion, path: &str, query: &str) -> Result<(), InvalidAttribute> {
    let models = Models::builtin();
    let device = Device {
        version,
        root: "",
        formats: &[],
        refused: RefusedFormats::NONE,
        objects: &[],
        models: &models,
    };
    let attributes: Vec<(String, Option<String>)> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (part.to_owned(), None),
        })
        .collect();
    check_request(&path.parse().expect(path), &attributes, &device)
}

#[test]
fn p1_each_attribute_has_its_levels() {
    let levels = ["/3303", "/3303/0", "/3303/0/5700", "/3303/0/5700/0"];
    for query in [
        "pmin=5", "pmax=10", "epmin=1", "epmax=2", "con=1", "hqmax=10",
    ] {
        for path in levels {
            assert_eq!(check(V1_2, path, query), Ok(()), "{path}?{query}");
        }
    }
    for query in ["gt=30", "lt=-10.5", "st=0.5"] {
        for (path, is_fine) in levels.into_iter().zip([false, false, true, true]) {
            let result = check(V1_2, path, query);
            assert_eq!(result.is_ok(), is_fine, "{path}?{query}");
            if let Err(error) = result {
                assert!(
                    error.to_string().ends_with("it belongs to a resource"),
                    "{error}"
                );
            }
        }
    }
    for (path, is_fine) in [("/3200", false), ("/3200/0", false), ("/3200/0/5500", true)] {
        assert_eq!(check(V1_2, path, "edge=1").is_ok(), is_fine, "{path}");
    }
}

#[test]
fn p1_thresholds_need_a_number_and_edges_a_boolean() {
    for (path, query) in [
        ("/3/0/0", "gt=1"),
        ("/3/0/0", "st=1"),
        ("/3200/0/5500", "lt=1"),
        ("/3303/0/5700", "edge=1"),
        ("/3/0/0", "edge=0"),
        ("/3/0/4", "edge"),
    ] {
        let result = check(V1_2, path, query);
        let is_executable = path == "/3/0/4";
        assert_eq!(result.is_ok(), is_executable, "{path}?{query}: {result:?}");
    }
    // Integer, unsigned integer, float, time; and what is not known may be anything.
    for path in [
        "/3/0/9",
        "/3442/0/125",
        "/3442/0/130",
        "/3442/0/160",
        "/33000/0/7",
    ] {
        assert_eq!(check(V1_0, path, "gt=30&lt=10&st=0.5"), Ok(()), "{path}");
    }
    assert_eq!(check(V1_2, "/33000/0/7", "edge=1"), Ok(()));
}

#[test]
fn p1_attributes_are_removed_by_their_name_alone() {
    let every = "pmin&pmax&epmin&epmax&gt&lt&st&con&hqmax";
    assert_eq!(check(V1_2, "/3303/0/5700", every), Ok(()));
    assert_eq!(check(V1_2, "/3200/0/5500", "edge"), Ok(()));
    // Where an attribute cannot be set, there is none to remove.
    assert!(check(V1_2, "/3303/0", "gt").is_err());
    assert!(check(V1_1, "/3303/0", "con").is_err());
    let mut attributes = Attributes::default();
    for (name, value) in [("pmin", "5"), ("gt", "30.5"), ("edge", "1"), ("hqmax", "3")] {
        attributes.set(name, Some(value)).expect(name);
        attributes.set(name, None).expect(name);
    }
    assert_eq!(attributes, Attributes::default());
}

#[test]
fn p1_attributes_of_later_versions_are_refused_with_the_version() {
    for (version, query, since) in [
        (V1_0, "epmin=1", "1.1"),
        (V1_0, "epmax=1", "1.1"),
        (V1_0, "edge=1", "1.2"),
        (V1_1, "edge=1", "1.2"),
        (V1_1, "con=1", "1.2"),
        (V1_1, "hqmax=1", "1.2"),
    ] {
        let name = query.split('=').next().expect("a name");
        assert_eq!(
            check(version, "/3200/0/5500", query)
                .expect_err(query)
                .to_string(),
            format!(
                "{name} does not exist in LwM2M {version}, which the device speaks; \
                 it came with {since}"
            )
        );
        assert_eq!(check(V1_2, "/3200/0/5500", query), Ok(()));
    }
}

#[test]
fn p1_numbers_go_out_without_exponent() {
    for (value, wanted) in [
        ("30", "30"),
        ("30.50", "30.5"),
        ("-0.25", "-0.25"),
        ("+5", "5"),
        ("1e3", "1000"),
        ("2.5e-3", "0.0025"),
        (".5", "0.5"),
        ("5.", "5"),
    ] {
        assert_eq!(sent("gt", value).as_deref(), Ok(wanted), "{value}");
    }
    assert_eq!(sent("pmin", "007").as_deref(), Ok("7"));
    assert_eq!(sent("con", "1").as_deref(), Ok("1"));
    for value in ["1e100", "1e-100", "warm", ""] {
        assert!(sent("lt", value).is_err(), "{value}");
        assert!(check(V1_1, "/3303/0/5700", &format!("lt={value}")).is_err());
    }
}

fn contradiction(query: &str) -> Option<&'static str> {
    match check(V1_2, "/3303/0/5700", query) {
        Ok(()) => None,
        Err(InvalidAttribute::Contradiction(rule)) => Some(rule),
        Err(other) => panic!("{query}: {other}"),
    }
}

#[test]
fn p2_pmin_is_not_above_pmax() {
    let rule = Some("pmin is greater than pmax");
    assert_eq!(contradiction("pmin=11&pmax=10"), rule);
    assert_eq!(contradiction("pmax=10&pmin=11"), rule, "in any order");
    assert_eq!(contradiction("pmin=10&pmax=10"), None);
    assert_eq!(contradiction("pmin=11&pmax"), None, "one is removed");
}

#[test]
fn p2_epmin_is_not_above_epmax() {
    assert_eq!(
        contradiction("epmin=11&epmax=10"),
        Some("epmin is greater than epmax")
    );
    assert_eq!(contradiction("epmin=10&epmax=10"), None);
    assert_eq!(contradiction("pmin=11&epmax=10"), None, "another pair");
}

#[test]
fn p2_lt_is_below_gt() {
    let rule = Some("lt is not less than gt");
    assert_eq!(contradiction("gt=10&lt=20"), rule);
    assert_eq!(contradiction("gt=10&lt=10"), rule);
    assert_eq!(contradiction("gt=-20&lt=-10"), rule);
    assert_eq!(contradiction("gt=10&lt=9.9"), None);
    assert_eq!(contradiction("gt=10&lt"), None);
}

#[test]
fn p2_two_steps_fit_between_lt_and_gt() {
    let rule = Some("lt + 2 * st is not less than gt");
    assert_eq!(contradiction("lt=10&gt=20&st=6"), rule);
    assert_eq!(contradiction("lt=10&gt=20&st=5"), rule, "equal");
    assert_eq!(contradiction("lt=10&gt=20&st=4.9"), None);
    assert_eq!(contradiction("lt=10&st=100"), None);
    assert_eq!(contradiction("gt=10&st=100"), None);
}

#[test]
fn q3_values_of_another_form_are_refused() {
    for query in [
        "pmin=-1",
        "pmin=",
        "pmin=1.5",
        "pmax=x",
        "gt=inf",
        "gt=NaN",
        "gt=1e999",
        "st=0",
        "st=-1",
        "con=2",
        "edge=true",
    ] {
        let result = check(Lwm2mVersion::V1_2, "/3200/0/5600", query);
        let edge = check(Lwm2mVersion::V1_2, "/3200/0/5500", query);
        assert!(
            matches!(result, Err(InvalidAttribute::Value { .. })),
            "{query}: {result:?}"
        );
        assert!(edge.is_err());
    }
    for query in ["dim=1", "ver=1.0", "ssid=1", "", "pmin2=1", "PMIN=1"] {
        let result = check(Lwm2mVersion::V1_1, "/3303/0/5700", query);
        assert!(
            matches!(result, Err(InvalidAttribute::Unknown(_))),
            "{query}: {result:?}"
        );
    }
    assert_eq!(
        check(Lwm2mVersion::V1_1, "/3", "pmin=1&pmin=2"),
        Err(InvalidAttribute::Twice("pmin".into()))
    );
}

#[test]
fn p3_a_path_inherits_what_it_does_not_set() {
    let mut above = Attributes::default();
    above.set("pmin", Some("5")).expect("valid");
    above.set("pmax", Some("10")).expect("valid");
    let mut own = Attributes::default();
    own.set("pmin", Some("20")).expect("valid");
    let both = own.inherit(&above);
    assert_eq!((both.pmin, both.pmax), (Some(20), Some(10)));
    assert!(both.check().is_err(), "the combination contradicts itself");
    assert_eq!(
        both.written(),
        [("pmin", "20".to_owned()), ("pmax", "10".to_owned())]
    );
    own.set("pmin", None).expect("removal");
    assert_eq!(own, Attributes::default());
}
