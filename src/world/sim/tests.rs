use std::io::{ErrorKind, Write as _};

use super::*;
use crate::world::durable;

fn p(path: &str) -> &Path {
    Path::new(path)
}

fn write(disk: &SimDisk, path: &str, content: &str) {
    disk.create(p(path), 0o644).unwrap().write_all(content.as_bytes()).unwrap();
}

fn cuts() -> impl Iterator<Item = Cut> {
    [Cut::LoseAll, Cut::KeepMetadata, Cut::KeepAll].into_iter().chain((0..40).map(Cut::Torn))
}

/// Every disk that a power cut in the middle of this can leave.
fn every_cut(before: &SimDisk, run: impl Fn(&SimDisk) -> io::Result<()>, check: impl Fn(&SimDisk, bool)) {
    let whole = before.clone();
    run(&whole).unwrap();
    for k in 0..=whole.effects() {
        let disk = before.clone();
        disk.cut_after(k);
        let done = run(&disk).is_ok();
        assert_eq!(done, !disk.lost_power());
        assert_eq!(done, k == whole.effects());
        cuts().for_each(|cut| check(&disk.after_power_cut(cut), done));
    }
}

#[test]
fn a_save_leaves_the_old_or_the_new_wherever_the_power_goes() {
    let before = SimDisk::new();
    durable::save(&before, p("/f"), b"old", 0o644).unwrap();
    let save = |disk: &SimDisk| durable::save(disk, p("/f"), b"the new one", 0o600);
    every_cut(&before, save, |disk, done| {
        let found = durable::read(disk, p("/f"), 100).unwrap().unwrap();
        assert!(found == b"the new one" || (found == b"old" && !done), "{found:?}");
        save(disk).unwrap();
        assert_eq!(disk.dump(p("/")).len(), 1);
    });
}

#[test]
fn lines_before_a_torn_one_survive_and_the_next_one_is_whole() {
    let before = SimDisk::new();
    durable::append_line(&before, p("/log"), "one").unwrap();
    every_cut(
        &before,
        |disk| durable::append_line(disk, p("/log"), "two"),
        |disk, done| {
            durable::append_line(disk, p("/log"), "three").unwrap();
            let text = String::from_utf8(durable::read(disk, p("/log"), 100).unwrap().unwrap()).unwrap();
            assert!(text.starts_with("one\n") && text.ends_with("\nthree\n"), "{text:?}");
            assert!(!done || text == "one\ntwo\nthree\n", "{text:?}");
        },
    );
}

#[test]
fn folders_made_are_there_after_the_power_has_gone() {
    every_cut(
        &SimDisk::new(),
        |disk| durable::make_dirs(disk, p("/a/b/c"), 0o755),
        |disk, done| {
            assert!(!done || durable::exists(disk, p("/a/b/c")).unwrap());
            durable::make_dirs(disk, p("/a/b/c"), 0o755).unwrap();
        },
    );
}

#[test]
fn a_tree_half_removed_is_removed_by_the_next_run() {
    let before = SimDisk::new();
    durable::make_dirs(&before, p("/t/a"), 0o755).unwrap();
    durable::save(&before, p("/t/a/f"), b"x", 0o644).unwrap();
    durable::save(&before, p("/keep"), b"x", 0o644).unwrap();
    every_cut(
        &before,
        |disk| durable::remove_tree(disk, p("/t"), 1),
        |disk, _| {
            durable::remove_tree(disk, p("/t"), 1).unwrap();
            assert_eq!(disk.dump(p("/")).into_keys().collect::<Vec<_>>(), [p("keep")]);
        },
    );
}

#[test]
fn a_rename_may_outlive_the_content_of_what_it_renamed() {
    let disk = SimDisk::new();
    write(&disk, "/tmp", "content");
    disk.rename(p("/tmp"), p("/f"), false).unwrap();
    let content = |cut| disk.after_power_cut(cut).dump(p("/")).get(p("f")).map(|f| f.content.clone());
    assert_eq!(content(Cut::LoseAll), None);
    assert_eq!(content(Cut::KeepMetadata), Some(vec![]));
    assert_eq!(content(Cut::KeepAll), Some(b"content".to_vec()));
    let fates: std::collections::BTreeSet<_> = (0..200).map(|seed| content(Cut::Torn(seed))).collect();
    assert!(fates.len() > 5, "absent, empty, torn and whole: {fates:?}");
}

#[test]
fn a_sync_of_a_folder_keeps_all_names_of_its_volume_and_of_no_other() {
    let disk = SimDisk::with_volumes(&[("/other", true, 1 << 20)]);
    write(&disk, "/a", "lost");
    write(&disk, "/other/b", "lost");
    disk.mkdir(p("/d"), 0o755).unwrap();
    disk.sync_dir(p("/d")).unwrap();
    let after = disk.after_power_cut(Cut::LoseAll);
    assert_eq!(after.dump(p("/")).into_keys().collect::<Vec<_>>(), ["a", "d", "other"].map(PathBuf::from));
    assert_eq!(after.dump(p("/"))[p("a")].content, b"");
    disk.sync_fs(p("/other")).unwrap();
    assert_eq!(disk.after_power_cut(Cut::LoseAll).dump(p("/other"))[p("b")].content, b"lost");
    assert_eq!(disk.mounts().unwrap(), ["/", "/other"].map(PathBuf::from));
}

