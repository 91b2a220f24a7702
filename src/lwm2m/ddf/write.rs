//! Writes a model as a definition; what is written is read again as the same model.

use crate::domain::ValueType;
use crate::lwm2m::{ObjectModel, Operations, ResourceModel};

/// The definition of an object, without the descriptions, which a model does not keep.
pub fn write(object: &ObjectModel) -> String {
    let mut xml = Xml::default();
    xml.line(0, r#"<?xml version="1.0" encoding="UTF-8"?>"#);
    xml.line(0, "<LWM2M>");
    xml.line(1, r#"<Object ObjectType="MODefinition">"#);
    xml.element(2, "Name", &object.name);
    xml.element(2, "Description1", "");
    xml.element(2, "ObjectID", &object.id.to_string());
    xml.element(2, "ObjectURN", &urn(object));
    xml.element(2, "ObjectVersion", &object.version);
    xml.element(2, "MultipleInstances", multiple(object.multiple));
    xml.element(2, "Mandatory", mandatory(object.mandatory));
    xml.line(2, "<Resources>");
    for resource in object.resources.values() {
        xml.item(resource);
    }
    xml.line(2, "</Resources>");
    xml.element(2, "Description2", "");
    xml.line(1, "</Object>");
    xml.line(0, "</LWM2M>");
    xml.0
}

/// The name of the object in OMA's scheme; the class of ids is part of it (Core 1.2, table 7.2.1-1).
fn urn(object: &ObjectModel) -> String {
    let class = match object.id {
        0..=1023 => "oma",
        1024..=10_240 => "ext",
        _ => "x",
    };
    let (id, version) = (object.id, &object.version);
    if version == "1.0" {
        format!("urn:oma:lwm2m:{class}:{id}")
    } else {
        format!("urn:oma:lwm2m:{class}:{id}:{version}")
    }
}

#[derive(Default)]
struct Xml(String);

impl Xml {
    fn item(&mut self, resource: &ResourceModel) {
        self.line(3, &format!(r#"<Item ID="{}">"#, resource.id));
        self.element(4, "Name", &resource.name);
        self.element(4, "Operations", operations(resource.operations));
        self.element(4, "MultipleInstances", multiple(resource.multiple));
        self.element(4, "Mandatory", mandatory(resource.mandatory));
        let value_type = resource.value_type.map_or("", type_name);
        self.element(4, "Type", value_type);
        let range = resource.range.as_deref().unwrap_or_default();
        self.element(4, "RangeEnumeration", range);
        self.element(4, "Units", resource.units.as_deref().unwrap_or_default());
        self.element(4, "Description", "");
        self.line(3, "</Item>");
    }

    fn element(&mut self, depth: usize, name: &str, text: &str) {
        let mut escaped = String::with_capacity(text.len());
        for character in text.chars() {
            match character {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                other => escaped.push(other),
            }
        }
        self.line(depth, &format!("<{name}>{escaped}</{name}>"));
    }

    fn line(&mut self, depth: usize, line: &str) {
        for _ in 0..depth {
            self.0.push('\t');
        }
        self.0.push_str(line);
        self.0.push('\n');
    }
}

fn multiple(multiple: bool) -> &'static str {
    if multiple { "Multiple" } else { "Single" }
}

fn mandatory(mandatory: bool) -> &'static str {
    if mandatory { "Mandatory" } else { "Optional" }
}

fn operations(operations: Operations) -> &'static str {
    match (
        operations.readable,
        operations.writable,
        operations.executable,
    ) {
        (false, false, false) => "",
        (true, false, false) => "R",
        (false, true, false) => "W",
        (true, true, false) => "RW",
        (false, false, true) => "E",
        (true, false, true) => "RE",
        (false, true, true) => "WE",
        (true, true, true) => "RWE",
    }
}

fn type_name(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Boolean => "Boolean",
        ValueType::Corelink => "Corelnk",
        ValueType::Float => "Float",
        ValueType::Integer => "Integer",
        ValueType::Objlnk => "Objlnk",
        ValueType::Opaque => "Opaque",
        ValueType::String => "String",
        ValueType::Time => "Time",
        ValueType::UnsignedInteger => "Unsigned Integer",
    }
}
