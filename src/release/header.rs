//! One tar header, read strictly. What programs disagree about is refused rather than decided: another program that looks at the
//! same bundle must see the same files in it.

/// Tar's unit, bytes.
pub(super) const BLOCK: usize = 512;

/// What stands behind a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A plain file.
    File,
    /// A folder.
    Folder,
    /// GNU's long name of the next entry.
    LongName,
    /// A pax header for the next entry.
    Pax,
    /// Anything else, in words.
    Other(&'static str),
}

/// The block of a header, its checksum and format checked.
pub(super) struct Header<'b>(&'b [u8; BLOCK]);

impl<'b> Header<'b> {
    /// Checks checksum and format.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(block: &'b [u8; BLOCK]) -> Result<Self, String> {
        // the checksum counts as eight spaces in its own sum; the signed sum of old Sun programs is not taken
        let sum: u64 = block.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { u64::from(b' ') } else { u64::from(*b) }).sum();
        if number(&block[148..156]) != Some(sum) {
            return Err("the bundle is damaged: a header has a wrong checksum".into());
        }
        let header = Header(block);
        // where GNU keeps times and maps of holes, and star times, ustar keeps the front of the name: a program that mistakes one for the other sees other names
        let beyond = match &block[257..265] {
            b"ustar\x0000" => 500,
            b"ustar  \0" => 345,
            _ => {
                return Err(format!(
                    "the bundle holds {}, whose header is of a format that is neither ustar nor GNU's: programs read it differently",
                    header.shown()
                ));
            }
        };
        if block[beyond..].iter().any(|b| *b != 0) {
            return Err(format!("the bundle holds {}, whose header has something where there should be nothing: programs read it differently", header.shown()));
        }
        Ok(header)
    }

    pub(super) fn kind(&self) -> Kind {
        match self.0[156] {
            b'0' | 0 => Kind::File,
            b'5' => Kind::Folder,
            b'L' => Kind::LongName,
            b'x' | b'X' => Kind::Pax,
            b'g' => Kind::Other("a pax header for everything that follows"),
            b'K' => Kind::Other("a long target of a link"),
            b'1' => Kind::Other("a hard link"),
            b'2' => Kind::Other("a symbolic link"),
            b'3' | b'4' => Kind::Other("a device"),
            b'6' => Kind::Other("a pipe"),
            b'S' => Kind::Other("a sparse file"),
            b'D' => Kind::Other("the table of a folder"),
            b'M' => Kind::Other("the rest of a file of another archive"),
            b'V' => Kind::Other("the label of a tape"),
            _ => Kind::Other("no plain file"),
        }
    }

    /// The name, in full.
    ///
    /// # Errors
    /// There is more behind its end.
    pub(super) fn name(&self) -> Result<Vec<u8>, String> {
        let text = |field: &'b [u8]| {
            let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
            if field[end..].iter().any(|b| *b != 0) {
                return Err(format!("the bundle holds {}, whose name goes on behind its end", self.shown()));
            }
            Ok(&field[..end])
        };
        let mut name = Vec::new();
        if self.0[345] != 0 {
            name.extend_from_slice(text(&self.0[345..500])?);
            name.push(b'/');
        }
        name.extend_from_slice(text(&self.0[..100])?);
        Ok(name)
    }

    /// The name for messages.
    pub(super) fn shown(&self) -> String {
        let name = self.0[..100].split(|b| *b == 0).next().unwrap_or_default();
        format!("{:?}", String::from_utf8_lossy(name))
    }

    /// Bytes behind the header. Only octal digits: the binary form can say negative, and more than there can be.
    pub(super) fn size(&self) -> Option<u64> {
        number(&self.0[124..136])
    }

    /// Mode bits, setuid and its like among them.
    pub(super) fn mode(&self) -> Option<u32> {
        number(&self.0[100..108]).map(|mode| mode as u32 & 0o7777)
    }

    pub(super) fn has_link_target(&self) -> bool {
        self.0[157..257].iter().any(|b| *b != 0)
    }
}

/// Octal digits, spaces allowed before them, spaces and NULs behind. At most twelve digits, so nothing overflows.
fn number(field: &[u8]) -> Option<u64> {
    let start = field.iter().position(|b| *b != b' ')?;
    let digits = field[start..].iter().take_while(|b| matches!(b, b'0'..=b'7')).count();
    let rest = &field[start + digits..];
    if digits == 0 || rest.iter().any(|b| !matches!(b, 0 | b' ')) {
        return None;
    }
    Some(field[start..start + digits].iter().fold(0, |n, digit| n * 8 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_digits_and_nothing_else() {
        for (field, value) in [("0000644\0", 0o644), ("   644 \0", 0o644), ("777777777777", 0o777_777_777_777), ("0\0\0\0\0", 0)] {
            assert_eq!(number(field.as_bytes()), Some(value), "{field:?}");
        }
        for field in [&b"\x80\0\0\x01"[..], b"\xff\xff\xff\xff", b"-1\0\0", b"0o17", b"00189\0", b"\0\0\0\0", b"    ", b"1\x007\0", b"1 7\0", b""] {
            assert_eq!(number(field), None, "{field:?}");
        }
    }
}
