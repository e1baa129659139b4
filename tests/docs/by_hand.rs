//! `docs/recover.md`, "By hand, with only a shell": done as it stands there, wherever the program was killed and then could not be
//! started any more.

use std::collections::BTreeMap;
use std::fs;

use crate::or_skip;
use crate::shell::Shell;
use crate::support::board::Board;
use crate::support::pages::{read, sections, under};
use crate::support::strace::{self, Fault};
use crate::support::tree::Tree;

const PAGE: &str = "docs/recover.md";
/// The page's two managed paths; a third of the releases' files does not change.
const CONFIG: &str = r#"
product = "pikit"
[source]
dir = "/src"
[trust]
required = false
[[managed]]
from = "pikit-web/"
to = "/var/www/pikit-web/"
[[managed]]
from = "pikit-api.py"
to = "/usr/local/bin/pikit-api.py"
[services]
restart = ["api.service"]
control = ["/bin/true"]
[[health]]
run = ["/bin/sh", "-c", "! grep -qs sick ROOT/var/www/pikit-web/index.html"]
[trial]
timeout = "100ms"
interval = "10ms"
settle = "0s"
[backup]
min_free = "0"
"#;
const OLD: &[(&str, &str)] = &[("pikit-api.py", "api 3"), ("pikit-web/app.js", "same"), ("pikit-web/gone.js", "gone"), ("pikit-web/index.html", "page 3")];
const NEW: &[(&str, &str)] = &[("pikit-api.py", "api 4"), ("pikit-web/app.js", "same"), ("pikit-web/index.html", "page 4"), ("pikit-web/more.js", "more")];
const SICK: &[(&str, &str)] = &[("pikit-api.py", "api 4"), ("pikit-web/app.js", "same"), ("pikit-web/index.html", "sick"), ("pikit-web/more.js", "more")];

fn board() -> Board {
    let board = Board::new("by-hand");
    board.write("etc/pikit/updater.toml", CONFIG.replace("ROOT", board.root.to_str().unwrap()));
    fs::create_dir_all(board.path("usr/local/bin")).unwrap();
    board.write("var/www/pikit-web/mine.txt", "mine");
    board.release("1.3.0", OLD);
    board.ok(&["apply", "-y"]);
    board
}

/// The files of a release, where they lie on the board.
fn live(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    let place = |path: &str| if path.starts_with("pikit-web/") { format!("var/www/{path}") } else { format!("usr/local/bin/{path}") };
    files.iter().map(|(path, content)| (place(path), (*content).to_owned())).collect()
}

fn there(board: &Board, files: &[(&str, &str)]) -> bool {
    live(files).iter().all(|(path, content)| fs::read_to_string(board.path(path)).is_ok_and(|c| c == *content))
}

fn block(heading: &str, n: usize) -> String {
    under(&read(PAGE), heading, "sh")[n].clone()
}

/// What the page's look at the journal showed: the phase, whether all was carried over, and each path with its two inode numbers.
#[derive(Debug, Default)]
struct Seen {
    phase: String,
    carried: bool,
    /// One of the paths goes file by file.
    per_file: bool,
    paths: Vec<(String, String)>,
}

fn look(shell: &Shell) -> Option<Seen> {
    let shown = shell.types(&block("Is an update in flight?", 0));
    let value = |line: &str| line.split_once("\":").unwrap().1.trim_matches(['"', ',', '}', ']']).to_owned();
    let mut seen = Seen::default();
    for line in shown.lines() {
        match line.split('"').nth(1).unwrap() {
            "phase" => seen.phase = value(line),
            "carried" => seen.carried = value(line) == "true",
            // the journal also says, above, which version it is to
            "to" if value(line).contains('/') => seen.paths.push((value(line), String::new())),
            "way" if value(line) == "per-file" => seen.per_file = true,
            "after" => seen.paths.last_mut().unwrap().1 = value(line),
            _ => {}
        }
    }
    (!shown.is_empty()).then_some(seen)
}

