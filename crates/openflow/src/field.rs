//! Match fields: OpenFlow extensible match (OpenFlow 1.3.5, section 7.2.3) and the Nicira fields of Open vSwitch
//! (`ovs-fields`(7)).
//!
//! A field is a *name*; which of its several wire codes a peer used (OXM, the older NXM, an ONF experimenter code) is
//! forgotten on decoding, so that the same question always compares equal.

use std::borrow::Cow;
use std::fmt;

/// `OFPXMC_OPENFLOW_BASIC`: the fields of OpenFlow itself.
pub const CLASS_BASIC: u16 = 0x8000;
/// `OFPXMC_PACKET_REGS`: 64-bit packet registers (OpenFlow 1.5, used by Open vSwitch in every version).
pub const CLASS_PACKET_REGS: u16 = 0x8001;
/// `OFPXMC_EXPERIMENTER`: a 32-bit experimenter id follows the header.
pub const CLASS_EXPERIMENTER: u16 = 0xffff;
/// `OFPXMC_NXM_0`: the first Nicira class.
pub const CLASS_NXM_0: u16 = 0x0000;
/// `OFPXMC_NXM_1`: the second Nicira class; registers, tunnels, connection tracking.
pub const CLASS_NXM_1: u16 = 0x0001;
/// The Open Networking Foundation as an experimenter.
pub const ONF_EXPERIMENTER: u32 = 0x4f4e_4600;

/// How the values of a field are written in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `80`
    Decimal,
    /// `0x50`
    Hexadecimal,
    /// `02:00:00:00:00:01`
    Ethernet,
    /// `10.0.0.1`
    Ipv4,
    /// `2001:db8::1`
    Ipv6,
    /// A port number or the name of a reserved port, such as `LOCAL`.
    Port,
    /// `+syn-ack`
    TcpFlags,
    /// `+trk-new`
    CtState,
    /// `+oam`
    TunnelFlags,
    /// `no`, `first`, `later`, `not_later`, `yes`
    Fragment,
}

/// What the tables say about one field.
struct Info {
    class: u16,
    code: u8,
    bytes: u8,
    bits: u8,
    name: &'static str,
    full_name: &'static str,
    reference: &'static str,
    format: Format,
}

