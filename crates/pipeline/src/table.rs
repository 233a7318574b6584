//! The tables, declared once. Every generated row is checked against its table's declaration in tests and, as a
//! debug assertion, when it is made.

use std::fmt;

use fseg_openflow::{Action, Field, Instruction};

use crate::desired::Row;

/// A table of the pipeline; the discriminant is its number on the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Who is this?
    Guard = 0,
    /// A stranger, or a control protocol.
    Onboard = 1,
    /// Address resolution, answered here.
    Answer = 2,
    /// Where does it go?
    Locate = 3,
    /// Ask for the connection's state.
    Track = 4,
    /// Which service, in the direction of the one who asked?
    Turn = 5,
    /// May this class use this service of that class?
    Permit = 6,
    /// Through which functions?
    Inspect = 7,
    /// Remember the connection.
    Deliver = 8,
    /// Translate and send.
    Emit = 9,
}

/// What a table may contain.
pub struct Declaration {
    /// The table.
    pub table: Table,
    /// The question it answers.
    pub question: &'static str,
    /// Fields its rows may match.
    pub matches: &'static [Field],
    /// Tables its rows may send packets to.
    pub next: &'static [Table],
    /// What happens to a packet that no row matches.
    pub miss: Miss,
}

/// The last row of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// Drop and count.
    Drop,
    /// Drop, count, and show the node some of them.
    DropLogged,
    /// Go on.
    Goto(Table),
    /// The packet leaves as the action set says.
    Leave,
}

use Field::*;

/// The whole pipeline.
pub const PIPELINE: [Declaration; 10] = [
    Declaration {
        table: Table::Guard,
        question: "who is this? (port, MAC, address, inner ARP addresses)",
        matches: &[
            VlanVid, InPort, EthSrc, EthDst, EthType, Ipv4Src, Ipv4Dst, IpProto, UdpSrc, UdpDst, TcpSrc, ArpOp, ArpSpa,
            ArpTpa, ArpSha,
        ],
        next: &[Table::Onboard, Table::Answer, Table::Locate],
        miss: Miss::Goto(Table::Onboard),
    },
    Declaration {
        table: Table::Onboard,
        question: "a stranger, or a control protocol",
        matches: &[InPort, Metadata, EthType, IpProto, Ipv4Dst, UdpSrc, UdpDst, TcpDst, Icmpv4Type],
        next: &[Table::Locate],
        miss: Miss::Drop,
    },
    Declaration {
        table: Table::Answer,
        question: "which address is asked for?",
        matches: &[EthType, ArpOp],
        next: &[],
        miss: Miss::Drop,
    },
    Declaration {
        table: Table::Locate,
        question: "where does it go?",
        matches: &[InPort, Metadata, EthType, Ipv4Dst, IpProto, UdpDst, TcpDst, Icmpv4Type, EthDst],
        next: &[Table::Track, Table::Emit],
        miss: Miss::DropLogged,
    },
    Declaration {
        table: Table::Track,
        question: "which connection is it part of?",
        matches: &[Metadata, EthType],
        next: &[Table::Turn, Table::Emit],
        miss: Miss::Drop,
    },
    Declaration {
        table: Table::Turn,
        question: "which service, in the direction of the one who asked?",
        matches: &[EthType, IpProto, CtState, IpFrag, Icmpv4Type, Reg(2)],
        next: &[Table::Permit],
        miss: Miss::Drop,
    },
    Declaration {
        table: Table::Permit,
        question: "may this class use this service of that class?",
        matches: &[Metadata, Reg(3), Reg(5), Reg(6), ConjId, EthType, InPort, IpProto, UdpSrc],
        next: &[Table::Inspect],
        miss: Miss::DropLogged,
    },
    Declaration {
        table: Table::Inspect,
        question: "through which functions, to which mirror?",
        matches: &[Metadata, EthType, CtState, Reg(7)],
        next: &[Table::Deliver],
        miss: Miss::Goto(Table::Deliver),
    },
    Declaration {
        table: Table::Deliver,
        question: "is it a new connection, to be remembered?",
        matches: &[Metadata, EthType, CtState],
        next: &[Table::Emit],
        miss: Miss::Goto(Table::Emit),
    },
    Declaration {
        table: Table::Emit,
        question: "translated how, out of which port?",
        matches: &[EthType, Reg(1)],
        next: &[],
        miss: Miss::Drop,
    },
];

