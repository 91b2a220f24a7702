//! What tests of wanted observations share: templates, and a device that does what it is asked.

use std::collections::BTreeMap;

use super::super::{Input, Ticket};
use super::bench::{Bench, path};
use crate::coap::{Code, OutgoingRequest, Response, number};
use crate::domain::{
    NewOperation, Observation, OperationKind, OperationRequest, Origin, ProfileChange, Selection,
    Token, Wanted, WantedState,
};
use crate::store::ObservationTemplate;

/// A template for every device.
pub(super) fn template(id: i64, kind: OperationKind, paths: &[&str]) -> ObservationTemplate {
    ObservationTemplate {
        id,
        paths: paths.iter().map(|text| path(text)).collect(),
        kind,
        selection: Selection::default(),
        attributes: Vec::new(),
        format: None,
        enabled: true,
        revision: 0,
    }
}

/// What `template` observes.
pub(super) fn observe(id: i64, at: &str) -> ObservationTemplate {
    template(id, OperationKind::Observe, &[at])
}

/// The same template after somebody changed it.
pub(super) fn edited(
    template: &ObservationTemplate,
    change: impl FnOnce(&mut ObservationTemplate),
) -> ObservationTemplate {
    let mut edited = template.clone();
    edited.revision += 1;
    change(&mut edited);
    edited
}

pub(super) fn attributes(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    list.iter().map(owned).collect()
}

impl Bench {
    /// The templates become these, and the session is told.
    pub(super) fn tell(&mut self, templates: Vec<ObservationTemplate>) {
        let changed = templates
            .iter()
            .filter(|template| !self.templates.contains(template))
            .map(|template| template.id)
            .collect();
        self.templates = templates;
        self.feed(Input::Templates { changed });
    }

    pub(super) fn tag(&mut self, tags: &[&str]) {
        let tags = tags.iter().map(ToString::to_string).collect();
        self.feed(Input::Profile {
            change: ProfileChange {
                tags: Some(tags),
                ..ProfileChange::default()
            },
            by: None,
            ticket: Ticket(9),
        });
    }

    /// Somebody asks for something that is not a plain operation on one path.
    pub(super) fn want(&mut self, request: OperationRequest) {
        self.feed(Input::Operate {
            operation: Box::new(NewOperation {
                request,
                origin: Origin::User("ada".to_owned()),
                expires_in: None,
                max_attempts: 3,
                by: None,
                key: None,
            }),
            ticket: Ticket(1),
        });
    }

    /// Everything that is wanted as it is in memory, which must be as it is on disk.
    #[track_caller]
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        let wanted = self.session.wishes.wanted.clone();
        assert_eq!(self.on_disk().wanted, wanted, "what is told is on disk");
        wanted
    }

    /// Where the only thing that is wanted stands.
    #[track_caller]
    pub(super) fn stands(&self) -> WantedState {
        let wanted = self.wanted();
        assert_eq!(wanted.len(), 1, "{wanted:?}");
        wanted[0].state
    }

    pub(super) fn observations(&self) -> Vec<Observation> {
        self.session.observations.clone()
    }

    /// Requests by code, path, Observe and query, oldest first.
    pub(super) fn asked(&self) -> Vec<String> {
        self.sent()
            .iter()
            .map(|(_, request)| question(request))
            .collect()
    }

    /// The device does not know or does not want what it was asked last.
    pub(super) fn refuse(&mut self, code: Code) {
        self.answer(Response::new(code));
    }
}

/// `GET /3303/0/5700 observe=0`
pub(super) fn question(outgoing: &OutgoingRequest) -> String {
    let request = &outgoing.request;
    let mut text = match request.code {
        Code::GET => "GET".to_owned(),
        Code::PUT => "PUT".to_owned(),
        Code::FETCH => "FETCH".to_owned(),
        other => other.to_string(),
    };
    let segments = request.options.uri_path().expect("text").join("/");
    text.push_str(&format!(" /{segments}"));
    if let Some(observe) = request.options.observe() {
        text.push_str(&format!(" observe={observe}"));
    }
    for query in request.options.all(number::URI_QUERY) {
        text.push_str(&format!(" {}", String::from_utf8_lossy(query)));
    }
    text
}

/// A device that does what it is asked, one request after the other.
#[derive(Debug, Default)]
pub(super) struct Willing {
    /// What it observes: token and question.
    pub(super) observes: BTreeMap<Token, String>,
    /// Requests that it has seen.
    pub(super) answered: usize,
    pub(super) sequence: u32,
}

impl Willing {
    /// Answers until nothing is asked any more.
    pub(super) fn answer_all(&mut self, bench: &mut Bench) {
        while self.answer_one(bench) {}
    }

    /// Answers one request; false when there is none.
    pub(super) fn answer_one(&mut self, bench: &mut Bench) -> bool {
        let sent = bench.sent();
        if bench.session.exchange().is_none() || sent.len() <= self.answered {
            return false;
        }
        self.answered = sent.len();
        let Some((_, outgoing)) = sent.last() else {
            return false;
        };
        let response = self.response(outgoing);
        bench.answer(response);
        true
    }

    fn response(&mut self, outgoing: &OutgoingRequest) -> Response {
        if outgoing.request.code == Code::PUT {
            return Response::new(Code::CHANGED);
        }
        let path = outgoing.request.options.uri_path().expect("text").join("/");
        let mut response = Response::new(Code::CONTENT);
        match outgoing.request.options.observe() {
            Some(0) => {
                self.sequence += 1;
                response.options.add_uint(number::OBSERVE, self.sequence);
                let what = format!(
                    "{} {}",
                    question(outgoing),
                    hex::encode(&outgoing.request.payload)
                );
                self.observes.insert(outgoing.token, what);
            }
            Some(_) => {
                self.observes.remove(&outgoing.token);
            }
            None => {}
        }
        response.options.add_uint(number::CONTENT_FORMAT, 110);
        response.payload = if path.split('/').count() == 3 {
            format!("[{{\"n\":\"/{path}\",\"v\":20.5}}]").into_bytes()
        } else {
            b"[]".to_vec()
        };
        response
    }

    /// It registers again, after which nobody observes anything.
    pub(super) fn register(&mut self, bench: &mut Bench, query: &str, links: &str) {
        self.observes.clear();
        let register = bench.register(query, links);
        bench.feed(register);
        self.answered = bench.sent().len().saturating_sub(1);
        if bench.session.exchange().is_none() {
            self.answered = bench.sent().len();
        }
    }
}
