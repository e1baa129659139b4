//! A rolling hash over the last 64 bytes, for places that are found again wherever they have moved to (the "gear" hash of Ddelta, Xia et
//! al. 2014). The table is a part of the format of chunks: it is the same for ever.

/// A random number for each byte.
const TABLE: [u64; 256] = table();

/// The hash after one more byte.
#[inline]
pub fn roll(hash: u64, byte: u8) -> u64 {
    (hash << 1).wrapping_add(TABLE[byte as usize])
}

/// Whether one place in 2^`bits` is like this one.
#[inline]
pub fn is_special(hash: u64, bits: u32) -> bool {
    hash >> (64 - bits) == 0
}

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let (mut i, mut seed) = (0, 0x9E37_79B9_7F4A_7C15u64);
    while i < 256 {
        seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        table[i] = z ^ (z >> 31);
        i += 1;
    }
    table
}
