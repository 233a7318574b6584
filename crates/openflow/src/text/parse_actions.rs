//! Actions and instructions from text.

use std::net::IpAddr;

use crate::action::{
    Action, BUNDLE_ALGORITHMS, ControllerAction, CtAction, CtZone, HASH_FIELDS, LearnAction, LearnDestination,
    LearnSource, LearnSpec, MAX_LEN_WHOLE, MULTIPATH_ALGORITHMS, MembersAction, MultipathAction, NatAction, NatKind,
    SampleDirection,
};
use crate::field::Field;
use crate::instruction::Instruction;
use crate::port;
use crate::subfield::Subfield;
use crate::text::actions::REASONS;
use crate::text::flows::DEFAULT_PRIORITY;
use crate::text::parse_value::{Result, field_named, field_value, masked, number, port_number, small, subfield, wrong};

/// How deep actions may contain actions.
const DEPTH: usize = 8;

/// One item of a list: a name, and what follows it behind `:` or `=` or between parentheses.
struct Item<'a> {
    whole: &'a str,
    name: &'a str,
    argument: &'a str,
    parenthesised: bool,
}

/// Cuts at commas and blanks outside of all parentheses and brackets.
fn items(text: &str) -> Result<Vec<Item<'_>>> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (offset, character) in text.char_indices().chain([(text.len(), ',')]) {
        match character {
            '(' | '[' => depth += 1,
            ')' | ']' if depth == 0 => return wrong(text, "a parenthesis is closed that was never opened"),
            ')' | ']' => depth -= 1,
            ',' | ' ' | '\t' | '\r' | '\n' if depth == 0 => {
                let whole = text.get(start..offset).unwrap_or_default();
                if !whole.is_empty() {
                    items.push(item(whole)?);
                }
                start = offset + 1;
            }
            _ => {}
        }
    }
    if depth > 0 { wrong(text, "a parenthesis is not closed") } else { Ok(items) }
}

fn item(whole: &str) -> Result<Item<'_>> {
    let end = whole.find([':', '=', '(']).unwrap_or(whole.len());
    let (name, rest) = whole.split_at(end);
    let (argument, parenthesised) = match rest.strip_prefix('(') {
        Some(inner) => match inner.strip_suffix(')').or_else(|| Some(inner.split_once(")->")?.0)) {
            Some(inner) => (inner, true),
            None => return wrong(whole, "the closing parenthesis must end it"),
        },
        None => (rest.get(1..).unwrap_or_default(), false),
    };
    Ok(Item { whole, name, argument, parenthesised })
}

/// Everything behind `actions=`.
pub(super) fn instructions(text: &str) -> Result<Vec<Instruction>> {
    let mut instructions = Vec::new();
    let mut actions = Vec::new();
    let mut dropped = false;
    for item in items(text)? {
        match item.name {
            "goto_table" => instructions.push(Instruction::GotoTable(small(item.argument)?)),
            "write_metadata" => {
                let (value, mask) = masked(item.argument);
                let mask = mask.map_or(Ok(u64::MAX), small::<u64>)?;
                instructions.push(Instruction::WriteMetadata { value: small::<u64>(value)? & mask, mask });
            }
            "write_actions" => instructions.push(Instruction::WriteActions(list(item.argument, 1)?)),
            "apply_actions" => actions.extend(list(item.argument, 1)?),
            "clear_actions" => instructions.push(Instruction::ClearActions),
            "meter" => instructions.push(Instruction::Meter(small(item.argument)?)),
            "drop" => dropped = true,
            _ => actions.push(action(&item, 0)?),
        }
    }
    if dropped && !(actions.is_empty() && instructions.is_empty()) {
        return wrong("drop", "drop stands alone: nothing can be done with a dropped packet");
    }
    if !actions.is_empty() {
        instructions.push(Instruction::ApplyActions(actions));
    }
    // In the order of execution, as they come back from a switch.
    Ok(crate::instruction::in_order(&instructions).cloned().collect())
}

