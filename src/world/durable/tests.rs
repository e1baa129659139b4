//! What is saved, made and removed, on every disk we have.

use super::*;
use crate::world::contract::on_disks;
use crate::world::real::RealDisk;
use crate::world::scratch::Scratch;

fn dev(disk: &dyn Disk, path: &Path) -> u64 {
    disk.meta(path).unwrap().unwrap().dev
}

#[test]
fn what_was_saved_is_read_and_nothing_else_is_left() {
    on_disks(|disk, top| {
        let path = top.join("state.json");
        assert_eq!(read(disk, &path, 10).unwrap(), None);
        disk.create(&top.join(".state.json.pikit-tmp"), 0o600).unwrap().write_all(b"stale").unwrap();
        save(disk, &path, b"one", 0o640).unwrap();
        save(disk, &path, b"two two", 0o604).unwrap();
        assert_eq!(read(disk, &path, 7).unwrap().unwrap(), b"two two");
        assert_eq!(disk.meta(&path).unwrap().unwrap().mode, 0o604);
        assert_eq!(disk.list(top).unwrap(), ["state.json"]);
        assert_eq!(read(disk, &path, 6).unwrap_err().kind(), io::ErrorKind::InvalidData);
    });
}

#[test]
fn missing_folders_are_made_and_existing_ones_left_alone() {
    on_disks(|disk, top| {
        disk.mkdir(&top.join("a"), 0o700).unwrap();
        for _ in 0..2 {
            make_dirs(disk, &top.join("a/b/c"), 0o755).unwrap();
        }
        assert_eq!(disk.meta(&top.join("a")).unwrap().unwrap().mode, 0o700);
        assert_eq!(disk.meta(&top.join("a/b/c")).unwrap().unwrap().mode, 0o755);
        save(disk, &top.join("file"), b"", 0o644).unwrap();
        assert_eq!(make_dirs(disk, &top.join("file"), 0o755).unwrap_err().kind(), io::ErrorKind::NotADirectory);
        assert_eq!(make_dirs(disk, &top.join("file/x"), 0o755).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    });
}

#[test]
fn a_tree_is_removed_twice_without_complaint() {
    on_disks(|disk, top| {
        make_dirs(disk, &top.join("t/a/b"), 0o755).unwrap();
        save(disk, &top.join("t/a/file"), b"x", 0o644).unwrap();
        for _ in 0..2 {
            remove_tree(disk, &top.join("t"), dev(disk, top)).unwrap();
        }
        assert!(!exists(disk, &top.join("t")).unwrap());
    });
}

#[test]
fn a_folder_on_another_device_is_not_entered() {
    on_disks(|disk, top| {
        make_dirs(disk, &top.join("t/a"), 0o755).unwrap();
        let error = remove_tree(disk, &top.join("t"), dev(disk, top) + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::CrossesDevices);
        assert!(exists(disk, &top.join("t/a")).unwrap());
    });
    let disk = RealDisk::new(vec![]);
    assert_eq!(remove_tree(&disk, Path::new("/dev"), 0).unwrap_err().kind(), io::ErrorKind::CrossesDevices);
}

#[test]
fn links_in_a_removed_tree_are_not_followed() {
    let scratch = Scratch::new();
    let top = scratch.path();
    let disk = RealDisk::new(vec![top.to_owned()]);
    make_dirs(&disk, &top.join("t"), 0o755).unwrap();
    make_dirs(&disk, &top.join("precious"), 0o755).unwrap();
    save(&disk, &top.join("precious/file"), b"x", 0o644).unwrap();
    std::os::unix::fs::symlink(top.join("precious"), top.join("t/link")).unwrap();
    remove_tree(&disk, &top.join("t"), dev(&disk, top)).unwrap();
    assert!(exists(&disk, &top.join("precious/file")).unwrap());
}

#[test]
fn a_line_after_a_torn_one_starts_on_its_own() {
    on_disks(|disk, top| {
        let path = top.join("history.jsonl");
        append_line(disk, &path, "one").unwrap();
        append_line(disk, &path, "two").unwrap();
        disk.append(&path).unwrap().write_all(b"{\"to").unwrap();
        append_line(disk, &path, "three").unwrap();
        assert_eq!(read(disk, &path, 100).unwrap().unwrap(), b"one\ntwo\n{\"to\nthree\n");
    });
}