/// The number that `ls -di` shows for a live path.
fn live_number(listing: &str, path: &str) -> Option<String> {
    listing.lines().map(str::trim).find(|l| l.ends_with(&format!(" {path}"))).map(|l| l.split(' ').next().unwrap().to_owned())
}

/// Exchanges those paths whose live side is the new one: for each path the page has three lines.
fn take_the_old_side(shell: &Shell, seen: &Seen) {
    let exchange = block("Which tree is live?", 1);
    let mut lines = exchange.lines().collect::<Vec<_>>().chunks(3).map(|c| c.join("\n")).collect::<Vec<_>>().into_iter();
    let listings = block("Which tree is live?", 0);
    for (listing, path) in listings.lines().zip(["var/www/pikit-web", "usr/local/bin/pikit-api.py"]) {
        let steps = lines.next().unwrap();
        let full = shell.board.path(path).display().to_string();
        let Some((_, after)) = seen.paths.iter().find(|(to, _)| *to == full) else { continue };
        if live_number(&shell.types(listing), &full).is_some_and(|n| n == *after) {
            shell.types(&steps);
        }
    }
}

/// Where the page's table sends whoever sees this.
fn row(seen: &Seen) -> String {
    let page = read(PAGE);
    let (_, section) = sections(&page).into_iter().find(|(heading, _)| heading == "Is an update in flight?").unwrap();
    let phase = format!("`{}`", seen.phase);
    let carried = format!("\"carried\":{}", seen.carried);
    let fits = |line: &&str| line.starts_with('|') && line.contains(&phase) && (!line.contains("\"carried\"") || line.contains(&carried));
    section.lines().find(fits).unwrap_or_else(|| panic!("the page has no row for {seen:?}")).to_owned()
}

/// What a person does who reads the table. Says whether the old release is to be there afterwards.
fn settle(shell: &Shell) -> Option<(bool, String)> {
    let seen = look(shell)?;
    let row = row(&seen);
    let choose = row.contains("(#which-tree-is-live)");
    if choose && !seen.per_file {
        take_the_old_side(shell, &seen);
    }
    shell.types(&block("End it", 0));
    if choose && seen.per_file {
        for text in under(&read(PAGE), "Back to the version before", "sh") {
            shell.types(&text);
        }
    }
    let new = row.contains("(#it-was-confirming)");
    if new {
        shell.types(&block("It was confirming", 0));
    }
    Some((!new, format!("{} {}", seen.phase, seen.carried)))
}

/// The page's last look, and the program's own, once it is back.
fn is_right(shell: &Shell, files: &[(&str, &str)]) {
    assert_eq!(shell.types(&block("Is it right now?", 0)), "");
    let board = &shell.board;
    assert!(there(board, files));
    assert_eq!(board.text("var/www/pikit-web/mine.txt"), "mine", "what is a person's stays");
    for line in under(&read(PAGE), "When the program works again", "console")[0].lines().filter(|l| l.contains("recover") || l.contains("verify")) {
        let words: Vec<&str> = line.split("pikit-updater ").nth(1).unwrap().split(' ').collect();
        board.ok(&words);
    }
    assert!(there(board, files));
    assert_eq!(board.leftovers(), Vec::<String>::new());
}

/// Kills `apply` at every third call that changes a file, and settles it by the page.
fn killed_anywhere(files: &'static [(&'static str, &'static str)], per_file: bool) -> BTreeMap<String, usize> {
    let words = ["apply", "-y"];
    let mut start = board();
    if per_file {
        // what is mounted cannot be exchanged
        let web = start.path("var/www/pikit-web").display().to_string();
        let script = format!("mount --bind {web} {web} && exec \"$@\"");
        start.before = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script.as_str(), "sh"].map(str::to_owned).to_vec();
    }
    start.release("1.4.0", files);
    let (_, calls) = strace::list(&start.copy("by-hand-list"), &words);
    let mut met = BTreeMap::new();
    for call in calls.iter().step_by(3) {
        let board = start.copy("by-hand-kill");
        let (_, fired) = strace::fault(&board, &words, call, Fault::Kill);
        if !fired {
            continue;
        }
        let shell = Shell::new(board);
        shell.without_the_program();
        shell.types(&block("First, stop what could interfere", 0));
        let Some((old, row)) = settle(&shell) else { continue };
        is_right(&shell, if old { OLD } else { files });
        *met.entry(row).or_insert(0) += 1;
    }
    met
}

