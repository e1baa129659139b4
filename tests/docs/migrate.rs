//! `docs/migrate.md`, typed from top to bottom for each of its three beginnings.

use std::fs;
use std::process::Command;

use crate::shell::Shell;
use crate::support::board::Board;
use crate::support::pages::{read, under};

const PAGE: &str = "docs/migrate.md";
const WEB: &str = "var/www/pikit-web";

/// What the repository, the folder or the archive has.
const FILES: [(&str, &str); 4] = [("index.html", "page 1"), ("assets/app.js", "app 1"), ("assets/app.js.map", "map 1"), ("config.json", "{}")];

fn shell(name: &str) -> Shell {
    let board = Board::new(name);
    fs::create_dir_all(board.path("etc/pikit/keys")).unwrap();
    fs::create_dir_all(board.path("var/www")).unwrap();
    Shell::new(board)
}

fn lay(shell: &Shell, dir: &str) {
    for (path, content) in FILES {
        shell.board.write(&format!("{dir}/{path}"), content);
    }
}

/// Somebody edited two files on the board, one of them the config, and has one of their own there.
fn lived_in(shell: &Shell) {
    shell.board.write(&format!("{WEB}/index.html"), "page 1, edited");
    shell.board.write(&format!("{WEB}/config.json"), "{\"theme\":\"dark\"}");
    shell.board.write(&format!("{WEB}/mine.txt"), "mine");
}

/// Types the page for one beginning, and says what its last looks showed.
fn moves(shell: &Shell, from: &str, clean_up: &str) -> Vec<String> {
    let page = read(PAGE);
    for text in under(&page, from, "sh") {
        shell.types(&text);
    }
    fs::write(shell.work.join("release.toml"), &under(&page, from, "toml")[0]).unwrap();
    for text in under(&page, "2. The first release", "sh") {
        shell.types(&text);
    }
    shell.board.write("etc/pikit/updater.toml", &under(&page, "3. The board", "toml")[0]);
    for text in under(&page, "3. The board", "sh") {
        shell.types(&text);
    }
    let web = |path: &str| shell.board.text(&format!("{WEB}/{path}"));
    assert_eq!(web("index.html"), "page 1", "the release's files are there");
    assert_eq!(web("config.json"), "{\"theme\":\"dark\"}", "an edited config stays");
    assert_eq!(web("mine.txt"), "mine");
    let looks = under(&page, clean_up, "sh").iter().map(|text| shell.types(text)).collect();
    assert_eq!(web("mine.txt"), "mine");
    shell.board.ok(&["verify"]);
    looks
}

fn goes_back(shell: &Shell) {
    shell.types(&under(&read(PAGE), "5. From now on", "sh")[0]);
    assert_eq!(shell.board.text(&format!("{WEB}/index.html")), "page 1, edited", "the way back leads to what was there");
}

#[test]
fn from_git() {
    let shell = shell("migrate-git");
    lay(&shell, "work/pi-kit");
    shell.board.write("work/pi-kit/README.md", "read me");
    shell.board.write("work/pi-kit/build.sh", "#!/bin/sh");
    let web = shell.board.path(WEB).display().to_string();
    shell.types("git -C pi-kit init -q && git -C pi-kit add -A && git -C pi-kit -c user.name=a -c user.email=a@example.org commit -qm one");
    shell.types(&format!("git clone -q pi-kit {web}"));
    // the repository went on; the board did not pull yet
    shell.types("cd pi-kit && echo 2 > index.html && git -c user.name=a -c user.email=a@example.org commit -qam two");
    lived_in(&shell);
    let looks = moves(&shell, "From git", "After git");
    assert_eq!(looks[0], "README.md\nbuild.sh\n", "what only git brought");
    for gone in [".git", "README.md", "build.sh"] {
        assert!(!shell.board.has(&format!("{WEB}/{gone}")), "{gone}");
    }
    assert!(shell.board.text("root/before.diff").contains("page 1, edited"));
    goes_back(&shell);
}

#[test]
fn from_rsync() {
    if Command::new("rsync").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: rsync is not installed");
        println!("skipped: rsync is not installed");
        return;
    }
    let shell = shell("migrate-rsync");
    lay(&shell, "work/dist");
    lay(&shell, WEB);
    lived_in(&shell);
    shell.board.write(&format!("{WEB}/assets/old.js"), "of an earlier version");
    let looks = moves(&shell, "From rsync", "After rsync or tar");
    assert_eq!(looks[0], "assets/app.js.map\nassets/old.js\nconfig.json.pikit-new\nmine.txt\n", "what no release put there");
    goes_back(&shell);
}

#[test]
fn from_a_tar_script() {
    let shell = shell("migrate-tar");
    lay(&shell, "work/made/pikit-web");
    shell.types("tar -czf dashboard-1.0.0.tar.gz -C made pikit-web && tar -xzf dashboard-1.0.0.tar.gz -C /var/www");
    lived_in(&shell);
    let looks = moves(&shell, "From a tar script", "After rsync or tar");
    assert_eq!(looks[0], "config.json.pikit-new\nmine.txt\n");
    goes_back(&shell);
}