fn list(text: &str, depth: usize) -> Result<Vec<Action>> {
    if depth > DEPTH {
        return wrong(text, format!("actions are nested deeper than {DEPTH} levels"));
    }
    items(text)?.iter().filter(|item| item.whole != "drop").map(|item| action(item, depth)).collect()
}

fn action(item: &Item<'_>, depth: usize) -> Result<Action> {
    let argument = item.argument;
    Ok(match item.name {
        "output" if item.parenthesised => output_trunc(argument)?,
        "output" if argument.contains('[') => Action::OutputReg { src: subfield(argument)?, max_len: MAX_LEN_WHOLE },
        "output" => Action::output(port_number(argument)?),
        "CONTROLLER" | "controller" if item.parenthesised => Action::Controller(controller(argument)?),
        "CONTROLLER" | "controller" => {
            let max_len = if argument.is_empty() { MAX_LEN_WHOLE } else { small(argument)? };
            Action::Output { port: port::CONTROLLER, max_len }
        }
        "group" => Action::Group(small(argument)?),
        "set_queue" => Action::SetQueue(small(argument)?),
        "push_vlan" => Action::PushVlan(small(argument)?),
        "pop_vlan" | "strip_vlan" => Action::PopVlan,
        "push_mpls" => Action::PushMpls(small(argument)?),
        "pop_mpls" => Action::PopMpls(small(argument)?),
        "set_mpls_ttl" => Action::SetMplsTtl(small(argument)?),
        "dec_mpls_ttl" => Action::DecMplsTtl,
        "mod_nw_ttl" | "set_nw_ttl" => Action::SetNwTtl(small(argument)?),
        "dec_ttl" if argument.is_empty() => Action::DecNwTtl,
        "dec_ttl" => Action::DecNwTtlFor(argument.split(',').map(|id| small(id.trim())).collect::<Result<_>>()?),
        "check_pkt_larger" => check_pkt_larger(item.whole)?,
        "multipath" => Action::Multipath(multipath(argument)?),
        "bundle" => Action::Members(members(argument, false)?),
        "bundle_load" => Action::Members(members(argument, true)?),
        "fin_timeout" => fin_timeout(argument)?,
        "delete_field" => match field_named(argument) {
            Some(field) => Action::DeleteField(field),
            None => return wrong(argument, "no field of this name"),
        },
        "mod_nw_tos" => match small::<u8>(argument)? {
            tos if tos & 3 == 0 => Action::set_field(Field::IpDscp, tos >> 2),
            _ => return wrong(argument, "the two lower bits of mod_nw_tos are ECN and must be 0 here"),
        },
        "mod_nw_ecn" => written(Field::IpEcn, argument)?,
        "set_mpls_label" => written(Field::MplsLabel, argument)?,
        "set_mpls_tc" => written(Field::MplsTc, argument)?,
        "copy_ttl_out" => Action::CopyTtlOut,
        "copy_ttl_in" => Action::CopyTtlIn,
        "push_pbb" => Action::PushPbb(small(argument)?),
        "pop_pbb" => Action::PopPbb,
        "set_field" => set_field(argument)?,
        "mod_vlan_vid" => Action::set_field(Field::VlanVid, small::<u16>(argument)? & 0xfff | 0x1000),
        "mod_vlan_pcp" => written(Field::VlanPcp, argument)?,
        "mod_dl_src" => written(Field::EthSrc, argument)?,
        "mod_dl_dst" => written(Field::EthDst, argument)?,
        "mod_nw_src" => written(Field::Ipv4Src, argument)?,
        "mod_nw_dst" => written(Field::Ipv4Dst, argument)?,
        "set_tunnel" | "set_tunnel64" => written(Field::TunnelId, argument)?,
        "move" => {
            let (src, dst) = arrow(argument)?;
            let (src, dst) = (subfield(src)?, subfield(dst)?);
            if src.bits != dst.bits {
                return wrong(argument, format!("{} bits do not fit exactly into {}", src.bits, dst.bits));
            }
            Action::Move { src, dst }
        }
        "load" => {
            let (value, dst) = arrow(argument)?;
            let (dst, load) = (subfield(dst)?, small::<u64>(value)?);
            if dst.bits > 64 || dst.bits < 64 && load >> dst.bits != 0 {
                return wrong(argument, format!("{value} does not fit into {} bits", dst.bits.min(64)));
            }
            Action::Load { dst, value: load }
        }
        "push" => Action::Push(subfield(argument)?),
        "pop" => Action::Pop(subfield(argument)?),
        "resubmit" => resubmit(item)?,
        "conjunction" => conjunction(argument)?,
        "ct" => Action::Ct(ct(argument, depth)?),
        "nat" => Action::Nat(nat(argument)?),
        "ct_clear" => Action::CtClear,
        "learn" => Action::Learn(learn(argument)?),
        "sample" => sample(argument)?,
        "note" => Action::Note(bytes(argument)?),
        "pop_queue" => Action::PopQueue,
        "exit" => Action::Exit,
        "clone" => Action::Clone(list(argument, depth + 1)?),
        "action" => match argument.split_once(',') {
            Some((type_, body)) => Action::Unknown { type_: small(type_)?, body: bytes(body)? },
            None => return wrong(item.whole, "an unnamed action is written action(type,bytes)"),
        },
        _ if argument.is_empty() => match port_number(item.name) {
            Ok(port) => Action::output(port),
            Err(_) => return wrong(item.name, "no action of this name"),
        },
        _ => return wrong(item.name, "no action of this name"),
    })
}

