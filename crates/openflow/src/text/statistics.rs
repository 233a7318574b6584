//! Questions with long answers as text, and what tables can do.

use std::fmt::{self, Display};

use crate::flow;
use crate::group;
use crate::multipart::{Answer, FlowQuery, MultipartReply, MultipartRequest, Query};
use crate::port::{self, Port};
use crate::switch::AsyncConfig;
use crate::table::{SupportedType, TableFeatures, TableProperty, TableStats};
use crate::text::parts::{ACTION_NAMES, MeterName, QueueName, fmt_group, fmt_meter};
use crate::text::{Dotted, Hex, PortName};

impl Display for FlowQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.table != flow::TABLE_ALL {
            write!(f, " table={}", self.table)?;
        }
        if self.out_port != port::ANY {
            write!(f, " out_port={}", PortName(self.out_port))?;
        }
        if self.out_group != flow::GROUP_ANY {
            write!(f, " out_group={}", self.out_group)?;
        }
        if self.cookie_mask != 0 {
            write!(f, " cookie={}/{}", Hex(self.cookie.into()), Hex(self.cookie_mask.into()))?;
        }
        if self.matches.is_empty() { Ok(()) } else { write!(f, " {}", self.matches) }
    }
}

impl Display for MultipartRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.more {
            f.write_str(" flags=[more]")?;
        }
        match &self.query {
            Query::Flow(query) | Query::Aggregate(query) => query.fmt(f),
            Query::PortStats(port) => write!(f, " port_no={}", PortName(*port)),
            // In OpenFlow 1.3 it is always about all ports.
            Query::PortDesc => f.write_str(" port=ANY"),
            Query::Queue { port_no, queue_id } => {
                write!(f, " port={} queue={}", PortName(*port_no), QueueName(*queue_id))
            }
            Query::Group(group::ALL) | Query::GroupDesc => f.write_str(" group_id=ALL"),
            Query::Group(id) => write!(f, " group_id={id}"),
            Query::Meter(id) | Query::MeterConfig(id) => write!(f, " meter={}", MeterName(*id)),
            Query::TableFeatures(tables) => fmt_tables(tables, f),
            Query::Experimenter(message) => message.fmt(f),
            Query::Unknown { type_, body } => write!(f, " type={type_:#x} body={}", Dotted(body)),
            _ => Ok(()),
        }
    }
}

impl Display for MultipartReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.more {
            f.write_str(" flags=[more]")?;
        }
        match &self.answer {
            Answer::Desc(desc) => write!(
                f,
                "\nManufacturer: {}\nHardware: {}\nSoftware: {}\nSerial Num: {}\nDP Description: {}",
                desc.manufacturer, desc.hardware, desc.software, desc.serial, desc.datapath
            ),
            Answer::Flow(rows) => rows.iter().try_for_each(|row| write!(f, "\n {row:#}")),
            Answer::Aggregate(sums) => write!(
                f,
                " packet_count={} byte_count={} flow_count={}",
                sums.packet_count, sums.byte_count, sums.flow_count
            ),
            Answer::Table(tables) => fmt_table_stats(tables, f),
            Answer::PortStats(ports) => {
                write!(f, " {} ports", ports.len())?;
                ports.iter().try_for_each(|port| write!(f, "\n{port}"))
            }
            Answer::PortDesc(ports) => {
                let mut ports: Vec<&Port> = ports.iter().collect();
                ports.sort_by_key(|port| port.port_no);
                ports.iter().try_for_each(|port| write!(f, "\n{port}"))
            }
            Answer::GroupDesc(groups) => groups.iter().try_for_each(|group| {
                f.write_str("\n ")?;
                fmt_group(group.group_id, group.type_, &group.buckets, f)
            }),
            Answer::MeterConfig(meters) => meters.iter().try_for_each(|meter| {
                f.write_str("\n")?;
                fmt_meter(meter.meter_id, meter.flags, &meter.bands, f)
            }),
            Answer::Queue(queues) => {
                write!(f, " {} queues", queues.len())?;
                lines(f, "  ", queues)
            }
            Answer::Group(groups) => lines(f, " ", groups),
            Answer::GroupFeatures(features) => write!(f, "\n{features}"),
            Answer::Meter(meters) => lines(f, "", meters),
            Answer::MeterFeatures(features) => write!(f, "\n{features}"),
            Answer::TableFeatures(tables) => fmt_tables(tables, f),
            Answer::Experimenter(message) => message.fmt(f),
            Answer::Unknown { type_, body } => write!(f, " type={type_:#x} body={}", Dotted(body)),
        }
    }
}

