//! Reads definitions.

use std::collections::BTreeMap;

use roxmltree::{Document, Error, Node, ParsingOptions};

use super::measure::{self, MAX_TAGS, line_at};
use super::{DdfError, Definition, Limits, MAX_ID, clip, object_version};
use crate::domain::ValueType;
use crate::lwm2m::{ObjectModel, Operations, ResourceModel};

/// The objects that a file defines, in its order; at least one.
///
/// # Errors
/// Names the element that is wrong and its line.
pub fn parse(bytes: &[u8], limits: &Limits) -> Result<Vec<Definition>, DdfError> {
    if bytes.len() > limits.max_bytes {
        return Err(DdfError::TooLarge {
            limit: limits.max_bytes,
        });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        DdfError::Syntax {
            line: line_at(&String::from_utf8_lossy(valid), valid.len()),
            why: "the file is not in UTF-8".to_owned(),
        }
    })?;
    measure::check(text)?;
    let options = ParsingOptions {
        // Without a document type there are no entities, so nothing expands and nothing is fetched.
        allow_dtd: false,
        nodes_limit: MAX_NODES,
        entity_resolver: None,
    };
    let document =
        Document::parse_with_options(text, options).map_err(|error| syntax(text, &error))?;
    File {
        text,
        document: &document,
        limits,
    }
    .definitions()
}

/// What the XML parser says, in our words where its own say too little.
fn syntax(text: &str, error: &Error) -> DdfError {
    let last = || line_at(text, text.len());
    let (line, why) = match error {
        Error::DtdDetected => {
            let at = text.find("<!DOCTYPE").unwrap_or_default();
            let why = "a document type (DTD) is not allowed in a definition";
            (line_at(text, at), why.to_owned())
        }
        Error::NoRootNode if text.trim().is_empty() => (1, "the file is empty".to_owned()),
        Error::UnclosedRootNode | Error::UnexpectedEndOfStream => {
            (last(), "the file ends too early".to_owned())
        }
        Error::NodesLimitReached => (1, format!("the file has more than {MAX_NODES} nodes")),
        other => (
            other.pos().row,
            format!("this is not well-formed XML: {}", clip(&other.to_string())),
        ),
    };
    DdfError::Syntax { line, why }
}

/// A file whose XML is well-formed.
struct File<'a> {
    text: &'a str,
    document: &'a Document<'a>,
    limits: &'a Limits,
}

impl<'a> File<'a> {
    fn definitions(&self) -> Result<Vec<Definition>, DdfError> {
        self.check_depth()?;
        let root = self.document.root_element();
        if !is(root, "LWM2M") {
            return Err(self.wrong(root, "a definition begins with <LWM2M>"));
        }
        let objects: Vec<_> = elements(root)
            .filter(|element| is(*element, "Object"))
            .collect();
        if objects.is_empty() {
            return Err(self.wrong(root, "it defines no <Object>"));
        }
        if objects.len() > self.limits.max_objects {
            let limit = self.limits.max_objects;
            return Err(self.wrong(root, format!("it defines more than {limit} objects")));
        }
        let mut seen: BTreeMap<(u16, String), u32> = BTreeMap::new();
        let mut definitions = Vec::with_capacity(objects.len());
        let alone = objects.len() == 1;
        for object in objects {
            let model = self.object(object)?;
            let key = (model.id, model.version.clone());
            if let Some(first) = seen.insert(key, self.line(object)) {
                let (id, version) = (model.id, &model.version);
                let why =
                    format!("object {id} version {version} is there already, in line {first}");
                return Err(self.wrong(object, why));
            }
            let source = if alone {
                self.text.to_owned()
            } else {
                self.source(root, object)?
            };
            definitions.push(Definition { model, source });
        }
        Ok(definitions)
    }

    /// The XML of one object of several: a file of its own, under the same root.
    fn source(&self, root: Node<'_, '_>, object: Node<'_, '_>) -> Result<String, DdfError> {
        let begin = root.range().start;
        let end = root
            .first_child()
            .map_or(begin, |child| child.range().start);
        let opening = self.text.get(begin..end).unwrap_or_default();
        // Each object repeats it.
        if opening.len() > MAX_ROOT_BYTES {
            let why = format!("its attributes have more than {MAX_ROOT_BYTES} bytes");
            return Err(self.wrong(root, why));
        }
        let name = opening
            .strip_prefix('<')
            .and_then(|rest| {
                rest.split(|c: char| c.is_whitespace() || c == '>' || c == '/')
                    .next()
            })
            .unwrap_or_default();
        let body = self.text.get(object.range()).unwrap_or_default();
        Ok(format!("{opening}\n{body}\n</{name}>\n"))
    }

