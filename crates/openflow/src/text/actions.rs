//! Actions and instructions as text.

use std::fmt;
use std::net::IpAddr;

use crate::action::{
    Action, BUNDLE_ALGORITHMS, ControllerAction, CtAction, CtZone, HASH_FIELDS, LearnAction, LearnDestination,
    LearnSource, LearnSpec, MAX_LEN_WHOLE, MULTIPATH_ALGORITHMS, NatAction, NatKind, SampleDirection, choice_name,
};
use crate::field::{Field, Format};
use crate::instruction::{self, Instruction};
use crate::packet;
use crate::port;
use crate::text::{Dotted, FieldValue, Hex, PortName, widen_port};

/// Why packets come to the controller, by number.
pub(crate) const REASONS: [&str; 6] = ["no_match", "action", "invalid_ttl", "action_set", "group", "packet_out"];

/// A reason's name or number.
pub(crate) struct Reason(pub(crate) u8);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match REASONS.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Actions with commas between them; `drop` for none.
pub(crate) struct Actions<'a>(pub(crate) &'a [Action]);

impl fmt::Display for Actions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("drop");
        }
        for (index, action) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            action.fmt(f)?;
        }
        Ok(())
    }
}

/// Instructions with commas between them, in the order of execution; `drop` for none.
pub(crate) struct Instructions<'a>(pub(crate) &'a [Instruction]);

