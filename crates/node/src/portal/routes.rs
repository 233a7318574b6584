//! The portal's routes and its listener.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use fseg_api::Secret;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::http::{ConnectionLimits, Shutdown, Slots, drain, next, serve_connection};

use super::form::FormTokens;
use super::host::OwnHosts;
use super::language::Language;
use super::page::{self, Notice};
use super::service::{LoginError, PortalService, PortalState};

/// What the portal is called and where it is.
#[derive(Debug, Clone)]
pub struct PortalConfig {
    /// Its DNS name, which the node's DNS must answer with one of the addresses; `None` to go by the first address.
    pub name: Option<String>,
    /// The addresses it is reached by, at least one.
    pub addresses: Vec<IpAddr>,
    /// The network's name as its users know it, shown on every page.
    pub network: String,
    /// True when it is reached by TLS too: then people are sent there, and passwords never cross the network in the clear.
    pub secure: bool,
}

impl PortalConfig {
    /// Where strangers are sent: `http://NAME_OR_ADDRESS/`, or `https://`.
    pub fn url(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        match (&self.name, self.addresses.first()) {
            (Some(name), _) => format!("{scheme}://{name}/"),
            (None, Some(IpAddr::V6(a))) => format!("{scheme}://[{a}]/"),
            (None, Some(IpAddr::V4(a))) => format!("{scheme}://{a}/"),
            (None, None) => "/".to_owned(),
        }
    }
}

/// The TCP peer of a request, as an extension.
#[derive(Debug, Clone, Copy)]
pub struct ClientAddress(pub IpAddr);

/// Connections at once: in all, and from one address (browsers open six).
const CONNECTIONS: (usize, usize) = (512, 8);
/// A page and its form need seconds; nobody holds a place for longer than this.
const LIMITS: ConnectionLimits =
    ConnectionLimits { head: Duration::from_secs(10), life: Some(Duration::from_secs(60)), buffer: 16 << 10 };
/// How long reading a body and answering may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest form, in bytes: account, password, token, all percent-encoded.
const FORM: usize = 4 << 10;
/// Logins checked at once: each costs a password hash.
const LOGINS: usize = 8;
/// The longest password, in bytes; longer ones would only cost time to hash.
const PASSWORD: usize = 1024;

struct Portal {
    service: Arc<dyn PortalService>,
    own: OwnHosts,
    url: String,
    network: String,
    tokens: FormTokens,
    logins: Semaphore,
}

/// The portal's router; serve it over plain HTTP, and over TLS as well where clients insist on it for RFC 8908. Every
/// request must carry a [`ClientAddress`] as an extension; one without is refused.
pub fn router(service: Arc<dyn PortalService>, config: &PortalConfig) -> Result<Router, getrandom::Error> {
    let portal = Arc::new(Portal {
        service,
        own: OwnHosts::new(config.name.as_deref(), &config.addresses),
        url: config.url(),
        network: config.network.clone(),
        tokens: FormTokens::new(Instant::now())?,
        logins: Semaphore::new(LOGINS),
    });
    Ok(Router::new()
        .route("/", get(front))
        .route("/portal.css", get(style))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/captive-portal/api", get(captive_api))
        .fallback(elsewhere)
        .method_not_allowed_fallback(elsewhere)
        .layer(DefaultBodyLimit::max(FORM))
        .layer(from_fn_with_state(portal.clone(), guard))
        .with_state(portal))
}

fn only_redirect(url: String) -> Router {
    Router::new().fallback(move || async move { (StatusCode::FOUND, [(header::LOCATION, url)]) })
}

/// Serves the portal until the node stops: plainly, or over TLS.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    service: Arc<dyn PortalService>,
    config: &PortalConfig,
    shutdown: Shutdown,
) -> Result<(), getrandom::Error> {
    let router = match &tls {
        // Beside the portal over TLS, the plain one only sends people there.
        None if config.secure => only_redirect(config.url()),
        _ => router(service, config)?,
    };
    let acceptor = tls.map(TlsAcceptor::from);
    let slots = Slots::new(CONNECTIONS.0, CONNECTIONS.1);
    let mut tasks = JoinSet::new();
    while let Some((stream, address)) = next(&shutdown, &mut tasks, || listener.accept()).await {
        let address = address.ip().to_canonical();
        let Some(slot) = slots.take(address) else { continue };
        let router = router.clone().layer(Extension(ClientAddress(address)));
        let (acceptor, shutdown) = (acceptor.clone(), shutdown.clone());
        tasks.spawn(async move {
            match acceptor {
                None => serve_connection(stream, router, LIMITS, shutdown).await,
                // A client that does not trust the certificate, or never begins, is no news.
                Some(acceptor) => {
                    if let Ok(Ok(stream)) = timeout(LIMITS.head, acceptor.accept(stream)).await {
                        serve_connection(stream, router, LIMITS, shutdown).await;
                    }
                }
            }
            drop(slot);
        });
    }
    drain(tasks).await;
    Ok(())
}