/// A line each.
pub(super) fn lines(f: &mut fmt::Formatter<'_>, indent: &str, items: &[impl Display]) -> fmt::Result {
    items.iter().try_for_each(|item| write!(f, "\n{indent}{item}"))
}

/// Runs of tables that say the same, by the place of their first and last one.
fn runs<T>(tables: &[T], number: impl Fn(&T) -> u8, same: impl Fn(&T, &T) -> bool) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| tables.get(before));
        let next = |before: &T| number(before).checked_add(1) == Some(number(table));
        match (runs.last_mut(), before) {
            (Some((_, last)), Some(before)) if same(before, table) && next(before) => *last = index,
            _ => runs.push((index, index)),
        }
    }
    runs
}

/// The first table of a run in full, the others as `ditto`.
fn fmt_runs<T>(
    tables: &[T],
    number: impl Fn(&T) -> u8,
    same: impl Fn(&T, &T) -> bool,
    mut write_one: impl FnMut(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (place, (first, last)) in runs(tables, &number, same).into_iter().enumerate() {
        if place > 0 {
            f.write_str("\n")?;
        }
        let Some(table) = tables.get(first) else { continue };
        write_one(table, f)?;
        let numbers = (tables.get(first + 1).map(&number), tables.get(last).map(&number));
        match numbers {
            (Some(_), _) if last == first => {}
            (Some(from), Some(to)) if from == to => write!(f, "\n\n  table {from}: ditto")?,
            (Some(from), Some(to)) => write!(f, "\n\n  tables {from}...{to}: ditto")?,
            _ => {}
        }
    }
    Ok(())
}

fn fmt_table_stats(tables: &[TableStats], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let counts = |table: &TableStats| (table.active_count, table.lookup_count, table.matched_count);
    let same = |a: &TableStats, b: &TableStats| counts(a) == counts(b);
    let write_one = |table: &TableStats, f: &mut fmt::Formatter<'_>| {
        let (active, lookup, matched) = counts(table);
        write!(f, "\n  table {}:\n    active={active}, lookup={lookup}, matched={matched}", table.table)
    };
    fmt_runs(tables, |table| table.table, same, write_one, f)
}

/// Every table with all its properties by name; tables that can do the same as the one before them are `ditto`.
fn fmt_tables(tables: &[TableFeatures], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Which tables can follow depends on the table's own number: a run is about everything else.
    let plain = |table: &TableFeatures| {
        let own = |property: &&TableProperty| !matches!(property, TableProperty::NextTables { .. });
        (
            (table.metadata_match, table.metadata_write, table.config, table.max_entries),
            table.properties.iter().filter(own).cloned().collect::<Vec<_>>(),
            table.properties.iter().any(|property| !own(&property)),
        )
    };
    let same = |a: &TableFeatures, b: &TableFeatures| {
        let usual = |table: &TableFeatures| table.name.is_empty() || table.name == format!("table{}", table.table);
        plain(a) == plain(b) && (usual(a) && usual(b) || a.name == b.name)
    };
    fmt_runs(tables, |table| table.table, same, fmt_table, f)
}

fn fmt_table(table: &TableFeatures, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "\n  table {}", table.table)?;
    if !table.name.is_empty() {
        write!(f, " (\"{}\")", table.name)?;
    }
    write!(
        f,
        ":\n    metadata: match={} write={}",
        Hex(table.metadata_match.into()),
        Hex(table.metadata_write.into())
    )?;
    if table.config != 0 {
        write!(f, "\n    config={}", Hex(table.config.into()))?;
    }
    write!(f, "\n    max_entries={}", table.max_entries)?;
    table.properties.iter().try_for_each(|property| write!(f, "\n    {property}"))
}

