use super::*;

const SMALL: &str = "\
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
        ("site: tokyo", "site: tokyo\nsites: x", "sites"),
        ("site: tokyo", "site: tokyo\nadmission: { idle: 19s }", "shorter than 20 s"),
    ] {
        let text = errors(&SMALL.replace(from, to));
        assert!(text.contains(expected) && text.contains("node.yaml:"), "{from} -> {to}: {text}");
    }
}
