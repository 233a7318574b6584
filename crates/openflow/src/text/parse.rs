//! Rows from text: the syntax of `ovs-ofctl add-flow`.

use crate::field::Field;
use crate::flow::{FlowCommand, FlowMod};
use crate::oxm::Match;
use crate::text::flows::{DEFAULT_PRIORITY, FLAGS};
use crate::text::matches::PROTOCOLS;
use crate::text::parse_actions::instructions;
use crate::text::parse_value::{
    Result, TextError, field_named, field_value, masked, number, port_number, small, wrong,
};

/// The longest text that is looked at, in bytes.
const MAX_TEXT: usize = 0x1_0000;

/// A row in the syntax of `ovs-ofctl add-flow`, as an addition: `table=0,priority=100,ip,nw_dst=10.0.0.1,actions=drop`.
/// Table 0 and priority 32768 unless they are given. What `dump-flows` prints is understood as well; counters and ages
/// in it are ignored.
///
/// # Errors
/// [`TextError`] names the part that is wrong, its place, and what was expected.
pub fn parse_flow(text: &str) -> std::result::Result<FlowMod, TextError> {
    flow(text).map_err(|error| error.placed(text))
}

/// A match in the same syntax: `ip,nw_dst=10.0.0.1`.
///
/// # Errors
/// [`TextError`] names the part that is wrong, its place, and what was expected.
pub fn parse_match(text: &str) -> std::result::Result<Match, TextError> {
    let fields = tokens(text).map(Token::new).collect::<Vec<_>>();
    matches(&fields).map_err(|error| error.placed(text))
}

/// `key=value` or a bare word.
struct Token<'a> {
    key: &'a str,
    value: Option<&'a str>,
}

impl<'a> Token<'a> {
    fn new(text: &'a str) -> Self {
        match text.split_once('=') {
            Some((key, value)) => Token { key, value: Some(value) },
            None => Token { key: text, value: None },
        }
    }

    fn value(&self) -> Result<&'a str> {
        self.value.map_or_else(|| wrong(self.key, "a value was expected: name=value, or a protocol such as tcp"), Ok)
    }
}

fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\r', '\n']).filter(|token| !token.is_empty())
}

/// Where `actions=` begins as a word of its own.
fn find_actions(text: &str) -> Option<(&str, &str)> {
    ["actions=", "action="].iter().find_map(|word| {
        text.match_indices(word).find_map(|(offset, _)| {
            let before = text.get(..offset)?;
            let own_word = before.is_empty() || before.ends_with([',', ' ', '\t', '\n']);
            own_word.then_some((before, text.get(offset + word.len()..)?))
        })
    })
}

fn flow(text: &str) -> Result<FlowMod> {
    if text.len() > MAX_TEXT {
        return wrong("", format!("a row of {} bytes is too long: at most {MAX_TEXT}", text.len()));
    }
    let Some((front, actions)) = find_actions(text) else {
        return wrong("", "a row needs actions=...; actions=drop drops");
    };
    let mut flow = FlowMod { command: FlowCommand::Add, ..FlowMod::add(0, DEFAULT_PRIORITY) };
    let mut fields = Vec::new();
    for token in tokens(front).map(Token::new) {
        match token.key {
            "table" => flow.table = small(token.value()?)?,
            "priority" => flow.priority = small(token.value()?)?,
            "idle_timeout" => flow.idle_timeout = small(token.value()?)?,
            "hard_timeout" => flow.hard_timeout = small(token.value()?)?,
            "cookie" => {
                let (value, mask) = masked(token.value()?);
                flow.cookie = small(value)?;
                flow.cookie_mask = mask.map_or(Ok(0), small)?;
            }
            "out_port" => flow.out_port = port_number(token.value()?)?,
            "out_group" => flow.out_group = small(token.value()?)?,
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            key => match FLAGS.iter().find(|(_, name)| *name == key) {
                Some((bit, _)) => flow.flags |= bit,
                None => fields.push(token),
            },
        }
    }
    flow.matches = matches(&fields)?;
    flow.instructions = instructions(actions)?;
    Ok(flow)
}