fn arrow(text: &str) -> Result<(&str, &str)> {
    text.split_once("->").map_or_else(|| wrong(text, "an arrow was expected: value->field"), Ok)
}

fn written(field: Field, text: &str) -> Result<Action> {
    let (value, mask) = field_value(field, text)?;
    Ok(Action::set_field_masked(field, value, mask))
}

fn set_field(text: &str) -> Result<Action> {
    let (value, name) = arrow(text)?;
    let Some(field) = field_named(name) else { return wrong(name, "no field of this name") };
    written(field, value)
}

fn resubmit(item: &Item<'_>) -> Result<Action> {
    let port = |text: &str| match text {
        "" | "IN_PORT" | "in_port" => Ok(None),
        text => match port_number(text)? {
            number @ (0..=0xfeff | 0xffff_ff00..) => Ok(Some(number as u16)),
            _ => wrong(text, "resubmit takes port numbers of 16 bits only"),
        },
    };
    if !item.parenthesised {
        return Ok(Action::Resubmit { port: port(item.argument)?, table: None });
    }
    let (port_text, table) = item.argument.split_once(',').unwrap_or((item.argument, ""));
    if let Some(table) = table.strip_suffix(",ct") {
        return Ok(Action::ResubmitCt { port: port(port_text)?, table: small(table)? });
    }
    let table = if table.is_empty() { None } else { Some(small(table)?) };
    Ok(Action::Resubmit { port: port(port_text)?, table })
}

/// A port in 16 bits, as the Nicira actions have it.
fn short_port(text: &str) -> Result<u16> {
    match port_number(text)? {
        number @ (0..=0xfeff | 0xffff_ff00..) => Ok(number as u16),
        _ => wrong(text, "port numbers of 16 bits only here"),
    }
}

fn output_trunc(text: &str) -> Result<Action> {
    let (mut port, mut max_len) = (None, None);
    for item in items(text)? {
        match item.name {
            "port" => port = Some(short_port(item.argument)?),
            "max_len" => max_len = Some(small(item.argument)?),
            name => return wrong(name, "output() knows port and max_len"),
        }
    }
    let (Some(port), Some(max_len)) = (port, max_len) else { return wrong(text, "output() needs port and max_len") };
    Ok(Action::OutputTrunc { port, max_len })
}

