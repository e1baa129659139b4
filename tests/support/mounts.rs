//! Mounts of a test's own: the test is run once more in a mount namespace that ends with it, so that nothing stays mounted
//! however it ends.

use std::path::Path;
use std::process::Command;

const INSIDE: &str = "PIKIT_TEST_OWN_MOUNTS";

/// Runs the rest of the test called `name` where it may mount what it likes; `false`: that was done, there is nothing left to do here.
pub fn of_my_own(name: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let out = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("util-linux is on every board");
    let words = String::from_utf8_lossy(&out.stdout).into_owned();
    // what the test has to say, without the words of its second harness
    words.lines().filter(|l| !l.is_empty() && !l.starts_with("running ") && !l.starts_with("test ")).for_each(|l| println!("{l}"));
    assert!(words.contains("1 passed"), "{words}\n{}", String::from_utf8_lossy(&out.stderr));
    false
}

/// Runs `mount` with these words.
pub fn mount(words: &[&str]) {
    run("mount", words);
}

/// Runs a tool that must succeed.
pub fn run(tool: &str, words: &[&str]) {
    let out = Command::new(tool).args(words).output().unwrap_or_else(|e| panic!("{tool}: {e}"));
    assert!(out.status.success(), "{tool} {words:?}: {}", String::from_utf8_lossy(&out.stderr));
}

/// A tmpfs of so many bytes.
pub fn tmpfs(at: &Path, size: &str) {
    std::fs::create_dir_all(at).unwrap();
    mount(&["-t", "tmpfs", "-o", &format!("size={size},mode=0755"), "tmpfs", at.to_str().unwrap()]);
}

/// A real ext4 in an image file, which is gone with the mount.
pub fn ext4(at: &Path, megabytes: u64) {
    std::fs::create_dir_all(at).unwrap();
    let image = super::board::home().join(format!("pikit-image-{}", std::process::id()));
    std::fs::File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", "-m", "0", image.to_str().unwrap()]);
    mount(&["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
    std::fs::remove_file(image).unwrap();
    // nobody's business here
    let _ = std::fs::remove_dir(at.join("lost+found"));
}

/// Takes away what the test mounted below a folder, the last first.
pub fn unmount_below(folder: &Path) {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().rev().filter_map(|l| l.split(' ').nth(4));
    for point in points.filter(|p| Path::new(p).starts_with(folder)) {
        let _ = Command::new("umount").args(["--lazy", point]).status();
    }
}
