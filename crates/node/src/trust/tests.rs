//! Who is let in and who is not, at both ends of real TLS handshakes.

use std::sync::Arc;

use fseg_control::Controller;
use fseg_store::{MemoryStore, Store as _};
use fseg_yaml::Source;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::NodeConfig;
use crate::config::tests::SMALL;
use crate::core::Clock;

struct Bench {
    trust: Arc<Trust>,
    core: Core,
    store: MemoryStore,
    folder: tempfile::TempDir,
}

fn bench() -> Bench {
    let config = NodeConfig::parse(&Source::new("node.yaml", SMALL)).unwrap_or_else(|e| panic!("{e:?}"));
    let clock = Clock::start();
    let controller = Controller::new(config.site, vec![], clock.now()).unwrap();
    let store = MemoryStore::default();
    let (core, _) =
        Core::start(controller, Box::new(store.clone()), clock, Box::new(|_| {}), Box::new(|_| {}), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trust = open(&folder, &mut store.clone(), core.clock.now().wall);
    Bench { trust, core, store, folder }
}

fn open(folder: &tempfile::TempDir, store: &mut MemoryStore, now: Wall) -> Arc<Trust> {
    let (trust, bad) = Trust::open(folder.path(), &store.load().unwrap(), now).unwrap();
    assert!(bad.is_empty());
    Arc::new(trust)
}

fn whom(name: &str, dpid: u64) -> Sharing {
    Sharing { switch: Name::new(name).unwrap(), dpids: vec![Dpid(dpid)] }
}

impl Bench {
    async fn enrol(&self, name: &str, dpid: u64) -> (Enrolment, Issued) {
        self.trust.enrol(&self.core, "admin", &whom(name, dpid), SWITCH_LIFE).await.unwrap()
    }

    /// What the node says of a client with this configuration.
    async fn meets(&self, client: ClientConfig) -> Result<Enrolment, Refused> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handshake = self.trust.handshake(self.core.clock.now().wall).unwrap();
        let other = tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from(NODE_HOST).unwrap();
            if let Ok(mut stream) = TlsConnector::from(Arc::new(client)).connect(name, stream).await {
                // The server's last word comes after the client's handshake (RFC 8446, section 4.4.2.4).
                let _ = stream.read(&mut [0]).await;
            }
        });
        let (stream, _) = listener.accept().await.unwrap();
        let accepted = TlsAcceptor::from(handshake.config.clone()).accept(stream).await;
        let said = match accepted {
            Ok(mut stream) => {
                let _ = stream.shutdown().await;
                handshake.enrolment()
            }
            Err(e) => Err(handshake.explain(&e)),
        };
        other.await.unwrap();
        said
    }
}

/// A client that trusts this authority and shows this certificate.
fn client(authority: &str, show: Option<&Issued>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match show {
        None => builder.with_no_client_auth(),
        Some(issued) => {
            let key = PrivateKeyDer::from_pem_slice(issued.key.expose().as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![issued.der.clone()], key).unwrap()
        }
    }
}