#[test]
fn by_hand_a_board_comes_back_wherever_an_update_was_killed() {
    or_skip!();
    let met = killed_anywhere(NEW, false);
    println!("rows of the page that were needed: {met:?}");
    for row in ["preparing false", "switching false", "trial false", "confirming false"] {
        assert!(met.contains_key(row), "{row} was never met: {met:?}");
    }
}

#[test]
fn by_hand_a_board_comes_back_wherever_a_sick_update_was_killed() {
    or_skip!();
    let met = killed_anywhere(SICK, false);
    println!("rows of the page that were needed: {met:?}");
    assert!(met.contains_key("rolling-back false") && met.contains_key("rolling-back true"), "{met:?}");
}

#[test]
fn by_hand_a_board_comes_back_wherever_an_update_file_by_file_was_killed() {
    or_skip!();
    let met = killed_anywhere(NEW, true);
    println!("rows of the page that were needed: {met:?}");
    assert!(met.contains_key("switching false") && met.contains_key("trial false"), "{met:?}");
}

#[test]
fn by_hand_the_version_before_comes_back_from_its_backup() {
    let board = board();
    board.release("1.4.0", NEW);
    board.ok(&["apply", "-y"]);
    board.write("var/www/pikit-web/index.html", "broken by the card");
    let shell = Shell::new(board);
    shell.without_the_program();
    assert!(look(&shell).is_none(), "nothing is in flight");
    let page = read(PAGE);
    let blocks = under(&page, "Back to the version before", "sh");
    let shown = shell.types(&blocks[0]);
    assert!(shown.contains("manifest.json") && shown.contains("backup.json") && shown.contains("files/pikit-web/gone.js"), "{shown}");
    shell.types(&blocks[1]);
    shell.types(&blocks[2]);
    assert_eq!(shell.types(&blocks[3]), "pikit-web/more.js\n", "what only the newer version has");
    shell.types(&blocks[4]);
    is_right(&shell, OLD);
    assert_eq!(shell.board.text("etc/pikit/version"), "1.3.0\n");
    assert!(shell.board.ok(&["status"]).out.contains("1.3.0"));
}

#[test]
fn by_hand_what_was_there_before_any_release_comes_back() {
    let board = Board::new("by-hand-before");
    board.write("etc/pikit/updater.toml", CONFIG.replace("ROOT", board.root.to_str().unwrap()));
    board.write("var/www/pikit-web/index.html", "as it was");
    board.write("usr/local/bin/pikit-api.py", "api as it was");
    board.release("1.3.0", OLD);
    board.ok(&["apply", "-y"]);
    let shell = Shell::new(board);
    shell.without_the_program();
    let page = read(PAGE);
    shell.types(&under(&page, "Back to the version before", "sh")[1]);
    let forget = page.split('`').find(|code| code.starts_with("rm /var/lib/pikit-update/installed.json")).unwrap();
    shell.types(forget);
    assert_eq!(shell.board.text("var/www/pikit-web/index.html"), "as it was");
    assert_eq!(shell.board.text("usr/local/bin/pikit-api.py"), "api as it was");
    let tree: Tree = shell.board.tree();
    assert!(!tree.contains_key("etc/pikit/version"));
    shell.board.ok(&["apply", "-y"]);
    assert!(there(&shell.board, OLD), "and the program goes on from there");
}