/// Declares [`Field`] and its table in one place: variant, (class, code, bytes, bits), name in a match, name in
/// `set_field`, name in a subfield, format.
macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = ($class:expr, $code:expr, $bytes:expr, $bits:expr) $name:literal $full:literal $reference:literal $format:ident;)+
     == $($(#[$later_doc:meta])* $later:ident = ($later_class:expr, $later_code:expr, $later_bytes:expr, $later_bits:expr) $later_name:literal $later_full:literal $later_reference:literal $later_format:ident;)+) => {
        /// A match field. The order of the variants is the order on the wire: whatever a field requires stands before it.
        #[non_exhaustive]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Field {
            $($(#[$doc])* $variant,)+
            /// A 32-bit register of Open vSwitch, 0 to 15.
            Reg(u8),
            /// A 64-bit register of Open vSwitch, 0 to 7; `XReg(n)` is `Reg(2n)` (high half) and `Reg(2n+1)`. A match on
            /// it comes back from the switch as a match on those two: to compare rows, match on `Reg`.
            XReg(u8),
            /// A 128-bit register of Open vSwitch, 0 to 3; made of four 32-bit registers.
            XxReg(u8),
            /// Tunnel option number 0 to 63, as mapped by the switch's TLV table (Geneve). Up to 124 bytes on the wire;
            /// only values that fit in 128 bits are supported here.
            TunMetadata(u8),
            $($(#[$later_doc])* $later,)+
            /// A field this library has no name for.
            Other {
                /// OXM class.
                class: u16,
                /// Field code within the class (7 bits).
                field: u8,
                /// The experimenter id where `class` is [`CLASS_EXPERIMENTER`], otherwise 0.
                experimenter: u32,
                /// Length of one value in bytes, 1 to 16, without mask and experimenter id.
                len: u8,
            },
        }
        impl Field {
            /// Every field without a parameter, in order.
            pub const NAMED: &'static [Field] = &[$(Field::$variant,)+ $(Field::$later,)+];

            const fn info(self) -> Info {
                match self {
                    $(Field::$variant => Info { class: $class, code: $code, bytes: $bytes, bits: $bits, name: $name, full_name: $full, reference: $reference, format: Format::$format },)+
                    $(Field::$later => Info { class: $later_class, code: $later_code, bytes: $later_bytes, bits: $later_bits, name: $later_name, full_name: $later_full, reference: $later_reference, format: Format::$later_format },)+
                    Field::Reg(n) => numbered(CLASS_NXM_1, n % 16, 4, 32, "reg", "NXM_NX_REG"),
                    Field::XReg(n) => numbered(CLASS_PACKET_REGS, n % 8, 8, 64, "xreg", "OXM_OF_PKT_REG"),
                    Field::XxReg(n) => numbered(CLASS_NXM_1, 111 + n % 4, 16, 128, "xxreg", "NXM_NX_XXREG"),
                    Field::TunMetadata(n) => numbered(CLASS_NXM_1, 40 + n % 64, 16, 128, "tun_metadata", "NXM_NX_TUN_METADATA"),
                    Field::Other { class, field, len, .. } => {
                        let bytes = if len == 0 { 1 } else if len > 16 { 16 } else { len };
                        Info { bytes, bits: bytes * 8, ..numbered(class, field & 0x7f, 1, 8, "", "") }
                    }
                }
            }
        }
    };
}

const fn numbered(class: u16, code: u8, bytes: u8, bits: u8, name: &'static str, reference: &'static str) -> Info {
    Info { class, code, bytes, bits, name, full_name: name, reference, format: Format::Hexadecimal }
}

use {CLASS_BASIC as B, CLASS_NXM_0 as N0, CLASS_NXM_1 as N1};

fields! {
    /// Ingress port.
    InPort = (B, 0, 4, 32) "in_port" "in_port_oxm" "OXM_OF_IN_PORT" Port;
    /// Physical port below the ingress port.
    InPhyPort = (B, 1, 4, 32) "in_phy_port" "in_phy_port" "OXM_OF_IN_PHY_PORT" Port;
    /// Metadata passed between tables.
    Metadata = (B, 2, 8, 64) "metadata" "metadata" "OXM_OF_METADATA" Hexadecimal;
    /// Ethernet destination.
    EthDst = (B, 3, 6, 48) "dl_dst" "eth_dst" "NXM_OF_ETH_DST" Ethernet;
    /// Ethernet source.
    EthSrc = (B, 4, 6, 48) "dl_src" "eth_src" "NXM_OF_ETH_SRC" Ethernet;
    /// Ethernet type, after VLAN tags.
    EthType = (B, 5, 2, 16) "dl_type" "eth_type" "NXM_OF_ETH_TYPE" Hexadecimal;
    /// VLAN id in 12 bits, and bit 12 (0x1000, `OFPVID_PRESENT`): a tag is there. Value 0 means no tag.
    VlanVid = (B, 6, 2, 13) "vlan_vid" "vlan_vid" "OXM_OF_VLAN_VID" Decimal;
    /// VLAN priority.
    VlanPcp = (B, 7, 1, 3) "dl_vlan_pcp" "vlan_pcp" "OXM_OF_VLAN_PCP" Decimal;
    /// DSCP: the upper six bits of the IP traffic class.
    IpDscp = (B, 8, 1, 6) "ip_dscp" "ip_dscp" "OXM_OF_IP_DSCP" Decimal;
    /// ECN: the lower two bits of the IP traffic class.
    IpEcn = (B, 9, 1, 2) "nw_ecn" "nw_ecn" "NXM_NX_IP_ECN" Decimal;
    /// IP protocol.
    IpProto = (B, 10, 1, 8) "nw_proto" "nw_proto" "NXM_OF_IP_PROTO" Decimal;
    /// IPv4 source.
    Ipv4Src = (B, 11, 4, 32) "nw_src" "ip_src" "NXM_OF_IP_SRC" Ipv4;
    /// IPv4 destination.
    Ipv4Dst = (B, 12, 4, 32) "nw_dst" "ip_dst" "NXM_OF_IP_DST" Ipv4;
    /// TCP source port.
    TcpSrc = (B, 13, 2, 16) "tp_src" "tcp_src" "NXM_OF_TCP_SRC" Decimal;
    /// TCP destination port.
    TcpDst = (B, 14, 2, 16) "tp_dst" "tcp_dst" "NXM_OF_TCP_DST" Decimal;
    /// UDP source port.
    UdpSrc = (B, 15, 2, 16) "tp_src" "udp_src" "NXM_OF_UDP_SRC" Decimal;
    /// UDP destination port.
    UdpDst = (B, 16, 2, 16) "tp_dst" "udp_dst" "NXM_OF_UDP_DST" Decimal;
    /// SCTP source port.
    SctpSrc = (B, 17, 2, 16) "tp_src" "sctp_src" "OXM_OF_SCTP_SRC" Decimal;
    /// SCTP destination port.
    SctpDst = (B, 18, 2, 16) "tp_dst" "sctp_dst" "OXM_OF_SCTP_DST" Decimal;
    /// ICMP type.
    Icmpv4Type = (B, 19, 1, 8) "icmp_type" "icmp_type" "NXM_OF_ICMP_TYPE" Decimal;
    /// ICMP code.
    Icmpv4Code = (B, 20, 1, 8) "icmp_code" "icmp_code" "NXM_OF_ICMP_CODE" Decimal;
    /// ARP operation.
    ArpOp = (B, 21, 2, 16) "arp_op" "arp_op" "NXM_OF_ARP_OP" Decimal;
    /// ARP sender IPv4 address.
    ArpSpa = (B, 22, 4, 32) "arp_spa" "arp_spa" "NXM_OF_ARP_SPA" Ipv4;
    /// ARP target IPv4 address.
    ArpTpa = (B, 23, 4, 32) "arp_tpa" "arp_tpa" "NXM_OF_ARP_TPA" Ipv4;
    /// ARP sender hardware address.
    ArpSha = (B, 24, 6, 48) "arp_sha" "arp_sha" "NXM_NX_ARP_SHA" Ethernet;
    /// ARP target hardware address.
    ArpTha = (B, 25, 6, 48) "arp_tha" "arp_tha" "NXM_NX_ARP_THA" Ethernet;
    /// IPv6 source.
    Ipv6Src = (B, 26, 16, 128) "ipv6_src" "ipv6_src" "NXM_NX_IPV6_SRC" Ipv6;
    /// IPv6 destination.
    Ipv6Dst = (B, 27, 16, 128) "ipv6_dst" "ipv6_dst" "NXM_NX_IPV6_DST" Ipv6;
    /// IPv6 flow label.
    Ipv6Flabel = (B, 28, 4, 20) "ipv6_label" "ipv6_label" "NXM_NX_IPV6_LABEL" Hexadecimal;
    /// ICMPv6 type.
    Icmpv6Type = (B, 29, 1, 8) "icmp_type" "icmpv6_type" "NXM_NX_ICMPV6_TYPE" Decimal;
    /// ICMPv6 code.
    Icmpv6Code = (B, 30, 1, 8) "icmp_code" "icmpv6_code" "NXM_NX_ICMPV6_CODE" Decimal;
    /// Target address of a neighbour solicitation or advertisement.
    Ipv6NdTarget = (B, 31, 16, 128) "nd_target" "nd_target" "NXM_NX_ND_TARGET" Ipv6;
    /// Source link-layer option of a neighbour solicitation.
    Ipv6NdSll = (B, 32, 6, 48) "nd_sll" "nd_sll" "NXM_NX_ND_SLL" Ethernet;
    /// Target link-layer option of a neighbour advertisement.
    Ipv6NdTll = (B, 33, 6, 48) "nd_tll" "nd_tll" "NXM_NX_ND_TLL" Ethernet;
    /// MPLS label of the outermost shim header.
    MplsLabel = (B, 34, 4, 20) "mpls_label" "mpls_label" "OXM_OF_MPLS_LABEL" Decimal;
    /// MPLS traffic class.
    MplsTc = (B, 35, 1, 3) "mpls_tc" "mpls_tc" "OXM_OF_MPLS_TC" Decimal;
    /// MPLS bottom-of-stack bit.
    MplsBos = (B, 36, 1, 1) "mpls_bos" "mpls_bos" "OXM_OF_MPLS_BOS" Decimal;
    /// PBB service instance.
    PbbIsid = (B, 37, 3, 24) "pbb_isid" "pbb_isid" "OXM_OF_PBB_ISID" Hexadecimal;
    /// Tunnel key, such as the VNI.
    TunnelId = (B, 38, 8, 64) "tun_id" "tun_id" "NXM_NX_TUN_ID" Hexadecimal;
    /// Which IPv6 extension headers are there.
    Ipv6Exthdr = (B, 39, 2, 9) "ipv6_exthdr" "ipv6_exthdr" "OXM_OF_IPV6_EXTHDR" Hexadecimal;
    ==
    /// Connection state bits; see `ct_state` in ovs-fields(7).
    CtState = (N1, 105, 4, 32) "ct_state" "ct_state" "NXM_NX_CT_STATE" CtState;
    /// Connection tracking zone.
    CtZone = (N1, 106, 2, 16) "ct_zone" "ct_zone" "NXM_NX_CT_ZONE" Hexadecimal;
    /// Mark of the connection.
    CtMark = (N1, 107, 4, 32) "ct_mark" "ct_mark" "NXM_NX_CT_MARK" Hexadecimal;
    /// Label of the connection.
    CtLabel = (N1, 108, 16, 128) "ct_label" "ct_label" "NXM_NX_CT_LABEL" Hexadecimal;
    /// IP protocol of the connection's original direction.
    CtNwProto = (N1, 119, 1, 8) "ct_nw_proto" "ct_nw_proto" "NXM_NX_CT_NW_PROTO" Decimal;
    /// IPv4 source of the original direction.
    CtNwSrc = (N1, 120, 4, 32) "ct_nw_src" "ct_nw_src" "NXM_NX_CT_NW_SRC" Ipv4;
    /// IPv4 destination of the original direction.
    CtNwDst = (N1, 121, 4, 32) "ct_nw_dst" "ct_nw_dst" "NXM_NX_CT_NW_DST" Ipv4;
    /// IPv6 source of the original direction.
    CtIpv6Src = (N1, 122, 16, 128) "ct_ipv6_src" "ct_ipv6_src" "NXM_NX_CT_IPV6_SRC" Ipv6;
    /// IPv6 destination of the original direction.
    CtIpv6Dst = (N1, 123, 16, 128) "ct_ipv6_dst" "ct_ipv6_dst" "NXM_NX_CT_IPV6_DST" Ipv6;
    /// Transport source port (or ICMP type) of the original direction.
    CtTpSrc = (N1, 124, 2, 16) "ct_tp_src" "ct_tp_src" "NXM_NX_CT_TP_SRC" Decimal;
    /// Transport destination port (or ICMP code) of the original direction.
    CtTpDst = (N1, 125, 2, 16) "ct_tp_dst" "ct_tp_dst" "NXM_NX_CT_TP_DST" Decimal;
    /// Outer IPv4 source of a tunnelled packet.
    TunIpv4Src = (N1, 31, 4, 32) "tun_src" "tun_src" "NXM_NX_TUN_IPV4_SRC" Ipv4;
    /// Outer IPv4 destination of a tunnelled packet.
    TunIpv4Dst = (N1, 32, 4, 32) "tun_dst" "tun_dst" "NXM_NX_TUN_IPV4_DST" Ipv4;
    /// Outer IPv6 source of a tunnelled packet.
    TunIpv6Src = (N1, 109, 16, 128) "tun_ipv6_src" "tun_ipv6_src" "NXM_NX_TUN_IPV6_SRC" Ipv6;
    /// Outer IPv6 destination of a tunnelled packet.
    TunIpv6Dst = (N1, 110, 16, 128) "tun_ipv6_dst" "tun_ipv6_dst" "NXM_NX_TUN_IPV6_DST" Ipv6;
    /// Tunnel flags: bit 0 is Geneve's OAM.
    TunFlags = (N1, 104, 2, 16) "tun_flags" "tun_flags" "NXM_NX_TUN_FLAGS" TunnelFlags;
    /// VXLAN group-based policy id.
    TunGbpId = (N1, 38, 2, 16) "tun_gbp_id" "tun_gbp_id" "NXM_NX_TUN_GBP_ID" Decimal;
    /// VXLAN group-based policy flags.
    TunGbpFlags = (N1, 39, 1, 8) "tun_gbp_flags" "tun_gbp_flags" "NXM_NX_TUN_GBP_FLAGS" Hexadecimal;
    /// The conjunction that matched.
    ConjId = (N1, 37, 4, 32) "conj_id" "conj_id" "NXM_NX_CONJ_ID" Decimal;
    /// Fragment bits: bit 0 any fragment, bit 1 later fragment.
    IpFrag = (N1, 26, 1, 2) "nw_frag" "ip_frag" "NXM_NX_IP_FRAG" Fragment;
    /// TCP flags.
    TcpFlags = (N1, 34, 2, 12) "tcp_flags" "tcp_flags" "NXM_NX_TCP_FLAGS" TcpFlags;
    /// IP time to live, or hop limit.
    IpTtl = (N1, 29, 1, 8) "nw_ttl" "nw_ttl" "NXM_NX_IP_TTL" Decimal;
    /// MPLS time to live.
    MplsTtl = (N1, 30, 1, 8) "mpls_ttl" "mpls_ttl" "NXM_NX_MPLS_TTL" Decimal;
    /// Mark of the packet in the operating system.
    PktMark = (N1, 33, 4, 32) "pkt_mark" "pkt_mark" "NXM_NX_PKT_MARK" Hexadecimal;
    /// Hash computed by the datapath.
    DpHash = (N1, 35, 4, 32) "dp_hash" "dp_hash" "NXM_NX_DP_HASH" Hexadecimal;
    /// Recirculation id of the datapath.
    RecircId = (N1, 36, 4, 32) "recirc_id" "recirc_id" "NXM_NX_RECIRC_ID" Hexadecimal;
    /// The output port in the action set (ONF experimenter field in OpenFlow 1.3).
    ActsetOutput = (CLASS_EXPERIMENTER, 43, 4, 32) "actset_output" "actset_output" "ONFOXM_ET_ACTSET_OUTPUT" Port;
    /// Ingress port in 16 bits, as Nicira's older code has it: only in subfields.
    InPort16 = (N0, 0, 2, 16) "in_port" "in_port" "NXM_OF_IN_PORT" Port;
    /// The whole VLAN tag control information, bit 12 saying that a tag is there (Nicira's older code).
    VlanTci = (N0, 4, 2, 16) "vlan_tci" "vlan_tci" "NXM_OF_VLAN_TCI" Hexadecimal;
    /// The IP traffic class without ECN, in place (Nicira's older code).
    IpTos = (N0, 5, 1, 8) "nw_tos" "nw_tos" "NXM_OF_IP_TOS" Decimal;
}

impl Field {
    /// OXM class and 7-bit field code, as encoded.
    pub const fn header(self) -> (u16, u8) {
        let info = self.info();
        (info.class, info.code)
    }

    /// The experimenter id of a field of class [`CLASS_EXPERIMENTER`].
    pub const fn experimenter(self) -> Option<u32> {
        match self {
            Field::ActsetOutput => Some(ONF_EXPERIMENTER),
            Field::Other { class: CLASS_EXPERIMENTER, experimenter, .. } => Some(experimenter),
            _ => None,
        }
    }

    /// Length of one value on the wire in bytes, 1 to 16. A `TunMetadata` may be shorter or longer there.
    pub const fn bytes(self) -> usize {
        self.info().bytes as usize
    }

    /// Number of bits that may be set, 1 to 128.
    pub const fn width(self) -> u16 {
        self.info().bits as u16
    }

    /// All bits of the field.
    pub const fn full_mask(self) -> u128 {
        u128::MAX >> (128 - self.info().bits as u32)
    }

    /// How values are written.
    pub const fn format(self) -> Format {
        self.info().format
    }

    /// The name in a match, as ovs-ofctl prints it: `nw_src`, `reg3`.
    pub fn name(self) -> Cow<'static, str> {
        self.spelled(self.info().name, "field")
    }

    /// The name in `set_field`, as ovs-ofctl prints it: `ip_src`, `reg3`.
    pub fn full_name(self) -> Cow<'static, str> {
        self.spelled(self.info().full_name, "field")
    }

    /// The name in a subfield, as ovs-ofctl prints it: `NXM_OF_IP_SRC`, `NXM_NX_REG3`.
    pub fn reference(self) -> Cow<'static, str> {
        self.spelled(self.info().reference, "FIELD")
    }

    fn spelled(self, stem: &'static str, unknown: &str) -> Cow<'static, str> {
        match self {
            Field::Reg(n) | Field::XReg(n) | Field::XxReg(n) | Field::TunMetadata(n) => {
                Cow::Owned(format!("{stem}{n}"))
            }
            Field::Other { class, field, experimenter: 0, .. } => Cow::Owned(format!("{unknown}_{class:#x}_{field}")),
            Field::Other { class, field, experimenter, .. } => {
                Cow::Owned(format!("{unknown}_{class:#x}_{field}_{experimenter:#x}"))
            }
            _ => Cow::Borrowed(stem),
        }
    }

    /// The field behind a wire header, in whatever dialect; `payload` is the length of one value in bytes.
    pub fn from_header(class: u16, code: u8, experimenter: Option<u32>, payload: usize) -> Field {
        let known = match class {
            CLASS_NXM_0 => from_nxm_0(code),
            CLASS_NXM_1 => from_nxm_1(code),
            CLASS_PACKET_REGS if code < 8 => Some(Field::XReg(code)),
            CLASS_BASIC if code == 42 => Some(Field::TcpFlags),
            CLASS_BASIC if code == 43 => Some(Field::ActsetOutput),
            CLASS_EXPERIMENTER if experimenter == Some(ONF_EXPERIMENTER) => match code {
                42 => Some(Field::TcpFlags),
                43 => Some(Field::ActsetOutput),
                _ => None,
            },
            _ => Field::NAMED
                .iter()
                .copied()
                .find(|field| class != CLASS_EXPERIMENTER && field.header() == (class, code)),
        };
        match known {
            Some(field) if field.bytes() == payload || matches!(field, Field::TunMetadata(_)) => field,
            _ => Field::Other {
                class,
                field: code & 0x7f,
                experimenter: experimenter.unwrap_or(0),
                len: u8::try_from(payload).unwrap_or(u8::MAX),
            },
        }
    }

    /// Which fields a match must also contain, with one of the values listed, or with any value for an empty list
    /// (OpenFlow 1.3.5, table 12; ovs-fields(7)).
    pub const fn prerequisites(self) -> &'static [(Field, &'static [u128])] {
        const IP: (Field, &[u128]) = (Field::EthType, &[0x0800, 0x86dd]);
        const IPV4: (Field, &[u128]) = (Field::EthType, &[0x0800]);
        const IPV6: (Field, &[u128]) = (Field::EthType, &[0x86dd]);
        const ICMPV6: (Field, &[u128]) = (Field::IpProto, &[58]);
        const TRACKED: (Field, &[u128]) = (Field::CtState, &[]);
        match self {
            Field::InPhyPort => &[(Field::InPort, &[])],
            Field::VlanPcp => &[(Field::VlanVid, &[])],
            Field::IpDscp | Field::IpEcn | Field::IpProto | Field::IpTtl | Field::IpFrag | Field::IpTos => &[IP],
            Field::Ipv4Src | Field::Ipv4Dst => &[IPV4],
            Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Flabel | Field::Ipv6Exthdr => &[IPV6],
            Field::CtNwProto => &[IP, TRACKED],
            Field::CtNwSrc | Field::CtNwDst => &[IPV4, TRACKED],
            Field::CtIpv6Src | Field::CtIpv6Dst => &[IPV6, TRACKED],
            Field::CtTpSrc | Field::CtTpDst => &[IP, TRACKED, (Field::CtNwProto, &[])],
            Field::TcpSrc | Field::TcpDst | Field::TcpFlags => &[IP, (Field::IpProto, &[6])],
            Field::UdpSrc | Field::UdpDst => &[IP, (Field::IpProto, &[17])],
            Field::SctpSrc | Field::SctpDst => &[IP, (Field::IpProto, &[132])],
            Field::Icmpv4Type | Field::Icmpv4Code => &[IPV4, (Field::IpProto, &[1])],
            Field::Icmpv6Type | Field::Icmpv6Code => &[IPV6, ICMPV6],
            Field::Ipv6NdTarget => &[IPV6, ICMPV6, (Field::Icmpv6Type, &[135, 136])],
            Field::Ipv6NdSll => &[IPV6, ICMPV6, (Field::Icmpv6Type, &[135])],
            Field::Ipv6NdTll => &[IPV6, ICMPV6, (Field::Icmpv6Type, &[136])],
            Field::ArpOp | Field::ArpSpa | Field::ArpTpa | Field::ArpSha | Field::ArpTha => {
                &[(Field::EthType, &[0x0806, 0x8035])]
            }
            Field::MplsLabel | Field::MplsTc | Field::MplsBos | Field::MplsTtl => {
                &[(Field::EthType, &[0x8847, 0x8848])]
            }
            Field::PbbIsid => &[(Field::EthType, &[0x88e7])],
            _ => &[],
        }
    }
}

