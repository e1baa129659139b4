//! Waiting for something to become true, with an end.

use std::time::{Duration, Instant};

/// The longest wait. It costs nothing where things work.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
