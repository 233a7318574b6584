//! Actions to bytes.

use crate::action::{Action, ControllerAction, NICIRA_EXPERIMENTER, SampleDirection, choose, ct, learn};
use crate::oxm;
use crate::wire::{Writer, property};

/// Appends actions one after the other.
pub(crate) fn encode_list(actions: &[Action], out: &mut Vec<u8>) {
    for action in actions {
        encode(action, out);
    }
}

/// Appends one action, padded to eight bytes, with its length filled in.
fn encode(action: &Action, out: &mut Vec<u8>) {
    let start = out.len();
    match action {
        Action::Output { port, max_len } => {
            header(out, 0);
            out.u32(*port);
            out.u16(*max_len);
            out.zeros(6);
        }
        Action::CopyTtlOut => header(out, 11),
        Action::CopyTtlIn => header(out, 12),
        Action::SetMplsTtl(ttl) => {
            header(out, 15);
            out.u8(*ttl);
        }
        Action::DecMplsTtl => header(out, 16),
        Action::PushVlan(eth_type) => with_u16(out, 17, *eth_type),
        Action::PopVlan => header(out, 18),
        Action::PushMpls(eth_type) => with_u16(out, 19, *eth_type),
        Action::PopMpls(eth_type) => with_u16(out, 20, *eth_type),
        Action::SetQueue(queue) => with_u32(out, 21, *queue),
        Action::Group(group) => with_u32(out, 22, *group),
        Action::SetNwTtl(ttl) => {
            header(out, 23);
            out.u8(*ttl);
        }
        Action::DecNwTtl => header(out, 24),
        Action::SetField { field, value, mask: None } => {
            header(out, 25);
            oxm::encode_entry(*field, *value, None, out);
        }
        Action::PushPbb(eth_type) => with_u16(out, 26, *eth_type),
        Action::PopPbb => header(out, 27),
        Action::SetField { field, value, mask } => {
            nicira(out, 33);
            oxm::encode_entry(*field, *value, *mask, out);
        }
        Action::Resubmit { port, table: None } => {
            nicira(out, 1);
            out.u16(port.unwrap_or(crate::port::IN_PORT_16));
        }
        Action::Resubmit { port, table: Some(table) } => {
            nicira(out, 14);
            out.u16(port.unwrap_or(crate::port::IN_PORT_16));
            out.u8(*table);
        }
        Action::Move { src, dst } => {
            nicira(out, 6);
            out.u16(src.bits);
            out.u16(src.offset);
            out.u16(dst.offset);
            oxm::encode_header(src.field, out);
            oxm::encode_header(dst.field, out);
        }
        Action::Load { dst, value } => {
            nicira(out, 7);
            out.u16(dst.packed());
            oxm::encode_header(dst.field, out);
            out.u64(*value);
        }
        Action::Note(bytes) => {
            nicira(out, 8);
            out.bytes(bytes);
        }
        Action::OutputReg { src, max_len } => {
            nicira(out, if src.field.experimenter().is_some() { 32 } else { 15 });
            out.u16(src.packed());
            if src.field.experimenter().is_some() {
                out.u16(*max_len);
                oxm::encode_header(src.field, out);
            } else {
                oxm::encode_header(src.field, out);
                out.u16(*max_len);
            }
        }
        Action::Learn(learn) => {
            nicira(out, if learn.is_second_form() { 45 } else { 16 });
            learn::encode(learn, out);
        }
        Action::PopQueue => nicira(out, 5),
        Action::Exit => nicira(out, 17),
        Action::Controller(controller) => encode_controller(controller, out),
        Action::Push(subfield) | Action::Pop(subfield) => {
            nicira(out, if matches!(action, Action::Push(_)) { 27 } else { 28 });
            out.u16(subfield.offset);
            oxm::encode_header(subfield.field, out);
            out.u16(subfield.bits);
        }
        Action::Sample { probability, collector_set, domain, point } => {
            nicira(out, 29);
            out.u16(*probability);
            out.u32(*collector_set);
            out.u32(*domain);
            out.u32(*point);
        }
        Action::SampleAt { probability, collector_set, domain, point, port, direction } => {
            nicira(out, if *direction == SampleDirection::Default { 38 } else { 41 });
            out.u16(*probability);
            out.u32(*collector_set);
            out.u32(*domain);
            out.u32(*point);
            out.u16(*port);
            out.u8(*direction as u8);
        }
        Action::ResubmitCt { port, table } => {
            nicira(out, 44);
            out.u16(port.unwrap_or(crate::port::IN_PORT_16));
            out.u8(*table);
        }
        Action::DecNwTtlFor(ids) => {
            nicira(out, 21);
            out.u16(u16::try_from(ids.len()).unwrap_or(u16::MAX));
            out.zeros(4);
            ids.iter().for_each(|id| out.u16(*id));
        }
        Action::CheckPktLarger { len, dst } => {
            nicira(out, 49);
            out.u16(*len);
            out.u16(dst.offset);
            oxm::encode_header(dst.field, out);
        }
        Action::Multipath(multipath) => {
            nicira(out, 10);
            choose::encode_multipath(multipath, out);
        }
        Action::Members(members) => {
            nicira(out, if members.dst.is_some() { 13 } else { 12 });
            choose::encode_members(members, out);
        }
        Action::FinTimeout { idle, hard } => {
            nicira(out, 19);
            out.u16(*idle);
            out.u16(*hard);
        }
        Action::OutputTrunc { port, max_len } => {
            nicira(out, 39);
            out.u16(*port);
            out.u32(*max_len);
        }
        Action::DeleteField(field) => {
            nicira(out, 50);
            oxm::encode_header(*field, out);
            // The action has 24 bytes whatever the header's length.
            out.resize(start + 24, 0);
        }
        Action::Conjunction { id, clause, of } => {
            nicira(out, 34);
            out.u8(clause.saturating_sub(1));
            out.u8(*of);
            out.u32(*id);
        }
        Action::Ct(ct) => {
            nicira(out, 35);
            ct::encode_ct(ct, out);
        }
        Action::Nat(nat) => {
            nicira(out, 36);
            ct::encode_nat(nat, out);
        }
        Action::Clone(actions) => {
            nicira(out, 42);
            out.zeros(6);
            encode_list(actions, out);
        }
        Action::CtClear => nicira(out, 43),
        Action::Unknown { type_, body } => {
            header(out, *type_);
            out.bytes(body);
        }
    }
    out.pad_from(start);
    out.patch_length(start + 2, start);
}

