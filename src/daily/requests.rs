//! The path unit that waits for requests of the API. systemd gives up on one that was started too often; then nobody takes requests, and a
//! person who runs `recover` wants that mended too.

use std::time::Duration;

use super::timer;
use crate::device::Settings;
use crate::world::World;

/// Waits for requests.
const PATH: &str = "pikit-update-apply.path";
/// Takes them.
const SERVICE: &str = "pikit-update-apply.service";
/// For a question or an order; systemd answers in milliseconds, or is in trouble.
const ASKING: Duration = Duration::from_secs(10);

/// Starts the path unit again if it has failed; tells so. What cannot be done about it is left to `systemctl`.
pub fn revive(world: World, settings: &Settings) -> Option<String> {
    let control = timer::control(world, settings)?;
    let ask = |words: &[&str]| {
        let argv: Vec<String> = control.iter().cloned().chain(words.iter().map(|w| (*w).to_owned())).collect();
        world.outside.run(&argv, ASKING).is_ok_and(|ran| ran.status == Some(0))
    };
    if !ask(&["is-failed", "--quiet", PATH]) {
        return None;
    }
    let done = ask(&["reset-failed", PATH, SERVICE]) && ask(&["start", PATH]);
    Some(match done {
        true => format!("{PATH} had failed; it waits for requests again"),
        false => format!("{PATH} has failed and could not be started again: `systemctl status {PATH}` tells why"),
    })
}
