//! Nothing that another user prepared makes root write elsewhere, or give away what is root's: links on the way, folders that were there
//! first, second names of foreign files; and no program of another machine gets in.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};

use support::board::Board;
use support::{mounts, release, strace, tree};

const NOBODY: u32 = 65534;
const ONE: &[(&str, &str)] = &[("web/index.html", "one"), ("web/settings.json", "one"), ("web/js/app.js", "one"), ("api.py", "one")];
const TWO: &[(&str, &str)] = &[("web/index.html", "two"), ("web/settings.json", "two"), ("web/js/app.js", "two"), ("web/js/new.js", "new"), ("api.py", "two")];

fn permit(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_link_on_the_way_is_followed_if_it_is_root_s_and_refused_if_it_is_not() {
    or_skip!();
    let board = Board::new("way");
    fs::create_dir_all(board.path("disk/srv")).unwrap();
    fs::remove_dir(board.path("srv")).unwrap();
    symlink("disk/srv", board.path("srv")).unwrap();
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("disk/srv/web/index.html"), "one");
    board.release("1.1.0", TWO);
    let before = tree::read(&board.root, "disk");
    // the link is given to somebody else; then it is root's and lies where others may write
    lchown(board.path("srv"), Some(NOBODY), Some(NOBODY)).unwrap();
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    for words in ["srv is a symbolic link that belongs to", "user 65534", "sudo chown -h root"] {
        assert!(ran.err.contains(words), "{words:?} is not in {}", ran.err);
    }
    lchown(board.path("srv"), Some(0), Some(0)).unwrap();
    permit(&board.root, 0o777);
    let ran = board.run(&["apply", "-y"]);
    assert!(ran.code == 5 && ran.err.contains("in a folder that everybody may write to"), "{}", ran.err);
    assert_eq!(tree::difference(&tree::read(&board.root, "disk"), &before), "");
    permit(&board.root, 0o755);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("disk/srv/web/index.html"), "two");
}

