//! Bytes to actions.

use crate::action::{Action, ControllerAction, MAX_LEN_WHOLE, NICIRA_EXPERIMENTER, SampleDirection, choose, ct, learn};
use crate::error::DecodeError;
use crate::oxm::{self, Entry};
use crate::subfield::Subfield;
use crate::wire::{Reader, Result, properties};

/// How deep actions may contain actions (`ct(exec(...))`, `clone(...)`).
const DEPTH: usize = 8;

/// Reads actions until the reader is empty.
pub(crate) fn decode_list(reader: &mut Reader<'_>) -> Result<Vec<Action>> {
    decode_nested(reader, 0)
}

pub(super) fn decode_nested(reader: &mut Reader<'_>, depth: usize) -> Result<Vec<Action>> {
    if depth >= DEPTH && !reader.is_empty() {
        return Err(DecodeError::TooDeep { at: reader.at(), limit: DEPTH });
    }
    let mut actions = Vec::new();
    while !reader.is_empty() {
        actions.push(decode(reader, depth)?);
    }
    Ok(actions)
}

fn decode(reader: &mut Reader<'_>, depth: usize) -> Result<Action> {
    let at = reader.at();
    let (type_, mut body) = reader.type_length("action")?;
    let length = body.left() + 4;
    if length < 8 || length % 8 != 0 {
        return Err(DecodeError::Length { what: "action", at, value: length });
    }
    let body = &mut body;
    let action = match type_ {
        0 => {
            let port = body.u32("output port")?;
            let max_len = body.u16("output max_len")?;
            body.skip(6, "output padding")?;
            body.end("output")?;
            Action::Output { port, max_len }
        }
        11 => Action::CopyTtlOut,
        12 => Action::CopyTtlIn,
        15 => Action::SetMplsTtl(body.u8("MPLS TTL")?),
        16 => Action::DecMplsTtl,
        17 => Action::PushVlan(body.u16("Ethernet type")?),
        18 => Action::PopVlan,
        19 => Action::PushMpls(body.u16("Ethernet type")?),
        20 => Action::PopMpls(body.u16("Ethernet type")?),
        21 => Action::SetQueue(body.u32("queue")?),
        22 => Action::Group(body.u32("group")?),
        23 => Action::SetNwTtl(body.u8("IP TTL")?),
        24 => Action::DecNwTtl,
        25 => {
            let mut whole = body.clone();
            match set_field(body)? {
                Some(action) => action,
                None => {
                    body.rest();
                    Action::Unknown { type_, body: whole.rest().to_vec() }
                }
            }
        }
        26 => Action::PushPbb(body.u16("Ethernet type")?),
        27 => Action::PopPbb,
        0xffff => experimenter(body, depth)?,
        _ => Action::Unknown { type_, body: body.rest().to_vec() },
    };
    // What is left can only be padding.
    if body.left() >= 8 {
        return Err(DecodeError::Trailing { what: "action", at: body.at(), extra: body.left() });
    }
    Ok(action)
}

/// A written field: value and mask in canonical form. What does not fit into 128 bits stays as it is.
fn set_field(body: &mut Reader<'_>) -> Result<Option<Action>> {
    Ok(match oxm::decode_entry(body)? {
        Entry::Plain { field, value, mask } => Some(Action::set_field_masked(field, value, mask.unwrap_or(u128::MAX))),
        Entry::Unnamed(_) => None,
    })
}