#[test]
fn without_power_nothing_is_read_and_a_clone_has_power_again() {
    let disk = SimDisk::new();
    write(&disk, "/f", "x");
    let mut open = disk.open(p("/f")).unwrap();
    disk.cut_after(1);
    disk.mkdir(p("/d"), 0o755).unwrap();
    let error = disk.mkdir(p("/e"), 0o755).unwrap_err();
    assert!(error.get_ref().is_some_and(|e| e.is::<PowerCut>()));
    assert!(disk.meta(p("/f")).is_err() && disk.mounts().is_err() && open.read(&mut [0]).is_err());
    assert!(disk.clone().meta(p("/d")).unwrap().is_some());
    assert_eq!(disk.clone().effects(), 0);
}

#[test]
fn a_planned_fault_comes_once_or_for_good() {
    let disk = SimDisk::new();
    disk.fail_after(1, Errno::IO);
    disk.mkdir(p("/a"), 0o755).unwrap();
    assert_eq!(disk.mkdir(p("/b"), 0o755).unwrap_err().raw_os_error(), Some(Errno::IO.raw_os_error()));
    disk.mkdir(p("/b"), 0o755).unwrap();
    disk.fail_from(0, Errno::ROFS);
    for path in ["/c", "/d"] {
        assert_eq!(disk.mkdir(p(path), 0o755).unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    assert_eq!(disk.list(p("/")).unwrap(), ["a", "b"]);
}

#[test]
fn a_full_volume_says_so_and_has_room_again_after_a_removal() {
    let disk = SimDisk::with_volumes(&[("/", true, 8192)]);
    write(&disk, "/a", &"x".repeat(5000));
    assert_eq!(disk.volume(p("/")).unwrap().free, 0);
    let mut file = disk.create(p("/b"), 0o644).unwrap();
    assert_eq!(file.write_all(b"y").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.mkdir(p("/d"), 0o755).unwrap_err().kind(), ErrorKind::StorageFull);
    disk.unlink(p("/a")).unwrap();
    file.write_all(b"y").unwrap();
    assert_eq!(disk.volume(p("/")).unwrap().free, 4096);
}

#[test]
fn inode_numbers_last_only_where_folders_are_exchanged_and_are_reused_at_once() {
    let disk = SimDisk::with_volumes(&[("/weak", false, 1 << 20)]);
    let ino = |disk: &SimDisk, path: &str| disk.meta(p(path)).unwrap().unwrap().ino;
    write(&disk, "/a", "");
    write(&disk, "/weak/a", "");
    write(&disk, "/weak/b", "");
    let after = disk.after_power_cut(Cut::KeepAll);
    assert_eq!(ino(&disk, "/a"), ino(&after, "/a"));
    assert_ne!(ino(&disk, "/weak/a"), ino(&after, "/weak/a"));
    assert_eq!(disk.exchange(p("/weak/a"), p("/weak/b")).unwrap_err().kind(), ErrorKind::CrossesDevices);
    let old = ino(&disk, "/a");
    disk.unlink(p("/a")).unwrap();
    write(&disk, "/b", "");
    assert_eq!(ino(&disk, "/b"), old);
}

#[test]
fn a_mount_point_stays_where_it_is() {
    let disk = SimDisk::with_volumes(&[("/d/mnt", true, 1 << 20)]);
    assert_eq!(disk.rmdir(p("/d/mnt")).unwrap_err().kind(), ErrorKind::ResourceBusy);
    assert_eq!(disk.rename(p("/d/mnt"), p("/d/x"), false).unwrap_err().kind(), ErrorKind::ResourceBusy);
    disk.rename(p("/d"), p("/e"), false).unwrap();
    assert_eq!(disk.mounts().unwrap(), ["/", "/e/mnt"].map(PathBuf::from));
    write(&disk, "/e/mnt/f", "");
    assert_eq!(durable::remove_tree(&disk, p("/e"), 1).unwrap_err().kind(), ErrorKind::CrossesDevices);
    assert!(durable::exists(&disk, p("/e/mnt/f")).unwrap());
}

#[test]
fn somebody_else_may_come_between_two_verbs() {
    let disk = SimDisk::new();
    disk.meanwhile(1, |disk| write(disk, "/theirs", "x"));
    disk.mkdir(p("/a"), 0o755).unwrap();
    assert_eq!(disk.list(p("/")).unwrap(), ["a", "theirs"]);
    assert_eq!(disk.effects(), 1);
}
