//! What every disk must do, asked of the simulated and of the real one, with and without `openat2`, on two file systems.
//! A test of the engine on the simulated disk proves as much as this suite does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use super::disk::{Disk, Kind, Meta};
use super::real::RealDisk;
use super::scratch::Scratch;
use super::sim::SimDisk;

/// A folder on some disk, and what only a stranger does there.
pub struct Site {
    name: &'static str,
    disk: Box<dyn Disk>,
    top: PathBuf,
    /// A folder on another file system, if there is one.
    other: Option<PathBuf>,
    plant: Plant,
    _scratch: Vec<Scratch>,
}

enum Plant {
    Sim(SimDisk),
    Real,
}

impl Site {
    fn sim() -> Self {
        let disk = SimDisk::with_volumes(&[("/other", true, 1 << 30)]);
        disk.mkdir(Path::new("/top"), 0o755).unwrap();
        let (top, other) = (PathBuf::from("/top"), Some(PathBuf::from("/other")));
        Site { name: "simulated", plant: Plant::Sim(disk.share()), disk: Box::new(disk), top, other, _scratch: vec![] }
    }

    fn real(name: &'static str, above: &Path, other: &Path, disk: impl Fn(PathBuf) -> RealDisk) -> Self {
        let scratch = Scratch::within(above);
        let top = scratch.path().to_owned();
        let mut site = Site { name, disk: Box::new(disk(top.clone())), top, other: None, plant: Plant::Real, _scratch: vec![scratch] };
        if other.is_dir() {
            let scratch = Scratch::within(other);
            site.other = (site.dev(scratch.path()) != site.dev(&site.top)).then(|| scratch.path().to_owned());
            site._scratch.push(scratch);
        }
        site
    }

    fn dev(&self, path: &Path) -> u64 {
        self.disk.meta(path).unwrap().unwrap().dev
    }

    fn at(&self, path: &str) -> PathBuf {
        self.top.join(path)
    }

    fn meta(&self, path: &str) -> Option<Meta> {
        self.disk.meta(&self.at(path)).unwrap()
    }

    fn file(&self, path: &str, content: &str) {
        self.disk.create(&self.at(path), 0o644).unwrap().write_all(content.as_bytes()).unwrap();
    }

    fn dir(&self, path: &str) {
        self.disk.mkdir(&self.at(path), 0o755).unwrap();
    }

