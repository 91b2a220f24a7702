//! Device logs: values that are logs become lines, in the commit of the message that carried them.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Env, Session};
use crate::domain::{LiveKind, Node, Path, Value};
use crate::lwm2m::device_log;
use crate::store::{Change, Commit};

/// What is remembered of the log data of a device. Only in memory: after a restart a collection that
/// is read again is stored again, once.
#[derive(Debug, Default)]
pub(super) struct LogMemory {
    /// `LogDataFormat` of the instances of object 20.
    formats: BTreeMap<u16, i64>,
    /// What of each collection (`LogData`) is stored already: its length and its hash.
    collected: BTreeMap<Path, (usize, u64)>,
}

impl LogMemory {
    /// True when nothing is remembered.
    pub(super) fn is_empty(&self) -> bool {
        self.formats.is_empty() && self.collected.is_empty()
    }
}

impl Session {
    /// True when this value is a log.
    pub(super) fn is_log(&self, env: &Env<'_>, path: &Path) -> bool {
        env.log_resources
            .iter()
            .any(|log| log.path.fits(path) && self.is_selected(&log.selection))
    }

    /// Takes what is a log out of values that arrived, and puts its lines into the commit.
    pub(super) fn take_logs(
        &mut self,
        env: &Env<'_>,
        nodes: Vec<Node>,
        commit: &mut Commit,
    ) -> Vec<Node> {
        if env.log_resources.is_empty() {
            return nodes;
        }
        self.logs.note_formats(&nodes);
        if !nodes.iter().any(|node| self.is_log(env, &node.path)) {
            return nodes;
        }
        let (logs, nodes): (Vec<Node>, Vec<Node>) = nodes
            .into_iter()
            .partition(|node| self.is_log(env, &node.path));
        for log in logs {
            self.take_log(env, log, commit);
        }
        nodes
    }

    fn take_log(&mut self, env: &Env<'_>, mut node: Node, commit: &mut Commit) {
        self.logs.without_what_is_stored(&mut node);
        let format = self.logs.format(&node.path);
        let lines = device_log::lines(&node.value, format, env.settings.log_limits);
        if lines.is_empty() {
            return;
        }
        let time = node.time.unwrap_or(env.now.wall);
        let told = lines.iter().rev().take(MAX_LIVE_LINES).rev();
        let told = told.map(|line| {
            let level = line.level.map(|level| level.name());
            let body = json!({ "path": node.path.to_string(), "level": level, "text": line.text });
            self.live(LiveKind::Log, time, body)
        });
        commit.publish.extend(told);
        commit.changes.push(Change::Log {
            endpoint_id: self.endpoint_id,
            path: node.path,
            lines,
            time,
            at: env.now.wall,
        });
    }
}

impl LogMemory {
    fn note_formats(&mut self, nodes: &[Node]) {
        for node in nodes {
            if let ([EVENT_LOG, instance, LOG_DATA_FORMAT, ..], Some(format)) =
                (node.path.ids(), node.value.as_number())
            {
                if self.formats.len() >= MAX_REMEMBERED && !self.formats.contains_key(instance) {
                    self.formats.clear();
                }
                self.formats.insert(*instance, format as i64);
            }
        }
    }

    fn format(&self, path: &Path) -> Option<i64> {
        match path.ids() {
            [EVENT_LOG, instance, ..] => self.formats.get(instance).copied(),
            _ => None,
        }
    }

    /// `LogData` is the whole collection each time: what was there the last time is not new.
    fn without_what_is_stored(&mut self, node: &mut Node) {
        let ([EVENT_LOG, _, LOG_DATA], Value::Opaque(bytes)) = (node.path.ids(), &mut node.value)
        else {
            return;
        };
        let whole = (bytes.len(), hash(bytes));
        let known = self.collected.get(&node.path).copied();
        if self.collected.len() >= MAX_REMEMBERED && known.is_none() {
            self.collected.clear();
        }
        self.collected.insert(node.path, whole);
        if let Some((len, known)) = known
            && bytes.get(..len).map(hash) == Some(known)
        {
            bytes.drain(..len);
        }
    }
}

/// FNV-1a: a device that finds a collision hides its own lines.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Object 20, Event Log.
const EVENT_LOG: u16 = 20;
/// The collection of log data.
const LOG_DATA: u16 = 4014;
/// What is in it.
const LOG_DATA_FORMAT: u16 = 4015;
/// Instances of object 20 of which something is remembered.
const MAX_REMEMBERED: usize = 32;
/// Of the lines of one value so many are told on the live socket, the last ones.
const MAX_LIVE_LINES: usize = 100;
