//! Bytes for files that a test wants big: nothing compresses them, and every run has the same.

/// `n` bytes (xorshift64, Marsaglia 2003); another seed gives others.
pub fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut x = 0x2545_f491_4f6c_dd1d_u64 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..n).map(|_| next()).collect()
}
