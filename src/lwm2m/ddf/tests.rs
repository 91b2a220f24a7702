//! Files as the registry and vendors write them, and what is said of those that are wrong.

use super::*;
use crate::domain::ValueType;
use crate::lwm2m::{Models, Operations};

const LIMITS: Limits = Limits {
    max_bytes: 100_000,
    max_objects: 3,
    max_resources: 4,
};

fn read(xml: &str) -> Result<Vec<Definition>, DdfError> {
    parse(xml.as_bytes(), &LIMITS)
}

fn one(xml: &str) -> ObjectModel {
    let definitions = read(xml).expect(xml);
    assert_eq!(definitions.len(), 1);
    definitions[0].model.clone()
}

/// An object with these lines in it and no resources.
fn object(lines: &str) -> String {
    format!(
        "<LWM2M>\n<Object>\n<Name>Pump</Name>\n<ObjectID>33000</ObjectID>\n{lines}\n</Object></LWM2M>"
    )
}

/// An object with these items; the first one begins in line 6.
fn items(items: &str) -> String {
    object(&format!("<Resources>\n{items}\n</Resources>"))
}

fn item(lines: &str) -> String {
    items(&format!(
        "<Item ID=\"5\"><Name>Level</Name>\n{lines}</Item>"
    ))
}

const PUMP: &str = r#"<?xml version="1.0" encoding="utf-8"?>
<!-- A file of our own; the comment has <tags> and an ' in it. -->
<LWM2M xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
       xsi:noNamespaceSchemaLocation="LWM2M-v1_1.xsd">
  <Object ObjectType="MODefinition">
    <Name>
      Pump &amp;
      motor
    </Name>
    <Description1><![CDATA[A <pump> that = pumps]]></Description1>
    <ObjectID> 33000 </ObjectID>
    <ObjectURN>urn:oma:lwm2m:x:33000:1.10</ObjectURN>
    <LWM2MVersion>1.1</LWM2MVersion>
    <ObjectVersion>1.10</ObjectVersion>
    <MultipleInstances>Multiple</MultipleInstances>
    <Mandatory>Optional</Mandatory>
    <Resources>
      <Item ID="1">
        <Name>Speed</Name>
        <Operations>RW</Operations>
        <MultipleInstances>Single</MultipleInstances>
        <Mandatory>Mandatory</Mandatory>
        <Type>Unsigned Integer</Type>
        <RangeEnumeration>0..3000</RangeEnumeration>
        <Units>1/min</Units>
        <Description>How fast</Description>
      </Item>
      <Item ID="0">
        <Name>Start</Name>
        <Operations>E</Operations>
        <MultipleInstances>Single</MultipleInstances>
        <Mandatory>Optional</Mandatory>
        <Type></Type>
        <RangeEnumeration></RangeEnumeration>
        <Units></Units>
        <Description/>
      </Item>
    </Resources>
    <Description2/>
  </Object>
</LWM2M>
"#;

#[test]
fn q4_every_object_of_the_builtin_table_survives_being_written_and_read() {
    let models = Models::builtin();
    let mut count = 0;
    for object in models.objects() {
        let xml = write(object);
        let definitions = parse(xml.as_bytes(), &Limits::ACCEPTED).expect(&xml);
        let [definition] = definitions.as_slice() else {
            panic!("{xml}");
        };
        assert_eq!(&definition.model, object, "{xml}");
        assert_eq!(definition.source, xml);
        count += 1;
    }
    assert!(count > 320, "{count}");
}