    fn content(&self, path: &str) -> String {
        let mut text = String::new();
        self.disk.open(&self.at(path)).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn link(&self, target: &str, path: &str) {
        match &self.plant {
            Plant::Sim(sim) => sim.plant_link(Path::new(target), &self.at(path)),
            Plant::Real => std::os::unix::fs::symlink(target, self.at(path)).unwrap(),
        }
    }

    fn pipe(&self, path: &str) {
        match &self.plant {
            Plant::Sim(sim) => sim.plant_pipe(&self.at(path)),
            Plant::Real => rustix::fs::mknodat(CWD, self.at(path), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap(),
        }
    }

    /// The verb is refused with this kind of error.
    fn refused<T>(&self, kind: ErrorKind, result: std::io::Result<T>) {
        match result {
            Ok(_) => panic!("{}: not refused", self.name),
            Err(e) => assert_eq!(e.kind(), kind, "{}: {e}", self.name),
        }
    }

    /// The verb is refused with this error of Linux, whose kind has no stable name.
    fn refused_as<T>(&self, errno: Errno, result: std::io::Result<T>) {
        match result {
            Ok(_) => panic!("{}: not refused", self.name),
            Err(e) => assert_eq!(e.raw_os_error(), Some(errno.raw_os_error()), "{}: {e}", self.name),
        }
    }
}

/// Runs a test on every disk we have.
pub fn on_disks(test: impl Fn(&dyn Disk, &Path)) {
    everywhere(|site| test(&*site.disk, &site.top));
}

fn everywhere(test: impl Fn(&Site)) {
    let (temp, memory) = (std::env::temp_dir(), Path::new("/dev/shm"));
    test(&Site::sim());
    test(&Site::real("real", &temp, memory, |top| RealDisk::new(vec![top])));
    test(&Site::real("real without openat2", &temp, memory, |top| RealDisk::without_openat2(vec![top])));
    test(&Site::real("real without an anchor", &temp, memory, |_| RealDisk::new(vec![])));
    if memory.is_dir() {
        test(&Site::real("real on tmpfs", memory, &temp, |top| RealDisk::new(vec![top])));
    }
}

#[test]
fn what_is_absent_has_no_meta_also_below_a_file() {
    everywhere(|s| {
        s.file("file", "");
        for path in ["absent", "absent/x", "file/x", "file/x/y"] {
            assert_eq!(s.meta(path), None, "{}: {path}", s.name);
        }
        s.refused(ErrorKind::NotFound, s.disk.open(&s.at("absent")));
        s.refused(ErrorKind::NotFound, s.disk.list(&s.at("absent")));
        s.refused(ErrorKind::NotFound, s.disk.sync_dir(&s.at("absent")));
        s.refused(ErrorKind::NotFound, s.disk.sync_fs(&s.at("absent")));
        s.refused(ErrorKind::NotFound, s.disk.volume(&s.at("absent")));
        s.refused(ErrorKind::NotFound, s.disk.read_link(&s.at("absent")));
        s.refused(ErrorKind::NotFound, s.disk.create(&s.at("absent/x"), 0o644));
        s.refused(ErrorKind::NotADirectory, s.disk.create(&s.at("file/x"), 0o644));
        s.refused(ErrorKind::NotADirectory, s.disk.list(&s.at("file")));
    });
}

#[test]
fn paths_that_could_mean_something_else_are_refused() {
    everywhere(|s| {
        s.refused(ErrorKind::InvalidInput, s.disk.meta(Path::new("relative")));
        s.refused(ErrorKind::InvalidInput, s.disk.meta(&s.at("a/../b")));
        s.refused(ErrorKind::InvalidInput, s.disk.unlink(&s.at("..")));
        assert_eq!(s.disk.meta(Path::new("/")).unwrap().unwrap().kind, Kind::Dir);
        assert!(!s.disk.list(Path::new("/")).unwrap().is_empty());
    });
}

#[test]
fn a_new_file_has_the_mode_asked_for_and_what_was_written() {
    everywhere(|s| {
        let mut file = s.disk.create(&s.at("f"), 0o666).unwrap();
        file.write_all(b"one ").unwrap();
        file.write_all(b"two").unwrap();
        file.sync().unwrap();
        let meta = s.meta("f").unwrap();
        assert_eq!((meta.kind, meta.mode, meta.size, meta.nlink), (Kind::File, 0o644, 7, 1), "{}: not for others to write yet", s.name);
        file.own(meta.uid, meta.gid, 0o4751).unwrap();
        assert_eq!(s.meta("f").unwrap().mode, 0o4751, "{}", s.name);
        s.disk.append(&s.at("f")).unwrap().write_all(b" three").unwrap();
        assert_eq!(s.content("f"), "one two three");
        s.disk.append(&s.at("g")).unwrap().write_all(b"made").unwrap();
        assert_eq!(s.content("g"), "made");
        s.refused(ErrorKind::AlreadyExists, s.disk.create(&s.at("f"), 0o644));
    });
}

#[test]
fn folders_are_made_owned_listed_and_removed_when_empty() {
    everywhere(|s| {
        s.disk.mkdir(&s.at("d"), 0o777).unwrap();
        assert_eq!((s.meta("d").unwrap().kind, s.meta("d").unwrap().mode), (Kind::Dir, 0o777), "{}", s.name);
        let meta = s.meta("d").unwrap();
        s.disk.own_dir(&s.at("d"), meta.uid, meta.gid, 0o2750).unwrap();
        assert_eq!(s.meta("d").unwrap().mode, 0o2750, "{}", s.name);
        s.refused(ErrorKind::AlreadyExists, s.disk.mkdir(&s.at("d"), 0o755));
        for name in ["d/b", "d/a", "d/B", "d/.h"] {
            s.file(name, "");
        }
        assert_eq!(s.disk.list(&s.at("d")).unwrap(), [".h", "B", "a", "b"], "{}", s.name);
        s.refused(ErrorKind::DirectoryNotEmpty, s.disk.rmdir(&s.at("d")));
        s.refused(ErrorKind::NotADirectory, s.disk.rmdir(&s.at("d/a")));
        s.refused(ErrorKind::NotADirectory, s.disk.own_dir(&s.at("d/a"), meta.uid, meta.gid, 0o755));
        for name in ["d/b", "d/a", "d/B", "d/.h"] {
            s.disk.unlink(&s.at(name)).unwrap();
        }
        s.refused(ErrorKind::IsADirectory, s.disk.unlink(&s.at("d")));
        s.disk.sync_dir(&s.at("d")).unwrap();
        s.disk.sync_fs(&s.at("d")).unwrap();
        s.disk.rmdir(&s.at("d")).unwrap();
        s.refused(ErrorKind::NotFound, s.disk.rmdir(&s.at("d")));
        s.refused(ErrorKind::NotFound, s.disk.unlink(&s.at("d")));
    });
}

#[test]
fn only_regular_files_are_opened_and_a_pipe_does_not_block() {
    everywhere(|s| {
        s.file("file", "x");
        s.dir("dir");
        s.link("file", "link");
        s.pipe("pipe");
        assert_eq!((s.meta("link").unwrap().kind, s.meta("pipe").unwrap().kind), (Kind::Link, Kind::Other));
        s.refused(ErrorKind::IsADirectory, s.disk.open(&s.at("dir")));
        s.refused_as(Errno::LOOP, s.disk.open(&s.at("link")));
        s.refused(ErrorKind::InvalidInput, s.disk.open(&s.at("pipe")));
        s.refused(ErrorKind::IsADirectory, s.disk.append(&s.at("dir")));
        s.refused_as(Errno::LOOP, s.disk.append(&s.at("link")));
        s.refused(ErrorKind::InvalidInput, s.disk.append(&s.at("pipe")));
        s.refused(ErrorKind::AlreadyExists, s.disk.create(&s.at("link"), 0o644));
        s.refused(ErrorKind::NotADirectory, s.disk.list(&s.at("link")));
        assert_eq!(s.disk.read_link(&s.at("link")).unwrap(), Path::new("file"));
        s.refused(ErrorKind::InvalidInput, s.disk.read_link(&s.at("file")));
    });
}

#[test]
fn a_second_name_is_the_same_file_and_a_link_is_itself_linked() {
    everywhere(|s| {
        s.file("a", "x");
        s.dir("d");
        s.disk.link(&s.at("a"), &s.at("d/b")).unwrap();
        let (a, b) = (s.meta("a").unwrap(), s.meta("d/b").unwrap());
        assert_eq!((a.ino, a.nlink), (b.ino, 2), "{}", s.name);
        s.link("a", "l");
        s.disk.link(&s.at("l"), &s.at("m")).unwrap();
        assert_eq!((s.meta("m").unwrap().kind, s.meta("m").unwrap().ino), (Kind::Link, s.meta("l").unwrap().ino), "{}", s.name);
        s.refused(ErrorKind::AlreadyExists, s.disk.link(&s.at("a"), &s.at("d/b")));
        s.refused(ErrorKind::NotFound, s.disk.link(&s.at("absent"), &s.at("n")));
        s.refused(ErrorKind::NotFound, s.disk.link(&s.at("a"), &s.at("absent/n")));
        s.refused(ErrorKind::PermissionDenied, s.disk.link(&s.at("d"), &s.at("e")));
    });
}

#[test]
fn a_rename_replaces_unless_told_not_to() {
    everywhere(|s| {
        s.file("a", "a");
        s.file("b", "b");
        s.refused(ErrorKind::AlreadyExists, s.disk.rename(&s.at("a"), &s.at("b"), true));
        s.disk.rename(&s.at("a"), &s.at("b"), false).unwrap();
        assert_eq!((s.meta("a"), s.content("b").as_str()), (None, "a"));
        s.disk.rename(&s.at("b"), &s.at("c"), true).unwrap();
        s.refused(ErrorKind::NotFound, s.disk.rename(&s.at("b"), &s.at("c"), false));
        s.dir("d");
        s.dir("e");
        s.file("e/x", "x");
        s.refused(ErrorKind::IsADirectory, s.disk.rename(&s.at("c"), &s.at("d"), false));
        s.refused(ErrorKind::NotADirectory, s.disk.rename(&s.at("d"), &s.at("c"), false));
        s.refused(ErrorKind::DirectoryNotEmpty, s.disk.rename(&s.at("d"), &s.at("e"), false));
        s.refused(ErrorKind::InvalidInput, s.disk.rename(&s.at("e"), &s.at("e/y"), false));
        s.refused(ErrorKind::DirectoryNotEmpty, s.disk.rename(&s.at("e/x"), &s.at("e"), false));
        s.disk.rename(&s.at("e"), &s.at("d"), false).unwrap();
        assert_eq!((s.meta("e"), s.content("d/x").as_str()), (None, "x"));
    });
}

#[test]
fn renaming_one_name_of_a_file_to_its_other_leaves_both() {
    everywhere(|s| {
        s.file("a", "x");
        s.disk.link(&s.at("a"), &s.at("b")).unwrap();
        s.disk.rename(&s.at("a"), &s.at("b"), false).unwrap();
        assert_eq!((s.meta("a").unwrap().nlink, s.meta("b").unwrap().nlink), (2, 2), "{}", s.name);
        s.disk.exchange(&s.at("a"), &s.at("b")).unwrap();
        assert!(s.meta("a").is_some() && s.meta("b").is_some(), "{}", s.name);
    });
}

#[test]
fn an_exchange_swaps_whatever_lies_there() {
    everywhere(|s| {
        s.dir("d");
        s.file("d/x", "x");
        s.file("f", "f");
        let before = (s.meta("d").unwrap().ino, s.meta("f").unwrap().ino);
        s.disk.exchange(&s.at("d"), &s.at("f")).unwrap();
        assert_eq!((s.meta("f").unwrap().ino, s.meta("d").unwrap().ino), before, "{}", s.name);
        assert_eq!((s.content("f/x").as_str(), s.content("d").as_str()), ("x", "f"));
        s.refused(ErrorKind::NotFound, s.disk.exchange(&s.at("d"), &s.at("absent")));
        s.refused(ErrorKind::InvalidInput, s.disk.exchange(&s.at("f"), &s.at("f/x")));
        s.refused(ErrorKind::InvalidInput, s.disk.exchange(&s.at("f/x"), &s.at("f")));
    });
}

#[test]
fn after_a_folder_was_exchanged_its_path_means_the_new_one() {
    everywhere(|s| {
        for side in ["live", "idle"] {
            s.dir(side);
            s.dir(&format!("{side}/sub"));
            s.file(&format!("{side}/sub/f"), side);
        }
        assert_eq!(s.content("live/sub/f"), "live");
        s.disk.exchange(&s.at("live"), &s.at("idle")).unwrap();
        assert_eq!(s.content("live/sub/f"), "idle", "{}", s.name);
        s.file("live/sub/g", "");
        s.disk.rename(&s.at("live/sub"), &s.at("live/old"), true).unwrap();
        s.refused(ErrorKind::NotFound, s.disk.create(&s.at("live/sub/h"), 0o644));
        s.dir("live/sub");
        s.file("live/sub/h", "");
        assert_eq!(s.disk.list(&s.at("live/sub")).unwrap(), ["h"], "{}", s.name);
        s.disk.unlink(&s.at("live/sub/h")).unwrap();
        s.disk.rmdir(&s.at("live/sub")).unwrap();
        s.dir("live/sub");
        s.file("live/sub/i", "i");
        assert_eq!(s.content("live/sub/i"), "i", "{}", s.name);
    });
}

#[test]
fn nothing_is_renamed_or_linked_across_file_systems() {
    everywhere(|s| {
        let Some(other) = &s.other else { return };
        s.file("a", "");
        for result in [s.disk.rename(&s.at("a"), &other.join("a"), false), s.disk.link(&s.at("a"), &other.join("a"))] {
            s.refused(ErrorKind::CrossesDevices, result);
        }
        s.disk.create(&other.join("b"), 0o644).unwrap();
        s.refused(ErrorKind::CrossesDevices, s.disk.exchange(&s.at("a"), &other.join("b")));
        assert_ne!(s.disk.volume(&s.top).unwrap().dev, s.disk.volume(other).unwrap().dev);
    });
}

#[test]
fn a_volume_is_described_and_its_mount_point_is_in_the_list() {
    everywhere(|s| {
        let volume = s.disk.volume(&s.top).unwrap();
        assert_eq!(volume.dev, s.dev(&s.top), "{}", s.name);
        assert!(volume.free > 0 && volume.block > 0 && volume.has_modes && !volume.read_only, "{}: {volume:?}", s.name);
        s.file("f", "");
        assert_eq!(s.disk.volume(&s.at("f")).unwrap().dev, volume.dev);
        let mounts = s.disk.mounts().unwrap();
        assert!(mounts.contains(&PathBuf::from("/")) && mounts.is_sorted(), "{}: {mounts:?}", s.name);
    });
}

#[test]
fn a_removed_file_can_still_be_written_and_read_by_who_holds_it() {
    everywhere(|s| {
        s.file("f", "old");
        let mut reader = s.disk.open(&s.at("f")).unwrap();
        s.disk.unlink(&s.at("f")).unwrap();
        s.file("f", "new");
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "old", "{}", s.name);
    });
}

/// Below an anchor: the simulated disk, and the real one with and without `openat2`.
#[test]
fn a_link_planted_in_the_middle_of_a_path_is_followed_by_no_verb() {
    everywhere(|s| {
        if s.name == "real without an anchor" {
            return;
        }
        s.dir("outside");
        s.dir("outside/sub");
        s.file("outside/sub/precious", "x");
        s.dir("tree");
        s.file("tree/own", "own");
        let outside = s.at("outside");
        s.link(outside.to_str().unwrap(), "tree/link");
        for below in ["tree/link", "tree/link/sub"] {
            let (there, new) = (s.at(&format!("{below}/precious")), s.at(&format!("{below}/new")));
            let own = s.at("tree/own");
            let disk = &s.disk;
            s.refused_as(Errno::LOOP, disk.meta(&there));
            s.refused_as(Errno::LOOP, disk.open(&there));
            s.refused_as(Errno::LOOP, disk.read_link(&there));
            s.refused_as(Errno::LOOP, disk.create(&new, 0o644));
            s.refused_as(Errno::LOOP, disk.append(&new));
            s.refused_as(Errno::LOOP, disk.mkdir(&new, 0o755));
            s.refused_as(Errno::LOOP, disk.own_dir(&there, 0, 0, 0o755));
            s.refused_as(Errno::LOOP, disk.list(&there));
            s.refused_as(Errno::LOOP, disk.link(&own, &new));
            s.refused_as(Errno::LOOP, disk.link(&there, &s.at("tree/stolen")));
            s.refused_as(Errno::LOOP, disk.rename(&own, &new, false));
            s.refused_as(Errno::LOOP, disk.rename(&own, &new, true));
            s.refused_as(Errno::LOOP, disk.exchange(&own, &there));
            s.refused_as(Errno::LOOP, disk.unlink(&there));
            s.refused_as(Errno::LOOP, disk.rmdir(&there));
            s.refused_as(Errno::LOOP, disk.sync_dir(&there));
            s.refused_as(Errno::LOOP, disk.sync_fs(&there));
            s.refused_as(Errno::LOOP, disk.volume(&there));
        }
        s.refused(ErrorKind::NotADirectory, s.disk.list(&s.at("tree/link")));
        s.refused(ErrorKind::NotADirectory, s.disk.own_dir(&s.at("tree/link"), 0, 0, 0o700));
        s.refused(ErrorKind::NotADirectory, s.disk.sync_dir(&s.at("tree/link")));
        assert_eq!(s.disk.list(&s.at("outside/sub")).unwrap(), ["precious"], "{}", s.name);
        assert_eq!(s.disk.list(&s.at("tree")).unwrap(), ["link", "own"], "{}", s.name);
    });
}

#[test]
fn an_anchor_may_appear_later_and_is_never_reached_through_a_link() {
    for make in [RealDisk::new, RealDisk::without_openat2] {
        let scratch = Scratch::new();
        let (real, anchor) = (scratch.path().join("real"), scratch.path().join("way/anchor"));
        let disk = make(vec![anchor.clone()]);
        assert_eq!(disk.meta(&anchor.join("sub/f")).unwrap(), None);
        std::fs::create_dir_all(anchor.join("sub")).unwrap();
        disk.create(&anchor.join("sub/f"), 0o644).unwrap();
        assert_eq!(disk.list(&anchor).unwrap(), ["sub"]);
        // a link in its place, then one on the way to it, planted while its handle is remembered
        for planted in [anchor.clone(), scratch.path().join("way")] {
            std::fs::remove_dir_all(&planted).unwrap();
            std::fs::create_dir_all(real.join("anchor/sub")).unwrap();
            std::fs::create_dir_all(real.join("sub")).unwrap();
            std::os::unix::fs::symlink(&real, &planted).unwrap();
            let looped = |e: std::io::Error| assert_eq!(Errno::from_io_error(&e), Some(Errno::LOOP));
            looped(disk.create(&anchor.join("sub/g"), 0o644).err().unwrap());
            looped(disk.list(&anchor).unwrap_err());
            looped(disk.sync_dir(&anchor).unwrap_err());
            looped(disk.sync_fs(&anchor).unwrap_err());
            looped(disk.mkdir(&anchor.join("h"), 0o755).unwrap_err());
            assert_eq!(std::fs::read_dir(real.join("sub")).unwrap().count() + std::fs::read_dir(real.join("anchor/sub")).unwrap().count(), 0);
            std::fs::remove_file(&planted).unwrap();
            std::fs::create_dir_all(&anchor).unwrap();
        }
    }
}

#[test]
fn a_folder_that_somebody_put_in_the_place_of_ours_is_given_to_nobody() {
    let scratch = Scratch::new();
    let disk = RealDisk::new(vec![scratch.path().to_owned()]);
    let (ours, theirs) = (scratch.path().join("ours"), scratch.path().join("theirs"));
    disk.mkdir(&ours, 0o700).unwrap();
    std::fs::create_dir(&theirs).unwrap();
    disk.own_dir(&ours, 0, 0, 0o700).unwrap();
    std::fs::rename(&ours, scratch.path().join("away")).unwrap();
    std::fs::rename(&theirs, &ours).unwrap();
    let error = disk.own_dir(&ours, 0, 0, 0o711).unwrap_err();
    assert!(error.to_string().contains("another folder"), "{error}");
    assert_ne!(disk.meta(&ours).unwrap().unwrap().mode, 0o711);
}

#[test]
fn an_anchor_that_was_exchanged_or_replaced_is_looked_up_anew() {
    let scratch = Scratch::new();
    let (a, b) = (scratch.path().join("a"), scratch.path().join("b"));
    for dir in [&a, &b] {
        std::fs::create_dir_all(dir.join("sub")).unwrap();
        std::fs::write(dir.join("sub/f"), dir.as_os_str().as_encoded_bytes()).unwrap();
    }
    let disk = RealDisk::new(vec![a.clone()]);
    let ino = |path: &Path| disk.meta(path).unwrap().map(|m| m.ino);
    let before = (ino(&a.join("sub/f")), ino(&b.join("sub/f")));
    disk.exchange(&a, &b).unwrap();
    assert_eq!((ino(&b.join("sub/f")), ino(&a.join("sub/f"))), before);
    // somebody else replaces the folder while its handle is remembered
    std::fs::remove_dir_all(&a).unwrap();
    std::fs::create_dir_all(a.join("sub")).unwrap();
    disk.create(&a.join("sub/new"), 0o644).unwrap();
    assert!(a.join("sub/new").exists());
}