fn check_pkt_larger(text: &str) -> Result<Action> {
    let (left, dst) = arrow(text)?;
    let Some(len) = left.strip_prefix("check_pkt_larger(").and_then(|rest| rest.strip_suffix(')')) else {
        return wrong(text, "check_pkt_larger(length)->field[bit] was expected");
    };
    let dst_bit = subfield(dst)?;
    if dst_bit.bits != 1 {
        return wrong(dst, "exactly one bit is written");
    }
    Ok(Action::CheckPktLarger { len: small(len)?, dst: dst_bit })
}

/// The number of a name in a table of names, or a number.
fn choice(names: &[&str], text: &str) -> Result<u16> {
    match names.iter().position(|name| *name == text).and_then(|index| u16::try_from(index).ok()) {
        Some(index) => Ok(index),
        None => small(text).or_else(|_| wrong(text, format!("one of {} was expected here", names.join(", ")))),
    }
}

fn multipath(text: &str) -> Result<MultipathAction> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [fields, basis, algorithm, links, arg, dst] = parts.as_slice() else {
        return wrong(text, "multipath(fields,basis,algorithm,links,argument,field[bits]) was expected");
    };
    let links_number: u32 = small(links)?;
    let Some(max_link) = links_number.checked_sub(1).and_then(|max| u16::try_from(max).ok()) else {
        return wrong(links, "1 to 65536 links are possible");
    };
    Ok(MultipathAction {
        fields: choice(&HASH_FIELDS, fields)?,
        basis: small(basis)?,
        algorithm: choice(&MULTIPATH_ALGORITHMS, algorithm)?,
        max_link,
        arg: small(arg)?,
        dst: subfield(dst)?,
    })
}

fn members(text: &str, load: bool) -> Result<MembersAction> {
    let list = ["members:", "slaves:"].iter().find_map(|word| text.split_once(word));
    let Some((head, list)) = list else { return wrong(text, "the members are missing: members:1,2") };
    let parts: Vec<&str> = head.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let (fields, basis, algorithm, dst) = match (parts.as_slice(), load) {
        ([fields, basis, algorithm, "ofport"], false) => (fields, basis, algorithm, None),
        ([fields, basis, algorithm, "ofport", dst], true) => (fields, basis, algorithm, Some(subfield(dst)?)),
        _ => return wrong(text, "bundle(fields,basis,algorithm,ofport,members:1,2) was expected"),
    };
    let ports = list.split(',').map(str::trim).filter(|port| !port.is_empty());
    Ok(MembersAction {
        fields: choice(&HASH_FIELDS, fields)?,
        basis: small(basis)?,
        algorithm: choice(&BUNDLE_ALGORITHMS, algorithm)?,
        dst,
        members: ports.map(short_port).collect::<Result<_>>()?,
    })
}

fn fin_timeout(text: &str) -> Result<Action> {
    let (mut idle, mut hard) = (0, 0);
    for item in items(text)? {
        match item.name {
            "idle_timeout" => idle = small(item.argument)?,
            "hard_timeout" => hard = small(item.argument)?,
            name => return wrong(name, "fin_timeout() knows idle_timeout and hard_timeout"),
        }
    }
    Ok(Action::FinTimeout { idle, hard })
}

fn conjunction(text: &str) -> Result<Action> {
    let parts = text.split_once(',').and_then(|(id, clause)| Some((id, clause.split_once('/')?)));
    let Some((id, (clause, of))) = parts else { return wrong(text, "conjunction(id,k/n) was expected") };
    let (clause, of) = (small(clause.trim())?, small(of)?);
    if !(2..=64).contains(&of) || clause == 0 || clause > of {
        return wrong(text, "a conjunction has 2 to 64 clauses, counted from 1");
    }
    Ok(Action::Conjunction { id: small(id)?, clause, of })
}

