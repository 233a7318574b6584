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
    assert_eq!(config.openflow, ["127.0.0.1:6653".parse().unwrap()], "plain TCP is offered to others by choice only");
    assert!(errors(&SMALL.replace("number: 2, name: p2", "number: 16383, name: p2")).is_empty());
}

#[test]
fn a_switch_elsewhere_must_find_the_node() {
    let elsewhere = SMALL.replace("dpid: 2", "dpid: 2\n    ovsdb: tcp:192.0.2.11:6640");
    let listening = format!("openflow: [\"192.0.2.1:6653\"]\n{elsewhere}");
    assert_eq!(errors(&listening), "");
    let told = elsewhere.replace("6640", "6640\n    controllers: [\"tcp:192.0.2.1:6653\"]");
    assert_eq!(errors(&told), "");
    assert!(errors(&format!("openflow: [\"0.0.0.0:6653\"]\n{elsewhere}")).contains("at 0.0.0.0:6653"));
    assert_eq!(errors(&elsewhere.replace("tcp:192.0.2.11:6640", "unix:/run/db.sock")), "");
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
        ("site: tokyo", "site: tokyo\nadmission: { idle: 19s }", "shorter than 20 s"),
    ] {
        let text = errors(&SMALL.replace(from, to));
        assert!(text.contains(expected) && text.contains("node.yaml:"), "{from} -> {to}: {text}");
    }
}
