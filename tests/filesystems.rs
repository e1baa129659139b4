//! The real program on real file systems: ext4, tmpfs, overlayfs, mounts in odd places, full and read-only ones; and what becomes of
//! owners, modes, links, and of files that a person edited or added.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use support::board::Board;
use support::mounts;
use support::noise::noise;
use support::release;
use support::rusage;
use support::tree;

const ONE: &[(&str, &str)] = &[("web/index.html", "one"), ("web/same.js", "same"), ("web/lib/gone.js", "gone"), ("api.py", "one")];
const TWO: &[(&str, &str)] = &[("web/index.html", "two"), ("web/same.js", "same"), ("web/lib/new.js", "new"), ("api.py", "two")];

/// Installs 1.0.0, updates to 1.1.0 and returns, with a person's files beside; says what is not as it should be.
fn there_and_back(board: &Board) {
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.write("srv/web/mine/note.txt", "mine");
    let old = board.tree();
    board.release("1.1.0", TWO);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("srv/web/index.html") + &board.text("usr/bin/api.py"), "twotwo");
    assert!(board.has("srv/web/lib/new.js") && !board.has("srv/web/lib/gone.js"));
    assert_eq!(board.text("srv/web/mine/note.txt"), "mine");
    board.ok(&["verify"]);
    board.ok(&["rollback", "-y"]);
    assert_eq!(tree::difference(&board.tree(), &old), "");
    assert_eq!(board.leftovers(), [""; 0]);
}

#[test]
fn there_and_back_on_a_real_ext4() {
    or_skip!();
    if mounts::of_my_own("there_and_back_on_a_real_ext4") {
        let home = Board::new("ext4");
        mounts::ext4(&home.path("card"), 64);
        let board = Board::at(home.path("card"));
        there_and_back(&board);
        let ino = fs::metadata(board.path("srv/web/mine/note.txt")).unwrap().ino();
        board.ok(&["apply", "-y"]);
        assert_eq!(fs::metadata(board.path("srv/web/mine/note.txt")).unwrap().ino(), ino, "a person's file keeps its inode");
    }
}

#[test]
fn a_file_system_that_is_too_small_is_refused_with_numbers() {
    or_skip!();
    if mounts::of_my_own("a_file_system_that_is_too_small_is_refused_with_numbers") {
        let board = Board::new("small");
        mounts::tmpfs(&board.path("srv"), "1m");
        board.release("1.0.0", ONE);
        board.ok(&["apply", "-y"]);
        let before = board.tree();
        board.release("1.1.0", &[("web/index.html", noise(2 << 20, 1))]);
        let ran = board.run(&["apply", "-y"]);
        assert_eq!(ran.code, 5, "{}", ran.err);
        let said = ran.err.lines().find(|l| l.contains("not enough space on")).unwrap_or_else(|| panic!("{}", ran.err)).to_owned();
        assert!(said.contains("/srv") && said.contains("needed 2.1 MB, free 1.0 MB"), "{said}");
        assert_eq!(tree::difference(&board.tree(), &before), "");
        assert_eq!(board.leftovers(), [""; 0]);
    }
}

#[test]
fn a_disk_that_fills_up_while_the_update_is_prepared_changes_nothing() {
    or_skip!();
    if mounts::of_my_own("a_disk_that_fills_up_while_the_update_is_prepared_changes_nothing") {
        let board = Board::new("filling");
        // room for the plan's sum, but not for as many inodes
        fs::create_dir_all(board.path("srv")).unwrap();
        mounts::mount(&["-t", "tmpfs", "-o", "size=8m,nr_inodes=40,mode=0755", "tmpfs", board.path("srv").to_str().unwrap()]);
        board.release("1.0.0", ONE);
        board.ok(&["apply", "-y"]);
        let before = board.tree();
        let many: Vec<(String, String)> = (0..100).map(|i| (format!("web/{i}"), format!("{i}"))).collect();
        board.release("1.1.0", &many.iter().map(|(p, c)| (p.as_str(), c)).collect::<Vec<_>>());
        let ran = board.run(&["apply", "-y"]);
        assert_eq!(ran.code, 5, "{}", ran.err);
        assert!(ran.err.contains("No space left on device") && ran.err.contains("free some space"), "{}", ran.err);
        assert_eq!(tree::difference(&board.tree(), &before), "");
        assert_eq!(board.leftovers(), [""; 0]);
    }
}

