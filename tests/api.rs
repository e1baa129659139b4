//! The HTTP API as browsers, proxies, scripts and strangers meet it: the real `serve` on a board in a folder, real releases, and the
//! real processes that do what is asked for.
#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are no production

mod support;

#[path = "api/server.rs"]
mod server;

#[path = "api/routes.rs"]
mod routes;
#[path = "api/strangers.rs"]
mod strangers;
#[path = "api/outlives.rs"]
mod outlives;
#[path = "api/events.rs"]
mod events;
#[path = "api/nginx.rs"]
mod nginx;
#[path = "api/activation.rs"]
mod activation;
#[path = "api/figures.rs"]
mod figures;
#[path = "api/upload.rs"]
mod upload;
#[path = "api/document.rs"]
mod document;

use support::board::Board;

const ONE: &[(&str, &str)] = &[("web/index.html", "one"), ("web/same.js", "same"), ("api.py", "api one")];
const TWO: &[(&str, &str)] = &[("web/index.html", "two"), ("web/same.js", "same"), ("api.py", "api two")];

/// 1.0.0 is installed, 1.1.0 is offered and nobody has looked yet.
fn board(name: &str) -> Board {
    let board = Board::new(name);
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", TWO);
    board
}

/// After the switch to another page than `one` it is not well while `srv/hold` is there.
fn held(board: &Board) {
    let script = format!("grep -q one {0}/srv/web/index.html || ! test -e {0}/srv/hold", board.root.display());
    board.configure("run = [\"/bin/true\"]", &format!("run = [\"/bin/sh\", \"-c\", \"{script}\"]"));
    board.configure("timeout = \"2s\"", "timeout = \"60s\"");
    board.write("srv/hold", "");
}

fn release_hold(board: &Board) {
    std::fs::remove_file(board.path("srv/hold")).unwrap();
}