fn experimenter(body: &mut Reader<'_>, depth: usize) -> Result<Action> {
    let whole = body.clone();
    let unknown = |mut whole: Reader<'_>, body: &mut Reader<'_>| {
        body.rest();
        Action::Unknown { type_: 0xffff, body: whole.rest().to_vec() }
    };
    if body.u32("experimenter of an action")? != NICIRA_EXPERIMENTER || body.is_empty() {
        return Ok(unknown(whole, body));
    }
    Ok(match body.u16("Nicira action")? {
        1 => Action::Resubmit { port: resubmit_port(body)?, table: None },
        5 => Action::PopQueue,
        6 => {
            let bits = body.u16("move bits")?;
            let src_offset = body.u16("move offset")?;
            let dst_offset = body.u16("move offset")?;
            let at = body.at();
            let src = oxm::decode_header(body)?;
            let dst = oxm::decode_header(body)?;
            let src = Subfield::new(src, src_offset, bits).checked(at)?;
            Action::Move { src, dst: Subfield::new(dst, dst_offset, bits).checked(at)? }
        }
        7 => {
            let packed = body.u16("load bits")?;
            let at = body.at();
            let dst = Subfield::unpack(oxm::decode_header(body)?, packed).checked(at)?;
            Action::Load { dst, value: body.u64("load value")? }
        }
        8 => Action::Note(body.rest().to_vec()),
        14 => {
            let port = resubmit_port(body)?;
            let table = body.u8("resubmit table")?;
            // OFPTT_ALL means the current table, as the first form of the action does.
            Action::Resubmit { port, table: (table != crate::flow::TABLE_ALL).then_some(table) }
        }
        15 => {
            let packed = body.u16("output bits")?;
            let at = body.at();
            let src = Subfield::unpack(oxm::decode_header(body)?, packed).checked(at)?;
            Action::OutputReg { src, max_len: body.u16("output max_len")? }
        }
        subtype @ (16 | 45) => Action::Learn(learn::decode(body, subtype == 45)?),
        17 => Action::Exit,
        20 => Action::Controller(ControllerAction {
            max_len: body.u16("controller max_len")?,
            controller_id: body.u16("controller id")?,
            reason: body.u8("controller reason")?,
            ..ControllerAction::default()
        }),
        subtype @ (27 | 28) => {
            let offset = body.u16("stack offset")?;
            let at = body.at();
            let field = oxm::decode_header(body)?;
            let subfield = Subfield::new(field, offset, body.u16("stack bits")?).checked(at)?;
            if subtype == 27 { Action::Push(subfield) } else { Action::Pop(subfield) }
        }
        29 => Action::Sample {
            probability: body.u16("sample probability")?,
            collector_set: body.u32("sample collector set")?,
            domain: body.u32("sample domain")?,
            point: body.u32("sample point")?,
        },
        32 => {
            let packed = body.u16("output bits")?;
            let max_len = body.u16("output max_len")?;
            let at = body.at();
            let src = Subfield::unpack(oxm::decode_header(body)?, packed).checked(at)?;
            Action::OutputReg { src, max_len }
        }
        33 => match set_field(body)? {
            Some(action) => action,
            None => unknown(whole, body),
        },
        10 => Action::Multipath(choose::decode_multipath(body)?),
        subtype @ (12 | 13) => match choose::decode_members(body, subtype == 13)? {
            Some(members) => Action::Members(members),
            None => unknown(whole, body),
        },
        19 => Action::FinTimeout { idle: body.u16("idle timeout")?, hard: body.u16("hard timeout")? },
        21 => {
            let at = body.at();
            let count = body.u16("number of controllers")?;
            body.skip(4, "dec_ttl padding")?;
            if 2 * usize::from(count) > body.left() {
                return Err(DecodeError::Length { what: "number of controllers", at, value: count.into() });
            }
            Action::DecNwTtlFor((0..count).map(|_| body.u16("controller id")).collect::<Result<_>>()?)
        }
        39 => Action::OutputTrunc { port: body.u16("output port")?, max_len: body.u32("output max_len")? },
        44 => Action::ResubmitCt { port: resubmit_port(body)?, table: body.u8("resubmit table")? },
        49 => {
            let len = body.u16("packet length")?;
            let offset = body.u16("bit of a field")?;
            let at = body.at();
            let dst = Subfield::new(oxm::decode_header(body)?, offset, 1).checked(at)?;
            Action::CheckPktLarger { len, dst }
        }
        50 => {
            let field = oxm::decode_header(body)?;
            body.skip_up_to(10);
            Action::DeleteField(field)
        }
        subtype @ (38 | 41) => {
            let probability = body.u16("sample probability")?;
            let collector_set = body.u32("sample collector set")?;
            let domain = body.u32("sample domain")?;
            let point = body.u32("sample point")?;
            let port = body.u16("sample port")?;
            let at = body.at();
            let direction = match (subtype, body.u8("sample direction")?) {
                (38, _) | (_, 0) => SampleDirection::Default,
                (_, 1) => SampleDirection::Ingress,
                (_, 2) => SampleDirection::Egress,
                (_, other) => {
                    return Err(DecodeError::Unknown { what: "sample direction", at, value: other.into() });
                }
            };
            Action::SampleAt { probability, collector_set, domain, point, port, direction }
        }
        34 => {
            let clause = body.u8("conjunction clause")?;
            let of = body.u8("conjunction clauses")?;
            Action::Conjunction { id: body.u32("conjunction id")?, clause: clause.saturating_add(1), of }
        }
        35 => Action::Ct(ct::decode_ct(body, depth + 1)?),
        36 => Action::Nat(ct::decode_nat(body)?),
        37 => match controller(body)? {
            Some(controller) => Action::Controller(controller),
            None => unknown(whole, body),
        },
        42 => {
            body.skip(6, "clone padding")?;
            Action::Clone(decode_nested(body, depth + 1)?)
        }
        43 => Action::CtClear,
        _ => unknown(whole, body),
    })
}

fn resubmit_port(body: &mut Reader<'_>) -> Result<Option<u16>> {
    let port = body.u16("resubmit port")?;
    Ok((port != crate::port::IN_PORT_16).then_some(port))
}

/// `None` where there is a property without a name: then the action stays as it is.
fn controller(body: &mut Reader<'_>) -> Result<Option<ControllerAction>> {
    body.skip(6, "controller padding")?;
    let mut action = ControllerAction { max_len: MAX_LEN_WHOLE, ..ControllerAction::default() };
    let mut known = true;
    properties(body, |_, type_, value| {
        match type_ {
            0 => action.max_len = value.u16("controller max_len")?,
            1 => action.controller_id = value.u16("controller id")?,
            2 => action.reason = value.u8("controller reason")?,
            3 => action.userdata = value.rest().to_vec(),
            4 => action.pause = true,
            5 => action.meter_id = Some(value.u32("controller meter")?),
            _ => {
                known = false;
                value.rest();
            }
        }
        Ok(())
    })?;
    Ok(known.then_some(action))
}