fn sentence(refused: Result<Enrolment, Refused>) -> String {
    refused.err().map(|e| e.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn only_who_was_enrolled_by_this_node_comes_in() {
    let (bench, other) = (bench(), bench());
    let (enrolment, issued) = bench.enrol("sw1", 2).await;
    let authority = bench.trust.node_authority().to_owned();
    let seen = bench.meets(client(&authority, Some(&issued))).await.unwrap();
    assert_eq!(seen, enrolment);
    assert!(seen.check(Dpid(2)).is_ok());
    let wrong = seen.check(Dpid(3)).unwrap_err().to_string();
    assert!(wrong.contains("0000000000000003") && wrong.contains("sw1"), "{wrong}");

    let none = sentence(bench.meets(client(&authority, None)).await);
    assert!(none.contains("no certificate") && none.contains("fseg switch enroll"), "{none}");
    let (_, foreign) = other.enrol("sw1", 2).await;
    let said = sentence(bench.meets(client(&authority, Some(&foreign))).await);
    assert!(said.contains("not issued by this node"), "{said}");
    let said = sentence(bench.meets(client(other.trust.node_authority(), Some(&issued))).await);
    assert!(said.contains("does not take this node's certificate"), "{said}");
    let switch_as_root = bench.trust.switches.pem().to_owned();
    let said = sentence(bench.meets(client(&switch_as_root, Some(&issued))).await);
    assert!(said.contains("does not take"), "a switch's authority vouches for no node: {said}");
}

#[tokio::test]
async fn expired_revoked_and_replaced_certificates_are_refused_each_with_its_reason() {
    let bench = bench();
    let authority = bench.trust.node_authority().to_owned();
    let long_ago = Wall(bench.core.clock.now().wall.0 - 10 * DAY.as_millis() as u64);
    let leaf = Leaf { name: "sw2", hosts: vec![host(Dpid(3))], valid: DAY };
    let short = bench.trust.switches.issue(leaf, long_ago).unwrap();
    let said = sentence(bench.meets(client(&authority, Some(&short))).await);
    assert!(said.contains("has expired"), "{said}");

    let (first, old) = bench.enrol("sw1", 2).await;
    let (second, new) = bench.enrol("sw1", 2).await;
    assert!(bench.meets(client(&authority, Some(&old))).await.is_ok(), "until the new one is used");
    let used = bench.meets(client(&authority, Some(&new))).await.unwrap();
    bench.trust.used(&bench.core, &used).await;
    let said = sentence(bench.meets(client(&authority, Some(&old))).await);
    assert!(said.contains("replaced by a newer one") && said.contains(&first.serial), "{said}");

    let waiting = {
        let (trust, fingerprint) = (bench.trust.clone(), second.fingerprint.clone());
        tokio::spawn(async move { trust.ended(&fingerprint).await.to_string() })
    };
    bench.trust.revoke(&bench.core, "anna", &second.switch).await.unwrap();
    assert!(waiting.await.unwrap().contains("revoked by anna"), "a connection that stands hears of it");
    let said = sentence(bench.meets(client(&authority, Some(&new))).await);
    assert!(said.contains("revoked by anna"), "{said}");
    assert!(matches!(bench.trust.revoke(&bench.core, "anna", &second.switch).await, Err(EnrolError::Nothing(_))));

    // A restart forgets none of it, and a lost store lets nobody in.
    let again = open(&bench.folder, &mut bench.store.clone(), bench.core.clock.now().wall);
    assert_eq!(again.node_authority(), authority);
    assert!(matches!(again.judge(&second.fingerprint), Err(NotCounted::Ended { .. })));
    let emptied = open(&bench.folder, &mut MemoryStore::default(), bench.core.clock.now().wall);
    assert_eq!(emptied.judge(&second.fingerprint), Err(NotCounted::Unknown));
}

#[tokio::test]
async fn plain_text_is_told_from_a_broken_handshake() {
    let bench = bench();
    for (bytes, expected) in [
        (&[4_u8, 0, 0, 8, 0, 0, 0, 1][..], "plain text"),
        (&[0x16, 3, 1, 0, 2, 1, 2][..], "no TLS handshake"),
        (&[][..], "no TLS handshake"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let handshake = bench.trust.handshake(bench.core.clock.now().wall).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let error = TlsAcceptor::from(handshake.config.clone()).accept(accepted).await.err().unwrap();
        let said = handshake.explain(&error).to_string();
        assert!(said.contains(expected), "{bytes:?}: {said}");
    }
}

#[tokio::test]
async fn the_nodes_own_certificate_is_renewed_and_a_switch_is_not_a_node() {
    let bench = bench();
    let now = bench.core.clock.now().wall;
    let first = bench.trust.own(now).cert[0].clone();
    assert_eq!(bench.trust.own(now.plus(OWN_LIFE / 4)).cert[0], first);
    let later = bench.trust.own(now.plus(OWN_LIFE / 2)).cert[0].clone();
    assert_ne!(later, first);
    assert_ne!(bench.trust.own(now).cert[0], later, "the clock was put back: not valid yet is as bad as expired");
    // The key of one switch does not let it play the node to another: the switches trust the other authority.
    let (_, sw1) = bench.enrol("sw1", 2).await;
    let mut roots = RootCertStore::empty();
    roots.add(bench.trust.node.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = ServerName::try_from(host(Dpid(2))).unwrap();
    let refused = rustls::client::danger::ServerCertVerifier::verify_server_cert(
        &*verifier,
        &sw1.der,
        &[],
        &name,
        &[],
        rustls::pki_types::UnixTime::now(),
    );
    assert!(refused.is_err());
}

#[tokio::test]
async fn the_node_installs_renews_and_stops_when_told() {
    let bench = bench();
    let sharing = Sharing { switch: Name::new("node").unwrap(), dpids: vec![Dpid(1), Dpid(9)] };
    let first = bench.trust.installation(&bench.core, &sharing).await.unwrap();
    assert_eq!(bench.trust.installation(&bench.core, &sharing).await.unwrap(), first, "it stays");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&first.key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    // Somebody took the key, or another bridge came to the same Open vSwitch: another certificate.
    fs::remove_file(&first.key).unwrap();
    let second = bench.trust.installation(&bench.core, &sharing).await.unwrap();
    assert_ne!(second, first);
    let more = Sharing { dpids: vec![Dpid(1), Dpid(9), Dpid(10)], ..sharing.clone() };
    assert_ne!(bench.trust.installation(&bench.core, &more).await.unwrap(), second);
    // Revoked is revoked, until an administrator says otherwise; the files are gone.
    bench.trust.revoke(&bench.core, "anna", &sharing.switch).await.unwrap();
    assert!(!second.key.exists() && !second.certificate.exists());
    let refused = bench.trust.installation(&bench.core, &sharing).await.unwrap_err().to_string();
    assert!(refused.contains("revoked") && refused.contains("fseg switch enroll node"), "{refused}");
    let mut again = bench.trust.again();
    bench.trust.reinstall(&bench.core, "anna", &sharing).await.unwrap();
    assert!(again.has_changed().unwrap_or(false));
    again.mark_unchanged();
    assert!(bench.trust.installation(&bench.core, &sharing).await.unwrap().key.exists());
}

#[tokio::test]
async fn what_ends_soon_is_warned_of() {
    let bench = bench();
    let (e, _) = bench.enrol("sw1", 2).await;
    let switches = BTreeMap::from([(e.switch.clone(), Dpid(2)), (Name::new("sw2").unwrap(), Dpid(3))]);
    let said = |at: Wall| bench.trust.conditions(&switches, at);
    assert_eq!(said(e.issued).len(), 1, "all is well: {:?}", said(e.issued));
    let soon = said(Wall(e.expires.0).plus(Duration::ZERO).0.checked_sub(86_400_000 * 10).map(Wall).unwrap());
    assert!(soon[0].1 && soon[0].2.starts_with("warning: expires in 10 days"), "{soon:?}");
    let late = said(e.expires.plus(DAY));
    assert!(!late[0].1 && late[0].2.contains("fseg switch enroll sw1"), "{late:?}");
    let much_later = said(e.expires.plus(19 * 365 * DAY));
    assert!(!much_later.last().unwrap().1, "{much_later:?}");
}

#[test]
fn the_same_refusal_is_not_logged_each_second_and_memory_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let (trust, _) = Trust::open(folder.path(), &[], Wall(1_795_000_000_000)).unwrap();
    let peer = |n: u16| SocketAddr::from(([192, 0, 2, (n % 250) as u8], n));
    let at = |s: u64| Wall(1_795_000_000_000 + s * 1000);
    let said: Vec<bool> = (0..10).map(|s| trust.refused(at(s), peer(1), "why")).collect();
    assert_eq!(said.iter().filter(|s| **s).count(), 4, "the first, second, fourth and eighth: {said:?}");
    assert_eq!(trust.refusals()[0].count, 10);
    for n in 0..1000 {
        trust.refused(at(100), peer(n), &format!("{n}"));
    }
    assert_eq!(trust.refusals().len(), REFUSALS);
}