impl fmt::Display for Instructions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let silent = |instruction: &&Instruction| matches!(instruction, Instruction::ApplyActions(actions) if actions.is_empty());
        let mut any = false;
        for instruction in instruction::in_order(self.0).filter(|instruction| !silent(instruction)) {
            if std::mem::replace(&mut any, true) {
                f.write_str(",")?;
            }
            instruction.fmt(f)?;
        }
        if any { Ok(()) } else { f.write_str("drop") }
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Instruction::GotoTable(table) => write!(f, "goto_table:{table}"),
            Instruction::WriteMetadata { value, mask: u64::MAX } => {
                write!(f, "write_metadata:{}", Hex((*value).into()))
            }
            Instruction::WriteMetadata { value, mask } => {
                write!(f, "write_metadata:{}/{}", Hex((*value).into()), Hex((*mask).into()))
            }
            Instruction::WriteActions(actions) => write!(f, "write_actions({})", Actions(actions)),
            Instruction::ApplyActions(actions) => Actions(actions).fmt(f),
            Instruction::ClearActions => f.write_str("clear_actions"),
            Instruction::Meter(meter) => write!(f, "meter:{meter}"),
            Instruction::Unknown { type_, body } => write!(f, "instruction({type_:#x},{})", Dotted(body)),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Output { port: port::CONTROLLER, max_len } => write!(f, "CONTROLLER:{max_len}"),
            Action::Output { port, .. } if *port < port::MAX => write!(f, "output:{port}"),
            Action::Output { port, .. } => PortName(*port).fmt(f),
            Action::Group(group) => write!(f, "group:{group}"),
            Action::SetQueue(queue) => write!(f, "set_queue:{queue}"),
            Action::PushVlan(eth_type) => write!(f, "push_vlan:{eth_type:#06x}"),
            Action::PopVlan => f.write_str("pop_vlan"),
            Action::PushMpls(eth_type) => write!(f, "push_mpls:{eth_type:#06x}"),
            Action::PopMpls(eth_type) => write!(f, "pop_mpls:{eth_type:#06x}"),
            Action::SetMplsTtl(ttl) => write!(f, "set_mpls_ttl({ttl})"),
            Action::DecMplsTtl => f.write_str("dec_mpls_ttl"),
            Action::SetNwTtl(ttl) => write!(f, "mod_nw_ttl:{ttl}"),
            Action::DecNwTtl => f.write_str("dec_ttl"),
            Action::CopyTtlOut => f.write_str("copy_ttl_out"),
            Action::CopyTtlIn => f.write_str("copy_ttl_in"),
            Action::PushPbb(eth_type) => write!(f, "push_pbb:{eth_type:#06x}"),
            Action::PopPbb => f.write_str("pop_pbb"),
            Action::SetField { field, value, mask } => {
                let name = field.full_name();
                if let (Format::Decimal, Some(mask)) = (field.format(), mask) {
                    return write!(f, "set_field:{value}/{}->{name}", Hex(*mask));
                }
                let value = FieldValue { field: *field, value: *value, mask: *mask };
                write!(f, "set_field:{value}->{name}")
            }
            Action::Move { src, dst } => write!(f, "move:{src}->{dst}"),
            Action::Load { dst, value } => write!(f, "load:{}->{dst}", Hex((*value).into())),
            Action::Push(subfield) => write!(f, "push:{subfield}"),
            Action::Pop(subfield) => write!(f, "pop:{subfield}"),
            Action::OutputReg { src, .. } => write!(f, "output:{src}"),
            Action::Resubmit { port: Some(port), table: None } => {
                write!(f, "resubmit:{}", PortName(widen_port(*port)))
            }
            Action::Resubmit { port: None, table: None } => f.write_str("resubmit(,)"),
            Action::Resubmit { port, table: Some(table) } => {
                f.write_str("resubmit(")?;
                if let Some(port) = port {
                    PortName(widen_port(*port)).fmt(f)?;
                }
                write!(f, ",{table})")
            }
            Action::ResubmitCt { port, table } => {
                f.write_str("resubmit(")?;
                if let Some(port) = port {
                    PortName(widen_port(*port)).fmt(f)?;
                }
                write!(f, ",{table},ct)")
            }
            Action::SampleAt { probability, collector_set, domain, point, port, direction } => {
                write!(
                    f,
                    "sample(probability={probability},collector_set_id={collector_set},obs_domain_id={domain},\
                     obs_point_id={point}"
                )?;
                if *port != port::NONE_16 {
                    write!(f, ",sampling_port={}", PortName(widen_port(*port)))?;
                }
                f.write_str(match direction {
                    SampleDirection::Default => ")",
                    SampleDirection::Ingress => ",ingress)",
                    SampleDirection::Egress => ",egress)",
                })
            }
            Action::DecNwTtlFor(ids) => {
                let ids: Vec<String> = ids.iter().map(u16::to_string).collect();
                write!(f, "dec_ttl({})", ids.join(","))
            }
            Action::CheckPktLarger { len, dst } => write!(f, "check_pkt_larger({len})->{dst}"),
            Action::Multipath(choice) => write!(
                f,
                "multipath({},{},{},{},{},{})",
                choice_name(&HASH_FIELDS, choice.fields),
                choice.basis,
                choice_name(&MULTIPATH_ALGORITHMS, choice.algorithm),
                u32::from(choice.max_link) + 1,
                choice.arg,
                choice.dst
            ),
            Action::Members(choice) => {
                f.write_str(if choice.dst.is_some() { "bundle_load(" } else { "bundle(" })?;
                let fields = choice_name(&HASH_FIELDS, choice.fields);
                let algorithm = choice_name(&BUNDLE_ALGORITHMS, choice.algorithm);
                write!(f, "{fields},{},{algorithm},ofport,", choice.basis)?;
                if let Some(dst) = &choice.dst {
                    write!(f, "{dst},")?;
                }
                let members: Vec<String> =
                    choice.members.iter().map(|port| PortName(widen_port(*port)).to_string()).collect();
                write!(f, "members:{})", members.join(","))
            }
            Action::FinTimeout { idle, hard } => {
                let mut list = Arguments::default();
                list.add(*idle != 0, format_args!("idle_timeout={idle}"));
                list.add(*hard != 0, format_args!("hard_timeout={hard}"));
                write!(f, "fin_timeout({})", list.0.join(","))
            }
            Action::OutputTrunc { port, max_len } => {
                write!(f, "output(port={},max_len={max_len})", PortName(widen_port(*port)))
            }
            Action::DeleteField(field) => write!(f, "delete_field:{}", field.full_name()),
            Action::Conjunction { id, clause, of } => write!(f, "conjunction({id},{clause}/{of})"),
            Action::Controller(controller) => controller.fmt(f),
            Action::Ct(ct) => ct.fmt(f),
            Action::Nat(nat) => nat.fmt(f),
            Action::CtClear => f.write_str("ct_clear"),
            Action::Learn(learn) => learn.fmt(f),
            Action::Sample { probability, collector_set, domain, point } => write!(
                f,
                "sample(probability={probability},collector_set_id={collector_set},obs_domain_id={domain},\
                 obs_point_id={point})"
            ),
            Action::Note(bytes) => write!(f, "note:{}", Dotted(bytes)),
            Action::PopQueue => f.write_str("pop_queue"),
            Action::Exit => f.write_str("exit"),
            Action::Clone(actions) => write!(f, "clone({})", Actions(actions)),
            Action::Unknown { type_, body } => write!(f, "action({type_:#x},{})", Dotted(body)),
        }
    }
}

/// Collects what stands between the parentheses.
#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add(&mut self, there: bool, text: impl fmt::Display) {
        if there {
            self.0.push(text.to_string());
        }
    }
}

impl fmt::Display for ControllerAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Arguments::default();
        list.add(self.reason != packet::REASON_ACTION, format_args!("reason={}", Reason(self.reason)));
        list.add(self.max_len != MAX_LEN_WHOLE, format_args!("max_len={}", self.max_len));
        list.add(self.controller_id != 0, format_args!("id={}", self.controller_id));
        list.add(!self.userdata.is_empty(), format_args!("userdata={}", Dotted(&self.userdata)));
        list.add(self.pause, "pause");
        list.add(self.meter_id.is_some(), format_args!("meter_id={}", self.meter_id.unwrap_or(0)));
        let only_length = list.0.is_empty() || list.0.len() == 1 && self.max_len != MAX_LEN_WHOLE;
        if only_length {
            return write!(f, "CONTROLLER:{}", self.max_len);
        }
        write!(f, "controller({})", list.0.join(","))
    }
}

