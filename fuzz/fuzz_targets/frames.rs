//! A patch or chunks from anybody: the lists that stand before the frames, and the frames. Nothing in a list points behind what it lists,
//! and a frame gives as many bytes as were asked for, or an error.
//!
//! The first byte says what the rest is: an asset as it comes; or a list that is put into a frame here, because hardly any mutation would
//! be one; or a frame, with a byte before it that says how much it is compressed against.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pikit_updater::release::chunks::{self, CHUNK_MAX, OTHER, OWN_MAX, UNIT};
use pikit_updater::release::frames::Unpacker;
use pikit_updater::release::index;
use pikit_updater::release::patch::{self, NEW, PIECE_MAX, STRETCH_MAX};

const BLOCK_MAX: usize = 128 << 10;

fuzz_target!(|input: &[u8]| {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 5 {
        0 => the_patch(rest),
        1 => the_patch(&listed(b"pikit1", rest)),
        2 => the_chunks(rest),
        3 => the_chunks(&listed(b"pikit2", rest)),
        _ => {
            let [known, plain, frame @ ..] = rest else { return };
            let stretch = vec![b'x'; usize::from(*known) * 300];
            let plain = usize::from(*plain) * 37;
            let mut unpacker = Unpacker::with_window(chunks::WINDOW_LOG);
            let made = unpacker.unpack(frame, &stretch, plain);
            assert!(made.as_ref().map_or(true, |bytes| bytes.len() == plain));
            // a decoder that has seen nonsense is as good as a new one
            let again = unpacker.unpack(&stored(b"the same"), b"", 8);
            assert!(again.is_ok_and(|bytes| bytes == b"the same"));
        }
    }
});

fn the_patch(asset: &[u8]) {
    let Ok(pieces) = patch::read_index(&mut &asset[..]) else { return };
    for piece in &pieces {
        assert!(piece.against.is_none_or(|a| a.file < NEW + piece.file));
        assert!(piece.plain as usize <= PIECE_MAX && piece.against.is_none_or(|a| a.length as usize <= STRETCH_MAX));
    }
    assert!(pieces.windows(2).all(|pair| pair[0].file <= pair[1].file));
}

fn the_chunks(asset: &[u8]) {
    let Ok(all) = chunks::read_index(&mut &asset[..]) else { return };
    for of in all.chunk_by(|a, b| a.file == b.file) {
        let mut at = 0;
        for chunk in of {
            assert!(chunk.at == at && chunk.plain as usize <= CHUNK_MAX && chunk.own() <= OWN_MAX && chunk.own() as u64 <= at);
            assert_eq!(chunk.id.is_some(), of.len() > 1);
            if let Some(other) = chunk.against {
                let size: u64 = all.iter().filter(|c| c.file == other.file).map(|c| u64::from(c.plain)).sum();
                assert!(other.file < chunk.file && other.offset % UNIT == 0 && other.length > 0 && other.length as usize <= OTHER);
                assert!(other.offset + u64::from(other.length) <= size);
            }
            at += u64::from(chunk.plain);
        }
    }
}

fn listed(kind: &[u8; 6], plain: &[u8]) -> Vec<u8> {
    index::write(kind, plain, |plain| Ok(stored(plain))).unwrap()
}

/// A frame of blocks that are not compressed (RFC 8878, 3.1.1).
fn stored(plain: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x50];
    let blocks = plain.len().div_ceil(BLOCK_MAX).max(1);
    for n in 0..blocks {
        let block = &plain[n * BLOCK_MAX..plain.len().min((n + 1) * BLOCK_MAX)];
        frame.extend_from_slice(&(((block.len() as u32) << 3) | u32::from(n + 1 == blocks)).to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}
