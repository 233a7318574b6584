//! Groups, meters, ports and queues as text.

use std::fmt::{self, Display};

use crate::flow;
use crate::group::{self, Bucket, GroupCommand, GroupFeatures, GroupMod, GroupStats, GroupType};
use crate::meter::{self, Band, MeterCommand, MeterFeatures, MeterMod, MeterStats};
use crate::port::{self, Port, PortMod, PortStats};
use crate::queue::{Queue, QueueStats};
use crate::text::actions::Actions;
use crate::text::{Dotted, Duration, Mac, PortName, Words};

impl Display for GroupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GroupType::All => "all",
            GroupType::Select => "select",
            GroupType::Indirect => "indirect",
            GroupType::FastFailover => "ff",
            GroupType::Other(number) => return write!(f, "{number}"),
        })
    }
}

impl Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bucket=")?;
        if self.weight != 0 {
            write!(f, "weight:{},", self.weight)?;
        }
        if self.watch_port != port::ANY {
            write!(f, "watch_port:{},", PortName(self.watch_port))?;
        }
        if self.watch_group != flow::GROUP_ANY {
            write!(f, "watch_group:{},", self.watch_group)?;
        }
        write!(f, "actions={}", Actions(&self.actions))
    }
}

pub(super) fn fmt_group(
    group_id: u32,
    type_: GroupType,
    buckets: &[Bucket],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match group_id {
        group::ALL => f.write_str("group_id=all")?,
        id => write!(f, "group_id={id}")?,
    }
    write!(f, ",type={type_}")?;
    buckets.iter().try_for_each(|bucket| write!(f, ",{bucket}"))
}

impl Display for GroupMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.command {
            GroupCommand::Add => "ADD ",
            GroupCommand::Modify => "MOD ",
            GroupCommand::Delete => "DEL ",
        })?;
        fmt_group(self.group_id, self.type_, &self.buckets, f)
    }
}

/// A meter's number, or the name of a reserved one.
pub(super) struct MeterName(pub(super) u32);

impl Display for MeterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            meter::ALL => f.write_str("all"),
            meter::CONTROLLER => f.write_str("controller"),
            meter::SLOW_PATH => f.write_str("slowpath"),
            id => write!(f, "{id}"),
        }
    }
}

const METER_FLAGS: [(u32, &str); 4] = [
    (meter::FLAG_KBPS as u32, "kbps"),
    (meter::FLAG_PACKETS as u32, "pktps"),
    (meter::FLAG_BURST as u32, "burst"),
    (meter::FLAG_STATS as u32, "stats"),
];

pub(super) fn fmt_meter(id: u32, flags: u16, bands: &[Band], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "meter={}", MeterName(id))?;
    if flags != 0 {
        write!(f, " {}", Words(flags.into(), &METER_FLAGS, ""))?;
    }
    f.write_str(" bands=")?;
    bands.iter().try_for_each(|band| match band {
        Band::Drop { rate, burst } => write!(f, "\ntype=drop rate={rate}{}", Burst(flags, *burst)),
        Band::DscpRemark { rate, burst, precedence } => {
            write!(f, "\ntype=dscp_remark rate={rate}{} prec_level={precedence}", Burst(flags, *burst))
        }
        Band::Unknown { type_, rate, burst, .. } => {
            write!(f, "\ntype={type_} rate={rate}{}", Burst(flags, *burst))
        }
    })
}

struct Burst(u16, u32);

impl Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 & meter::FLAG_BURST == 0 { Ok(()) } else { write!(f, " burst_size={}", self.1) }
    }
}

impl Display for MeterMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.command {
            MeterCommand::Add => "ADD ",
            MeterCommand::Modify => "MOD ",
            MeterCommand::Delete => "DEL ",
        })?;
        if self.command == MeterCommand::Delete {
            return fmt_meter(self.meter_id, 0, &[], f);
        }
        fmt_meter(self.meter_id, self.flags, &self.bands, f)
    }
}