    fn object(&self, object: Node<'_, '_>) -> Result<ObjectModel, DdfError> {
        if let Some(kind) = object.attribute("ObjectType")
            && !kind.trim().eq_ignore_ascii_case("MODefinition")
        {
            let why = format!("`{}` is no MODefinition", clip(kind.trim()));
            return Err(self.wrong(object, why));
        }
        let id = self.required(object, "ObjectID")?;
        let version = match self.child(object, "ObjectVersion")? {
            Some(element) if !words(element).is_empty() => {
                object_version(&words(element)).map_err(|why| self.wrong(element, why))?
            }
            Some(_) | None => "1.0".to_owned(),
        };
        let mut model = ObjectModel {
            id: self.id(id, &words(id))?,
            name: self.name(object)?,
            version,
            multiple: self.choice(object, "MultipleInstances", ["Single", "Multiple"])?,
            mandatory: self.choice(object, "Mandatory", ["Optional", "Mandatory"])?,
            resources: BTreeMap::new(),
        };
        // The object without resources is not in the schema, but it is an object.
        let items: Vec<_> = match self.child(object, "Resources")? {
            Some(resources) => elements(resources)
                .filter(|element| is(*element, "Item"))
                .collect(),
            None => Vec::new(),
        };
        if items.len() > self.limits.max_resources {
            let limit = self.limits.max_resources;
            return Err(self.wrong(object, format!("it has more than {limit} resources")));
        }
        for item in items {
            let resource = self.resource(item)?;
            if let Some(first) = model.resources.get(&resource.id) {
                let (id, name) = (resource.id, clip(&first.name));
                let why = format!("resource {id} is there already, with the name `{name}`");
                return Err(self.wrong(item, why));
            }
            model.resources.insert(resource.id, resource);
        }
        Ok(model)
    }

    fn resource(&self, item: Node<'_, '_>) -> Result<ResourceModel, DdfError> {
        let Some(id) = item.attribute("ID") else {
            return Err(self.wrong(item, "it has no attribute `ID`"));
        };
        let id = self.id(item, id.trim())?;
        let operations = self.operations(item)?;
        Ok(ResourceModel {
            id,
            name: self.name(item)?,
            operations,
            multiple: self.choice(item, "MultipleInstances", ["Single", "Multiple"])?,
            mandatory: self.choice(item, "Mandatory", ["Optional", "Mandatory"])?,
            value_type: self.value_type(item, operations)?,
            range: self.text(item, "RangeEnumeration")?,
            units: self.text(item, "Units")?,
        })
    }

    fn id(&self, element: Node<'_, '_>, text: &str) -> Result<u16, DdfError> {
        text.parse().ok().filter(|id| *id <= MAX_ID).ok_or_else(|| {
            let why = format!("`{}` is no id from 0 to {MAX_ID}", clip(text));
            self.wrong(element, why)
        })
    }

    fn name(&self, parent: Node<'_, '_>) -> Result<String, DdfError> {
        let element = self.required(parent, "Name")?;
        self.text(parent, "Name")?
            .ok_or_else(|| self.wrong(element, "it is empty"))
    }

    /// `R`, `W` and `E` in any case and order, as files of vendors have them.
    fn operations(&self, item: Node<'_, '_>) -> Result<Operations, DdfError> {
        let mut operations = Operations::default();
        let Some(element) = self.child(item, "Operations")? else {
            return Ok(operations);
        };
        let text = words(element);
        for letter in text.chars().filter(|letter| !letter.is_whitespace()) {
            match letter {
                'R' | 'r' => operations.readable = true,
                'W' | 'w' => operations.writable = true,
                'E' | 'e' => operations.executable = true,
                _ => {
                    let why = format!("`{}` holds something else than R, W and E", clip(&text));
                    return Err(self.wrong(element, why));
                }
            }
        }
        Ok(operations)
    }

