//! What an incoming segment tells, taken before it was freed: the one that provoked a reset.

use monitor_common::peer::Tuple;

use crate::fields::{byte, field, four_bytes_at, mapped, number, sixteen_bytes_at};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

const ETH_P_IP: u16 = 0x0800;
/// Offsets that the wire formats fix: RFC 791, RFC 8200, RFC 9293.
const IPV4_TTL: u64 = 8;
const IPV4_SOURCE: u64 = 12;
const IPV4_DESTINATION: u64 = 16;
const IPV6_HOP_LIMIT: u64 = 7;
const IPV6_SOURCE: u64 = 8;
const IPV6_DESTINATION: u64 = 24;

/// A segment, by the kernel address of its `sk_buff`. `tcp_v4_rcv` and `tcp_v6_rcv` have made both headers linear
/// and filled the control block before any reset is decided.
#[derive(Clone, Copy)]
pub(crate) struct Segment(pub(crate) u64);

impl Segment {
    #[inline(always)]
    fn network_header(self) -> u64 {
        number(self.0, field!(skb_head)) + number(self.0, field!(network_header))
    }

    #[inline(always)]
    fn is_ipv4(self) -> bool {
        // By the packet and not by the socket's family: a dual-stack socket receives IPv4 too.
        u16::from_be(number(self.0, field!(skb_protocol)) as u16) == ETH_P_IP
    }

    /// The four-tuple as this host sees it: the segment's destination is our end.
    #[inline(always)]
    pub(crate) fn tuple(self, netns: u32) -> Tuple {
        let ip = self.network_header();
        let tcp = number(self.0, field!(skb_head)) + number(self.0, field!(transport_header));
        let ports = four_bytes_at(tcp);
        let (remote_addr, local_addr) = if self.is_ipv4() {
            (mapped(four_bytes_at(ip + IPV4_SOURCE)), mapped(four_bytes_at(ip + IPV4_DESTINATION)))
        } else {
            (sixteen_bytes_at(ip + IPV6_SOURCE), sixteen_bytes_at(ip + IPV6_DESTINATION))
        };
        Tuple {
            local_addr,
            remote_addr,
            netns,
            local_port: u16::from_be_bytes([ports[2], ports[3]]),
            remote_port: u16::from_be_bytes([ports[0], ports[1]]),
        }
    }

    /// Namespace of the device; 0 once the segment was queued to a socket, which clears `dev`.
    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let dev = number(self.0, field!(skb_dev));
        if dev == 0 {
            return 0;
        }
        let net = number(dev, field!(dev_net));
        number(net, field!(net_inum)) as u32
    }

    /// Flag byte of the TCP header.
    #[inline(always)]
    pub(crate) fn flags(self) -> u8 {
        number(self.0 + field!(skb_cb).offset as u64, field!(cb_tcp_flags)) as u8
    }

    /// A SYN that opens: no ACK with it.
    #[inline(always)]
    pub(crate) fn opens(self) -> bool {
        self.flags() & (SYN | ACK) == SYN
    }

    /// First sequence number.
    #[inline(always)]
    pub(crate) fn sequence(self) -> u32 {
        number(self.0 + field!(skb_cb).offset as u64, field!(cb_seq)) as u32
    }

    /// Payload bytes.
    #[inline(always)]
    pub(crate) fn payload(self) -> u32 {
        let cb = self.0 + field!(skb_cb).offset as u64;
        let start = number(cb, field!(cb_seq)) as u32;
        let end = number(cb, field!(cb_end_seq)) as u32;
        let flags = self.flags();
        end.wrapping_sub(start)
            .wrapping_sub(u32::from(flags & SYN != 0))
            .wrapping_sub(u32::from(flags & FIN != 0))
    }

    /// TTL or hop limit.
    #[inline(always)]
    pub(crate) fn ttl(self) -> u8 {
        byte(self.network_header() + if self.is_ipv4() { IPV4_TTL } else { IPV6_HOP_LIMIT })
    }

    #[inline(always)]
    pub(crate) fn ifindex(self) -> u32 {
        number(self.0, field!(skb_iif)) as u32
    }
}
