//! `/account`: one's own password, sessions, one-time codes and tokens.

use actix_web::http::StatusCode;
use actix_web::web::{Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};

use super::browsers;
use super::chrome::{Page, see_other};
use super::login::refusal;
use super::mistake::Mistake;
use super::people::{NewToken, TokenForm, TokenLine, Typed};
use crate::domain::Timestamp;
use crate::store::{UserSource, WebSession};
use crate::web::ApiError;
use crate::web::auth::{self, ChangePasswordError, LoginError, Myself, SecondFactor, Viewer};

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    present: String,
    new: String,
    again: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct AccountQuery {
    done: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct SessionForm {
    /// Nothing: all others.
    #[serde(default)]
    id: String,
}

#[derive(Deserialize)]
pub(super) struct CodeForm {
    code: String,
}

#[derive(Deserialize)]
pub(super) struct ProofForm {
    password: String,
}

/// What the page has to say this once.
#[derive(Default)]
struct News {
    status: StatusCode,
    /// What went wrong.
    error: Option<Mistake>,
    /// What was done.
    done: Option<&'static str>,
    recovery_codes: Vec<String>,
    new_token: Option<NewToken>,
    typed_token: Typed,
}

impl News {
    fn error(status: StatusCode, mistake: Mistake) -> Self {
        Self {
            status,
            error: Some(mistake),
            ..Self::default()
        }
    }
}

/// `GET /account`
pub(super) async fn page(
    myself: Myself,
    query: Query<AccountQuery>,
) -> Result<HttpResponse, ApiError> {
    let done = match query.done.as_deref() {
        Some("password") => Some("Your password is changed. Your other sessions have ended."),
        Some("sessions") => Some("The session has ended."),
        Some("totp") => Some("One-time codes are switched off."),
        Some(_) | None => None,
    };
    let news = News {
        done,
        ..News::default()
    };
    render(&myself, news).await
}

/// `POST /account`
pub(super) async fn change_password(
    request: HttpRequest,
    myself: Myself,
    form: Form<PasswordForm>,
) -> Result<HttpResponse, ApiError> {
    let form = form.into_inner();
    let wrong = StatusCode::UNPROCESSABLE_ENTITY;
    if form.new != form.again {
        let mistake = Mistake::at("again", "the new password is not the same both times");
        return render(&myself, News::error(wrong, mistake)).await;
    }
    let changed = auth::change_password(&request, myself.identity(), form.present, form.new).await;
    let (status, mistake) = match changed {
        Ok(()) => return Ok(see_other("/account?done=password")),
        Err(ChangePasswordError::Login(LoginError::Server(error))) => return Err(error),
        Err(ChangePasswordError::Login(LoginError::Refused(_))) => {
            let mistake = Mistake::at("present", "the present password is wrong");
            (wrong, mistake)
        }
        Err(ChangePasswordError::Login(error)) => {
            let (status, text) = refusal(&error);
            (status, Mistake::new(&text))
        }
        Err(ChangePasswordError::Unusable(why)) => (wrong, Mistake::at("new", &why)),
    };
    render(&myself, News::error(status, mistake)).await
}

/// `POST /account/sessions/end`
pub(super) async fn end_sessions(
    myself: Myself,
    form: Form<SessionForm>,
) -> Result<HttpResponse, ApiError> {
    let ended = match form.id.as_str() {
        "" => myself.end_other_sessions().await.map(|_| ()),
        handle => myself.end_session(handle).await,
    };
    end_form(&myself, ended, "/account?done=sessions").await
}

/// `POST /account/totp/begin`
pub(super) async fn begin_totp(myself: Myself) -> Result<HttpResponse, ApiError> {
    let begun = myself.begin_second_factor().await.map(|_| ());
    end_form(&myself, begun, "/account#totp").await
}

/// `POST /account/totp/confirm`. The answer shows the recovery codes, which are nowhere else.
pub(super) async fn confirm_totp(
    myself: Myself,
    form: Form<CodeForm>,
) -> Result<HttpResponse, ApiError> {
    match myself.confirm_second_factor(&form.code).await {
        Ok(recovery_codes) => {
            let news = News {
                recovery_codes,
                ..News::default()
            };
            render(&myself, news).await
        }
        Err(error) => end_form(&myself, Err(error), "").await,
    }
}

/// `POST /account/totp/remove`
pub(super) async fn remove_totp(
    request: HttpRequest,
    myself: Myself,
    form: Form<ProofForm>,
) -> Result<HttpResponse, ApiError> {
    let password = form.into_inner().password;
    match myself.remove_second_factor(&request, password).await {
        Ok(()) => Ok(see_other("/account?done=totp")),
        Err(LoginError::Server(error)) => end_form(&myself, Err(error), "").await,
        Err(LoginError::Refused(_)) => {
            let mistake = Mistake::at("password", "the password is wrong");
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            render(&myself, News::error(status, mistake)).await
        }
        Err(error) => {
            let (status, text) = refusal(&error);
            render(&myself, News::error(status, Mistake::new(&text))).await
        }
    }
}

/// `POST /account/tokens`. The answer shows the token, which is nowhere else.
pub(super) async fn add_token(
    viewer: Viewer,
    myself: Myself,
    form: Form<TokenForm>,
) -> Result<HttpResponse, ApiError> {
    let added = match form.expires_in() {
        Ok(expires_in) => {
            viewer
                .add_own_token(&form.name, form.role, expires_in)
                .await
        }
        Err(error) => Err(error),
    };
    match added {
        Ok((token, text)) => {
            let news = News {
                new_token: Some(NewToken::new(token, text)),
                ..News::default()
            };
            render(&myself, news).await
        }
        Err(error) if error.status().is_client_error() => {
            let news = News {
                typed_token: Typed::from(&*form),
                ..News::error(error.status(), (&error).into())
            };
            render(&myself, news).await
        }
        Err(error) => Err(error),
    }
}

/// `POST /account/tokens/{id}/remove`
pub(super) async fn remove_token(
    viewer: Viewer,
    myself: Myself,
    id: Path<i64>,
) -> Result<HttpResponse, ApiError> {
    let removed = viewer.remove_own_token(*id).await;
    end_form(&myself, removed, "/account#tokens").await
}

/// On to the page, or back to the form with what went wrong if it was its fault.
async fn end_form(
    myself: &Myself,
    result: Result<(), ApiError>,
    goal: &str,
) -> Result<HttpResponse, ApiError> {
    match result {
        Ok(()) => Ok(see_other(goal)),
        Err(error) if error.status().is_client_error() => {
            render(myself, News::error(error.status(), (&error).into())).await
        }
        Err(error) => Err(error),
    }
}

async fn render(myself: &Myself, news: News) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(myself.viewer(), "/account");
    let user = myself.account().await?;
    let sessions = myself.sessions().await?;
    let lines: Vec<SessionLine> = sessions
        .iter()
        .map(|session| SessionLine::new(session, myself.identity().is_of(session)))
        .collect();
    page.insert("sessions", &lines);
    page.insert("is_local", &(user.source == UserSource::Local));
    page.insert("error", &news.error);
    page.insert("done", &news.done);
    page.insert("recovery_codes", &news.recovery_codes);
    page.insert("new_token", &news.new_token);
    page.insert("typed_token", &news.typed_token);
    // A secret that does not open any more keeps nobody from the rest of the page.
    let factor = match myself.second_factor().await {
        Ok(SecondFactor::Absent) => Factor::default(),
        Ok(SecondFactor::Begun(enrolment)) => Factor {
            state: "begun",
            secret: enrolment.secret,
            image: enrolment.image,
            ..Factor::default()
        },
        Ok(SecondFactor::InForce(left)) => Factor {
            state: "on",
            left,
            ..Factor::default()
        },
        Err(_) => Factor {
            state: "broken",
            ..Factor::default()
        },
    };
    page.insert("totp", &factor);
    let tokens = match myself.identity().duty {
        Some(_) => Vec::new(),
        None => myself.viewer().own_tokens().await?,
    };
    let tokens: Vec<TokenLine<'_>> = tokens.iter().map(TokenLine::new).collect();
    page.insert("tokens", &tokens);
    page.render_as(news.status, "pages/account.html")
}

#[derive(Serialize)]
struct Factor {
    state: &'static str,
    secret: String,
    /// An SVG element, made here.
    image: String,
    /// Recovery codes that are left.
    left: u64,
}

impl Default for Factor {
    fn default() -> Self {
        Self {
            state: "off",
            secret: String::new(),
            image: String::new(),
            left: 0,
        }
    }
}

/// A session in a list.
#[derive(Serialize)]
pub(super) struct SessionLine {
    id: String,
    user: String,
    browser: String,
    agent: String,
    remote: String,
    began_at: Option<Timestamp>,
    used_at: Option<Timestamp>,
    this: bool,
}

impl SessionLine {
    /// Of one; `this` for the one that asks.
    pub(super) fn new(session: &WebSession, this: bool) -> Self {
        Self {
            id: session.handle(),
            user: session.user.clone().unwrap_or_default(),
            browser: browsers::name(&session.agent),
            agent: session.agent.clone(),
            remote: session.remote.clone(),
            began_at: session.began_at,
            used_at: session.used_at,
            this,
        }
    }
}
