//! What kind of file system holds a path, by its magic number; and where something is mounted.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use rustix::io::retry_on_intr;

use super::disk::Volume;

/// Magic number, name, whether folders can be exchanged and inode numbers last, whether it keeps owners and modes.
/// What is not listed is taken to keep modes and not to exchange: the careful way works everywhere.
const KNOWN: &[(u32, &str, bool, bool)] = &[
    (0xEF53, "ext4", true, true), // ext2 and ext3 as well
    (0x5846_5342, "xfs", true, true),
    (0x9123_683E, "btrfs", true, true),
    (0xF2F5_2010, "f2fs", true, true),
    (0x0102_1994, "tmpfs", true, true),
    (0x2FC1_2FC1, "zfs", true, true),
    (0xCA45_1A4E, "bcachefs", true, true),
    (0x794C_7630, "overlayfs", false, true),
    (0x4D44, "vfat", false, false),
    (0x2011_BAB0, "exfat", false, false),
    (0x5346_544E, "ntfs", false, false),
    (0x7366_746E, "ntfs3", false, false),
    (0x6573_5546, "fuse", false, true),
    (0x6969, "nfs", false, true),
    (0xFF53_4D42, "cifs", false, true),
    (0xFE53_4D42, "smb", false, true),
    (0x0102_1997, "9p", false, true),
    (0x7371_7368, "squashfs", false, true),
    (0xE0F5_E1E2, "erofs", false, true),
    (0x8584_58F6, "ramfs", false, true),
];

/// The file system that holds what this handle is of.
#[allow(clippy::unnecessary_cast)] // the widths of these fields differ between architectures
pub(super) fn of(fd: impl AsFd) -> io::Result<Volume> {
    let fs = retry_on_intr(|| rustix::fs::fstatfs(&fd))?;
    let dev = retry_on_intr(|| rustix::fs::fstat(&fd))?.st_dev as u64;
    let magic = fs.f_type as u32;
    let (_, name, exchanges, has_modes) = KNOWN.iter().copied().find(|known| known.0 == magic).unwrap_or((0, "unknown", false, true));
    let block = if fs.f_frsize > 0 { fs.f_frsize as u64 } else { fs.f_bsize as u64 };
    // f_bavail and not f_bfree, also for root: the last few percent are what keeps the rest of the board alive
    let free = fs.f_bavail.saturating_mul(block);
    Ok(Volume { dev, free, block, read_only: fs.f_flags as u64 & 1 != 0, exchanges, has_modes, name })
}

/// The mount points in the text of `/proc/self/mountinfo`, sorted.
pub(super) fn mount_points(mountinfo: &[u8]) -> Vec<PathBuf> {
    let fields = mountinfo.split(|b| *b == b'\n').filter_map(|line| line.split(|b| *b == b' ').nth(4));
    let mut points: Vec<_> = fields.map(|field| PathBuf::from(OsString::from_vec(unescape(field)))).collect();
    points.sort();
    points.dedup();
    points
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if *first == b'\\' => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_with_spaces_are_read_back() {
        let text = b"36 35 98:0 / /media/my\\040stick rw,noatime shared:1 - vfat /dev/sda1 rw\n\
                     22 1 254:0 / / rw - ext4 /dev/root rw\n23 1 0:5 / /a\\134b rw - tmpfs t rw\n24 1 0:6 / / rw - tmpfs t rw\n";
        assert_eq!(mount_points(text), ["/", "/a\\b", "/media/my stick"].map(PathBuf::from));
    }
}
