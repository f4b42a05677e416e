//! Where in an array what belongs to a socket, a host or a connection has its place: no map that takes a lock or must be kept in
//! order. Only the kernel programs ask; here because what is spread badly shows in a test and nowhere else.
#![expect(
    clippy::inline_always,
    reason = "a call in a kernel program takes a frame of a stack of 512 bytes, and a verifier's time"
)]
#![expect(clippy::cast_possible_truncation, reason = "what is cut off is not asked for")]

/// Multiplier of Fibonacci hashing: 2^64 over the golden ratio. Odd, and without pattern.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Spreads a number, as a kernel address, over so many places, a power of two.
#[inline(always)]
pub const fn place(number: u64, places: u32) -> u32 {
    (number.wrapping_mul(GOLDEN) >> (64 - places.trailing_zeros())) as u32
}

/// The same by other bits: what shares [`place`] with another number mostly does not share this one. The multiplier is the
/// fraction of the square root of 3, odd as well.
#[inline(always)]
pub const fn other_place(number: u64, places: u32) -> u32 {
    (number.wrapping_mul(0xbb67_ae85_84ca_a73b) >> (64 - places.trailing_zeros())) as u32
}

/// One word of a key more in its hash.
///
/// What differs in a word's high bits alone, as the remote port of a tuple does, is in the low half now and in no more than sixteen
/// bits of it: only [`pair`] spreads it.
#[inline(always)]
pub const fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(GOLDEN);
    hash ^ (hash >> 32)
}

/// The first of a pair of neighbours for a hash, in an array whose length is a power of two; `mask` is that less one.
#[inline(always)]
pub const fn pair(hash: u64, mask: u32) -> u32 {
    (hash.wrapping_mul(GOLDEN) >> 32) as u32 & mask & !1
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use super::{mix, pair};

    /// Places of the closed memory unless asked otherwise.
    const PLACES: usize = 1 << 16;
    const CONNECTIONS: u64 = 20_000;

    /// A tuple's words: two addresses, and namespace, local port, remote port.
    fn tuple(remote: u64, netns: u64, local_port: u64, remote_port: u64) -> [u64; 5] {
        let mapped = |address: u64| 0x0000_ffff_u64 << 32 | address;
        [0, mapped(0x0200_007f), 0, mapped(remote), netns | local_port << 32 | remote_port << 48]
    }

    /// How many find their pair taken by two others.
    fn crowded_out(tuples: impl Iterator<Item = [u64; 5]>) -> usize {
        let mut taken = alloc::vec![0_u8; PLACES];
        let mut crowded = 0;
        for tuple in tuples {
            let hash = tuple.into_iter().fold(0, mix) | 1;
            let first = pair(hash, PLACES as u32 - 1) as usize;
            assert!(first.is_multiple_of(2) && first < PLACES);
            if taken[first] < 2 {
                taken[first] += 1;
            } else {
                crowded += 1;
            }
        }
        crowded
    }

    /// By chance, pairs for 20,000 of 65,536 places are full for some 900 of them: a Poisson distribution with a mean of 0.61.
    #[test]
    fn tuples_that_differ_in_one_thing_alone_are_spread_as_if_by_chance() {
        const AT_MOST: usize = 1_100;
        let clients = (0..CONNECTIONS).map(|number| tuple(0x0300_007f, 4_026_532_128, 443, 32_768 + number));
        assert!(crowded_out(clients) < AT_MOST, "remote ports");
        let ours = (0..CONNECTIONS).map(|number| tuple(0x0300_007f, 4_026_532_128, 32_768 + number, 443));
        assert!(crowded_out(ours) < AT_MOST, "local ports");
        let hosts = (0..CONNECTIONS).map(|number| tuple(0x0a00_0000 + number, 4_026_532_128, 443, 40_000));
        assert!(crowded_out(hosts) < AT_MOST, "addresses");
        let pods = (0..CONNECTIONS).map(|number| tuple(0x0300_007f, 4_026_532_128 + number, 443, 40_000));
        assert!(crowded_out(pods) < AT_MOST, "namespaces");
    }
}
