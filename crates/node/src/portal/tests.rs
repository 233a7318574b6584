//! The portal over real TCP, with a fake node behind it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Request, Response, header};
use bytes::Bytes;
use fseg_api::Secret;
use fseg_model::Mac;
use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Admitted, LoginError, PortalConfig, PortalService, PortalState, serve};
use crate::http::tests::{handshake, send};

/// Five wrong passwords lock; the account `anna` has the password `right & true`.
struct Fake {
    state: Mutex<PortalState>,
    wrong: Mutex<u32>,
    answer: Mutex<Option<LoginError>>,
}

const STRANGER: PortalState = PortalState::Stranger { mac: Mac([2, 0, 0, 0, 0, 7]) };
const ATTEMPTS: u32 = 5;

impl PortalService for Fake {
    fn whoami(&self, address: IpAddr) -> BoxFuture<'_, PortalState> {
        assert_eq!(address, IpAddr::from([127, 0, 0, 1]));
        ready(self.state.lock().unwrap().clone()).boxed()
    }
    fn login(&self, _: IpAddr, account: String, password: Secret) -> BoxFuture<'_, Result<Admitted, LoginError>> {
        let mut wrong = self.wrong.lock().unwrap();
        let result = match *self.answer.lock().unwrap() {
            Some(error) => Err(error),
            None if *wrong >= ATTEMPTS => Err(LoginError::Locked { retry_after: Duration::from_secs(600) }),
            None if account == "anna" && password.expose() == "right & true" => {
                let remaining = Some(Duration::from_secs(12 * 3600));
                let who = Admitted { name: "anna".into(), account: Some("anna".into()), remaining };
                *self.state.lock().unwrap() = PortalState::Admitted(who.clone());
                Ok(who)
            }
            None => {
                *wrong += 1;
                Err(LoginError::Wrong { left: ATTEMPTS - *wrong })
            }
        };
        ready(result).boxed()
    }
    fn logout(&self, _: IpAddr) -> BoxFuture<'_, ()> {
        *self.state.lock().unwrap() = STRANGER;
        ready(()).boxed()
    }
}

