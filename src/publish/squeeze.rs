//! zstd, at its best, for what is made once and fetched by every board.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use zstd_safe::{CCtx, CParameter, Strategy};

use crate::release::patch::WINDOW_LOG;

/// How hard it tries.
const LEVEL: i32 = 19;
/// How hard with a chunk: what it is compressed against is looked through for every few kilobytes anew, which the higher levels do ten
/// times more slowly, for 2 to 6 % fewer bytes.
const CHUNK_LEVEL: i32 = 12;
/// How it looks for matches in a chunk. Left to itself, zstd sorts what is shorter than 256 KiB into a tree first: half as long again, for
/// 0.3 % fewer bytes.
const CHUNK_STRATEGY: Strategy = Strategy::ZSTD_lazy2;

/// Compresses `plain` into one frame, against `before` if there is something.
///
/// # Errors
/// zstd's own.
pub fn frame(plain: &[u8], before: &[u8]) -> io::Result<Vec<u8>> {
    compress(plain, before, &[CParameter::CompressionLevel(LEVEL), CParameter::EnableLongDistanceMatching(!before.is_empty())])
}

/// Compresses a chunk in the same way.
///
/// # Errors
/// zstd's own.
pub fn chunk(plain: &[u8], before: &[u8]) -> io::Result<Vec<u8>> {
    compress(plain, before, &[CParameter::CompressionLevel(CHUNK_LEVEL), CParameter::Strategy(CHUNK_STRATEGY)])
}

fn compress(plain: &[u8], before: &[u8], how: &[CParameter]) -> io::Result<Vec<u8>> {
    let wrong = |code| io::Error::other(zstd_safe::get_error_name(code));
    let mut context = CCtx::create();
    let always = [
        CParameter::WindowLog(window(plain.len() + before.len())),
        // what is known already is not sent: the index tells the sizes, the manifest the digests
        CParameter::ChecksumFlag(false),
        CParameter::DictIdFlag(false),
    ];
    for parameter in how.iter().chain(&always) {
        context.set_parameter(*parameter).map_err(wrong)?;
    }
    if !before.is_empty() {
        context.ref_prefix(before).map_err(wrong)?;
    }
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(plain.len()));
    context.compress2(&mut out, plain).map_err(wrong)?;
    Ok(out)
}

/// Makes the frames of so many contents on all processors: `one` makes those of one content, each with what the index says of it. What comes
/// is the same whatever the number of processors.
///
/// # Errors
/// The first that `one` says, by the contents' order.
pub fn all<T: Send>(contents: usize, one: impl Fn(usize) -> io::Result<Vec<(T, Vec<u8>)>> + Sync) -> io::Result<(Vec<T>, Vec<u8>)> {
    let next = Mutex::new(0..contents);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                // not in the loop's head, where the lock would be held while the work is done
                let take = || next.lock().expect("nobody panics with it").next();
                while let Some(i) = take() {
                    let made = one(i);
                    done.lock().expect("nobody panics with it").insert(i, made);
                }
            });
        }
    });
    let made = done.into_inner().expect("nobody panics with it").into_values().collect::<io::Result<Vec<_>>>()?;
    let (mut index, mut frames) = (Vec::new(), Vec::with_capacity(made.iter().flatten().map(|(_, frame)| frame.len()).sum()));
    for (of, frame) in made.into_iter().flatten() {
        index.push(of);
        frames.extend(frame);
    }
    Ok((index, frames))
}

/// A window over all of it, as a power of two.
fn window(bytes: usize) -> u32 {
    bytes.next_power_of_two().ilog2().clamp(10, WINDOW_LOG)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::frames::Unpacker;

    #[test]
    fn what_was_squeezed_against_something_comes_out_again() {
        let mut seed = 7u64;
        let mut noise = |n: usize| -> Vec<u8> {
            (0..n)
                .map(|_| {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (seed >> 33) as u8
                })
                .collect()
        };
        let mut unpacker = Unpacker::default();
        for (old, head, tail) in [(0, 10, 0), (1000, 0, 0), (300_000, 5, 9), (2 << 20, 100_000, 3), (2 << 20, 0, 500_000), (40, 70_000, 1)] {
            let old = noise(old);
            let from = old.len() / 3;
            let kept = &old[from..old.len().min(from + 400_000)];
            let new = [&noise(head), kept, &noise(tail), kept].concat();
            let new = &new[..new.len().min(1 << 20)];
            let packed = frame(new, &old).unwrap();
            assert!(packed.len() <= (head + tail) * 1001 / 1000 + 200, "{} {head} {tail}", packed.len());
            assert!(unpacker.unpack(&packed, &old, new.len()).unwrap() == new);
            // against something else it is nothing
            if old.len() > 100 {
                assert!(unpacker.unpack(&packed, &noise(old.len()), new.len()).is_ok_and(|out| out != new));
                assert!(unpacker.unpack(&packed[..packed.len() - 1], &old, new.len()).is_err());
                assert!(unpacker.unpack(&packed, &old, new.len() - 1).is_err());
            }
        }
        // a frame by itself, also after others
        assert!(unpacker.unpack(&frame(b"small", b"").unwrap(), &[], 5).unwrap() == b"small");
    }
}
