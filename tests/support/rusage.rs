//! What a run costs: time, processor, memory. The kernel counts, and `time` asks it.

use super::board::{Board, ran};

/// What one run used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Seconds.
    pub wall: f64,
    /// Seconds of user and system.
    pub cpu: f64,
    /// Most memory at any time.
    pub megabytes: f64,
}

/// Runs the program to its end, which must be a good one.
pub fn measure(board: &Board, words: &[&str]) -> Used {
    let log = board.root.with_extension("time");
    let under = ["time", "-f", "%e %U %S %M", "-o", log.to_str().unwrap()];
    let ran = ran(board.command_under(&under, words).output().expect("GNU time is installed"));
    assert_eq!(ran.code, 0, "{words:?}: {}", ran.err);
    let text = std::fs::read_to_string(&log).unwrap();
    let _ = std::fs::remove_file(&log);
    let numbers: Vec<f64> = text.split_whitespace().map(|n| n.parse().unwrap()).collect();
    Used { wall: numbers[0], cpu: numbers[1] + numbers[2], megabytes: numbers[3] * 1024.0 / 1e6 }
}