    /// None for what can only be executed, whatever the file says; files of the registry also have
    /// a resource that is read and has no type.
    fn value_type(
        &self,
        item: Node<'_, '_>,
        operations: Operations,
    ) -> Result<Option<ValueType>, DdfError> {
        let only_executable = operations.executable && !operations.readable && !operations.writable;
        let element = self.child(item, "Type")?;
        let text = element.map(words).unwrap_or_default();
        if only_executable {
            return Ok(None);
        }
        let letters: String = text
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric())
            .map(|letter| letter.to_ascii_lowercase())
            .collect();
        let value_type = match letters.as_str() {
            "boolean" => ValueType::Boolean,
            "corelnk" | "corelink" => ValueType::Corelink,
            "float" => ValueType::Float,
            "integer" => ValueType::Integer,
            "objlnk" | "objlink" | "objectlink" => ValueType::Objlnk,
            "opaque" => ValueType::Opaque,
            "string" => ValueType::String,
            "time" => ValueType::Time,
            "unsignedinteger" => ValueType::UnsignedInteger,
            _ if text.is_empty() && !operations.writable => return Ok(None),
            _ => {
                let why = if text.is_empty() {
                    "a resource that can be written needs a type".to_owned()
                } else {
                    format!(
                        "`{}` is none of String, Integer, Unsigned Integer, Float, Boolean, \
                         Opaque, Time, Objlnk and Corelnk",
                        clip(&text)
                    )
                };
                return Err(self.wrong(element.unwrap_or(item), why));
            }
        };
        Ok(Some(value_type))
    }

    /// Whether the second of two words is there; none at all means the first.
    fn choice(
        &self,
        parent: Node<'_, '_>,
        name: &str,
        [no, yes]: [&str; 2],
    ) -> Result<bool, DdfError> {
        let Some(element) = self.child(parent, name)? else {
            return Ok(false);
        };
        let text = words(element);
        if text.eq_ignore_ascii_case(yes) {
            Ok(true)
        } else if text.is_empty() || text.eq_ignore_ascii_case(no) {
            Ok(false)
        } else {
            let why = format!("`{}` is neither {no} nor {yes}", clip(&text));
            Err(self.wrong(element, why))
        }
    }

    /// The text of a child; none when it is missing or empty.
    fn text(&self, parent: Node<'_, '_>, name: &str) -> Result<Option<String>, DdfError> {
        let Some(element) = self.child(parent, name)? else {
            return Ok(None);
        };
        let text = words(element);
        if text.chars().count() > MAX_TEXT {
            let why = format!("it has more than {MAX_TEXT} characters");
            return Err(self.wrong(element, why));
        }
        Ok((!text.is_empty()).then_some(text))
    }

    fn required<'n>(&self, parent: Node<'n, 'n>, name: &str) -> Result<Node<'n, 'n>, DdfError> {
        self.child(parent, name)?
            .ok_or_else(|| self.wrong(parent, format!("it has no <{name}>")))
    }

    /// The child of this name; two of them contradict each other.
    fn child<'n>(
        &self,
        parent: Node<'n, 'n>,
        name: &str,
    ) -> Result<Option<Node<'n, 'n>>, DdfError> {
        let mut named = elements(parent).filter(|element| is(*element, name));
        let first = named.next();
        match named.next() {
            Some(second) => Err(self.wrong(second, "it is there twice")),
            None => Ok(first),
        }
    }

    fn check_depth(&self) -> Result<(), DdfError> {
        let too_deep = |node: &Node<'_, '_>| {
            let depth = node.ancestors().take(MAX_DEPTH.saturating_add(2)).count();
            depth > MAX_DEPTH.saturating_add(1)
        };
        let mut nodes = self.document.descendants().filter(Node::is_element);
        match nodes.find(too_deep) {
            Some(node) => {
                let why = format!("elements are nested more than {MAX_DEPTH} deep");
                Err(self.wrong(node, why))
            }
            None => Ok(()),
        }
    }

    fn wrong(&self, element: Node<'_, '_>, why: impl Into<String>) -> DdfError {
        DdfError::Element {
            line: self.line(element),
            element: clip(element.tag_name().name()),
            why: why.into(),
        }
    }

    fn line(&self, element: Node<'_, '_>) -> u32 {
        line_at(self.text, element.range().start)
    }
}

fn elements<'a>(parent: Node<'a, 'a>) -> impl Iterator<Item = Node<'a, 'a>> {
    parent.children().filter(Node::is_element)
}

/// Whatever its namespace is: the schema has none, and some files give it one.
fn is(element: Node<'_, '_>, name: &str) -> bool {
    element.tag_name().name() == name
}

/// The text of an element in one line.
fn words(element: Node<'_, '_>) -> String {
    let mut words = String::new();
    let texts = element.children().filter(Node::is_text);
    let text: String = texts.filter_map(|node| node.text()).collect();
    for word in text.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

/// Elements, texts and comments of a file.
const MAX_NODES: u32 = 2 * MAX_TAGS as u32;
/// How deep elements are nested; definitions are five deep.
const MAX_DEPTH: usize = 16;
/// Characters of a name, a range or a unit.
const MAX_TEXT: usize = 1000;
/// Bytes of the root element of a file with several objects.
const MAX_ROOT_BYTES: usize = 4096;