/// `01.02.ff`, or hexadecimal digits without dots.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'.').collect();
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    });
    pairs.collect::<Option<Vec<u8>>>().map_or_else(|| wrong(text, "bytes are written as in 01.02.ff"), Ok)
}

fn controller(text: &str) -> Result<ControllerAction> {
    let mut action = ControllerAction::default();
    for item in items(text)? {
        match item.name {
            "reason" => match REASONS.iter().position(|name| *name == item.argument) {
                Some(reason) => action.reason = reason as u8,
                None => action.reason = small(item.argument)?,
            },
            "max_len" => action.max_len = small(item.argument)?,
            "id" => action.controller_id = small(item.argument)?,
            "userdata" => action.userdata = bytes(item.argument)?,
            "pause" => action.pause = true,
            "meter_id" => action.meter_id = Some(small(item.argument)?),
            name => return wrong(name, "controller() knows reason, max_len, id, userdata, pause and meter_id"),
        }
    }
    Ok(action)
}

fn ct(text: &str, depth: usize) -> Result<CtAction> {
    let mut action = CtAction::default();
    for item in items(text)? {
        match item.name {
            "commit" => action.commit = true,
            "force" => action.force = true,
            "table" => action.table = Some(small(item.argument)?),
            "zone" if item.argument.contains('[') => action.zone = CtZone::Field(subfield(item.argument)?),
            "zone" => action.zone = CtZone::Immediate(small(item.argument)?),
            "alg" => {
                action.alg = match item.argument {
                    "ftp" => 21,
                    "tftp" => 69,
                    other => small(other)?,
                }
            }
            "nat" => action.exec.push(Action::Nat(nat(item.argument)?)),
            "exec" => action.exec.extend(list(item.argument, depth + 1)?),
            name => return wrong(name, "ct() knows commit, force, table, zone, alg, nat and exec"),
        }
    }
    Ok(action)
}

fn nat(text: &str) -> Result<NatAction> {
    let mut action = NatAction::default();
    for item in items(text)? {
        match item.name {
            "src" | "dst" => {
                action.kind = Some(if item.name == "src" { NatKind::Src } else { NatKind::Dst });
                nat_range(item.argument, &mut action)?;
            }
            "persistent" => action.persistent = true,
            "hash" => action.hash = true,
            "random" => action.random = true,
            name => return wrong(name, "nat() knows src, dst, persistent, hash and random"),
        }
    }
    Ok(action)
}

/// `10.0.0.1-10.0.0.9:100-200`, `[2001:db8::1]-[2001:db8::9]:100`, `2001:db8::1`.
fn nat_range(text: &str, action: &mut NatAction) -> Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let is_v6 = text.matches(':').count() > 1;
    let (addresses, ports) = match text.rfind("]:") {
        Some(end) => text.split_at(end + 1),
        None if is_v6 => (text, ""),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let address = |text: &str| match text.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => Ok(address),
        Err(_) => wrong(text, "an IP address was expected here"),
    };
    let (min, max) = addresses.split_once('-').unwrap_or((addresses, ""));
    action.min = if min.is_empty() { None } else { Some(address(min)?) };
    action.max = if max.is_empty() { None } else { Some(address(max)?) };
    let mixed = matches!((action.min, action.max), (Some(min), Some(max)) if min.is_ipv4() != max.is_ipv4());
    if mixed {
        return wrong(text, "both addresses of a range are of the same family");
    }
    if let Some(ports) = ports.strip_prefix(':') {
        let (min, max) = ports.split_once('-').unwrap_or((ports, ""));
        action.proto_min = Some(small(min)?);
        action.proto_max = if max.is_empty() { None } else { Some(small(max)?) };
    }
    Ok(())
}