fn from_nxm_0(code: u8) -> Option<Field> {
    const FIELDS: [Field; 18] = [
        Field::InPort16,
        Field::EthDst,
        Field::EthSrc,
        Field::EthType,
        Field::VlanTci,
        Field::IpTos,
        Field::IpProto,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::TcpSrc,
        Field::TcpDst,
        Field::UdpSrc,
        Field::UdpDst,
        Field::Icmpv4Type,
        Field::Icmpv4Code,
        Field::ArpOp,
        Field::ArpSpa,
        Field::ArpTpa,
    ];
    FIELDS.get(usize::from(code)).copied()
}

fn from_nxm_1(code: u8) -> Option<Field> {
    Some(match code {
        0..=15 => Field::Reg(code),
        16 => Field::TunnelId,
        17 => Field::ArpSha,
        18 => Field::ArpTha,
        19 => Field::Ipv6Src,
        20 => Field::Ipv6Dst,
        21 => Field::Icmpv6Type,
        22 => Field::Icmpv6Code,
        23 => Field::Ipv6NdTarget,
        24 => Field::Ipv6NdSll,
        25 => Field::Ipv6NdTll,
        27 => Field::Ipv6Flabel,
        28 => Field::IpEcn,
        40..=103 => Field::TunMetadata(code - 40),
        111..=114 => Field::XxReg(code - 111),
        _ => return Field::NAMED.iter().copied().find(|field| field.header() == (CLASS_NXM_1, code)),
    })
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_again_by_its_header() {
        let numbered = (0..16)
            .map(Field::Reg)
            .chain((0..8).map(Field::XReg))
            .chain((0..4).map(Field::XxReg))
            .chain((0..64).map(Field::TunMetadata));
        for field in Field::NAMED.iter().copied().chain(numbered) {
            let (class, code) = field.header();
            assert_eq!(Field::from_header(class, code, field.experimenter(), field.bytes()), field);
            assert!(code < 128 && field.width() as usize <= field.bytes() * 8, "{field:?}");
        }
    }

    #[test]
    fn what_a_field_requires_stands_before_it() {
        for field in Field::NAMED {
            for (required, _) in field.prerequisites() {
                assert!(required < field, "{field:?} is encoded before {required:?}");
            }
        }
    }

    #[test]
    fn an_unexpected_length_makes_an_unknown_field() {
        let odd = Field::from_header(CLASS_BASIC, 11, None, 3);
        assert_eq!(odd, Field::Other { class: CLASS_BASIC, field: 11, experimenter: 0, len: 3 });
        assert_eq!(odd.full_mask(), 0xff_ffff);
    }
}
