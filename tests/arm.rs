//! The main job with the program for ARM, 64-bit unless told otherwise, under qemu's user emulation: signed by the maintainer's program of this machine, fetched over HTTP,
//! installed, verified, taken back, and settled after kills.
//!
//! `PIKIT_ARM_BINARY` names the program, otherwise one built by `packaging/build aarch64` or, as tests/run does it, by
//! `cargo build --no-default-features --target aarch64-unknown-linux-musl`. The program starts itself again without privileges, so the kernel
//! has to know the emulator (binfmt_misc).
#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::board::{Board, program, ran};
use support::liar::Liar;
use support::tree::Tree;
use support::wait::until;

/// The program for ARM, the newest there is.
fn arm() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let places = ["target/aarch64-unknown-linux-musl/debug/pikit-updater", "target/boards/aarch64-unknown-linux-musl/release/pikit-updater"];
    let built = places.iter().map(|p| home.join(p)).filter(|p| p.exists());
    let newest = built.max_by_key(|p| fs::metadata(p).and_then(|m| m.modified()).unwrap());
    std::env::var_os("PIKIT_ARM_BINARY").map(PathBuf::from).or(newest)
}

/// Why this cannot run here. A program that was named must run.
fn missing() -> Option<String> {
    let Some(arm) = arm() else {
        return Some("there is no program for aarch64: cargo build --no-default-features --target aarch64-unknown-linux-musl".into());
    };
    let started = Command::new(&arm).arg("--version").output();
    let why = started.err().map(|e| format!("{} does not start here (qemu-user-static, binfmt_misc): {e}", arm.display()))?;
    assert!(std::env::var_os("PIKIT_ARM_BINARY").is_none(), "{why}");
    Some(why)
}

/// A server with releases, and a board whose program is for ARM.
struct Scene {
    board: Board,
    liar: Liar,
}

