//! Where in an array what belongs to a socket, a host or a connection has its place: no map that takes a lock or must be kept in
//! order.

/// Multiplier of Fibonacci hashing: 2^64 over the golden ratio. Odd, and without pattern.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads a number, as a kernel address, over so many places, a power of two.
#[inline(always)]
pub(crate) const fn place(number: u64, places: u32) -> u32 {
    (number.wrapping_mul(GOLDEN) >> (64 - places.trailing_zeros())) as u32
}

/// The same by other bits: what shares [`place`] with another number mostly does not share this one. The multiplier is the
/// fraction of the square root of 3, odd as well.
#[inline(always)]
pub(crate) const fn other_place(number: u64, places: u32) -> u32 {
    (number.wrapping_mul(0xbb67_ae85_84ca_a73b) >> (64 - places.trailing_zeros())) as u32
}