fn sample(text: &str) -> Result<Action> {
    let (mut probability, mut collector_set, mut domain, mut point) = (0, 0, 0, 0);
    let (mut sampling_port, mut direction) = (None, SampleDirection::Default);
    for item in items(text)? {
        match item.name {
            "probability" => probability = small(item.argument)?,
            "collector_set_id" => collector_set = small(item.argument)?,
            "obs_domain_id" => domain = small(item.argument)?,
            "obs_point_id" => point = small(item.argument)?,
            "sampling_port" => sampling_port = Some(short_port(item.argument)?),
            "ingress" => direction = SampleDirection::Ingress,
            "egress" => direction = SampleDirection::Egress,
            name => {
                return wrong(
                    name,
                    "sample() knows probability, collector_set_id, obs_domain_id, obs_point_id, sampling_port, \
                     ingress and egress",
                );
            }
        }
    }
    if probability == 0 {
        return wrong(text, "sample() needs a probability from 1 to 65535");
    }
    if sampling_port.is_none() && direction == SampleDirection::Default {
        return Ok(Action::Sample { probability, collector_set, domain, point });
    }
    let port = sampling_port.unwrap_or(port::NONE_16);
    Ok(Action::SampleAt { probability, collector_set, domain, point, port, direction })
}

fn learn(text: &str) -> Result<LearnAction> {
    let mut action = LearnAction { priority: DEFAULT_PRIORITY, table: 1, ..LearnAction::default() };
    for item in items(text)? {
        match item.name {
            "table" => action.table = small(item.argument)?,
            "idle_timeout" => action.idle_timeout = small(item.argument)?,
            "hard_timeout" => action.hard_timeout = small(item.argument)?,
            "fin_idle_timeout" => action.fin_idle_timeout = small(item.argument)?,
            "fin_hard_timeout" => action.fin_hard_timeout = small(item.argument)?,
            "priority" => action.priority = small(item.argument)?,
            "cookie" => action.cookie = small(item.argument)?,
            "limit" => action.limit = small(item.argument)?,
            "result_dst" => {
                let result = subfield(item.argument)?;
                if result.bits != 1 {
                    return wrong(item.argument, "exactly one bit is written");
                }
                action.result = Some(result);
            }
            "send_flow_rem" => action.flags |= 1,
            "delete_learned" => action.flags |= 2,
            _ => action.specs.push(learn_spec(&item)?),
        }
    }
    Ok(action)
}

fn learn_spec(item: &Item<'_>) -> Result<LearnSpec> {
    let constant = |value: u128, bits: u16| {
        let bytes = value.to_be_bytes();
        let len = 2 * usize::from(bits).div_ceil(16);
        LearnSource::Immediate(bytes.get(16usize.saturating_sub(len)..).unwrap_or_default().to_vec())
    };
    let source = |text: &str, dst: Subfield| -> Result<LearnSource> {
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            return Ok(constant(number(text)?, dst.bits));
        }
        let src = subfield(text)?;
        if src.bits == dst.bits { Ok(LearnSource::Field(src)) } else { wrong(text, "both sides need as many bits") }
    };
    if item.name == "load" {
        let (src, dst) = arrow(item.argument)?;
        let dst = subfield(dst)?;
        return Ok(LearnSpec { bits: dst.bits, source: source(src, dst)?, destination: LearnDestination::Load(dst) });
    }
    if item.name == "output" {
        let src = subfield(item.argument)?;
        return Ok(LearnSpec {
            bits: src.bits,
            source: LearnSource::Field(src),
            destination: LearnDestination::Output,
        });
    }
    let dst = subfield(item.name)?;
    let source = if item.argument.is_empty() {
        LearnSource::Field(dst)
    } else if item.argument.contains('[') {
        source(item.argument, dst)?
    } else {
        constant(field_value(dst.field, item.argument)?.0, dst.bits)
    };
    Ok(LearnSpec { bits: dst.bits, source, destination: LearnDestination::Match(dst) })
}
