//! `/api/v1/live`: the live socket. The only file that knows `actix-web-actors`.
//!
//! Each client is an actor between its [`Subscription`] and its socket. It takes from the hub only
//! as fast as the socket takes from it: the HTTP layer polls the actor only while there is room to
//! write, so that a client that does not read leaves its messages in the hub, which is bounded.

use std::time::{Duration, Instant};

use actix::{
    Actor, ActorContext as _, ActorFutureExt as _, AsyncContext as _, StreamHandler,
    WrapFuture as _,
};
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use actix_web_actors::ws::{
    CloseCode, CloseReason, Message, ProtocolError, WebsocketContext, WsResponseBuilder,
};
use futures_util::stream;
use serde::Deserialize;

use crate::domain::{Timestamp, Topic};
use crate::live::{Delivery, Subscription};
use crate::store::Role;
use crate::web::api::refused::NotLoggedIn;

use super::auth::{Affected, Credential, Identity, Viewer};
use super::error::Problem;
use super::{ApiError, AppState};

/// How often the client is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// A client that is silent for so long is gone; three pings went unanswered.
const SILENCE: Duration = Duration::from_secs(60);

/// How often it is looked whether the login still holds.
const ACCESS_INTERVAL: Duration = Duration::from_secs(10);

/// Clients have nothing to say but pongs; larger frames end the connection.
const MAX_FRAME_BYTES: usize = 1024;

/// Frames that a client may send between two pings; browsers send one.
const MAX_FRAMES: u32 = 64;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LiveQuery {
    /// `fleet`, `endpoint:NAME`, `messages:NAME`, `rollout:NUMBER`, `bulk:NUMBER`, or several of them with commas
    /// between.
    #[param(required = true, value_type = String, example = "fleet")]
    topics: Option<String>,
    /// The `seq` of the last message that the client has; it gets those after it, or a `resync`.
    #[param(value_type = Option<u64>)]
    after: Option<String>,
    /// True, with the topic `fleet` alone: messages come in arrays, gathered for `live.gather_ms`, and of
    /// several values of one path that came meanwhile the newest is told.
    #[param(value_type = Option<bool>, default = false)]
    gathered: Option<String>,
}