#[test]
fn a_managed_folder_that_is_a_mount_point_goes_there_and_back() {
    or_skip!();
    if mounts::of_my_own("a_managed_folder_that_is_a_mount_point_goes_there_and_back") {
        let board = Board::new("mounted");
        mounts::tmpfs(&board.path("srv/web"), "8m");
        there_and_back(&board);
    }
}

#[test]
fn backups_and_memory_may_lie_on_other_file_systems() {
    or_skip!();
    if mounts::of_my_own("backups_and_memory_may_lie_on_other_file_systems") {
        let board = Board::new("apart");
        for at in ["var/backups", "var/lib", "var/tmp", "usr"] {
            mounts::tmpfs(&board.path(at), "8m");
        }
        fs::create_dir_all(board.path("usr/bin")).unwrap();
        there_and_back(&board);
    }
}

#[test]
fn a_disk_mounted_inside_a_managed_folder_keeps_its_data() {
    or_skip!();
    if mounts::of_my_own("a_disk_mounted_inside_a_managed_folder_keeps_its_data") {
        let board = Board::new("inside");
        mounts::ext4(&board.path("srv/web/data"), 16);
        board.write("srv/web/data/recording.bin", "precious");
        let with = |files: &[(&'static str, &'static str)], listed: &'static str| -> Vec<(&'static str, &'static str)> {
            files.iter().copied().chain([("web/data/listed.txt", listed)]).collect()
        };
        board.release("1.0.0", &with(ONE, "one"));
        board.ok(&["apply", "-y"]);
        let old = board.tree();
        board.release("1.1.0", &with(TWO, "two"));
        board.ok(&["apply", "-y"]);
        assert_eq!(board.text("srv/web/data/listed.txt") + &board.text("srv/web/index.html"), "twotwo");
        assert_eq!(board.text("srv/web/data/recording.bin"), "precious");
        board.ok(&["rollback", "-y"]);
        assert_eq!(tree::difference(&board.tree(), &old), "");
        mounts::run("umount", &[board.path("srv/web/data").to_str().unwrap()]);
        assert_eq!(fs::read_dir(board.path("srv/web/data")).unwrap().count(), 0, "nothing was written below the mount");
    }
}

#[test]
fn a_managed_folder_on_overlayfs_goes_there_and_back() {
    or_skip!();
    if mounts::of_my_own("a_managed_folder_on_overlayfs_goes_there_and_back") {
        let board = Board::new("overlay");
        for dir in ["lower/web/lib", "over"] {
            fs::create_dir_all(board.path(dir)).unwrap();
        }
        // an upper layer must be on a file system of its own kind
        mounts::tmpfs(&board.path("over"), "8m");
        for dir in ["over/upper", "over/work"] {
            fs::create_dir_all(board.path(dir)).unwrap();
        }
        board.write("lower/web/index.html", "from the image");
        board.write("lower/web/lib/gone.js", "gone");
        let at = |p: &str| board.path(p).display().to_string();
        let layers = format!("lowerdir={},upperdir={},workdir={}", at("lower"), at("over/upper"), at("over/work"));
        mounts::mount(&["-t", "overlay", "-o", &layers, "overlay", &at("srv")]);
        there_and_back(&board);
        assert_eq!(board.text("lower/web/index.html"), "from the image");
    }
}