impl Scene {
    fn new(name: &str) -> Self {
        let mut board = Board::new(name);
        board.program = arm().unwrap();
        let liar = Liar::start();
        board.configure("dir = \"/src\"", &format!("url = \"{}/\"", liar.url));
        board.configure("required = false", "required = true");
        // well, unless a file says that it is not
        let check = format!("run = [\"/bin/sh\", \"-c\", \"test ! -e {0}/hold-$(cat {0}/srv/web/version)\"]", board.root.display());
        board.configure("run = [\"/bin/true\"]", &check);
        board.configure("timeout = \"2s\"", "timeout = \"20s\"");
        let scene = Scene { board, liar };
        scene.maintain(&["keygen", "maintainer", "--no-passphrase"]);
        scene.board.write("etc/pikit/keys/maintainer.pub", fs::read(scene.board.path("desk/maintainer.pub")).unwrap());
        scene
    }
    /// The maintainer's program, of this machine, at the maintainer's desk.
    fn maintain(&self, words: &[&str]) {
        let desk = self.board.path("desk");
        fs::create_dir_all(&desk).unwrap();
        let done = ran(Command::new(program()).args(words).current_dir(desk).output().unwrap());
        assert_eq!(done.code, 0, "{words:?}: {}", done.err);
    }
    /// Packs, signs and offers a release.
    fn offer(&self, version: &str) {
        let _ = fs::remove_dir_all(self.board.path("desk/tree"));
        for (path, content) in [("web/version", version), ("web/index.html", &version.repeat(20_000)), ("web/same.js", "same"), ("api.py", version)] {
            self.board.write(&format!("desk/tree/{path}"), content);
        }
        let recipe = format!(
            "product = \"pikit\"\nversion = \"{version}\"\nreleased = \"2026-11-20\"\n[[include]]\nfrom = \"tree\"\nto = \"\"\n[services]\nrestart = [\"api.service\"]\n"
        );
        self.board.write("desk/release.toml", recipe);
        let out = format!("dist/{version}");
        self.maintain(&["pack", "--out", &out, "--patch-from", "dist"][..if self.board.has("desk/dist") { 5 } else { 3 }]);
        self.maintain(&["sign", &out, "--key", "maintainer.key"]);
        for entry in fs::read_dir(self.board.path(&format!("desk/{out}"))).unwrap().map(Result::unwrap) {
            self.liar.file(&format!("/{}", entry.file_name().to_str().unwrap()), fs::read(entry.path()).unwrap());
        }
    }
    fn hold(&self, version: &str) {
        self.board.write(&format!("hold-{version}"), "");
    }
    /// Which release lies there: wholly, or this fails.
    fn live(&self) -> String {
        let version = self.board.text("srv/web/version");
        assert_eq!(self.board.text("srv/web/index.html"), version.repeat(20_000));
        assert_eq!(self.board.text("usr/bin/api.py"), version);
        version
    }
    /// Starts an update and kills it as soon as its journal is there and says so.
    fn kill_at(&self, what: &str) {
        let mut child = self.board.start(&["apply", "-y"]);
        until(what, || fs::read_to_string(self.board.path("var/lib/pikit-update/journal.json")).ok().filter(|j| j.contains(what)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn the_arm_program_does_the_main_job() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    let scene = Scene::new("arm");
    scene.offer("1.0.0");
    assert!(scene.board.ok(&["check"]).out.contains("1.0.0"));
    scene.board.ok(&["apply", "-y"]);
    let first: Tree = scene.board.tree();
    scene.offer("1.1.0");
    scene.board.ok(&["apply", "-y"]);
    assert_eq!(scene.live(), "1.1.0");
    scene.board.ok(&["verify"]);
    fs::write(scene.board.path("srv/web/same.js"), "other").unwrap();
    assert_eq!(scene.board.run(&["verify"]).code, 4);
    scene.board.ok(&["verify", "--repair", "-y"]);

    // a sick one takes itself back, and a person goes back, too
    scene.board.configure("timeout = \"20s\"", "timeout = \"1s\"");
    scene.hold("1.2.0");
    scene.offer("1.2.0");
    assert_eq!(scene.board.run(&["apply", "-y"]).code, 6);
    assert_eq!(scene.live(), "1.1.0");
    scene.board.ok(&["rollback", "-y"]);
    assert_eq!(scene.live(), "1.0.0");
    assert_eq!(scene.board.tree(), first);

    // nothing that nobody signed
    let forged = scene.board.text("desk/dist/1.2.0/manifest.json").replace("1.2.0", "1.3.0");
    scene.liar.file("/manifest.json", forged);
    assert_eq!(scene.board.run(&["apply", "-y"]).code, 4);
    assert_eq!((scene.live(), scene.board.leftovers()), ("1.0.0".into(), Vec::new()));
}

#[test]
fn the_arm_program_recovers_from_kills() {
    if let Some(why) = missing() {
        println!("skipped: {why}");
        return;
    }
    let scene = Scene::new("arm-kill");
    scene.offer("1.0.0");
    scene.board.ok(&["apply", "-y"]);
    // killed before the switch: the old one
    scene.offer("1.1.0");
    scene.kill_at("\"transaction\"");
    scene.board.run(&["recover"]);
    let live = scene.live();
    assert!(["1.0.0", "1.1.0"].contains(&live.as_str()), "{live}");
    assert_eq!(scene.board.leftovers(), Vec::<String>::new());
    // killed in its trial: what recovery finds sick it takes back
    scene.offer("1.2.0");
    scene.hold("1.2.0");
    let mut child = scene.board.start(&["apply", "-y"]);
    until("the switch", || fs::read_to_string(scene.board.path("srv/web/version")).ok().filter(|v| v == "1.2.0"));
    child.kill().unwrap();
    child.wait().unwrap();
    scene.board.configure("timeout = \"20s\"", "timeout = \"1s\"");
    let settled = scene.board.run(&["recover"]);
    assert_eq!((settled.code, scene.live()), (0, live), "{}", settled.err);
    assert_eq!(scene.board.leftovers(), Vec::<String>::new());
}
