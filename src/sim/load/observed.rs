//! What the clients are observed for, and what they say of it.

use std::collections::HashMap;
use std::rc::Rc;

use crate::coap::{Code, Message, number};
use crate::domain::{ContentFormat, Node, Path, Timestamp, Token, Value, ValueType};
use crate::lwm2m::codec;
use crate::lwm2m::{ModelView, Models};

/// An observation of the server.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) token: Token,
    /// What a notification says, as often as there are different ones.
    pub(super) said: Rc<Said>,
}

/// Notifications of some paths in a format.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) format: u16,
    pub(super) payloads: Vec<Vec<u8>>,
}

/// What the server asks for.
#[derive(Debug)]
pub(super) enum Asked {
    /// To observe something, or not any more.
    Observe(Rc<Said>),
    Cancel,
    /// To read something.
    Read(Rc<Said>),
    /// Something that is done and has no answer but this.
    Done(Code),
    /// Something that these clients do not do.
    Not(Code),
}

/// Values of all kinds of paths, made once.
pub(super) struct Values {
    models: Models,
    said: HashMap<(Vec<Path>, u16), Rc<Said>>,
}

impl Values {
    pub(super) fn new() -> Self {
        Self {
            models: Models::builtin(),
            said: HashMap::new(),
        }
    }

    /// What a request of the server is.
    pub(super) fn asked(&mut self, request: &Message) -> Asked {
        let observe = request.options.uint(number::OBSERVE);
        let paths = match request.code {
            Code::GET => path(request).map(|path| vec![path]),
            Code::FETCH => request
                .options
                .content_format()
                .and_then(|format| codec::decode_paths(format, &request.payload).ok()),
            Code::PUT | Code::POST => return Asked::Done(Code::CHANGED),
            _ => return Asked::Not(Code::METHOD_NOT_ALLOWED),
        };
        let accept = request.options.uint(number::ACCEPT);
        let format = accept.and_then(|format| u16::try_from(format).ok());
        let format = format.unwrap_or(SENML_CBOR);
        let Some(said) = paths.and_then(|paths| self.said(paths, format)) else {
            return Asked::Not(Code::NOT_FOUND);
        };
        match observe {
            Some(0) => Asked::Observe(said),
            Some(_) => Asked::Cancel,
            None => Asked::Read(said),
        }
    }

    fn said(&mut self, paths: Vec<Path>, format: u16) -> Option<Rc<Said>> {
        let key = (paths, format);
        if let Some(said) = self.said.get(&key) {
            return Some(Rc::clone(said));
        }
        let kind = ContentFormat::from_code(format)?;
        let base = match key.0.as_slice() {
            [one] => *one,
            _ => Path::ROOT,
        };
        let payloads = (0..VARIANTS).map(|variant| {
            let nodes: Vec<Node> = key.0.iter().map(|path| self.node(*path, variant)).collect();
            codec::encode(kind, base, &nodes, ModelView::newest(&self.models)).ok()
        });
        let payloads = payloads.collect::<Option<Vec<_>>>()?;
        let said = Rc::new(Said { format, payloads });
        if self.said.len() < MOST_KINDS {
            self.said.insert(key, Rc::clone(&said));
        }
        Some(said)
    }

    /// The payload of a Send: so many records, one a second up to now.
    pub(super) fn records(&self, count: u32, sequence: u32, now: Timestamp) -> Vec<u8> {
        let nodes: Vec<Node> = (0..count)
            .map(|back| {
                let mut node = self.node(MEASURED, sequence.wrapping_add(back));
                let millis = now.as_millis() - 1000 * i64::from(count - back);
                node.time = Some(Timestamp::clamped_from_millis(millis));
                node
            })
            .collect();
        let payload = codec::encode(
            ContentFormat::SenmlCbor,
            Path::ROOT,
            &nodes,
            ModelView::newest(&self.models),
        );
        payload.unwrap_or_default()
    }

    /// One value at a path or below it, of the type that its model has.
    fn node(&self, path: Path, variant: u32) -> Node {
        let resource = match *path.ids() {
            [] => MEASURED,
            [object] => Path::resource(object, 0, VALUE),
            [object, instance] => Path::resource(object, instance, VALUE),
            _ => path,
        };
        let number = variant % VARIANTS;
        let model = match *resource.ids() {
            [object, _, id, ..] => self.models.resource(object, id),
            _ => None,
        };
        let value = match model.and_then(|model| model.value_type) {
            Some(ValueType::Integer) => Value::Integer(number.into()),
            Some(ValueType::UnsignedInteger) => Value::UnsignedInteger(number.into()),
            Some(ValueType::Boolean) => Value::Boolean(number % 2 == 1),
            Some(ValueType::Time) => Value::Time(number.into()),
            Some(ValueType::String) => Value::String(number.to_string()),
            Some(ValueType::Opaque) => Value::Opaque(number.to_be_bytes().to_vec()),
            _ => Value::Float(20.0 + f64::from(number) * 0.125),
        };
        Node::new(resource, value)
    }
}

fn path(request: &Message) -> Option<Path> {
    format!("/{}", request.options.uri_path()?.join("/"))
        .parse()
        .ok()
}

/// A temperature.
const MEASURED: Path = Path::resource(3303, 0, VALUE);
/// Sensor Value of the IPSO objects.
const VALUE: u16 = 5700;
/// Different payloads.
const VARIANTS: u32 = 64;
/// A server that asks for more is answered as well, but more slowly.
const MOST_KINDS: usize = 1000;
/// `application/senml+cbor`
pub(super) const SENML_CBOR: u16 = 112;
