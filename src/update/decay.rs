//! Decay, rubbish and claims: records and pieces that are not what they were, and releases that are not what they say.

use std::path::Path;

use super::rig::{Deed, Made, board, made, run, tree, write};
use crate::release::Digest;
use crate::world::sim::{Cut, SimDisk};
use crate::world::{Disk, durable};

fn old() -> Made {
    made("1.0.0", &[("web/index.html", "old"), ("web/gone/away.js", "gone"), ("web/config.json!", "{}"), ("api.py", "old api")])
}

fn new() -> Made {
    made("1.1.0", &[("web/index.html", "new!"), ("web/js/app.js", "app"), ("web/config.json!", "{}"), ("api.py", "new api")])
}

fn read(disk: &SimDisk, path: &str) -> Option<String> {
    durable::read(disk, Path::new(path), 1 << 20).unwrap().map(|b| String::from_utf8(b).unwrap())
}

/// Power goes while a repair is written; what was torn then must not be believed for ever.
#[test]
fn a_torn_piece_is_fetched_again() {
    let base = board(SimDisk::new(), &old());
    let home = "/var/tmp/pikit-update/1.1.0";
    write(&base, &format!("{home}/{}", Digest::of(b"new!")), "ne");
    let disk = base.clone();
    let plan = super::rig::plan(&disk, &new());
    assert_eq!(plan.fetch_bytes, Some(new().bundle.len() as u64), "a torn piece is no content");
    assert_eq!(run(&disk, &Deed::Apply(&new())).unwrap().unwrap().code, 0);
    // a repair asks the source only for what it does not have
    let disk = base.clone();
    write(&disk, "/srv/web/index.html", "drifted");
    write(&disk, &format!("/var/tmp/pikit-update/1.0.0/{}", Digest::of(b"old")), "ol");
    assert_eq!(super::rig::repair(&disk, &old()).unwrap().unwrap().code, 0);
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("old"));
}

#[test]
fn a_manifest_that_claims_more_bytes_than_there_are_is_refused() {
    let disk = board(SimDisk::new(), &old());
    let mut huge = new();
    huge.manifest = String::from_utf8(huge.manifest).unwrap().replace(r#""size":4"#, &format!(r#""size":{}"#, u64::MAX)).into_bytes();
    let error = run(&disk, &Deed::Apply(&huge)).unwrap_err();
    assert!(matches!(error.code, crate::error::Code::Refused | crate::error::Code::Verification), "{error}");
}

#[test]
fn a_history_that_cannot_be_read_is_set_aside_and_bars_nobody() {
    let disk = board(SimDisk::new(), &old());
    let path = Path::new("/var/lib/pikit-update/history.jsonl");
    durable::remove(&disk, path).unwrap();
    disk.mkdir(path, 0o755).unwrap();
    assert_eq!(run(&disk, &Deed::Apply(&new())).unwrap().unwrap().code, 0);
    assert!(read(&disk, "/var/lib/pikit-update/history.jsonl").unwrap().contains("1.1.0"));
    // nor does rubbish where downloads are kept
    durable::remove(&disk, Path::new("/var/tmp/pikit-update")).unwrap();
    write(&disk, "/var/tmp/pikit-update", "a file");
    assert_eq!(run(&disk, &Deed::Rollback).unwrap().unwrap().code, 0);
}

#[test]
fn a_rollback_from_a_damaged_record_can_itself_be_rolled_back() {
    let disk = board(SimDisk::new(), &old());
    run(&disk, &Deed::Apply(&new())).unwrap();
    write(&disk, "/var/lib/pikit-update/installed.json", "{ torn");
    assert_eq!(run(&disk, &Deed::Rollback).unwrap().unwrap().code, 0);
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("old"));
    assert_eq!(run(&disk, &Deed::Rollback).unwrap().unwrap().code, 0, "what was there before it has no manifest, and is a backup all the same");
    assert_eq!(read(&disk, "/srv/web/index.html").as_deref(), Some("new!"));
}

