//! The life of a maintainer's keys, typed as `docs/publish.md` has it: made, used, changed, shared, lost; and a board that follows.

use std::fs;

use crate::shell::Shell;
use crate::support::board::Board;
use crate::support::pages::{read, under};

const PAGE: &str = "docs/publish.md";
const RECIPE: &str = "product = \"pikit\"\n[[include]]\nfrom = \"web/\"\nto = \"pikit-web/\"\n";
const CONFIG: &str = r#"
product = "pikit"
[source]
dir = "/srv/releases"
[[managed]]
from = "pikit-web/"
to = "/var/www/pikit-web/"
"#;

/// The lines that are typed under a heading, block by block.
fn typed(heading: &str) -> Vec<String> {
    under(&read(PAGE), heading, "console").iter().map(|text| text.lines().filter_map(|l| l.strip_prefix("$ ")).collect::<Vec<_>>().join("\n")).collect()
}

/// A maintainer whose folder has a recipe, and a board that trusts `pikit.pub`, which the page has made.
fn beginning(name: &str) -> Shell {
    let board = Board::new(name);
    fs::create_dir_all(board.path("etc/pikit/keys")).unwrap();
    fs::create_dir_all(board.path("var/www")).unwrap();
    board.write("etc/pikit/updater.toml", CONFIG);
    let shell = Shell::new(board);
    fs::create_dir_all(shell.work.join("web")).unwrap();
    shell.types(&typed("Keys")[0]);
    shell.types("scp pikit.pub board:/etc/pikit/keys/");
    shell
}

/// Packs a version and signs it with these keys.
fn makes(shell: &Shell, version: &str, recipe: &str, keys: &[&str]) {
    fs::write(shell.work.join("release.toml"), recipe).unwrap();
    fs::write(shell.work.join("web/index.html"), version).unwrap();
    let keys: String = keys.iter().map(|k| format!(" --key {k}.key")).collect();
    shell.types(&format!("pikit-updater pack --version {version} --released $(date -u +%F) --out dist/pikit-{version}"));
    shell.types(&format!("pikit-updater sign dist/pikit-{version}{keys}"));
}

fn takes(shell: &Shell, version: &str) -> i32 {
    let from = shell.work.join(format!("dist/pikit-{version}"));
    shell.board.run(&["apply", "--from", from.to_str().unwrap(), "-y"]).code
}

#[test]
fn keys_are_made_and_sign() {
    let shell = beginning("keys-sign");
    makes(&shell, "1.1.0", RECIPE, &["pikit"]);
    for lines in typed("Sign it") {
        shell.types(&lines);
    }
    assert_eq!(takes(&shell, "1.1.0"), 0);
}

#[test]
fn keys_change_and_then_it_takes_two() {
    let shell = beginning("keys-change");
    makes(&shell, "1.0.0", RECIPE, &["pikit"]);
    assert_eq!(takes(&shell, "1.0.0"), 0);
    let changes = typed("Changing the keys");
    shell.types(&changes[0]);
    let recipe = format!("trust = \"trust.json\"\n{RECIPE}");
    makes(&shell, "1.1.0", &recipe, &["new"]);
    assert_eq!(takes(&shell, "1.1.0"), 0, "the board learns the new key from the release");
    makes(&shell, "1.2.0", RECIPE, &["pikit"]);
    assert_eq!(takes(&shell, "1.2.0"), 4, "the old key is not believed any more");
    shell.types("pikit-updater keygen a && pikit-updater keygen b");
    shell.types(&changes[1]);
    makes(&shell, "1.3.0", &recipe, &["a"]);
    assert_eq!(takes(&shell, "1.3.0"), 4, "it takes two from now on");
    makes(&shell, "1.4.0", &recipe, &["a", "b"]);
    assert_eq!(takes(&shell, "1.4.0"), 0);
}

#[test]
fn a_lost_key_is_replaced_by_hand() {
    let shell = beginning("keys-lost");
    makes(&shell, "1.0.0", RECIPE, &["pikit"]);
    assert_eq!(takes(&shell, "1.0.0"), 0);
    shell.types("rm pikit.key && pikit-updater keygen new");
    makes(&shell, "1.1.0", RECIPE, &["new"]);
    assert_eq!(takes(&shell, "1.1.0"), 4);
    shell.types(&under(&read(PAGE), "When a key is lost or stolen", "sh")[0]);
    assert_eq!(takes(&shell, "1.1.0"), 0);
    // and what the owner's page says to the same end
    shell.types(&under(&read("docs/security.md"), "Keys", "sh")[0].lines().take(2).collect::<Vec<_>>().join("\n"));
    assert!(shell.board.has("etc/pikit/keys/new.pub"));
}

fn is_taken_back(name: &str, recipe: &str, says: impl Fn(&str) -> String) {
    let shell = beginning(name);
    for version in ["1.0.0", "1.1.0"] {
        makes(&shell, version, recipe, &["pikit"]);
        assert_eq!(takes(&shell, version), 0);
    }
    shell.types(&says(&typed("Taking a release back")[0]));
    assert_eq!(takes(&shell, "1.0.0"), 0, "without any flag");
    assert_eq!(shell.board.text("etc/pikit/version"), "1.0.0\n");
    assert_eq!(takes(&shell, "1.1.0"), 4, "and it stays taken back");
}

#[test]
fn a_release_is_taken_back() {
    is_taken_back("keys-recall", &format!("expires = \"30d\"\n{RECIPE}"), str::to_owned);
}

#[test]
fn a_release_that_never_expires_is_taken_back() {
    assert!(read(PAGE).contains("never expire, leave `--expires` out"));
    is_taken_back("keys-recall-for-ever", RECIPE, |line| line.replace(" --expires 90d", ""));
}
