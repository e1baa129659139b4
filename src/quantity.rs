//! Durations and sizes as people write them in the config, and as people read them in messages.

use std::time::Duration;

/// Longest duration that is read: sums of a few of them still have a value, whatever clock they are reckoned by.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86400);

/// `"500ms"`, `"30s"`, `"3m"`, `"3h"`, `"2d"`; a bare number is seconds.
///
/// # Errors
/// Says what was expected.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is not a duration like \"30s\" or \"3h\""))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "" | "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        "d" => number * 86400.0,
        _ => return Err(format!("{text:?} is not a duration: {unit:?} is none of ms, s, m, h, d")),
    };
    Duration::try_from_secs_f64(seconds).ok().filter(|time| *time <= LONGEST).ok_or_else(|| format!("{text:?} is out of range"))
}

/// `"64MiB"`, `"10kB"`, `"4096"`; bytes. `"1KiB/s"` is read like `"1KiB"`.
///
/// # Errors
/// Says what was expected.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text.strip_suffix("/s").unwrap_or(text));
    let number: f64 = number.parse().map_err(|_| format!("{text:?} is not a size like \"64MiB\""))?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "kb" => 1e3,
        "m" | "mib" => 1048576.0,
        "mb" => 1e6,
        "g" | "gib" => 1073741824.0,
        "gb" => 1e9,
        _ => return Err(format!("{text:?} is not a size: {unit:?} is none of B, KiB, MiB, GiB, kB, MB, GB")),
    };
    let bytes = number * factor;
    if (0.0..9e18).contains(&bytes) { Ok(bytes as u64) } else { Err(format!("{text:?} is out of range")) }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..at], text[at..].trim())
}

/// Bytes for people: `"17 bytes"`, `"12.3 MB"` (powers of 1000, as disks and lines are sold).
pub fn bytes(n: u64) -> String {
    let (value, unit) = match n {
        0..1_000 => return if n == 1 { "1 byte".into() } else { format!("{n} bytes") },
        1_000..1_000_000 => (n as f64 / 1e3, "kB"),
        1_000_000..1_000_000_000 => (n as f64 / 1e6, "MB"),
        _ => (n as f64 / 1e9, "GB"),
    };
    format!("{value:.1} {unit}")
}

/// Seconds for people: `"0.3 s"`, `"48 s"`, `"3 min 5 s"`, `"2 h 10 min"`.
pub fn seconds(s: f64) -> String {
    match s {
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 119.5 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
        s => format!("{} h {} min", s as u64 / 3600, s as u64 / 60 % 60),
    }
}

/// `"1 file"`, `"3 files"`.
pub fn count(n: usize, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(duration("500ms").unwrap(), Duration::from_millis(500));
        assert_eq!(duration("1.5 h").unwrap(), Duration::from_secs(5400));
        assert_eq!(duration("7").unwrap(), Duration::from_secs(7));
        assert!(duration("soon").is_err() && duration("3 weeks").is_err() && duration("-1s").is_err());
        assert!(duration("36500d").is_ok() && duration("36501d").is_err() && duration("18446744073709549568").is_err());
        assert_eq!(size("64MiB").unwrap(), 64 << 20);
        assert_eq!(size("1KiB/s").unwrap(), 1024);
        assert_eq!(size("10kB").unwrap(), 10_000);
        assert!(size("12 parsecs").is_err() && size("").is_err() && size("99999999999GiB").is_err());
    }

    #[test]
    fn writes_what_people_read() {
        assert_eq!([bytes(0), bytes(1), bytes(999), bytes(12_345_678)], ["0 bytes", "1 byte", "999 bytes", "12.3 MB"]);
        assert_eq!([seconds(0.31), seconds(48.2), seconds(185.0), seconds(7800.0)], ["0.3 s", "48 s", "3 min 5 s", "2 h 10 min"]);
    }
}
