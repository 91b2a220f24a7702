//! One message, written once for everybody.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::Value as Json;

use crate::domain::{LiveEvent, LiveKind, LiveNews, Timestamp, Topic};

/// A message as it goes to every client that asked for its topic.
#[derive(Debug, PartialEq)]
pub struct Message {
    /// Grows by one with each message of the server.
    pub seq: u64,
    fact: Fact,
    /// What is sent, once somebody has asked for it.
    text: OnceLock<String>,
}

/// What a message tells.
#[derive(Debug, PartialEq)]
pub(super) enum Fact {
    /// Something about a device.
    Device(LiveEvent),
    /// Something about anything else.
    News(LiveNews),
}

impl Message {
    pub(super) fn new(seq: u64, fact: Fact) -> Arc<Self> {
        Arc::new(Self {
            seq,
            fact,
            text: OnceLock::new(),
        })
    }

    /// The JSON object `{"seq","topic","kind","time",…}`. Made once, for whoever asks first.
    pub fn text(&self) -> &str {
        self.text.get_or_init(|| match &self.fact {
            Fact::Device(event) => text(
                self.seq,
                &event.topic(),
                event.kind,
                event.time,
                event.body.to_json(),
            ),
            Fact::News(news) => text(
                self.seq,
                &news.topic,
                news.kind,
                news.time,
                news.fields.clone(),
            ),
        })
    }

    /// What it tells.
    pub(super) fn fact(&self) -> &Fact {
        &self.fact
    }

    /// To whom it is told, beside those who listen to everything.
    pub(super) fn topic(&self) -> Topic {
        match &self.fact {
            Fact::Device(event) => event.topic(),
            Fact::News(news) => news.topic.clone(),
        }
    }

    /// Whether those who listen to the whole fleet get it: device logs, single observations and what is said to a
    /// device are only for those who look at that device.
    pub(super) fn is_for_fleet(&self) -> bool {
        match &self.fact {
            Fact::Device(event) => !matches!(
                event.kind,
                LiveKind::Log | LiveKind::Messages | LiveKind::Observation
            ),
            Fact::News(_) => true,
        }
    }
}

fn text(seq: u64, topic: &Topic, kind: LiveKind, time: Timestamp, body: Json) -> String {
    let mut fields: BTreeMap<String, Json> = match body {
        Json::Object(body) => body.into_iter().collect(),
        _ => BTreeMap::new(),
    };
    fields.remove("seq");
    fields
        .entry("time".to_owned())
        .or_insert_with(|| Json::from(time.to_string()));
    fields.insert("topic".to_owned(), Json::from(topic.to_string()));
    let kind = serde_json::to_value(kind).unwrap_or_default();
    fields.insert("kind".to_owned(), kind);
    let rest = serde_json::to_string(&fields).unwrap_or_default();
    // The number stands first.
    let rest = rest.strip_prefix('{').unwrap_or("}");
    format!("{{\"seq\":{seq},{rest}")
}
