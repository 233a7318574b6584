//! Rows as text.

use std::fmt;

use crate::flow::{self, FlowCommand, FlowMod, FlowRemoved, FlowStats};
use crate::port;
use crate::text::actions::Instructions;
use crate::text::matches::fmt_match;
use crate::text::{Duration, Hex, PortName};

/// `OFP_DEFAULT_PRIORITY`, which ovs-ofctl takes and leaves out.
pub(crate) const DEFAULT_PRIORITY: u16 = 0x8000;

/// Names of the flags of a row.
pub(crate) const FLAGS: [(u16, &str); 5] = [
    (flow::FLAG_SEND_FLOW_REMOVED, "send_flow_rem"),
    (flow::FLAG_CHECK_OVERLAP, "check_overlap"),
    (flow::FLAG_RESET_COUNTS, "reset_counts"),
    (flow::FLAG_NO_PACKET_COUNTS, "no_packet_counts"),
    (flow::FLAG_NO_BYTE_COUNTS, "no_byte_counts"),
];

fn fmt_flags(flags: u16, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = flags;
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            write!(f, "{name} ")?;
            rest &= !bit;
        }
    }
    if rest == 0 { Ok(()) } else { write!(f, "flags:{rest:#x} ") }
}

/// The priority unless it is the usual one.
fn unusual(priority: u16) -> Option<u16> {
    (priority != DEFAULT_PRIORITY).then_some(priority)
}

impl fmt::Display for FlowCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FlowCommand::Add => "ADD",
            FlowCommand::Modify => "MOD",
            FlowCommand::ModifyStrict => "MOD_STRICT",
            FlowCommand::Delete => "DEL",
            FlowCommand::DeleteStrict => "DEL_STRICT",
        })
    }
}

impl fmt::Display for FlowMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.command)?;
        if self.table != 0 {
            write!(f, " table:{}", self.table)?;
        }
        f.write_str(" ")?;
        let priority = unusual(self.priority);
        fmt_match(&self.matches, priority, f)?;
        if priority.is_some() || !self.matches.is_empty() {
            f.write_str(" ")?;
        }
        if self.cookie_mask != 0 {
            write!(f, "cookie:{}/{} ", Hex(self.cookie.into()), Hex(self.cookie_mask.into()))?;
        } else if self.cookie != 0 {
            write!(f, "cookie:{:#x} ", self.cookie)?;
        }
        if self.idle_timeout != 0 {
            write!(f, "idle:{} ", self.idle_timeout)?;
        }
        if self.hard_timeout != 0 {
            write!(f, "hard:{} ", self.hard_timeout)?;
        }
        if self.buffer_id != flow::NO_BUFFER {
            write!(f, "buf:{:#x} ", self.buffer_id)?;
        }
        if self.out_port != port::ANY {
            write!(f, "out_port:{} ", PortName(self.out_port))?;
        }
        if self.out_group != flow::GROUP_ANY {
            write!(f, "out_group:{} ", self.out_group)?;
        }
        fmt_flags(self.flags, f)?;
        write!(f, "actions={}", Instructions(&self.instructions))
    }
}

/// A row as `ovs-ofctl -O OpenFlow13 --no-stats --no-names dump-flows` prints it; with `{:#}` also its age and counters.
impl fmt::Display for FlowStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let with_counters = f.alternate();
        write!(f, "cookie={:#x}, ", self.cookie)?;
        if with_counters {
            write!(f, "duration={}s, ", Duration(self.duration_sec, self.duration_nsec))?;
        }
        if with_counters || self.table != 0 {
            write!(f, "table={}, ", self.table)?;
        }
        if with_counters {
            write!(f, "n_packets={}, n_bytes={}, ", self.packet_count, self.byte_count)?;
        }
        if self.idle_timeout != 0 {
            write!(f, "idle_timeout={}, ", self.idle_timeout)?;
        }
        if self.hard_timeout != 0 {
            write!(f, "hard_timeout={}, ", self.hard_timeout)?;
        }
        fmt_flags(self.flags, f)?;
        let priority = unusual(self.priority);
        fmt_match(&self.matches, priority, f)?;
        if priority.is_some() || !self.matches.is_empty() {
            f.write_str(" ")?;
        }
        write!(f, "actions={}", Instructions(&self.instructions))
    }
}

impl fmt::Display for FlowRemoved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priority = unusual(self.priority);
        fmt_match(&self.matches, priority, f)?;
        if priority.is_some() || !self.matches.is_empty() {
            f.write_str(" ")?;
        }
        f.write_str("reason=")?;
        match self.reason {
            flow::removed::IDLE_TIMEOUT => f.write_str("idle")?,
            flow::removed::HARD_TIMEOUT => f.write_str("hard")?,
            flow::removed::DELETE => f.write_str("delete")?,
            flow::removed::GROUP_DELETE => f.write_str("group_delete")?,
            flow::removed::METER_DELETE => f.write_str("meter_delete")?,
            flow::removed::EVICTION => f.write_str("eviction")?,
            other => write!(f, "{other}")?,
        }
        if self.table != flow::TABLE_ALL {
            write!(f, " table_id={}", self.table)?;
        }
        if self.cookie != 0 {
            write!(f, " cookie:{:#x}", self.cookie)?;
        }
        write!(f, " duration{}s", Duration(self.duration_sec, self.duration_nsec))?;
        write!(f, " idle{}", self.idle_timeout)?;
        if self.hard_timeout != 0 {
            write!(f, " hard{}", self.hard_timeout)?;
        }
        write!(f, " pkts{} bytes{}", self.packet_count, self.byte_count)
    }
}
