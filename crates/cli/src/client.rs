//! One request, one connection: HTTP/1.1 over the node's socket or TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fseg_api::{ApiError, OperationId, Secret};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::args::Global;
use crate::failure::Failure;
use crate::target::Target;

/// How long a connection may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the node gives itself.
const ANSWER: Duration = Duration::from_secs(40);
/// The largest answer that is read, in bytes.
const LARGEST: usize = 256 << 20;

/// How to reach one node.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    token: Option<Secret>,
    tls: Option<Arc<ClientConfig>>,
}

/// What a request's path is made of, beside its operation.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct At<'a> {
    /// The value of `{name}` or `{cookie}`.
    pub(crate) item: Option<&'a str>,
    /// The query, without `?`.
    pub(crate) query: Option<&'a str>,
}

impl Client {
    /// Checks options and reads the files they name; connects to nothing yet.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let token = match (&global.token, &global.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|e| Failure::file(path, e))?;
                Some(Secret::new(text.trim()))
            }
            (None, None) => None,
        };
        if token.as_ref().is_some_and(|t| t.expose().is_empty() || !t.expose().bytes().all(|b| b.is_ascii_graphic())) {
            return Err(Failure::usage("the token is empty or holds spaces"));
        }
        let tls = match &global.node {
            Target::Unix(_) => None,
            Target::Https { .. } => Some(Arc::new(tls_config(global)?)),
        };
        Ok(Self { target: global.node.clone(), token, tls })
    }

    /// Asks, and reads the answer as JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, id: OperationId, at: At<'_>) -> Result<T, Failure> {
        self.call::<(), T>(id, at, None).await
    }

    /// The same with a body.
    pub(crate) async fn call<B: Serialize, T: DeserializeOwned>(
        &self,
        id: OperationId,
        at: At<'_>,
        body: Option<&B>,
    ) -> Result<T, Failure> {
        let (ok, bytes) = self.exchange(id, at, body).await?;
        // A refused policy is an answer like any other, with status 422.
        serde_json::from_slice(&bytes).map_err(|e| if ok { self.nonsense(e) } else { failure_of(&bytes) })
    }

    /// The same where success has no body.
    pub(crate) async fn done<B: Serialize>(
        &self,
        id: OperationId,
        at: At<'_>,
        body: Option<&B>,
    ) -> Result<(), Failure> {
        let (ok, bytes) = self.exchange(id, at, body).await?;
        if ok { Ok(()) } else { Err(failure_of(&bytes)) }
    }

    async fn exchange<B: Serialize>(
        &self,
        id: OperationId,
        at: At<'_>,
        body: Option<&B>,
    ) -> Result<(bool, Bytes), Failure> {
        let work = async {
            let response = self.open(id, at, body).await?;
            let ok = response.status().is_success();
            let bytes = Limited::new(response.into_body(), LARGEST).collect().await;
            Ok((ok, bytes.map_err(|e| self.nonsense(e))?.to_bytes()))
        };
        match timeout(ANSWER, work).await {
            Ok(result) => result,
            Err(_) => Err(Failure::unreachable(format!("{} did not answer within {ANSWER:?}", self.target))),
        }
    }

    /// The event stream, once the node has accepted.
    pub(crate) async fn stream(&self, id: OperationId) -> Result<Incoming, Failure> {
        let response = self.open::<()>(id, At::default(), None).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await.map_err(|e| self.nonsense(e))?;
        Err(failure_of(&body.to_bytes()))
    }

    async fn open<B: Serialize>(
        &self,
        id: OperationId,
        at: At<'_>,
        body: Option<&B>,
    ) -> Result<Response<Incoming>, Failure> {
        let operation = id.operation();
        let mut path = operation.path.to_owned();
        if let Some(item) = at.item {
            path = path.replace("{name}", &encoded(item)).replace("{cookie}", &encoded(item));
        }
        if let Some(query) = at.query {
            path = format!("{path}?{query}");
        }
        let host = match &self.target {
            Target::Unix(_) => "localhost".to_owned(),
            https => https.to_string().trim_start_matches("https://").to_owned(),
        };
        let mut request = Request::builder().method(operation.method.as_str()).uri(path).header(header::HOST, host);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let mut bytes = Vec::new();
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json");
            serde_json::to_writer(&mut bytes, body).map_err(|e| Failure::usage(format!("the request: {e}")))?;
        }
        let request = request.body(Full::from(bytes)).map_err(|e| Failure::usage(format!("the request: {e}")))?;
        match timeout(CONNECT, self.connect()).await {
            Ok(stream) => self.send(stream?, request).await,
            Err(_) => Err(self.away(io::ErrorKind::TimedOut.into())),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let (host, port) = match &self.target {
            Target::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|e| self.away(e))?;
                return Ok(Box::new(stream));
            }
            Target::Https { host, port } => (host.as_str(), *port),
        };
        let stream = TcpStream::connect((host, port)).await.map_err(|e| self.away(e))?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::usage(format!("`{host}` is neither a DNS name nor an address")))?;
        let tls = self.tls.clone().ok_or_else(|| Failure::usage("no TLS settings"))?;
        let stream = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await.map_err(|e| {
            Failure::unreachable(format!("TLS with {} failed: {e}", self.target)).help(
                "compare --fingerprint with the one that fsegd prints at start, or name with --ca the certificate \
                 that vouches for the node",
            )
        })?;
        Ok(Box::new(stream))
    }

    async fn send(
        &self,
        stream: Box<dyn Stream>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Failure> {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|e| self.nonsense(e))?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|e| self.nonsense(e))
    }

    /// The connection did not come about.
    fn away(&self, error: io::Error) -> Failure {
        let help = match (&self.target, error.kind()) {
            (Target::Unix(_), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                "is fsegd running on this machine? Name another node with --node or FSEG_NODE"
            }
            (Target::Unix(_), io::ErrorKind::PermissionDenied) => {
                "use the account that fsegd runs as, or root, or reach the node by https with a token"
            }
            (Target::Https { .. }, io::ErrorKind::ConnectionRefused) => "is fsegd running there, and on this port?",
            (Target::Https { .. }, _) => "check the name, the port, and the way there",
            (Target::Unix(_), _) => "check the path of the socket",
        };
        Failure::unreachable(format!("cannot reach {}: {error}", self.target)).help(help)
    }

    /// The connection stood, and what came was not an answer.
    pub(crate) fn nonsense(&self, error: impl std::fmt::Display) -> Failure {
        Failure::unreachable(format!("{} did not answer as a node does: {error}", self.target))
            .help("compare `fseg version` with the node's version; read the node's log")
    }
}