#[test]
fn who_made_the_folder_for_downloads_first_gains_nothing() {
    or_skip!();
    type Squat = (&'static str, fn(&Board));
    let squats: [Squat; 4] = [
        ("a folder", |board| {
            fs::create_dir_all(board.path("var/tmp/pikit-update/1.1.0")).unwrap();
            for path in ["var/tmp/pikit-update", "var/tmp/pikit-update/1.1.0"] {
                chown(board.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
            }
            symlink(board.path("canary"), board.path("var/tmp/pikit-update/1.1.0/resume.json")).unwrap();
        }),
        ("root's folder, open to all", |board| {
            fs::create_dir(board.path("var/tmp/pikit-update")).unwrap();
            permit(&board.path("var/tmp/pikit-update"), 0o777);
        }),
        ("a link", |board| {
            symlink("../../canary", board.path("var/tmp/pikit-update")).unwrap();
            lchown(board.path("var/tmp/pikit-update"), Some(NOBODY), Some(NOBODY)).unwrap();
        }),
        ("a file", |board| board.write("var/tmp/pikit-update", "in the way")),
    ];
    for (name, squat) in squats {
        let board = Board::new("squat");
        fs::create_dir_all(board.path("var/tmp")).unwrap();
        permit(&board.path("var/tmp"), 0o1777);
        for file in ["1.1.0/resume.json", "precious"] {
            board.write(&format!("canary/{file}"), "canary");
        }
        board.release("1.0.0", ONE);
        board.ok(&["apply", "-y"]);
        board.release("1.1.0", TWO);
        let _ = fs::remove_dir_all(board.path("var/tmp/pikit-update"));
        squat(&board);
        let before = [tree::read(&board.root, "var/tmp"), tree::read(&board.root, "canary")];
        board.ok(&["apply", "--download-only", "-y"]);
        let ran = board.ok(&["apply", "-y"]);
        let said = ran.out + &ran.err;
        assert!(said.contains("var/tmp/pikit-update is not used") && said.contains("lib/pikit-update/fetched"), "{name}: {said}");
        assert_eq!(board.text("srv/web/index.html"), "two", "{name}");
        let after = [tree::read(&board.root, "var/tmp"), tree::read(&board.root, "canary")];
        assert!(before == after, "{name}: {after:?}");
    }
}

#[test]
fn memory_and_backups_that_are_not_root_s_are_refused() {
    or_skip!();
    let board = Board::new("notours");
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", TWO);
    let before = board.tree();
    for path in ["var/lib/pikit-update", "var/backups/pikit"] {
        fs::create_dir_all(board.path(path)).unwrap();
        for (uid, mode, words) in [(NOBODY, 0o755, "belongs to"), (0, 0o757, "others than root may write")] {
            chown(board.path(path), Some(uid), Some(uid)).unwrap();
            permit(&board.path(path), mode);
            let ran = board.run(&["apply", "-y"]);
            assert!(ran.code == 5 && ran.err.contains(words) && ran.err.contains("sudo chown root:root"), "{path}: exit {}: {}", ran.code, ran.err);
        }
        chown(board.path(path), Some(0), Some(0)).unwrap();
        permit(&board.path(path), 0o755);
    }
    assert_eq!(tree::difference(&board.tree(), &before), "");
    board.ok(&["apply", "-y"]);
}

/// Content, mode, owner and time of change of a file that another user gave second names.
fn lent(board: &Board) -> (String, u32, u32, u32, i64, i64) {
    let meta = fs::metadata(board.path("secrets/shadow")).unwrap();
    (board.text("secrets/shadow"), meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
}

/// Listed, unlisted and config files are second names of a file of root's.
fn with_second_names(board: &Board) {
    let config = "config = [\"web/settings.json\"]";
    let pack = |version, files| release::pack_into(&board.path("src"), version, files, config);
    pack("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.write("secrets/shadow", "root:secret");
    permit(&board.path("secrets/shadow"), 0o640);
    chown(board.path("secrets/shadow"), Some(0), Some(42)).unwrap();
    let plant = || {
        for name in ["srv/web/index.html", "srv/web/settings.json", "srv/web/mine", "srv/web/js/app.js", "srv/web/js/new.js", "usr/bin/api.py"] {
            let _ = fs::remove_file(board.path(name));
            fs::hard_link(board.path("secrets/shadow"), board.path(name)).unwrap();
        }
        chown(board.path("srv/web"), Some(NOBODY), Some(NOBODY)).unwrap();
    };
    plant();
    let before = lent(board);
    pack("1.1.0", TWO);
    for words in [&["apply", "-y"][..], &["rollback", "-y"], &["verify", "--repair", "-y"], &["apply", "-y"], &["verify", "--repair", "-y"]] {
        let ran = board.run(words);
        assert!([0, 5].contains(&ran.code), "{words:?}: exit {}: {}", ran.code, ran.err);
        assert_eq!(lent(board), before, "after {words:?}");
        plant();
    }
    assert_eq!(lent(board), before);
}

#[test]
fn a_second_name_of_a_foreign_file_changes_nothing_of_it() {
    or_skip!();
    with_second_names(&Board::new("names"));
}

#[test]
fn nor_does_one_in_a_folder_that_goes_file_by_file() {
    or_skip!();
    if mounts::of_my_own("nor_does_one_in_a_folder_that_goes_file_by_file") {
        let board = Board::new("namesbyfile");
        mounts::tmpfs(&board.path("srv/web/data"), "1m");
        with_second_names(&board);
    }
}

/// Of every staged file: made anew, for nobody else to write; and given its owner and mode after its last byte.
fn staged_with_care(board: &Board) {
    // more than a recipe may say, and what a manifest can
    let modes = [("api.py", "0666"), ("web/index.html", "0666"), ("web/js/new.js", "0777")];
    // the same content twice: the second is copied from the first
    let twins = |n: &'static str| [("web/index.html", n), ("web/twin.html", n), ("web/js/new.js", "new"), ("api.py", n)];
    for path in ["srv", "usr/bin"] {
        chown(board.path(path), Some(NOBODY), Some(NOBODY)).unwrap();
    }
    for (version, content) in [("1.0.0", "first"), ("1.1.0", "second")] {
        release::pack_into(&board.path("src"), version, &twins(content), "");
        support::maintainer::edit(&board.path("src").join(version), |manifest| {
            for file in manifest["files"].as_array_mut().unwrap() {
                if let Some((_, mode)) = modes.iter().find(|(path, _)| file["path"] == *path) {
                    file["mode"] = (*mode).into();
                }
            }
        });
        let (ran, calls) = strace::list(board, &["apply", "-y"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let (ran_back, back) = if version == "1.1.0" { strace::list(board, &["rollback", "-y"]) } else { (ran, Vec::new()) };
        assert_eq!(ran_back.code, 0, "{}", ran_back.err);
        let (mut files, mut given_away) = (0, 0);
        for calls in [calls, back] {
            let staged = |text: &str| text.contains(".pikit-") && !text.contains("pikit-tmp") && !text.contains("/var/backups/");
            for (at, call) in calls.iter().enumerate().filter(|(_, c)| c.name.starts_with("openat") && c.text.contains("O_CREAT") && staged(&c.text)) {
                files += 1;
                let mode = call.text.rsplit(", 0").next().and_then(|m| u32::from_str_radix(m.split(')').next()?, 8).ok()).unwrap();
                assert!(call.text.contains("O_EXCL") && mode & 0o022 == 0, "{}", call.text);
                let handle = call.text.rsplit("= ").next().unwrap().trim().to_owned();
                let of_it: Vec<_> =
                    calls[at + 1..].iter().take_while(|c| !c.name.starts_with("openat")).filter(|c| c.text.contains(&format!("({handle}"))).collect();
                let gives = |c: &strace::Call| c.name == "fchown" || (c.name == "fchmod" && c.text.contains("66)") | c.text.contains("77)"));
                let given = of_it.iter().position(|c| gives(c));
                let written = of_it.iter().rposition(|c| c.name == "write");
                // what stays root's, with a mode that lets nobody else write, need not be given to anybody
                assert!(written.is_some() && (given.is_none() || given > written), "{handle}: {:?}", of_it.iter().map(|c| &c.text).collect::<Vec<_>>());
                given_away += usize::from(given.is_some());
            }
            // a staged folder is nobody else's before its last file is whole
            let folders: Vec<usize> = (0..calls.len()).filter(|i| calls[*i].name == "mkdirat" && calls[*i].text.contains("\".web.pikit-")).collect();
            for at in folders {
                assert!(calls[at].text.contains("0700"), "{}", calls[at].text);
                let given = calls
                    .iter()
                    .position(|c| c.name == "fchown" && c.text.contains("/.web.pikit-") && c.text.split('>').next().unwrap().matches('/').count() == 2);
                let last = calls.iter().rposition(|c| c.name == "write" && c.text.contains("/.web.pikit-"));
                assert!(given.is_some_and(|g| last.is_none_or(|l| l < g)), "given at {given:?}, last written at {last:?}");
            }
        }
        assert!(files >= 4 && given_away >= 2, "{files}, {given_away}");
    }
}

#[test]
fn a_staged_file_is_nobody_else_s_until_it_is_whole() {
    or_skip!();
    staged_with_care(&Board::new("care"));
}

#[test]
fn nor_is_one_that_is_switched_by_itself() {
    or_skip!();
    if mounts::of_my_own("nor_is_one_that_is_switched_by_itself") {
        let board = Board::new("carebyfile");
        mounts::tmpfs(&board.path("srv/web/data"), "1m");
        staged_with_care(&board);
    }
}

#[test]
fn a_program_of_another_machine_is_refused_and_one_of_this_machine_is_not() {
    or_skip!();
    let board = Board::new("elf");
    let own = fs::read("/proc/self/exe").unwrap()[..4096].to_vec();
    let mut foreign = own.clone();
    foreign[18..20].copy_from_slice(&22u16.to_le_bytes()); // little end first, unlike any s390x
    let modes = |mode: &str| format!("[modes]\n\"web/helper\" = \"{mode}\"\n");
    let offer = |version, content: &[u8], mode: &str| {
        release::pack_into(&board.path("src"), version, &[("web/helper", content), ("web/index.html", b"x")], &modes(mode))
    };
    offer("1.0.0", &own, "0755");
    board.ok(&["apply", "-y"]);
    let before = board.tree();
    offer("1.1.0", &foreign, "0755");
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    for words in ["web/helper is a program for", &format!("this board is {}", pikit_updater::release::manifest::this_arch()), "`arch`"] {
        assert!(ran.err.contains(words), "{words:?} is not in {}", ran.err);
    }
    assert_eq!(tree::difference(&board.tree(), &before), "");
    assert_eq!(board.leftovers(), [""; 0]);
    // as data it may come along; and the way back does not ask
    offer("1.2.0", &foreign, "0644");
    board.ok(&["apply", "-y"]);
    board.write("srv/web/helper", &foreign);
    permit(&board.path("srv/web/helper"), 0o755);
    offer("1.3.0", &own, "0755");
    board.ok(&["apply", "-y"]);
    board.ok(&["rollback", "-y"]);
    assert_eq!(fs::read(board.path("srv/web/helper")).unwrap(), foreign);
}