type Shared = State<Arc<Portal>>;
type Client = Extension<ClientAddress>;

/// Everything that happens before a handler: requests for other sites are sent to the portal, forms of other sites are
/// refused, and every answer gets the headers that keep it what it is.
async fn guard(State(portal): Shared, request: Request, next: Next) -> Response {
    if request.extensions().get::<ClientAddress>().is_none() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = if !portal.own.is_own(&request) {
        redirect(&portal, request.headers())
    } else if request.method() == "POST" && !same_origin(&portal.own, request.headers()) {
        (StatusCode::FORBIDDEN, "this form was not sent from this page\n").into_response()
    } else {
        match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        }
    };
    let headers = response.headers_mut();
    let policy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // `no-referrer` would make browsers send `Origin: null` with our own form.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// True unless the browser says that another site sent this form (Fetch Metadata; RFC 6454). Browsers that say nothing
/// are judged by the form's token alone.
fn same_origin(own: &OwnHosts, headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or("unreadable"));
    let site_ok = text(HeaderName::from_static("sec-fetch-site")).is_none_or(|s| matches!(s, "same-origin" | "none"));
    let origin_ok = text(header::ORIGIN).is_none_or(|o| o == "null" || own.is_own_origin(o));
    site_ok && origin_ok
}

/// 302 to the portal. The target is never taken from the request. The connection ends, since it was opened towards
/// another site and must not be used again once that site can be reached.
fn redirect(portal: &Portal, headers: &HeaderMap) -> Response {
    let body = page::redirect(accepted(headers), &portal.network, &portal.url);
    let mut response = html(StatusCode::FOUND, body);
    if let Ok(target) = HeaderValue::from_str(&portal.url) {
        response.headers_mut().insert(header::LOCATION, target);
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn elsewhere(State(portal): Shared, headers: HeaderMap) -> Response {
    redirect(&portal, &headers)
}

fn html(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

fn see_other(target: String) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response()
}

fn accepted(headers: &HeaderMap) -> Language {
    let header = headers.get(header::ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
    Language::accepted(header.unwrap_or_default())
}

#[derive(Deserialize)]
struct FrontQuery {
    lang: Option<String>,
    out: Option<String>,
}

async fn front(
    State(portal): Shared,
    Extension(ClientAddress(client)): Client,
    headers: HeaderMap,
    query: Result<Query<FrontQuery>, QueryRejection>,
) -> Response {
    let (lang, out) = query.map_or((None, None), |Query(q)| (q.lang, q.out));
    let language = lang.as_deref().and_then(Language::from_tag).unwrap_or_else(|| accepted(&headers));
    let notice = out.map(|_| Notice::Done(language.texts().signed_out.to_owned()));
    show(&portal, client, language, StatusCode::OK, "", notice).await
}

/// The page that fits the client's state.
async fn show(
    portal: &Portal,
    client: IpAddr,
    language: Language,
    status: StatusCode,
    account: &str,
    notice: Option<Notice>,
) -> Response {
    let token = portal.tokens.issue(client, Instant::now());
    let network = &portal.network;
    match portal.service.whoami(client).await {
        PortalState::Unknown => html(StatusCode::FORBIDDEN, page::unknown(language, network)),
        PortalState::Stranger { mac } => {
            html(status, page::login(language, network, &token, &mac.to_string(), account, notice.as_ref()))
        }
        // With the status of what was asked: a login that is not durable yet lets its person in, but is not acknowledged.
        PortalState::Admitted(who) => html(status, page::signed_in(language, network, &token, &who)),
    }
}

async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, page::STYLE).into_response()
}

#[derive(Deserialize)]
struct LoginForm {
    token: String,
    #[serde(default)]
    lang: String,
    #[serde(default)]
    account: String,
    password: Option<Secret>,
}

async fn login(
    State(portal): Shared,
    Extension(ClientAddress(client)): Client,
    headers: HeaderMap,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    // The rejection's text could quote the form, and so the password: it is neither shown nor logged.
    let Ok(Form(form)) = form else {
        let language = accepted(&headers);
        let notice = Notice::Problem(language.texts().incomplete.to_owned());
        return show(&portal, client, language, StatusCode::BAD_REQUEST, "", Some(notice)).await;
    };
    let language = Language::from_tag(&form.lang).unwrap_or_else(|| accepted(&headers));
    let t = language.texts();
    let account: String = form.account.trim().chars().take(200).collect();
    let again = async |status, text: String| {
        show(&portal, client, language, status, &account, Some(Notice::Problem(text))).await
    };
    if !portal.tokens.check(client, &form.token, Instant::now()) {
        return again(StatusCode::FORBIDDEN, t.stale.to_owned()).await;
    }
    let password = form.password.filter(|p| !p.expose().is_empty() && p.expose().len() <= PASSWORD);
    let (Some(password), false) = (password, account.is_empty()) else {
        return again(StatusCode::BAD_REQUEST, t.incomplete.to_owned()).await;
    };
    if let PortalState::Admitted(_) = portal.service.whoami(client).await {
        return see_other(format!("/?lang={}", language.tag()));
    }
    let Ok(_place) = portal.logins.acquire().await else {
        return again(StatusCode::SERVICE_UNAVAILABLE, t.unavailable.to_owned()).await;
    };
    match portal.service.login(client, account.clone(), password).await {
        Ok(_) => see_other(format!("/?lang={}", language.tag())),
        Err(LoginError::Wrong { left }) => {
            let left = match left {
                0 => t.none_left.to_owned(),
                1 => t.one_left.to_owned(),
                n => t.many_left.replacen("{}", &n.to_string(), 1),
            };
            again(StatusCode::FORBIDDEN, format!("{} {left}", t.wrong)).await
        }
        Err(LoginError::Locked { retry_after }) => {
            let text = t.locked.replacen("{}", &language.duration(retry_after), 1);
            let mut response = again(StatusCode::TOO_MANY_REQUESTS, text).await;
            let seconds = retry_after.as_secs().max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            response
        }
        Err(LoginError::Disabled) => again(StatusCode::FORBIDDEN, t.disabled.to_owned()).await,
        Err(LoginError::NotHere) => again(StatusCode::FORBIDDEN, t.not_here.to_owned()).await,
        Err(LoginError::Unavailable) => again(StatusCode::SERVICE_UNAVAILABLE, t.unavailable.to_owned()).await,
    }
}

#[derive(Deserialize)]
struct LogoutForm {
    token: String,
    #[serde(default)]
    lang: String,
}

async fn logout(
    State(portal): Shared,
    Extension(ClientAddress(client)): Client,
    headers: HeaderMap,
    form: Result<Form<LogoutForm>, FormRejection>,
) -> Response {
    let (token, lang) = form.map_or_else(|_| Default::default(), |Form(f)| (f.token, f.lang));
    let language = Language::from_tag(&lang).unwrap_or_else(|| accepted(&headers));
    if !portal.tokens.check(client, &token, Instant::now()) {
        return show(&portal, client, language, StatusCode::FORBIDDEN, "", None).await;
    }
    portal.service.logout(client).await;
    see_other(format!("/?lang={}&out=1", language.tag()))
}

/// RFC 8908, section 5. An address that no endpoint has is captive too.
async fn captive_api(State(portal): Shared, Extension(ClientAddress(client)): Client) -> Response {
    let mut answer = json!({ "captive": true, "user-portal-url": portal.url, "can-extend-session": false });
    if let PortalState::Admitted(who) = portal.service.whoami(client).await {
        answer["captive"] = json!(false);
        if let Some(left) = who.remaining {
            answer["seconds-remaining"] = json!(left.as_secs());
        }
    }
    // Section 4.1: the answer is about this client only and must not be kept.
    let headers = [(header::CONTENT_TYPE, "application/captive+json"), (header::CACHE_CONTROL, "private, no-store")];
    (headers, answer.to_string()).into_response()
}