#[test]
fn a_read_only_file_system_is_refused_with_words() {
    or_skip!();
    if mounts::of_my_own("a_read_only_file_system_is_refused_with_words") {
        let board = Board::new("readonly");
        for at in ["srv", "var"] {
            mounts::tmpfs(&board.path(at), "8m");
        }
        board.release("1.0.0", ONE);
        board.ok(&["apply", "-y"]);
        board.release("1.1.0", TWO);
        let before = board.tree();
        for at in ["srv", "var"] {
            let mount = board.path(at).display().to_string();
            mounts::mount(&["-o", "remount,ro", &mount]);
            let ran = board.run(&["apply", "-y"]);
            assert!([5, 9].contains(&ran.code), "{at}: exit {}: {}", ran.code, ran.err);
            assert!(ran.err.to_lowercase().contains("read-only") && ran.err.contains(&format!("/{at}")), "{at}: {}", ran.err);
            assert_eq!(tree::difference(&board.tree(), &before), "");
            mounts::mount(&["-o", "remount,rw", &mount]);
            assert_eq!(board.leftovers(), [""; 0]);
        }
        board.ok(&["apply", "-y"]);
    }
}

#[test]
fn ten_thousand_files_take_little_time_and_memory() {
    or_skip!();
    let board = Board::new("many");
    let files = |changed: usize| -> Vec<(String, String)> {
        (0..10_000).map(|i| (format!("web/{:02}/{i}.js", i % 50), format!("file {i} {}", if i < changed { "new" } else { "" }))).collect()
    };
    let offer = |version: &str, changed: usize| {
        let files = files(changed);
        board.release(version, &files.iter().map(|(p, c)| (p.as_str(), c)).collect::<Vec<_>>());
    };
    // what the program takes when there is no list of files to hold
    let idle = rusage::measure(&board, &["status"]).megabytes;
    offer("1.0.0", 0);
    let install = rusage::measure(&board, &["apply", "-y"]);
    offer("1.1.0", 4);
    let update = rusage::measure(&board, &["apply", "-y"]);
    let back = rusage::measure(&board, &["rollback", "-y"]);
    let renamed: Vec<_> = files(10_000).into_iter().map(|(path, content)| (path.replace(".js", ".new.js"), content)).collect();
    board.release("1.2.0", &renamed.iter().map(|(p, c)| (p.as_str(), c)).collect::<Vec<_>>());
    let all = rusage::measure(&board, &["apply", "-y"]);
    let all_back = rusage::measure(&board, &["rollback", "-y"]);
    // a list of 10,000 files is two megabytes of text, and there are two of them; where none of the old is in the new they have nothing in common
    for (what, used, most) in
        [("install", install, 13.0), ("update of 4", update, 16.5), ("rollback", back, 17.5), ("all new", all, 20.0), ("all back", all_back, 20.0)]
    {
        let more = used.megabytes - idle;
        println!("10,000 files, {what}: {:.2} s, {:.2} s of processor, {:.1} MB, {more:.1} more than nothing", used.wall, used.cpu, used.megabytes);
        assert!(more < most, "{what}: {} MB, {more:.1} more than nothing", used.megabytes);
        assert!(used.wall < 60.0, "{what}: {} s", used.wall);
    }
}

#[test]
fn owners_and_modes_are_kept() {
    or_skip!();
    let board = Board::new("owners");
    release::pack_into(&board.path("src"), "1.0.0", ONE, "");
    board.ok(&["apply", "-y"]);
    // a web server's folder, with a group that whatever is made there inherits
    chown(board.path("srv/web"), Some(33), Some(33)).unwrap();
    fs::set_permissions(board.path("srv/web"), fs::Permissions::from_mode(0o2775)).unwrap();
    board.write("srv/web/mine.txt", "mine");
    chown(board.path("srv/web/mine.txt"), Some(1000), Some(1001)).unwrap();
    fs::set_permissions(board.path("srv/web/mine.txt"), fs::Permissions::from_mode(0o640)).unwrap();
    let seen = |p: &str| fs::symlink_metadata(board.path(p)).map(|m| (m.uid(), m.gid(), m.mode() & 0o7777)).unwrap();
    let old = board.tree();
    release::pack_into(&board.path("src"), "1.1.0", TWO, "[modes]\n\"web/lib/new.js\" = \"0600\"\n");
    board.ok(&["apply", "-y"]);
    assert_eq!(seen("srv/web"), (33, 33, 0o2775));
    assert_eq!(seen("srv/web/mine.txt"), (1000, 1001, 0o640));
    assert_eq!(seen("srv/web/index.html"), (33, 33, 0o644));
    assert_eq!(seen("srv/web/lib/new.js"), (33, 33, 0o600));
    board.ok(&["rollback", "-y"]);
    assert_eq!(tree::difference(&board.tree(), &old), "");
}