impl fmt::Display for CtAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Arguments::default();
        list.add(self.commit, "commit");
        list.add(self.force, "force");
        list.add(self.table.is_some(), format_args!("table={}", self.table.unwrap_or(0)));
        match &self.zone {
            CtZone::Immediate(zone) => list.add(*zone != 0, format_args!("zone={zone}")),
            CtZone::Field(subfield) => list.add(true, format_args!("zone={subfield}")),
        }
        let (nat, exec): (Vec<&Action>, Vec<&Action>) =
            self.exec.iter().partition(|action| matches!(action, Action::Nat(_)));
        nat.iter().for_each(|action| list.add(true, action));
        if !exec.is_empty() {
            let exec: Vec<String> = exec.iter().map(ToString::to_string).collect();
            list.add(true, format_args!("exec({})", exec.join(",")));
        }
        match self.alg {
            0 => {}
            21 => list.add(true, "alg=ftp"),
            69 => list.add(true, "alg=tftp"),
            other => list.add(true, format_args!("alg={other}")),
        }
        write!(f, "ct({})", list.0.join(","))
    }
}

impl fmt::Display for NatAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Arguments::default();
        if let Some(kind) = self.kind {
            let bracket = |address: IpAddr| match address {
                IpAddr::V6(address) if self.proto_min.is_some() => format!("[{address}]"),
                address => address.to_string(),
            };
            let mut range = self.min.map(bracket).unwrap_or_default();
            if let Some(max) = self.max.map(bracket) {
                range = format!("{range}-{max}");
            }
            if let Some(min) = self.proto_min {
                range = format!("{range}:{min}");
            }
            if let Some(max) = self.proto_max {
                range = format!("{range}-{max}");
            }
            let name = if kind == NatKind::Src { "src" } else { "dst" };
            let equals = if range.is_empty() { "" } else { "=" };
            list.add(true, format_args!("{name}{equals}{range}"));
        }
        list.add(self.persistent, "persistent");
        list.add(self.hash, "hash");
        list.add(self.random, "random");
        if list.0.is_empty() { f.write_str("nat") } else { write!(f, "nat({})", list.0.join(",")) }
    }
}

impl fmt::Display for LearnAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = Arguments::default();
        list.add(true, format_args!("table={}", self.table));
        for (value, name) in [
            (self.idle_timeout, "idle_timeout"),
            (self.hard_timeout, "hard_timeout"),
            (self.fin_idle_timeout, "fin_idle_timeout"),
            (self.fin_hard_timeout, "fin_hard_timeout"),
        ] {
            list.add(value != 0, format_args!("{name}={value}"));
        }
        list.add(self.priority != 0x8000, format_args!("priority={}", self.priority));
        list.add(self.flags & 1 != 0, "send_flow_rem");
        list.add(self.flags & 2 != 0, "delete_learned");
        list.add(self.cookie != 0, format_args!("cookie={:#x}", self.cookie));
        list.add(self.limit != 0, format_args!("limit={}", self.limit));
        if let Some(result) = &self.result {
            list.add(true, format_args!("result_dst={result}"));
        }
        self.specs.iter().for_each(|spec| list.add(true, spec));
        write!(f, "learn({})", list.0.join(","))
    }
}

impl fmt::Display for LearnSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let constant = |bytes: &[u8]| bytes.iter().fold(0u128, |value, byte| value << 8 | u128::from(*byte));
        match (&self.source, &self.destination) {
            (LearnSource::Field(src), LearnDestination::Match(dst)) if src == dst => dst.fmt(f),
            (LearnSource::Field(src), LearnDestination::Match(dst)) => write!(f, "{dst}={src}"),
            (LearnSource::Immediate(bytes), LearnDestination::Match(dst)) if dst.is_whole() => {
                let (field, value) = (dst.field, constant(bytes));
                let shown = FieldValue { field, value, mask: None };
                if field == Field::EthType {
                    write!(f, "eth_type={value:#x}")
                } else {
                    write!(f, "{}={shown}", field.full_name())
                }
            }
            (LearnSource::Immediate(bytes), LearnDestination::Match(dst)) => {
                write!(f, "{dst}={}", Hex(constant(bytes)))
            }
            (LearnSource::Field(src), LearnDestination::Load(dst)) => write!(f, "load:{src}->{dst}"),
            (LearnSource::Immediate(bytes), LearnDestination::Load(dst)) => {
                write!(f, "load:{}->{dst}", Hex(constant(bytes)))
            }
            (LearnSource::Field(src), LearnDestination::Output) => write!(f, "output:{src}"),
            (LearnSource::Immediate(bytes), LearnDestination::Output) => {
                write!(f, "output:{}", constant(bytes))
            }
        }
    }
}