#[test]
fn q4_a_file_of_a_vendor_is_read_as_it_is_meant() {
    let pump = one(PUMP);
    assert_eq!((pump.id, pump.name.as_str()), (33_000, "Pump & motor"));
    assert_eq!(pump.version, "1.10");
    assert!(pump.multiple && !pump.mandatory);
    let ids: Vec<u16> = pump.resources.keys().copied().collect();
    assert_eq!(ids, [0, 1]);
    let start = &pump.resources[&0];
    assert!(start.operations.executable && !start.operations.readable);
    assert_eq!(
        (start.value_type, &start.range, &start.units),
        (None, &None, &None)
    );
    let speed = &pump.resources[&1];
    assert!(speed.mandatory && !speed.multiple);
    assert_eq!(speed.value_type, Some(ValueType::UnsignedInteger));
    assert_eq!(speed.range.as_deref(), Some("0..3000"));
    assert_eq!(speed.units.as_deref(), Some("1/min"));
    assert_eq!(one(&write(&pump)), pump);
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_no_hindrance() {
    let windows = format!("\u{feff}{}", PUMP.replace('\n', "\r\n"));
    assert_eq!(one(&windows), one(PUMP));
}

#[test]
fn a_missing_or_empty_version_is_1_0() {
    for line in ["", "<ObjectVersion></ObjectVersion>", "<ObjectVersion/>"] {
        assert_eq!(one(&object(line)).version, "1.0");
    }
    for (written, version) in [(" 2 ", "2.0"), ("01.02", "1.2"), ("65535.0", "65535.0")] {
        let line = format!("<ObjectVersion>{written}</ObjectVersion>");
        assert_eq!(one(&object(&line)).version, version);
    }
}

#[test]
fn operations_are_read_in_any_case_and_order() {
    let rights = |text: &str| {
        let xml = item(&format!(
            "<Operations>{text}</Operations><Type>Integer</Type>"
        ));
        one(&xml).resources[&5].operations
    };
    let all = Operations {
        readable: true,
        writable: true,
        executable: false,
    };
    for text in ["RW", "rw", "wR", " R W "] {
        assert_eq!(rights(text), all, "{text}");
    }
    assert_eq!(rights(""), Operations::default());
}

#[test]
fn types_are_read_as_the_registry_writes_them() {
    let cases = [
        ("String", ValueType::String),
        ("integer", ValueType::Integer),
        ("Unsigned Integer", ValueType::UnsignedInteger),
        ("UnsignedInteger", ValueType::UnsignedInteger),
        (" Float\n", ValueType::Float),
        ("Boolean", ValueType::Boolean),
        ("Opaque", ValueType::Opaque),
        ("Time", ValueType::Time),
        ("Objlnk", ValueType::Objlnk),
        ("Corelnk", ValueType::Corelink),
        ("CoreLnk", ValueType::Corelink),
    ];
    for (text, value_type) in cases {
        let xml = item(&format!("<Operations>RW</Operations><Type>{text}</Type>"));
        assert_eq!(
            one(&xml).resources[&5].value_type,
            Some(value_type),
            "{text}"
        );
    }
}

#[test]
fn what_can_only_be_executed_or_read_needs_no_type() {
    for lines in [
        "<Operations>E</Operations>",
        "<Operations>E</Operations><Type/>",
        "<Operations>E</Operations><Type>String</Type>",
        "<Operations>E</Operations><Type>none</Type>",
        "<Operations>R</Operations><Type></Type>",
    ] {
        assert_eq!(one(&item(lines)).resources[&5].value_type, None, "{lines}");
    }
}

#[test]
fn each_object_of_a_file_gets_a_source_of_its_own() {
    let file = r#"<x:LWM2M xmlns:x="urn:x" xmlns:y='urn:y'>
        <Object y:a="1"><Name>A</Name><ObjectID>1</ObjectID></Object>
        <x:Object><x:Name>B</x:Name><ObjectID>1</ObjectID><ObjectVersion>2.0</ObjectVersion></x:Object>
        <Other/>
      </x:LWM2M>"#;
    let definitions = read(file).expect("two objects");
    assert_eq!(definitions.len(), 2);
    for definition in &definitions {
        let again = read(&definition.source).expect(&definition.source);
        assert_eq!(again, std::slice::from_ref(definition));
    }
    assert_eq!(definitions[1].model.name, "B");
    assert!(!definitions[1].source.contains(">A<"));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let id = |text: &str| format!("<LWM2M>\n<Object><Name>A</Name>\n{text}</Object></LWM2M>");
    let cases = [
        (
            id("<ObjectID>65535</ObjectID>"),
            "line 3, <ObjectID>: `65535` is no id from 0 to 65534",
        ),
        (id("<ObjectID>-1</ObjectID>"), "`-1` is no id"),
        (id("<ObjectID/>"), "`` is no id"),
        (id(""), "line 2, <Object>: it has no <ObjectID>"),
        (
            id("<ObjectID>1</ObjectID>\n<ObjectID>2</ObjectID>"),
            "line 4, <ObjectID>: it is there twice",
        ),
        (
            object("<Name>Again</Name>"),
            "line 5, <Name>: it is there twice",
        ),
        (
            object("<ObjectVersion>1.x</ObjectVersion>"),
            "line 5, <ObjectVersion>: `1.x` is no version",
        ),
        (
            object("<ObjectVersion>1.0.1</ObjectVersion>"),
            "`1.0.1` is no version",
        ),
        (
            object("<ObjectVersion>+1.0</ObjectVersion>"),
            "is no version",
        ),
        (
            object("<MultipleInstances>many</MultipleInstances>"),
            "<MultipleInstances>: `many` is neither Single nor Multiple",
        ),
        (
            object("<Mandatory>yes</Mandatory>"),
            "<Mandatory>: `yes` is neither Optional nor Mandatory",
        ),
        (
            "<LWM2M><Object><ObjectID>1</ObjectID></Object></LWM2M>".into(),
            "<Object>: it has no <Name>",
        ),
        (
            "<LWM2M><Object><Name> </Name><ObjectID>1</ObjectID></Object></LWM2M>".into(),
            "<Name>: it is empty",
        ),
        (
            "<LWM2M><Object ObjectType=\"CommonResources\"/></LWM2M>".into(),
            "`CommonResources` is no MODefinition",
        ),
        ("<LWM2M></LWM2M>".into(), "<LWM2M>: it defines no <Object>"),
        (
            "<DDFList/>".into(),
            "line 1, <DDFList>: a definition begins with <LWM2M>",
        ),
        (
            items("<Item><Name>A</Name></Item>"),
            "line 6, <Item>: it has no attribute `ID`",
        ),
        (
            items("<Item ID='70000'><Name>A</Name></Item>"),
            "line 6, <Item>: `70000` is no id",
        ),
        (items("<Item ID='1'/>"), "line 6, <Item>: it has no <Name>"),
        (
            items(
                "<Item ID='1'><Name>First</Name></Item>\n<Item ID='1'><Name>Second</Name></Item>",
            ),
            "line 7, <Item>: resource 1 is there already, with the name `First`",
        ),
        (
            item("<Operations>RX</Operations>"),
            "line 7, <Operations>: `RX` holds something else",
        ),
        (
            item("<Operations>W</Operations>"),
            "<Item>: a resource that can be written needs a type",
        ),
        (
            item("\n<Operations>R</Operations><Type>Double</Type>"),
            "line 8, <Type>: `Double` is none of",
        ),
    ];
    for (xml, part) in cases {
        let error = read(&xml).expect_err(&xml);
        assert!(error.to_string().contains(part), "{error}\n{xml}");
        assert!(error.element().is_some());
    }
}

#[test]
fn an_object_that_is_there_twice_is_named_with_both_lines() {
    let object = |version: &str| {
        format!(
            "<Object><Name>A</Name><ObjectID>7</ObjectID><ObjectVersion>{version}</ObjectVersion></Object>\n"
        )
    };
    let file = |versions: [&str; 2]| {
        let objects = versions.map(object).concat();
        format!("<LWM2M>\n{objects}</LWM2M>")
    };
    assert_eq!(read(&file(["1.0", "1.1"])).expect("two versions").len(), 2);
    let error = read(&file(["1.0", "1"])).expect_err("twice");
    assert_eq!(
        error.to_string(),
        "line 3, <Object>: object 7 version 1.0 is there already, in line 2"
    );
}