/// What is known about the protocols of a match, for the names that several protocols share.
#[derive(Clone, Copy, Default)]
struct Context {
    eth_type: Option<u128>,
    protocol: Option<u128>,
}

fn matches(fields: &[Token<'_>]) -> Result<Match> {
    let mut context = Context::default();
    let mut matches = Match::new();
    for token in fields {
        match token.key {
            "dl_type" | "eth_type" => context.eth_type = Some(number(token.value()?)?),
            "nw_proto" | "ip_proto" => context.protocol = Some(number(token.value()?)?),
            key if token.value.is_none() => {
                let Some((_, eth_type, protocol)) = PROTOCOLS.iter().find(|(name, ..)| *name == key) else {
                    return wrong(key, "no protocol of this name; fields are written name=value");
                };
                context.eth_type = Some(*eth_type);
                matches = matches.with(Field::EthType, *eth_type);
                if let Some(protocol) = protocol {
                    context.protocol = Some(*protocol);
                    matches = matches.with(Field::IpProto, *protocol);
                }
            }
            _ => {}
        }
    }
    // A priority asks whether there is a tag already: it comes last.
    let last = |token: &&Token<'_>| token.key.ends_with("vlan_pcp");
    let valued = || fields.iter().filter(|token| token.value.is_some());
    for token in valued().filter(|token| !last(token)).chain(valued().filter(last)) {
        matches = with_field(matches, context, token.key, token.value()?)?;
    }
    Ok(matches)
}

fn with_field(matches: Match, context: Context, key: &str, text: &str) -> Result<Match> {
    let exactly = |bits: u128| -> Result<u128> {
        let value = number(text)?;
        if value > bits { wrong(text, format!("{key} is at most {bits}")) } else { Ok(value) }
    };
    Ok(match key {
        // 0xffff stands for "no tag" since OpenFlow 1.0.
        "dl_vlan" if number(text)? == 0xffff => matches.with(Field::VlanVid, 0u8),
        "dl_vlan" => matches.with(Field::VlanVid, exactly(0xfff)? | 0x1000),
        "vlan_vid" => {
            let (value, mask) = field_value(Field::VlanVid, text)?;
            matches.with_masked(Field::VlanVid, value, mask)
        }
        "dl_vlan_pcp" | "vlan_pcp" => {
            let tagged = matches.get(Field::VlanVid).is_some_and(|vlan| vlan.value & 0x1000 != 0);
            let matches = matches.with(Field::VlanPcp, exactly(7)?);
            if tagged { matches } else { matches.with_masked(Field::VlanVid, 0x1000u16, 0x1000u16) }
        }
        "vlan_tci" => {
            let (value, mask) = field_value(Field::VlanTci, text)?;
            let tagged = value & 0x1000 != 0;
            let matches = matches.with_masked(Field::VlanVid, value & 0x1fff, mask & 0x1fff);
            match mask >> 13 & 7 {
                7 if tagged => matches.with(Field::VlanPcp, value >> 13),
                0 | 7 => matches,
                _ => return wrong(text, "OpenFlow 1.3 can match all bits of a VLAN's priority or none"),
            }
        }
        "nw_tos" => {
            let value = exactly(0xff)?;
            if value & 3 != 0 {
                return wrong(text, "the two lower bits of nw_tos are ECN and must be 0 here");
            }
            matches.with(Field::IpDscp, value >> 2)
        }
        _ => {
            let Some(field) = contextual(context, key).or_else(|| field_named(key)) else {
                return match key {
                    "tp_src" | "tp_dst" => wrong(key, "ports need a protocol: tcp, udp, sctp, tcp6, udp6 or sctp6"),
                    "icmp_type" | "icmp_code" => wrong(key, "ICMP fields need the protocol icmp or icmp6"),
                    _ => wrong(key, "no field of this name"),
                };
            };
            let (value, mask) = field_value(field, text)?;
            matches.with_masked(field, value, mask)
        }
    })
}

/// Fields that have one name in several protocols.
fn contextual(context: Context, key: &str) -> Option<Field> {
    let v6 = context.eth_type == Some(0x86dd);
    let arp = matches!(context.eth_type, Some(0x0806 | 0x8035));
    Some(match (key, context.protocol) {
        ("tp_src", Some(6)) => Field::TcpSrc,
        ("tp_src", Some(17)) => Field::UdpSrc,
        ("tp_src", Some(132)) => Field::SctpSrc,
        ("tp_dst", Some(6)) => Field::TcpDst,
        ("tp_dst", Some(17)) => Field::UdpDst,
        ("tp_dst", Some(132)) => Field::SctpDst,
        ("icmp_type", _) if v6 => Field::Icmpv6Type,
        ("icmp_code", _) if v6 => Field::Icmpv6Code,
        ("icmp_type", _) if context.eth_type.is_some() => Field::Icmpv4Type,
        ("icmp_code", _) if context.eth_type.is_some() => Field::Icmpv4Code,
        ("nw_src", _) if arp => Field::ArpSpa,
        ("nw_dst", _) if arp => Field::ArpTpa,
        ("nw_proto", _) if arp => Field::ArpOp,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse_flow(text).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_culprit_its_place_and_what_to_do() {
        assert_eq!(
            error("ip,nw_dst=10.0.0,actions=drop"),
            "`10.0.0`, at character 11: an IPv4 address was expected here, such as 10.0.0.1"
        );
        assert_eq!(
            error("ip,nw_dst=10.0.0.1/33,actions=drop"),
            "`33`, at character 20: a prefix length is at most 32 here"
        );
        assert_eq!(
            error("tcq,actions=drop"),
            "`tcq`, at character 1: no protocol of this name; fields are written name=value"
        );
        assert_eq!(
            error("tp_dst=80,actions=drop"),
            "`tp_dst`, at character 1: ports need a protocol: tcp, udp, sctp, tcp6, udp6 or sctp6"
        );
        assert_eq!(error("actions=outptu:1"), "`outptu`, at character 9: no action of this name");
        assert_eq!(
            error("actions=drop,output:1"),
            "`drop`, at character 9: drop stands alone: nothing can be done with a dropped packet"
        );
        assert_eq!(
            error("actions=load:256->NXM_NX_REG0[0..7]"),
            "`256->NXM_NX_REG0[0..7]`, at character 14: 256 does not fit into 8 bits"
        );
        assert_eq!(error("actions=ct(commit"), "`ct(commit`, at character 9: a parenthesis is not closed");
        assert_eq!(
            error("actions=conjunction(5,3/2)"),
            "`5,3/2`, at character 21: a conjunction has 2 to 64 clauses, counted from 1"
        );
        assert_eq!(error("table=300,actions=drop"), "`300`, at character 7: at most 8 bits fit here");
        assert_eq!(error("ct_state=+trk+trk,actions=drop"), "`+trk+trk`, at character 10: trk stands here twice");
        assert!(error("ip").contains("actions=drop drops"));
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = format!("actions={}output:1{}", "clone(".repeat(40), ")".repeat(40));
        assert!(error(&deep).contains("nested deeper"));
        assert!(parse_flow(&"x".repeat(MAX_TEXT + 1)).is_err());
    }

    #[test]
    fn what_a_switch_printed_is_understood() {
        let printed = " cookie=0x5, duration=3.5s, table=4, n_packets=7, n_bytes=9, priority=60,ct_state=+trk-rpl,tcp actions=load:0x6->NXM_NX_REG6[],goto_table:5";
        let flow = parse_flow(printed).unwrap();
        assert_eq!((flow.cookie, flow.table, flow.priority), (5, 4, 60));
        assert_eq!(flow.matches, parse_match("tcp,ct_state=+trk-rpl").unwrap());
    }
}