impl Display for GroupStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = Duration(self.duration_sec, self.duration_nsec);
        write!(f, "group_id={},duration={age}s,ref_count={}", self.group_id, self.ref_count)?;
        write!(f, ",packet_count={},byte_count={}", Count(self.packet_count), Count(self.byte_count))?;
        self.buckets.iter().enumerate().try_for_each(|(index, (packets, bytes))| {
            write!(f, ",bucket{index}:packet_count={},byte_count={}", Count(*packets), Count(*bytes))
        })
    }
}

/// Names of OpenFlow's own actions by number, in the order in which ovs-ofctl lists them.
pub(super) const ACTION_NAMES: [(u16, &str); 16] = [
    (0, "output"),
    (22, "group"),
    (25, "set_field"),
    (18, "strip_vlan"),
    (17, "push_vlan"),
    (23, "mod_nw_ttl"),
    (24, "dec_ttl"),
    (15, "set_mpls_ttl"),
    (16, "dec_mpls_ttl"),
    (19, "push_mpls"),
    (20, "pop_mpls"),
    (21, "set_queue"),
    (11, "copy_ttl_out"),
    (12, "copy_ttl_in"),
    (26, "push_pbb"),
    (27, "pop_pbb"),
];

impl Display for GroupFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (types, capabilities) = (self.types, self.capabilities);
        write!(f, " Group table:\n    Types:  {types:#x}\n    Capabilities:  {capabilities:#x}")?;
        let names = ["all", "select", "indirect", "fast failover"];
        for (index, name) in names.into_iter().enumerate().filter(|(index, _)| self.types >> index & 1 == 1) {
            let of = |array: &[u32; 4]| array.get(index).copied().unwrap_or(0);
            write!(f, "\n    {name} group:\n       max_groups={:#x}\n       actions:", of(&self.max_groups))?;
            let supported = of(&self.actions);
            let known = ACTION_NAMES.iter().filter(|(number, _)| supported >> number & 1 == 1);
            let known: Vec<&str> = known.map(|(_, name)| *name).collect();
            let rest = ACTION_NAMES.iter().fold(supported, |rest, (number, _)| rest & !(1 << number));
            if supported == 0 {
                f.write_str(" <none>")?;
            }
            known.iter().try_for_each(|name| write!(f, " {name}"))?;
            if rest != 0 {
                write!(f, " {rest:#x}")?;
            }
        }
        Ok(())
    }
}

impl Display for MeterStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "meter:{} flow_count:{} ", MeterName(self.meter_id), self.flow_count)?;
        write!(f, "packet_in_count:{} byte_in_count:{} ", self.packet_in_count, self.byte_in_count)?;
        write!(f, "duration:{}s bands:", Duration(self.duration_sec, self.duration_nsec))?;
        self.bands
            .iter()
            .enumerate()
            .try_for_each(|(index, (packets, bytes))| write!(f, "\n{index}: packet_count:{packets} byte_count:{bytes}"))
    }
}

impl Display for MeterFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BANDS: [(u32, &str); 2] = [(1 << 1, "drop"), (1 << 2, "dscp_remark")];
        write!(f, "max_meter:{} max_bands:{} max_color:{}", self.max_meter, self.max_bands, self.max_color)?;
        write!(f, "\nband_types: {}", Words(self.band_types, &BANDS, " "))?;
        write!(f, "\ncapabilities: {}", Words(self.capabilities, &METER_FLAGS, " "))
    }
}

/// A counter; all ones for one that is not kept.
struct Count(u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == u64::MAX { f.write_str("?") } else { self.0.fmt(f) }
    }
}

impl Display for QueueStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} queue {}: ", PortName(self.port_no), QueueName(self.queue_id))?;
        write!(f, "bytes={}, pkts={}, ", Count(self.tx_bytes), Count(self.tx_packets))?;
        write!(f, "errors={}, duration=", Count(self.tx_errors))?;
        if self.duration_sec == u32::MAX {
            return f.write_str("?");
        }
        write!(f, "{}s", Duration(self.duration_sec, self.duration_nsec))
    }
}

/// A queue's number, or `ALL`.
pub(super) struct QueueName(pub(super) u32);

impl Display for QueueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == crate::queue::ALL { f.write_str("ALL") } else { self.0.fmt(f) }
    }
}

