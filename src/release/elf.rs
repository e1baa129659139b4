//! Whether a file is a program for another machine. A release packed on a PC may hold a helper that was built for the PC: it would be
//! switched in, and fail at its first start. Only the first bytes are looked at, and only what is surely a program is judged.

/// How much of a file is looked at, bytes: the header of the larger class.
pub const LOOK: usize = 64;

/// Machine number, bits, little end first, name as manifests have it.
const MACHINES: [(u16, u8, bool, &str); 14] = [
    (62, 64, true, "x86_64"),
    (62, 32, true, "x32"),
    (3, 32, true, "x86"),
    (183, 64, true, "aarch64"),
    (40, 32, true, "arm"),
    (243, 64, true, "riscv64"),
    (243, 32, true, "riscv32"),
    (8, 32, false, "mips"),
    (8, 32, true, "mipsel"),
    (20, 32, false, "powerpc"),
    (21, 64, false, "powerpc64"),
    (21, 64, true, "powerpc64le"),
    (22, 64, false, "s390x"),
    (258, 64, true, "loongarch64"),
];

/// The machine a program is for, when that is not `own` (as `std::env::consts::ARCH` names it). `None`: it is for this one, it is no
/// program, or this machine is none we know.
pub fn foreign(first: &[u8], own: &str) -> Option<String> {
    let own = MACHINES.iter().find(|(.., name)| *name == own)?;
    let program = machine(first)?;
    if program == (own.0, own.1, own.2) {
        return None;
    }
    let (number, bits, little) = program;
    let known = MACHINES.iter().find(|m| (m.0, m.1, m.2) == program);
    Some(known.map_or_else(|| format!("machine {number} ({bits} bits, {} end first)", if little { "little" } else { "big" }), |m| m.3.to_owned()))
}

/// Whether this is surely a program for this machine, as what has to run here must be; of a machine that we do not know, for any.
pub fn native(first: &[u8], own: &str) -> bool {
    machine(first).is_some() && foreign(first, own).is_none()
}

/// Machine number, bits, and whether the little end comes first, if these are the first bytes of a program.
fn machine(first: &[u8]) -> Option<(u16, u8, bool)> {
    const EXEC: u16 = 2;
    /// What can be loaded anywhere: a library, or, if it says where to begin, a program.
    const DYN: u16 = 3;
    let rest = first.strip_prefix(b"\x7fELF")?;
    let (bits, little) = (if *rest.first()? == 1 { 32 } else { 64 }, *rest.get(1)? != 2);
    let half = |at: usize| {
        let bytes = [*first.get(at)?, *first.get(at + 1)?];
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let entry = first.get(24..if bits == 32 { 28 } else { 32 })?;
    let program = matches!(half(16)?, EXEC | DYN) && entry.iter().any(|b| *b != 0);
    program.then_some((half(18)?, bits, little))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first bytes of a file of this type for this machine.
    fn elf(kind: u16, machine: u16, bits: u8, little: bool, entry: u8) -> Vec<u8> {
        let mut bytes = vec![0; LOOK];
        bytes[..4].copy_from_slice(b"\x7fELF");
        (bytes[4], bytes[5], bytes[6]) = (if bits == 32 { 1 } else { 2 }, if little { 1 } else { 2 }, 1);
        let half = |n: u16| if little { n.to_le_bytes() } else { n.to_be_bytes() };
        bytes[16..18].copy_from_slice(&half(kind));
        bytes[18..20].copy_from_slice(&half(machine));
        bytes[25] = entry;
        bytes
    }

    #[test]
    fn a_program_is_for_one_machine() {
        for own in ["x86_64", "aarch64", "arm", "riscv64", "x86"] {
            for (number, bits, little, name) in MACHINES {
                for kind in [2, 3] {
                    let expected = (name != own).then(|| name.to_owned());
                    assert_eq!(foreign(&elf(kind, number, bits, little, 1), own), expected, "{name} on {own}");
                }
            }
        }
        assert_eq!(foreign(&elf(2, 4711, 64, false, 1), "arm").unwrap(), "machine 4711 (64 bits, big end first)");
    }

    #[test]
    fn what_is_no_program_is_not_judged() {
        // an object file, a core dump, a library without a beginning, and a machine that we do not know
        for (bytes, own) in
            [(elf(1, 62, 64, true, 1), "arm"), (elf(4, 62, 64, true, 1), "arm"), (elf(3, 62, 64, true, 0), "arm"), (elf(2, 62, 64, true, 1), "vax")]
        {
            assert_eq!(foreign(&bytes, own), None);
        }
        let program = elf(2, 62, 64, true, 1);
        for cut in 0..32 {
            assert_eq!(foreign(&program[..cut], "arm"), None, "cut at {cut}");
        }
        for text in [&b"#!/bin/sh\n"[..], b"MZ", b"\x7fELL", b""] {
            assert_eq!(foreign(text, "arm"), None);
        }
    }

    #[test]
    fn this_very_program_is_for_this_machine() {
        let mut first = [0; LOOK];
        let mut file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        std::io::Read::read_exact(&mut file, &mut first).unwrap();
        assert!(native(&first, std::env::consts::ARCH) && !native(b"#!/bin/sh\n", std::env::consts::ARCH));
        assert_eq!(foreign(&first, std::env::consts::ARCH), None);
    }
}