#[test]
fn a_transaction_whose_manifest_decayed_is_held() {
    let base = board(SimDisk::new(), &old());
    let mut held = 0;
    for k in 0.. {
        let disk = base.clone();
        disk.cut_after(k);
        if run(&disk, &Deed::Apply(&new())).is_ok() {
            break;
        }
        let disk = disk.after_power_cut(crate::world::sim::Cut::LoseAll);
        if read(&disk, "/var/lib/pikit-update/journal.json").is_none() {
            continue;
        }
        write(&disk, "/var/lib/pikit-update/transaction/manifest.json", "{}");
        let error = run(&disk, &Deed::Recover).unwrap_err();
        assert!(error.code == crate::error::Code::Stuck && error.message().contains("manifest that belongs to it"), "{error}");
        held += 1;
    }
    assert!(held > 10, "{held}");
}

/// What cannot give way is said before anything begins.
#[test]
fn a_folder_or_file_that_a_person_changed_does_not_give_way_to_the_other_kind() {
    let refused = |disk: &SimDisk, release: &Made| {
        let before = tree(disk);
        let error = run(disk, &Deed::Apply(release)).unwrap_err();
        assert_eq!(error.code, crate::error::Code::Refused, "{error}");
        assert!(error.message().contains("where the release has the file"), "{error}");
        assert_eq!(tree(disk), before);
    };
    let folder = made("1.0.0", &[("web/js/a.js", "a"), ("web/js/conf!", "c")]);
    let file = made("1.1.0", &[("web/js", "one file")]);
    let disk = board(SimDisk::new(), &folder);
    durable::make_dirs(&disk, Path::new("/srv/web/js/empty"), 0o755).unwrap();
    refused(&disk, &file);
    let disk = board(SimDisk::new(), &folder);
    write(&disk, "/srv/web/js/conf", "by hand");
    refused(&disk, &file);
    let disk = board(SimDisk::new(), &folder);
    assert_eq!(run(&disk, &Deed::Apply(&file)).unwrap().unwrap().code, 0);
    let disk = board(SimDisk::new(), &made("1.0.0", &[("web/js!", "c")]));
    write(&disk, "/srv/web/js", "by hand");
    refused(&disk, &made("1.1.0", &[("web/js/a.js", "a")]));
}

/// The minimal manifest tells no modes: the bundle does, also when its files came with an earlier, interrupted run.
#[test]
fn modes_of_the_bundle_outlast_an_interruption() {
    let base = board(SimDisk::new(), &old());
    let mut scripts = made("1.1.0", &[("web/run.sh", "#!/bin/sh"), ("web/more.sh", "#!/bin/sh\n")]);
    scripts.manifest = String::from_utf8(scripts.manifest).unwrap().replace(r#","mode":"0644""#, "").into_bytes();
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (path, content) in [("web/run.sh", "#!/bin/sh"), ("web/more.sh", "#!/bin/sh\n")] {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    scripts.bundle = tar.into_inner().unwrap().finish().unwrap();
    let mode = |disk: &SimDisk| ["/srv/web/run.sh", "/srv/web/more.sh"].map(|p| disk.meta(Path::new(p)).unwrap().unwrap().mode);
    let dry = base.clone();
    run(&dry, &Deed::Apply(&scripts)).unwrap();
    assert_eq!(mode(&dry), [0o755; 2]);
    for k in 0..dry.effects() {
        let disk = base.clone();
        disk.cut_after(k);
        let _ = run(&disk, &Deed::Apply(&scripts));
        let disk = disk.after_power_cut(Cut::KeepAll);
        run(&disk, &Deed::Recover).unwrap();
        run(&disk, &Deed::Apply(&scripts)).unwrap();
        assert_eq!(mode(&disk), [0o755; 2], "cut at {k}");
    }
}