impl Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}:", self.queue_id)?;
        for (name, rate) in [("min_rate", self.min_rate), ("max_rate", self.max_rate)] {
            match rate {
                Some(rate) if rate <= 1000 => write!(f, " {name}:{}.{}%", rate / 10, rate % 10)?,
                Some(_) => write!(f, " {name}:(disabled)")?,
                None => {}
            }
        }
        self.others.iter().try_for_each(|other| write!(f, " property({:#x},{})", other.type_, Dotted(&other.body)))
    }
}

const PORT_CONFIG: [(u32, &str); 4] = [
    (port::CONFIG_PORT_DOWN, "PORT_DOWN"),
    (port::CONFIG_NO_RECV, "NO_RECV"),
    (port::CONFIG_NO_FWD, "NO_FWD"),
    (port::CONFIG_NO_PACKET_IN, "NO_PACKET_IN"),
];
const PORT_STATE: [(u32, &str); 3] =
    [(port::STATE_LINK_DOWN, "LINK_DOWN"), (port::STATE_BLOCKED, "BLOCKED"), (port::STATE_LIVE, "LIVE")];
/// `OFPPF_*` (OpenFlow 1.3.5 section 7.2.1).
const PORT_FEATURES: [(u32, &str); 16] = [
    (1 << 0, "10MB-HD"),
    (1 << 1, "10MB-FD"),
    (1 << 2, "100MB-HD"),
    (1 << 3, "100MB-FD"),
    (1 << 4, "1GB-HD"),
    (1 << 5, "1GB-FD"),
    (1 << 6, "10GB-FD"),
    (1 << 7, "40GB-FD"),
    (1 << 8, "100GB-FD"),
    (1 << 9, "1TB-FD"),
    (1 << 10, "OTHER"),
    (1 << 11, "COPPER"),
    (1 << 12, "FIBER"),
    (1 << 13, "AUTO_NEG"),
    (1 << 14, "AUTO_PAUSE"),
    (1 << 15, "AUTO_PAUSE_ASYM"),
];

impl Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " {}({}): addr:{}", PortName(self.port_no), self.name, Mac(self.hw_addr))?;
        write!(f, "\n     config:     {}", Words(self.config, &PORT_CONFIG, "0"))?;
        write!(f, "\n     state:      {}", Words(self.state, &PORT_STATE, "0"))?;
        for (label, features) in [
            ("current:   ", self.curr),
            ("advertised:", self.advertised),
            ("supported: ", self.supported),
            ("peer:      ", self.peer),
        ] {
            if features != 0 {
                write!(f, "\n     {label} {}", Words(features, &PORT_FEATURES, "0"))?;
            }
        }
        write!(f, "\n     speed: {} Mbps now, {} Mbps max", self.curr_speed / 1000, self.max_speed / 1000)
    }
}

impl Display for PortMod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port: {}: addr:{}", PortName(self.port_no), Mac(self.hw_addr))?;
        write!(f, "\n     config: {}", Words(self.config, &PORT_CONFIG, "0"))?;
        write!(f, "\n     mask:   {}", Words(self.mask, &PORT_CONFIG, "0"))?;
        write!(f, "\n     advertise: {}", Words(self.advertise, &PORT_FEATURES, "UNCHANGED"))
    }
}

impl Display for PortStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  port {:>2}: rx pkts={}, bytes={}, drop={}, errs={}, frame={}, over={}, crc={}\n           \
             tx pkts={}, bytes={}, drop={}, errs={}, coll={}",
            PortName(self.port_no).to_string(),
            Count(self.rx_packets),
            Count(self.rx_bytes),
            Count(self.rx_dropped),
            Count(self.rx_errors),
            Count(self.rx_frame_err),
            Count(self.rx_over_err),
            Count(self.rx_crc_err),
            Count(self.tx_packets),
            Count(self.tx_bytes),
            Count(self.tx_dropped),
            Count(self.tx_errors),
            Count(self.collisions),
        )?;
        if self.duration_sec == u32::MAX {
            return Ok(());
        }
        write!(f, "\n           duration={}s", Duration(self.duration_sec, self.duration_nsec))
    }
}