#[test]
fn a_person_s_link_stays_and_one_in_a_file_s_place_blocks_with_words() {
    or_skip!();
    let board = Board::new("links");
    board.write("elsewhere/secret.txt", "secret");
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    symlink("/nowhere/at/all", board.path("srv/web/dangling")).unwrap();
    symlink(board.path("elsewhere"), board.path("srv/web/photos")).unwrap();
    board.release("1.1.0", TWO);
    board.ok(&["apply", "-y"]);
    assert_eq!(fs::read_link(board.path("srv/web/dangling")).unwrap().to_str(), Some("/nowhere/at/all"));
    assert_eq!(fs::read_link(board.path("srv/web/photos")).unwrap(), board.path("elsewhere"));
    // a link where the next release has a file, a link where it has a folder, a folder where it has a file
    let next: &[(&str, &str)] =
        &[("web/index.html", "three"), ("web/photos/secret.txt", "planted"), ("web/dangling", "x"), ("web/box", "x"), ("api.py", "two")];
    board.write("srv/web/box/mine.txt", "mine");
    board.release("1.2.0", next);
    let before = board.tree();
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    for words in ["srv/web/photos is not a folder", "srv/web/dangling is a symbolic link", "srv/web/box is a folder", "web/photos/secret.txt"] {
        assert!(ran.err.contains(words), "{words:?} is not in {}", ran.err);
    }
    assert_eq!(tree::difference(&board.tree(), &before), "");
    assert_eq!(board.text("elsewhere/secret.txt"), "secret");
}

#[test]
fn an_edited_config_file_stays_and_the_new_one_lies_beside_it() {
    or_skip!();
    let board = Board::new("config");
    let config = "config = [\"web/*.json\"]";
    let files = |n: &'static str| [("web/edited.json", n), ("web/plain.json", n), ("web/index.html", n)];
    release::pack_into(&board.path("src"), "1.0.0", &files("one"), config);
    board.ok(&["apply", "-y"]);
    board.write("srv/web/edited.json", "by hand");
    release::pack_into(&board.path("src"), "1.1.0", &files("two"), config);
    let ran = board.ok(&["apply", "-y"]);
    assert_eq!(board.text("srv/web/edited.json"), "by hand");
    assert_eq!(board.text("srv/web/edited.json.pikit-new"), "two");
    assert_eq!(board.text("srv/web/plain.json"), "two");
    assert!((ran.out + &ran.err).contains("edited.json"), "it is said");
    board.ok(&["rollback", "-y"]);
    assert_eq!(board.text("srv/web/edited.json") + &board.text("srv/web/plain.json"), "by handone");
}

#[test]
fn an_edited_file_of_the_release_goes_into_the_backup_and_comes_back() {
    or_skip!();
    let board = Board::new("edited");
    board.release("1.0.0", ONE);
    board.ok(&["apply", "-y"]);
    board.write("srv/web/index.html", "a person's own words");
    let old = board.tree();
    board.release("1.1.0", TWO);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.text("srv/web/index.html"), "two");
    board.ok(&["rollback", "-y"]);
    assert_eq!(tree::difference(&board.tree(), &old), "");
}

#[test]
fn content_that_only_changed_its_name_is_not_fetched() {
    or_skip!();
    let board = Board::new("renamed");
    board.release("1.0.0", &[("web/old-name.bin", noise(100_000, 7)), ("web/index.html", b"one".to_vec())]);
    board.ok(&["apply", "-y"]);
    board.release("1.1.0", &[("web/new/name.bin", noise(100_000, 7)), ("web/index.html", b"one".to_vec())]);
    // a bundle that holds nothing: whoever asks it gets nothing
    fs::write(board.path("src/1.1.0/pikit-1.1.0.tar.gz"), "").unwrap();
    board.ok(&["apply", "-y"]);
    assert_eq!(fs::read(board.path("srv/web/new/name.bin")).unwrap(), noise(100_000, 7));
    assert!(!board.has("srv/web/old-name.bin"));
}