fn types(types: &[SupportedType], names: &[(u16, &str)]) -> String {
    let one = |supported: &SupportedType| match names.iter().find(|(number, _)| *supported == *number) {
        Some((_, name)) => (*name).to_owned(),
        None if supported.experimenter.is_empty() => format!("{:#x}", supported.type_),
        None => format!("{:#x}({})", supported.type_, Dotted(&supported.experimenter)),
    };
    if types.is_empty() { "none".to_owned() } else { types.iter().map(one).collect::<Vec<_>>().join(" ") }
}

/// `1-5 7`
fn ranges(numbers: &[u8]) -> String {
    let mut out: Vec<(u8, u8)> = Vec::new();
    for number in numbers {
        match out.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            _ => out.push((*number, *number)),
        }
    }
    let text = |(first, last): &(u8, u8)| if first == last { first.to_string() } else { format!("{first}-{last}") };
    if out.is_empty() { "none".to_owned() } else { out.iter().map(text).collect::<Vec<_>>().join(" ") }
}

/// One line: what the property lists. A field that takes a mask is followed by `/mask`.
impl Display for TableProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INSTRUCTIONS: [(u16, &str); 6] = [
            (1, "goto_table"),
            (2, "write_metadata"),
            (3, "write_actions"),
            (4, "apply_actions"),
            (5, "clear_actions"),
            (6, "meter"),
        ];
        let (label, miss, list) = match self {
            TableProperty::Instructions { miss, types: list } => ("instructions", *miss, types(list, &INSTRUCTIONS)),
            TableProperty::NextTables { miss, tables } => ("next tables", *miss, ranges(tables)),
            TableProperty::WriteActions { miss, types: list } => ("write_actions", *miss, types(list, &ACTION_NAMES)),
            TableProperty::ApplyActions { miss, types: list } => ("apply_actions", *miss, types(list, &ACTION_NAMES)),
            TableProperty::Match(_) => ("match", false, fields(self)),
            TableProperty::Wildcards(_) => ("wildcards", false, fields(self)),
            TableProperty::WriteSetField { miss, .. } => ("set by write_actions", *miss, fields(self)),
            TableProperty::ApplySetField { miss, .. } => ("set by apply_actions", *miss, fields(self)),
            TableProperty::Unknown { type_, body } => return write!(f, "property({type_:#x},{})", Dotted(body)),
        };
        write!(f, "{label}{}: {list}", if miss { " on a miss" } else { "" })
    }
}

fn fields(property: &TableProperty) -> String {
    let one = |(field, maskable): &(crate::Field, bool)| {
        format!("{}{}", field.full_name(), if *maskable { "/mask" } else { "" })
    };
    let fields = property.fields();
    if fields.is_empty() { "none".to_owned() } else { fields.iter().map(one).collect::<Vec<_>>().join(" ") }
}

/// Which messages come unasked, by role.
impl Display for AsyncConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PACKET_IN: [&str; 6] = crate::text::actions::REASONS;
        const PORT_STATUS: [&str; 3] = ["add", "delete", "modify"];
        const FLOW_REMOVED: [&str; 6] = ["idle", "hard", "delete", "group_delete", "meter_delete", "eviction"];
        let reasons = |mask: u32, names: &[&str]| {
            let name = |bit: usize| names.get(bit).map_or_else(|| bit.to_string(), |name| (*name).to_owned());
            let names: Vec<String> = (0..32).filter(|bit| mask >> bit & 1 == 1).map(name).collect();
            if names.is_empty() { "(off)".to_owned() } else { names.join(" ") }
        };
        let [packet_in, port_status, flow_removed] = [self.packet_in, self.port_status, self.flow_removed];
        for (index, role) in ["primary", "secondary"].into_iter().enumerate() {
            let of = |masks: [u32; 2]| masks.get(index).copied().unwrap_or(0);
            write!(f, "{}\n {role}:", if index == 0 { "" } else { "\n" })?;
            write!(f, "\n       PACKET_IN: {}", reasons(of(packet_in), &PACKET_IN))?;
            write!(f, "\n     PORT_STATUS: {}", reasons(of(port_status), &PORT_STATUS))?;
            write!(f, "\n    FLOW_REMOVED: {}", reasons(of(flow_removed), &FLOW_REMOVED))?;
            // What only later versions can choose.
            f.write_str("\n     ROLE_STATUS: (off)\n    TABLE_STATUS: (off)\n  REQUESTFORWARD: (off)")?;
        }
        Ok(())
    }
}
