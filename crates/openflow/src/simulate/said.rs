//! Traces as text.

use std::fmt;

use crate::simulate::trace::{Abandoned, Dropped, Event, Idle, To};
use crate::text::{CT_STATE, FieldValue, PortName};

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Changed { field, from, to } => {
                let value = |value| FieldValue { field: *field, value, mask: None };
                write!(f, "{field}: {} -> {}", value(*from), value(*to))
            }
            Event::TagPushed => f.write_str("a VLAN tag pushed"),
            Event::TagPopped => f.write_str("the VLAN tag removed"),
            Event::Metered(meter) => write!(f, "meter {meter} (rates are not simulated)"),
            Event::Tracked { zone, state, table, committed } => {
                f.write_str("connection ")?;
                for (place, bit) in (0..CT_STATE.len()).filter(|bit| state >> bit & 1 == 1).enumerate() {
                    write!(f, "{}{}", if place == 0 { "" } else { "|" }, CT_STATE.get(bit).unwrap_or(&"?"))?;
                }
                write!(f, " in zone {zone}")?;
                if *committed {
                    f.write_str(", remembered")?;
                }
                match table {
                    Some(table) => write!(f, ", a copy goes on in table {table}"),
                    None => Ok(()),
                }
            }
            Event::Departed(to) => write!(f, "{to}"),
            Event::Written(action) => write!(f, "{action} written to the action set"),
            Event::Cleared => f.write_str("action set emptied"),
            Event::Bucket { group, index } => write!(f, "bucket {index} of group {group}"),
            Event::Learned => f.write_str("a row learned"),
            Event::Idle(why) => write!(f, "{why}"),
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            To::Port(port) => write!(f, "out of port {}", PortName(*port)),
            To::Controller { .. } => f.write_str("to the controller"),
            To::Normal => f.write_str("to where the switch has learned the address (not simulated)"),
            To::Flood => f.write_str("out of all ports"),
        }
    }
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Idle::NoField(field) => write!(f, "nothing done: the packet has no {field}"),
            Idle::InPort(port) => write!(f, "not sent: it came in by port {}", PortName(*port)),
            Idle::NoPort(port) => write!(f, "not sent: there is no port {port}"),
            Idle::NoGroup(group) => write!(f, "not sent: group {group} is not there, or none of its buckets is alive"),
            Idle::EmptyStack => f.write_str("nothing done: the stack is empty"),
            Idle::TtlUsedUp => f.write_str("the time to live is used up"),
            Idle::NoOutput => f.write_str("the action set says nowhere to go"),
            Idle::NotSimulated(action) => write!(f, "NOT SIMULATED: {action}"),
        }
    }
}

impl fmt::Display for Abandoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Abandoned::TooDeep => "resubmit leads too deep",
            Abandoned::TooLong => "more than 4096 searches",
            Abandoned::StackFull => "the stack is full",
            Abandoned::GoesRound => "it goes round in circles through connection tracking",
        })
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dropped::Miss(table) => write!(f, "no row of table {table} matches"),
            Dropped::Row(table) => write!(f, "the row of table {table} sends it nowhere"),
            Dropped::Abandoned(why) => write!(f, "{why}"),
        }
    }
}