/// Listen to what happens
///
/// A WebSocket. Every message is a JSON object `{"seq","topic","kind","time",…}`; kinds are
/// `registered`, `updated`, `deregistered`, `expired`, `resource` (with `path`, `type`, `value`),
/// `event`, `operation`, `firmware_update`, `forgotten`, `log` (only with its device's topic), `messages` (with
/// `messages:NAME`: the device and the server have said something, see its `messages`), `rollout` and `bulk`. The
/// kind `resync` says that messages were lost: read the present state, what follows is after `seq`.
#[utoipa::path(
    get,
    path = "/live",
    impl_for = listen_live,
    tag = "live",
    params(LiveQuery),
    responses(
        (status = 101, description = "The socket is open"),
        (status = 400, description = "No WebSocket, or a parameter cannot be read", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another site's page asked for it", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many clients listen", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/live")]
pub(super) async fn listen_live(
    viewer: Viewer,
    query: Query<LiveQuery>,
    request: HttpRequest,
    state: Data<AppState>,
    payload: Payload,
) -> Result<HttpResponse, ApiError> {
    let topics = topics(query.topics.as_deref(), state.settings.live.max_topics)?;
    let after = super::api::parse_after(query.after.as_deref())?;
    let is_gathered = super::api::parse_gathered(query.gathered.as_deref())?;
    if is_gathered && topics != [Topic::Fleet] {
        let detail = "`gathered` goes with `topics=fleet` alone";
        return Err(ApiError::parameter("gathered", detail));
    }
    // Looked at before a place is taken.
    actix_web_actors::ws::handshake(&request)
        .map_err(|error| ApiError::malformed(format!("this is a WebSocket: {error}")))?;
    let live = viewer.live();
    let subscription = match is_gathered {
        true => live.subscribe_gathered(after),
        false => live.subscribe(topics, after),
    };
    let subscription = subscription.map_err(|error| ApiError::unavailable(error.to_string()))?;
    let client = Client {
        identity: viewer.identity().clone(),
        state,
        subscription: Some(subscription),
        is_gathered,
        heard_at: Instant::now(),
        frames: 0,
    };
    WsResponseBuilder::new(client, &request, payload)
        .frame_size(MAX_FRAME_BYTES)
        .start()
        .map_err(ApiError::internal)
}

fn topics(text: Option<&str>, limit: usize) -> Result<Vec<Topic>, ApiError> {
    let text = text
        .filter(|text| !text.is_empty())
        .ok_or_else(|| ApiError::parameter("topics", "`topics` is missing, such as `fleet`"))?;
    let mut topics = Vec::new();
    let mut rest = text;
    loop {
        // A name may hold commas: a comma ends a topic only where another topic begins.
        let end = rest.match_indices(',').map(|(at, _)| at).find(|at| {
            let next = rest.get(at + 1..).unwrap_or_default();
            next.is_empty() || Topic::begins(next)
        });
        let topic = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let topic = Topic::parse(topic).map_err(|error| ApiError::parameter("topics", error))?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
        if topics.len() > limit {
            let detail = format!("at most {limit} topics (live.max_topics)");
            return Err(ApiError::parameter("topics", detail));
        }
        match end {
            Some(end) => rest = rest.get(end + 1..).unwrap_or_default(),
            None => return Ok(topics),
        }
    }
}

/// One client.
struct Client {
    identity: Identity,
    state: Data<AppState>,
    subscription: Option<Subscription>,
    /// It gets arrays of messages.
    is_gathered: bool,
    /// When the client last said anything.
    heard_at: Instant,
    /// What it said since the last ping.
    frames: u32,
}

type Context = WebsocketContext<Client>;

impl Client {
    fn close(context: &mut Context, code: CloseCode, why: &str) {
        context.close(Some(CloseReason {
            code,
            description: Some(why.to_owned()),
        }));
        context.stop();
    }

    fn ping(&mut self, context: &mut Context) {
        if self.heard_at.elapsed() >= SILENCE {
            context.stop();
            return;
        }
        self.frames = 0;
        context.ping(b"");
    }

    fn look_at_access(&mut self, context: &mut Context) {
        let (identity, state) = (self.identity.clone(), self.state.clone());
        let question = async move { identity.still_holds(&state, Role::Viewer).await };
        let question = question.into_actor(self).map(|answer, _, context| {
            // A store that does not answer is no reason to send everybody away.
            if matches!(answer, Ok(false)) {
                Self::close(context, CloseCode::Policy, "the login has ended");
            }
        });
        context.spawn(question);
    }
}

impl Actor for Client {
    type Context = Context;

    fn started(&mut self, context: &mut Context) {
        context.run_interval(PING_INTERVAL, Self::ping);
        context.run_interval(ACCESS_INTERVAL, Self::look_at_access);
        let news = stream::unfold(self.state.access.listen(), |mut news| async move {
            let affected = news.next().await?;
            Some((RightsChanged(affected), news))
        });
        context.add_stream(news);
        if let Some(subscription) = self.subscription.take() {
            let deliveries = stream::unfold(subscription, |mut subscription| async move {
                let delivery = subscription.next().await?;
                Some((delivery, subscription))
            });
            context.add_stream(deliveries);
        }
    }
}

/// Somebody's rights have changed; nothing: it is not known whose.
struct RightsChanged(Option<Affected>);

impl StreamHandler<RightsChanged> for Client {
    fn handle(&mut self, RightsChanged(affected): RightsChanged, context: &mut Context) {
        let concerned = match (&affected, &self.identity.credential) {
            (None, _) | (Some(Affected::Tokens), Credential::Token(_)) => true,
            (Some(Affected::Person(name)), Credential::Session(_)) => *name == self.identity.name,
            // The token may be that person's.
            (Some(Affected::Person(_)), Credential::Token(_)) => true,
            (Some(Affected::Tokens), Credential::Session(_)) => false,
        };
        if concerned {
            self.look_at_access(context);
        }
    }

    // The interval goes on looking.
    fn finished(&mut self, _: &mut Context) {}
}

impl StreamHandler<Delivery> for Client {
    fn handle(&mut self, delivery: Delivery, context: &mut Context) {
        match delivery {
            Delivery::Batch(batch) => context.text(batch.text()),
            Delivery::Message(message) => context.text(message.text()),
            Delivery::Resync { seq } => {
                let resync = serde_json::json!({
                    "seq": seq,
                    "topic": "fleet",
                    "kind": "resync",
                    "time": Timestamp::system().to_string(),
                });
                context.text(match self.is_gathered {
                    true => format!("[{resync}]"),
                    false => resync.to_string(),
                });
            }
        }
    }

    fn finished(&mut self, context: &mut Context) {
        if self.state.hub.is_closed() {
            Self::close(context, CloseCode::Away, "the server is shutting down");
        } else {
            Self::close(context, CloseCode::Policy, "too slow");
        }
    }
}

impl StreamHandler<Result<Message, ProtocolError>> for Client {
    fn handle(&mut self, message: Result<Message, ProtocolError>, context: &mut Context) {
        self.heard_at = Instant::now();
        self.frames = self.frames.saturating_add(1);
        if self.frames > MAX_FRAMES {
            Self::close(context, CloseCode::Policy, "too many messages");
            return;
        }
        match message {
            Ok(Message::Ping(bytes)) => context.pong(&bytes),
            Ok(Message::Close(reason)) => {
                context.close(reason);
                context.stop();
            }
            // There is nothing to say, but saying it does no harm.
            Ok(Message::Binary(_) | Message::Nop | Message::Pong(_) | Message::Text(_)) => {}
            Ok(Message::Continuation(_)) => {
                Self::close(context, CloseCode::Unsupported, "no fragments");
            }
            Err(_) => Self::close(context, CloseCode::Protocol, "not understood"),
        }
    }

    fn finished(&mut self, context: &mut Context) {
        context.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        let topics = topics(Some(text), 3).expect("topics");
        topics.iter().map(Topic::to_string).collect()
    }

    #[test]
    fn topics_are_told_apart_by_commas() {
        assert_eq!(parsed("fleet"), ["fleet"]);
        assert_eq!(
            parsed("fleet,endpoint:urn:imei:1,endpoint:b"),
            ["fleet", "endpoint:urn:imei:1", "endpoint:b"]
        );
        assert_eq!(parsed("endpoint:a,b,fleet"), ["endpoint:a,b", "fleet"]);
        assert_eq!(parsed("fleet,fleet"), ["fleet"]);
    }

    #[test]
    fn wrong_and_too_many_topics_are_refused() {
        for text in [
            None,
            Some(""),
            Some("planet"),
            Some("fleet,"),
            Some("endpoint:"),
        ] {
            let error = topics(text, 3).expect_err("no topics");
            assert_eq!(error.field(), Some("topics"));
        }
        let many = "endpoint:a,endpoint:b,endpoint:c,endpoint:d";
        assert!(topics(Some(many), 3).is_err());
    }
}