fn header(out: &mut Vec<u8>, type_: u16) {
    out.u16(type_);
    out.u16(0);
}

fn with_u16(out: &mut Vec<u8>, type_: u16, value: u16) {
    header(out, type_);
    out.u16(value);
}

fn with_u32(out: &mut Vec<u8>, type_: u16, value: u32) {
    header(out, type_);
    out.u32(value);
}

fn nicira(out: &mut Vec<u8>, subtype: u16) {
    header(out, 0xffff);
    out.u32(NICIRA_EXPERIMENTER);
    out.u16(subtype);
}

/// The short form where it can say everything, otherwise properties.
fn encode_controller(action: &ControllerAction, out: &mut Vec<u8>) {
    if action.userdata.is_empty() && !action.pause && action.meter_id.is_none() {
        nicira(out, 20);
        out.u16(action.max_len);
        out.u16(action.controller_id);
        out.u8(action.reason);
        return;
    }
    nicira(out, 37);
    out.zeros(6);
    let usual = ControllerAction::default();
    if action.max_len != usual.max_len {
        property(out, 0, |out| out.u16(action.max_len));
    }
    if action.controller_id != usual.controller_id {
        property(out, 1, |out| out.u16(action.controller_id));
    }
    if action.reason != usual.reason {
        property(out, 2, |out| out.u8(action.reason));
    }
    if !action.userdata.is_empty() {
        property(out, 3, |out| out.bytes(&action.userdata));
    }
    if action.pause {
        property(out, 4, |_| {});
    }
    if let Some(meter) = action.meter_id {
        property(out, 5, |out| out.u32(meter));
    }
}
