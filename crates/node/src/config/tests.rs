use super::*;

pub(crate) const SMALL: &str = "\
site: tokyo
network:
  prefix: 10.0.0.0/8
  router: 10.0.0.1
  pools: [{ first: 10.0.1.1, last: 10.0.1.250 }]
switches:
  - name: node
    dpid: 1
    role: node
    ports:
      - { number: 1, name: up1, kind: uplink, to: [sw1] }
      - { number: 2, name: fseg0, kind: service }
      - { number: 3, name: out, kind: legacy, address: 203.0.113.2, gateway: 203.0.113.1, mode: nat, networks: [0.0.0.0/0] }
  - name: sw1
    dpid: 2
    ports:
      - { number: 1, name: up, kind: uplink }
      - { number: 2, name: p2 }
";

fn errors(text: &str) -> String {
    let list = NodeConfig::parse(&Source::new("node.yaml", text)).err().unwrap_or_default();
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_small_file_is_read() {
    let config = NodeConfig::parse(&Source::new("node.yaml", SMALL)).unwrap_or_else(|_| panic!("{}", errors(SMALL)));
    assert_eq!(config.site.switches.len(), 2);
    assert_eq!(config.site.switches[0].via.len(), 1);
    assert_eq!(config.site.inner.len(), 1);
    assert!(config.bridges.is_empty(), "no ovsdb, no bridges");
    let local = OpenFlowListener { address: "127.0.0.1:6653".parse().unwrap(), transport: Transport::Tls };
    assert_eq!(config.openflow, [local], "nothing is offered to others but by choice, and nothing in plain text");
    assert!(errors(&SMALL.replace("number: 2, name: p2", "number: 16383, name: p2")).is_empty());
}

#[test]
fn a_switch_elsewhere_must_find_the_node() {
    let elsewhere = SMALL.replace("dpid: 2", "dpid: 2\n    ovsdb: tcp:192.0.2.11:6640");
    let listening = format!("openflow: [\"192.0.2.1:6653\"]\n{elsewhere}");
    assert_eq!(errors(&listening), "");
    let told = elsewhere.replace("6640", "6640\n    controllers: [\"ssl:192.0.2.1:6653\"]");
    assert_eq!(errors(&told), "");
    assert!(errors(&format!("openflow: [\"0.0.0.0:6653\"]\n{elsewhere}")).contains("at 0.0.0.0:6653"));
    assert_eq!(errors(&elsewhere.replace("tcp:192.0.2.11:6640", "unix:/run/db.sock")), "");
}

fn with(openflow: &str) -> NodeConfig {
    let text = format!("openflow: {openflow}\n{SMALL}");
    NodeConfig::parse(&Source::new("node.yaml", &*text)).unwrap_or_else(|_| panic!("{}", errors(&text)))
}

#[test]
fn plain_tcp_is_an_explicit_choice() {
    let seen =
        |openflow: &str| -> Vec<String> { with(openflow).openflow.iter().map(OpenFlowListener::target).collect() };
    assert_eq!(seen(r#"["192.0.2.1:6653", "[2001:db8::1]:6653"]"#), ["ssl:192.0.2.1:6653", "ssl:[2001:db8::1]:6653"]);
    assert_eq!(seen(r#"{ listen: "192.0.2.1:6653" }"#), ["ssl:192.0.2.1:6653"]);
    assert_eq!(seen(r#"{ listen: ["192.0.2.1:6653"], transport: tcp }"#), ["tcp:192.0.2.1:6653"]);
    let both = r#"["192.0.2.1:6653", { listen: "127.0.0.1:6654", transport: tcp }]"#;
    assert_eq!(seen(both), ["ssl:192.0.2.1:6653", "tcp:127.0.0.1:6654"]);
    for (openflow, expected) in [
        (r#"{ listen: "192.0.2.1:6653", transport: plain }"#, "a listener's transport is `tls` or `tcp`"),
        (r#"{ transport: tcp }"#, "listen"),
        (r#"["192.0.2.1:6653", { listen: "192.0.2.1:6653", transport: tcp }]"#, "is there twice"),
        (r#"["192.0.2.1"]"#, "node.yaml:1"),
        ("6653", "must be a list"),
    ] {
        let text = errors(&format!("openflow: {openflow}\n{SMALL}"));
        assert!(text.contains(expected), "{openflow}: {text}");
    }
}

#[test]
fn a_controller_that_does_not_fit_the_listener_is_a_mistake() {
    let with = |openflow: &str, target: &str| {
        let small = SMALL.replace("dpid: 2", &format!("dpid: 2\n    controllers: [\"{target}\"]"));
        errors(&format!("openflow: {openflow}\n{small}"))
    };
    let (tls, tcp) = (r#"["192.0.2.1:6653"]"#, r#"{ listen: "192.0.2.1:6653", transport: tcp }"#);
    assert_eq!(with(tls, "ssl:192.0.2.1:6653"), "");
    assert_eq!(with(tcp, "tcp:192.0.2.1:6653"), "");
    assert!(with(tls, "tcp:192.0.2.1:6653").contains("write ssl:192.0.2.1:6653, or let the node"));
    assert!(with(tcp, "ssl:192.0.2.1:6653").contains("by plain TCP only"));
    assert!(with(tls, "192.0.2.1:6653").contains("is not a controller"));
}

#[test]
fn bridges_of_one_open_vswitch_share_a_certificate() {
    let text = SMALL.replace("dpid: 1\n", "dpid: 1\n    ovsdb: unix:/run/db.sock\n");
    let text = text.replace("dpid: 2\n", "dpid: 2\n    ovsdb: unix:/run/db.sock\n");
    let config = NodeConfig::parse(&Source::new("node.yaml", &*text)).unwrap_or_else(|_| panic!("{}", errors(&text)));
    let name = |n: &str| Name::new(n).unwrap();
    let shared = config.sharing(&name("sw1")).unwrap();
    assert_eq!((shared.switch, shared.dpids), (name("node"), vec![Dpid(1), Dpid(2)]));
    assert!(config.access.iter().all(SwitchAccess::is_automatic));
    assert_eq!(with("[\"192.0.2.1:6653\"]").sharing(&name("sw1")).unwrap().dpids, [Dpid(2)]);
    assert_eq!(config.sharing(&name("sw9")), None);
}

#[test]
fn mistakes_are_shown_with_their_place() {
    for (from, to, expected) in [
        ("role: node", "role: nodes", "a switch's role is"),
        ("mode: nat", "mode: masquerade", "an exit's mode is"),
        ("to: [sw1]", "to: [sw9]", "`sw9`, which does not exist"),
        ("dpid: 2", "dpid: 1", "same name or dpid"),
        ("number: 2, name: p2", "number: 1, name: p2", "same name or number"),
        ("prefix: 10.0.0.0/8", "prefix: 10.0.0.1/8", "host bits"),
        ("first: 10.0.1.1", "first: 11.0.1.1", "pool `default`"),
        ("number: 2, name: p2", "number: 16384, name: p2", "port number 16384 is not from 1 to 16383"),
        ("number: 2, name: p2", "number: 0, name: p2", "meters are numbered after ports"),
        ("number: 2, name: p2", "number: 99999999999, name: p2", "not from 1 to 16383"),
        ("dpid: 2", "dpid: 2\n    ovsdb: tcp:192.0.2.11:6640", "does not find the node at 127.0.0.1:6653"),
        ("site: tokyo", "site: tokyo\nsites: x", "sites"),
        ("role: node", "role: node\n    protocol: auto", "the node's own bridge is Open vSwitch"),
        ("dpid: 2", "dpid: 2\n    protocol: openflow", "`ovs`, `openflow13` or `auto`"),
        ("site: tokyo", "site: tokyo\nadmission: { idle: 19s }", "shorter than 20 s"),
    ] {
        let text = errors(&SMALL.replace(from, to));
        assert!(text.contains(expected) && text.contains("node.yaml:"), "{from} -> {to}: {text}");
    }
}

#[test]
fn a_switch_is_open_vswitch_unless_it_is_said_or_asked() {
    let protocol = |text: &str| {
        let config = NodeConfig::parse(&Source::new("node.yaml", text)).unwrap();
        config.site.switches.iter().map(|s| s.protocol).collect::<Vec<_>>()
    };
    assert_eq!(protocol(SMALL), [fseg_control::Protocol::Ovs; 2]);
    assert_eq!(
        protocol(&SMALL.replace("dpid: 2", "dpid: 2\n    protocol: auto")),
        [fseg_control::Protocol::Ovs, fseg_control::Protocol::Auto]
    );
}