/// The tables of a switch that has no extensions, as far as it needs them; see [`crate::profile`].
pub const PLAIN: [Declaration; 6] = [
    Declaration { next: &[Table::Onboard, Table::Answer, Table::Locate], ..declared(Table::Guard) },
    Declaration { next: &[Table::Locate], ..declared(Table::Onboard) },
    Declaration { matches: &[EthType, ArpOp, ArpTpa, InPort], ..declared(Table::Answer) },
    Declaration { next: &[Table::Permit], ..declared(Table::Locate) },
    Declaration {
        matches: &[InPort, Metadata, EthType, IpProto, TcpSrc, TcpDst, UdpSrc, UdpDst, SctpSrc, SctpDst, Icmpv4Type],
        ..declared(Table::Permit)
    },
    Declaration { next: &[], miss: Miss::Leave, ..declared(Table::Inspect) },
];

const fn declared(table: Table) -> Declaration {
    let d = &PIPELINE[table as usize];
    Declaration { table: d.table, question: d.question, matches: d.matches, next: d.next, miss: d.miss }
}

impl Table {
    /// All tables in order.
    pub fn all() -> impl Iterator<Item = Table> {
        PIPELINE.iter().map(|d| d.table)
    }

    /// The number on the switch.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The table of that number.
    pub fn from_number(n: u8) -> Option<Table> {
        PIPELINE.get(usize::from(n)).map(|d| d.table)
    }

    /// What it may contain.
    pub fn declaration(self) -> &'static Declaration {
        &PIPELINE[self as usize]
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Guard => "guard",
            Self::Onboard => "onboard",
            Self::Answer => "answer",
            Self::Locate => "locate",
            Self::Track => "track",
            Self::Turn => "turn",
            Self::Permit => "permit",
            Self::Inspect => "inspect",
            Self::Deliver => "deliver",
            Self::Emit => "emit",
        })
    }
}

/// Says what a row does that its table's declaration does not allow in either profile; `None` when it keeps to one.
pub fn violation(row: &Row) -> Option<String> {
    against(row, row.key.table.declaration()).filter(|_| plain_violation(row).is_some())
}

/// Says what a row does that a plain switch's table does not allow; `None` when it keeps to it.
pub fn plain_violation(row: &Row) -> Option<String> {
    let Some(declared) = PLAIN.iter().find(|d| d.table == row.key.table) else {
        return Some(format!("plain switches have no rows in table {}", row.key.table));
    };
    against(row, declared).or_else(|| crate::rows::plain::extension(row))
}

fn against(row: &Row, declared: &Declaration) -> Option<String> {
    for (field, _) in row.key.matches.iter() {
        if !declared.matches.contains(field) {
            return Some(format!("table {} does not match {field:?}", row.key.table));
        }
    }
    let mut next = Vec::new();
    for instruction in &row.instructions {
        match instruction {
            Instruction::GotoTable(n) => next.push(*n),
            Instruction::ApplyActions(actions) | Instruction::WriteActions(actions) => {
                next.extend(actions.iter().filter_map(|a| match a {
                    Action::Ct(ct) => ct.table,
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    next.into_iter()
        .find(|n| !declared.next.iter().any(|t| t.number() == *n) && declared.miss_target() != Some(*n))
        .map(|n| format!("table {} does not lead to table {n}", row.key.table))
}

impl Declaration {
    fn miss_target(&self) -> Option<u8> {
        match self.miss {
            Miss::Goto(t) => Some(t.number()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_positions_and_packets_only_go_forward() {
        for (i, d) in PIPELINE.iter().enumerate() {
            assert_eq!(d.table.number() as usize, i);
            assert_eq!(Table::from_number(d.table.number()), Some(d.table));
            assert!(d.next.iter().all(|t| *t > d.table), "{} leads backwards", d.table);
        }
    }
}