/// Both kinds of connection.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn failure_of(bytes: &[u8]) -> Failure {
    match serde_json::from_slice::<ApiError>(bytes) {
        Ok(error) => error.into(),
        Err(_) => {
            let start: String = String::from_utf8_lossy(bytes).chars().take(200).collect();
            Failure::unreachable(format!("the node refused and did not say why: {start}"))
        }
    }
}

/// A path segment (RFC 3986, section 2.3: all but unreserved characters are encoded).
fn encoded(item: &str) -> String {
    use std::fmt::Write as _;
    item.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
        out
    })
}

fn tls_config(global: &Global) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| Failure::usage(format!("TLS: {e}")))?;
    let config = match (&global.fingerprint, &global.ca) {
        (Some(text), _) => {
            let pin = fingerprint(text).ok_or_else(|| {
                Failure::usage("--fingerprint takes the 64 hexadecimal digits of SHA-256, with or without colons")
            })?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Pinned { pin, provider }))
        }
        (None, Some(path)) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| Failure::file(path, e))? {
                let certificate = certificate.map_err(|e| Failure::file(path, e))?;
                roots.add(certificate).map_err(|e| Failure::file(path, e))?;
            }
            if roots.is_empty() {
                return Err(Failure::file(path, "holds no certificate"));
            }
            builder.with_root_certificates(roots)
        }
        (None, None) => {
            return Err(Failure::usage("nothing says which certificate the node must have")
                .help("give --fingerprint HEX (fsegd prints it at start) or --ca FILE"));
        }
    };
    Ok(config.with_no_client_auth())
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| (n << 4) | d)).collect();
    (digits.len() == 64).then(|| bytes.try_into().ok()).flatten()
}

/// Trusts exactly one certificate, whatever its names and dates. The handshake still proves that the other side holds
/// its key.
#[derive(Debug)]
struct Pinned {
    pin: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if digest(&SHA256, certificate).as_ref() == self.pin {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_encoded() {
        assert_eq!(encoded("anna-1.x_y"), "anna-1.x_y");
        assert_eq!(encoded("a/b?c 営"), "a%2Fb%3Fc%20%E5%96%B6");
    }

    #[test]
    fn fingerprints_come_with_and_without_colons() {
        let plain = "0a".repeat(32);
        let colons = vec!["0A"; 32].join(":");
        assert_eq!(fingerprint(&plain), Some([10; 32]));
        assert_eq!(fingerprint(&colons), Some([10; 32]));
        for bad in ["", "0a", &plain[1..], &format!("{plain}0"), &format!("{plain}0a"), &plain.replace('a', "g")] {
            assert_eq!(fingerprint(bad), None, "{bad:?}");
        }
    }
}