struct Running {
    fake: Arc<Fake>,
    address: std::net::SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Running {
    async fn start() -> Self {
        let fake = Arc::new(Fake { state: Mutex::new(STRANGER), wrong: Mutex::default(), answer: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, (stop, shutdown)) = (listener.local_addr().unwrap(), watch::channel(false));
        let config = PortalConfig {
            name: Some("portal.fseg.internal".into()),
            addresses: vec![[127, 0, 0, 1].into()],
            network: "Kita <Hospital>".into(),
            secure: false,
        };
        let service = fake.clone();
        tokio::spawn(async move { serve(listener, None, service, &config, shutdown).await });
        Self { fake, address, _stop: stop }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        send(&mut handshake(TcpStream::connect(self.address).await.unwrap()).await, request).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.send(build("GET", path, headers, "")).await
    }

    /// A token as the page's form carries it.
    async fn token(&self) -> String {
        let page = text(&self.get("/", &[]).await);
        let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    async fn post(&self, path: &str, form: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.send(build("POST", path, headers, form)).await
    }

    async fn login(&self, account: &str, password: &str) -> Response<Bytes> {
        let token = self.token().await;
        self.post("/login", &format!("token={token}&lang=en&account={account}&password={password}"), &[]).await
    }
}

fn build(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "portal.fseg.internal");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if method == "POST" {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    request.body(Full::from(body.to_owned())).unwrap()
}

fn text(response: &Response<Bytes>) -> String {
    String::from_utf8(response.body().to_vec()).unwrap()
}

#[tokio::test]
async fn whatever_a_phone_asks_for_leads_to_the_portal() {
    let portal = Running::start().await;
    for (host, path) in [
        ("connectivitycheck.gstatic.com", "/generate_204"),
        ("captive.apple.com", "/hotspot-detect.html"),
        ("www.msftconnecttest.com", "/connecttest.txt"),
        ("detectportal.firefox.com", "/canonical.html"),
        ("10.9.8.7", "/"),
        ("portal.fseg.internal", "/no/such/page"),
        ("portal.fseg.internal.evil.example", "/"),
        ("evil.example\t", "/login"),
        ("[::1]:80", "/"),
        ("\"><script>alert(1)</script>", "/"),
        ("portal.fseg.internal@evil.example", "/"),
        (&"x".repeat(5000), "/"),
        ("", "/"),
    ] {
        for method in ["GET", "POST", "PUT"] {
            if host == "portal.fseg.internal" && method == "POST" {
                continue;
            }
            let got = portal.send(build(method, path, &[("host", host)], "")).await;
            assert_eq!(got.status(), 302, "{method} {host} {path}");
            assert_eq!(got.headers()[header::LOCATION], "http://portal.fseg.internal/");
            assert_eq!(got.headers()[header::CACHE_CONTROL], "no-store");
            assert!(!text(&got).contains("script") && !text(&got).contains("evil"), "{}", text(&got));
        }
    }
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let portal = Running::start().await;
    let page = portal.get("/", &[]).await;
    assert_eq!(page.status(), 200);
    let html = text(&page);
    assert!(html.contains("02:00:00:00:00:07") && html.contains("Kita &lt;Hospital&gt;"), "{html}");
    assert!(page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
    assert_eq!(portal.get("/portal.css", &[]).await.headers()[header::CONTENT_TYPE], "text/css; charset=utf-8");

    let got = portal.login("anna", "right+%26+true").await;
    assert_eq!((got.status().as_u16(), &got.headers()[header::LOCATION]), (303, &"/?lang=en".parse().unwrap()));
    let html = text(&portal.get("/?lang=en", &[]).await);
    assert!(html.contains("You are signed in") && html.contains("12 h") && html.contains("/logout"), "{html}");

    let token = portal.token().await;
    let got = portal.post("/logout", &format!("token={token}&lang=ja"), &[]).await;
    assert_eq!(got.headers()[header::LOCATION], "/?lang=ja&out=1");
    assert!(text(&portal.get("/?lang=ja&out=1", &[]).await).contains("ログアウトしました。"));
    assert_eq!(*portal.fake.state.lock().unwrap(), STRANGER);
}

#[tokio::test]
async fn a_hundred_wrong_passwords_end_at_the_lock() {
    let portal = Running::start().await;
    for attempt in 1..=100 {
        let got = portal.login("anna", &format!("wrong{attempt}")).await;
        let html = text(&got);
        assert!(!html.contains(&format!("wrong{attempt}")), "the password came back");
        match attempt {
            1..=3 => assert!(html.contains(&format!("{} attempts left", ATTEMPTS - attempt)), "{html}"),
            4 => assert!(html.contains("One attempt left"), "{html}"),
            5 => assert!(html.contains("No attempt left"), "{html}"),
            _ => {
                assert_eq!((got.status().as_u16(), &got.headers()[header::RETRY_AFTER]), (429, &600.into()));
                assert!(html.contains("Try again in 10 min"), "{html}");
            }
        }
        assert!(html.contains("value=\"anna\""), "the account need not be typed again");
    }
    assert_eq!(portal.login("anna", "right+%26+true").await.status(), 429);
    assert_eq!(*portal.fake.state.lock().unwrap(), STRANGER);
}

#[tokio::test]
async fn every_refusal_has_its_page() {
    let portal = Running::start().await;
    for (error, status, english) in [
        (LoginError::Disabled, 403, "disabled"),
        (LoginError::NotHere, 403, "from where it is connected"),
        (LoginError::Unavailable, 503, "at the moment"),
    ] {
        *portal.fake.answer.lock().unwrap() = Some(error);
        let got = portal.login("anna", "x").await;
        assert_eq!(got.status(), status);
        assert!(text(&got).contains(english) && text(&got).contains("role=\"alert\""), "{}", text(&got));
    }
    *portal.fake.state.lock().unwrap() = PortalState::Unknown;
    let got = portal.get("/", &[("accept-language", "ja")]).await;
    assert_eq!(got.status(), 403);
    assert!(text(&got).contains("この端末は登録されていません"));
}

#[tokio::test]
async fn forms_of_others_are_refused() {
    let portal = Running::start().await;
    let token = portal.token().await;
    let right = format!("token={token}&account=anna&password=right+%26+true");
    for (form, headers, status) in [
        ("account=anna&password=right+%26+true".to_owned(), vec![], 400),
        ("token=&account=anna&password=right+%26+true".to_owned(), vec![], 403),
        (format!("token=0.{}&account=anna&password=right+%26+true", "0".repeat(64)), vec![], 403),
        (right.clone(), vec![("origin", "http://evil.example")], 403),
        (right.clone(), vec![("sec-fetch-site", "cross-site")], 403),
        (right.clone(), vec![("sec-fetch-site", "same-site")], 403),
        (format!("token={token}&account=&password=x"), vec![], 400),
        (format!("token={token}&account=anna&password="), vec![], 400),
        (format!("token={token}&account=anna&password={}", "x".repeat(2000)), vec![], 400),
        (format!("token={token}&account=anna&password={}", "x".repeat(9000)), vec![], 400),
        ("%%%&=&&;\u{0}".to_owned(), vec![], 400),
    ] {
        let got = portal.post("/login", &form, &headers).await;
        assert_eq!(got.status(), status, "{form:.80} {headers:?}");
        assert_eq!(*portal.fake.state.lock().unwrap(), STRANGER);
    }
    assert_eq!(*portal.fake.wrong.lock().unwrap(), 0, "no attempt was counted");
    let own = [("origin", "http://portal.fseg.internal"), ("sec-fetch-site", "same-origin")];
    assert_eq!(portal.post("/login", &right, &own).await.status(), 303);
    assert_eq!(portal.post("/logout", "token=0.0", &[]).await.status(), 403);
    assert!(matches!(*portal.fake.state.lock().unwrap(), PortalState::Admitted(_)), "signed out by another site");
}

#[tokio::test]
async fn typed_text_comes_back_as_text() {
    let portal = Running::start().await;
    let html = text(&portal.login("%22%3E%3Cscript%3E", "x").await);
    assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;\"") && !html.contains("<script"), "{html}");
}

#[tokio::test]
async fn the_language_is_chosen_by_link_then_browser() {
    let portal = Running::start().await;
    for (path, accept, lang) in [
        ("/", "ja,en;q=0.5", "ja"),
        ("/", "", "en"),
        ("/?lang=ja", "en", "ja"),
        ("/?lang=xx", "ja", "ja"),
        ("/?lang=en&lang=ja", "en", "en"),
    ] {
        let html = text(&portal.get(path, &[("accept-language", accept)]).await);
        assert!(html.contains(&format!("<html lang=\"{lang}\">")), "{path} {accept}: {html}");
    }
}

#[tokio::test]
async fn the_captive_portal_api_follows_the_state() {
    let portal = Running::start().await;
    let ask = async || {
        let got = portal.get("/captive-portal/api", &[]).await;
        assert_eq!(got.headers()[header::CONTENT_TYPE], "application/captive+json");
        assert_eq!(got.headers()[header::CACHE_CONTROL], "private, no-store");
        serde_json::from_slice::<Value>(got.body()).unwrap()
    };
    let url = "http://portal.fseg.internal/";
    let captive = json!({"captive": true, "user-portal-url": url, "can-extend-session": false});
    assert_eq!(ask().await, captive);
    portal.login("anna", "right+%26+true").await;
    let free =
        json!({"captive": false, "user-portal-url": url, "can-extend-session": false, "seconds-remaining": 43_200});
    assert_eq!(ask().await, free);
    *portal.fake.state.lock().unwrap() = PortalState::Unknown;
    assert_eq!(ask().await, captive);
}

#[tokio::test]
async fn one_address_gets_a_few_connections_and_the_next_is_closed() {
    let portal = Running::start().await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut client = handshake(TcpStream::connect(portal.address).await.unwrap()).await;
        assert_eq!(send(&mut client, build("GET", "/portal.css", &[], "")).await.status(), 200);
        open.push(client);
    }
    let mut ninth = TcpStream::connect(portal.address).await.unwrap();
    let _ = ninth.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = Vec::new();
    let _ = ninth.read_to_end(&mut answer).await;
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(send(&mut open[0], build("GET", "/portal.css", &[], "")).await.status(), 200);
}

#[test]
fn the_url_needs_no_name() {
    let url = |name: Option<&str>, address: &str| {
        let config = PortalConfig {
            name: name.map(str::to_owned),
            addresses: vec![address.parse().unwrap()],
            network: String::new(),
            secure: false,
        };
        config.url()
    };
    assert_eq!(url(None, "10.0.0.1"), "http://10.0.0.1/");
    assert_eq!(url(None, "fd00::1"), "http://[fd00::1]/");
    assert_eq!(url(Some("portal"), "10.0.0.1"), "http://portal/");
}
