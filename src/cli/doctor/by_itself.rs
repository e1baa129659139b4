//! What happens without anybody typing: the timer, recovery at boot, and the page's requests.

use std::time::Duration;

use super::{Board, Finding};
use crate::api::access::Token;
use crate::daily::{self, timer};
use crate::world::{Clock as _, World};

/// How long systemd may take to say whether a unit is enabled.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at all of it.
pub fn look(board: &Board) -> Vec<Finding> {
    let disk = board.look_only();
    let world = World { disk: &disk, ..board.world() };
    let mut found = vec![schedule(board, world)];
    if let Some(control) = timer::control(world, &board.settings) {
        found.extend(units(board, control));
    }
    let path = &board.settings.api.token_file;
    found.push(match Token::load(path) {
        Ok(Some(_)) => Finding::ok("page", format!("its token is in {}", path.display())),
        Ok(None) => Finding::ok("page", "nobody has used it yet: `sudo pikit-updater token` makes its token"),
        Err(e) if e.io_kind() == Some(std::io::ErrorKind::PermissionDenied) => Finding::ok("page", format!("its token is in {}, for root", path.display())),
        Err(e) => Finding::warn("page", e.message(), e.hint.unwrap_or_else(|| "`sudo pikit-updater token --new` makes another one".into())),
    });
    found
}

fn schedule(board: &Board, world: World) -> Finding {
    let set = daily::look(world, &board.settings);
    match (set.notes.first(), set.next.at) {
        (Some(note), _) => Finding::warn("auto", note, "docs/install.md tells how an update comes by itself"),
        (None, _) if set.schedule.action == "off" => Finding::ok("auto", "off: nothing happens by itself"),
        (None, Some(at)) => {
            let minutes = (at - board.clock.now()).num_minutes().max(0);
            Finding::ok("auto", format!("{} at {}, next in {} h {} min", set.schedule.action, set.schedule.at, minutes / 60, minutes % 60))
        }
        (None, None) => Finding::ok("auto", format!("{} at {}", set.schedule.action, set.schedule.at)),
    }
}

/// Our units that have to be there for what the docs promise of a board with systemd.
fn units(board: &Board, control: &[String]) -> Vec<Finding> {
    let wanted = [
        ("pikit-update-recover.service", "a power cut in an update is settled at boot"),
        ("pikit-update-trial.service", "an interrupted trial is run after boot"),
        ("pikit-update-apply.path", "what is asked for on the page is done"),
    ];
    let enabled = |unit: &str| {
        let argv: Vec<String> = control.iter().cloned().chain(["is-enabled", "--quiet", unit].map(str::to_owned)).collect();
        board.world().outside.run(&argv, LIMIT).is_ok_and(|ran| ran.status == Some(0))
    };
    let finding = |(unit, what): (&'static str, &str)| match enabled(unit) {
        true => Finding::ok("units", format!("{what} ({unit})")),
        false => Finding::warn("units", format!("{unit} is not enabled: it sees to it that {what}"), format!("`sudo systemctl enable --now {unit}`")),
    };
    wanted.into_iter().map(finding).collect()
}
