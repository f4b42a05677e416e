//! Where each field lies in what is read in one go, since one read costs what a small one does.
//!
//! The fields that every event needs are not read one by one: the kernel side copies a part of the struct to its stack and picks
//! from there. Which parts, and where each field is in them, differs from kernel to kernel; the daemon computes it at start, so
//! that the programs only add constants. All numbers are `u64`, which is one load there.

/// Bytes of zeros at the beginning of the buffer. A field that the kernel lacks, or that is not in this part, is placed at 0.
pub const ZEROS: usize = 16;
/// Most bytes of a part: what fits on the BPF stack beside the rest.
pub const PART_BYTES: usize = 176;
/// Most bytes of a part of `sk_buff`. Less, because segments are read further down the stack.
pub const SKB_PART_BYTES: usize = 72;
/// Most bytes of `sock_common` up to the last field that is picked.
pub const COMMON_BYTES: usize = 112;
/// Most bytes of the part of `inet_sock`.
pub const INET_BYTES: usize = 32;
/// Most parts of `tcp_sock`; three on every kernel seen.
pub const TCP_PARTS: usize = 5;
/// Most parts of `sk_buff`; two on every kernel seen.
pub const SKB_PARTS: usize = 4;

/// A part of a struct, and where `N` fields are in the buffer after it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Part<const N: usize> {
    /// Where it begins in the struct.
    pub offset: u64,
    /// How long it is; 0 for a part that is not used.
    pub bytes: u64,
    /// Places in the buffer.
    pub at: [u64; N],
}

impl<const N: usize> Part<N> {
    /// Not used.
    pub const NONE: Self = Self { offset: 0, bytes: 0, at: [0; N] };
}

/// Fields picked from `sock_common`, in the order of [`Part::at`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "each is the field of the same name in `crate::layout`")]
pub enum Common {
    Family = 0,
    RcvSaddr,
    Daddr,
    V6RcvSaddr,
    V6Daddr,
    Dport,
    Net,
    Prot,
    State,
    Flags,
}

/// Number of [`Common`]s.
pub const COMMONS: usize = 10;

/// Fields picked from `inet_sock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "each is the field of the same name in `crate::layout`")]
pub enum Inet {
    Sport = 0,
    McTtl,
}

/// Number of [`Inet`]s.
pub const INETS: usize = 2;

/// Fields picked from `tcp_sock` and `inet_connection_sock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "each is the field of the same name in `crate::layout`")]
pub enum Tcp {
    BytesReceived = 0,
    BytesAcked,
    Lsndtime,
    Lrcvtime,
    RcvTstamp,
    DataSegsIn,
    DataSegsOut,
    SrttUs,
    RcvNxt,
    CopiedSeq,
    SndNxt,
    SndUna,
    ProbesOut,
}

/// Number of [`Tcp`]s.
pub const TCPS: usize = 13;

/// Fields picked from `sk_buff`, its control block included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "each is the field of the same name in `crate::layout`")]
pub enum Skb {
    Head = 0,
    Dev,
    Seq,
    EndSeq,
    Flags,
    Iif,
    NetworkHeader,
    TransportHeader,
    Protocol,
}

/// Number of [`Skb`]s.
pub const SKBS: usize = 9;

/// The third read-only global.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Places {
    /// `sock_common`.
    pub common: Part<COMMONS>,
    /// `inet_sock`.
    pub inet: Part<INETS>,
    /// `tcp_sock`.
    pub tcp: [Part<TCPS>; TCP_PARTS],
    /// `sk_buff`.
    pub skb: [Part<SKBS>; SKB_PARTS],
}

impl Places {
    /// Nothing is placed.
    pub const NONE: Self = Self {
        common: Part::NONE,
        inet: Part::NONE,
        tcp: [Part::NONE; TCP_PARTS],
        skb: [Part::NONE; SKB_PARTS],
    };
}
