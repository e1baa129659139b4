//! What people install: the .deb in a Debian with systemd, from the first `dpkg -i` to `dpkg --purge`, and the tar's install.sh in a root by hand.
//! The program inside is the one under test; how it is laid out and packed is packaging/build's, as for a release.
#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;
#[allow(dead_code)]
#[path = "systemd/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "systemd/machine.rs"]
mod machine;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use machine::{Machine, PLACES};
use support::board::{Ran, program, ran};

/// A folder that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("packages-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Scratch(dir)
    }
    /// The only file in it with this end.
    fn file(&self, end: &str) -> PathBuf {
        let mut found = fs::read_dir(&self.0).unwrap().map(|e| e.unwrap().path()).filter(|p| p.to_str().unwrap().ends_with(end));
        found.next().unwrap_or_else(|| panic!("no {end} in {}", self.0.display()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Why no package can be made or installed here. In CI it must be possible.
fn missing(tools: &[&str]) -> Option<String> {
    let there = |tool: &&&str| {
        Command::new("sh").args(["-c", &format!("PATH=\"target/tools/bin:$HOME/.cargo/bin:$PATH\" command -v {tool}")]).output().unwrap().status.success()
    };
    let why = if !rustix::process::getuid().is_root() {
        Some("needs root".to_owned())
    } else {
        tools.iter().find(|t| !there(t)).map(|t| format!("{t} is not installed"))
    };
    assert!(why.is_none() || std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: {why:?}");
    why
}

fn packed(into: &Scratch, words: &[&str]) {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build"));
    command.arg("--binary").arg(program()).arg("--out").arg(&into.0).args(words).stdin(Stdio::null());
    let made = ran(command.output().unwrap());
    assert_eq!(made.code, 0, "{}{}", made.out, made.err);
}

/// Every path of the machine but what changes by itself.
fn listing(machine: &Machine) -> BTreeSet<String> {
    let found = machine.ok("find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp*' -not -path '/var/log/*' -not -path '/var/tmp/systemd-*' -not -path '/var/cache/*' -not -path '/var/lib/dpkg/*' -not -path '/root/*' -not -path '*/__pycache__*' -not -path /var/lib/systemd/timers");
    found.lines().map(str::to_owned).collect()
}

#[test]
fn the_package_installs_upgrades_and_purges_and_leaves_what_a_person_made() {
    if let Some(why) = missing(&["cargo-deb", "dpkg-deb", "lintian", "systemd-nspawn", "mmdebstrap"]) {
        println!("skipped: {why}");
        return;
    }
    let (first, second) = (Scratch::new("first"), Scratch::new("second"));
    packed(&first, &["deb"]);
    packed(&second, &["--deb-version", "99.0.0-1", "deb"]);
    let judged = ran(Command::new("lintian").args(["--allow-root", "--fail-on", "error"]).arg(first.file(".deb")).output().unwrap());
    assert_eq!(judged.code, 0, "{}{}", judged.out, judged.err);
    println!("lintian says:\n{}", judged.out);

    let machine = Machine::bare("deb", &PLACES);
    fs::remove_dir_all(machine.path("etc/pikit")).unwrap();
    let before = listing(&machine);
    machine.write("root/first.deb", fs::read(first.file(".deb")).unwrap());
    machine.write("root/second.deb", fs::read(second.file(".deb")).unwrap());

    // a board without a config: all is there, nothing fails, nothing is done
    machine.ok("dpkg -i /root/first.deb");
    assert!(machine.ok("pikit-updater --version").starts_with("pikit-updater "));
    let states =
        "systemctl is-enabled pikit-update-recover.service pikit-update-trial.service pikit-update-apply.path pikit-update-api.socket pikit-update.timer; true";
    assert_eq!(machine.ok(states), "enabled\nenabled\nenabled\nenabled\ndisabled\n");
    assert_eq!(machine.ok("systemctl is-active pikit-update-apply.path pikit-update-api.socket"), "active\nactive\n");
    assert_eq!(machine.ok("id -un pikit-update; id -un pikit-fetch"), "pikit-update\npikit-fetch\n");
    assert_eq!(machine.ok("bash -n /usr/share/bash-completion/completions/pikit-updater"), "");
    assert!(machine.has("usr/share/zsh/vendor-completions/_pikit-updater") && machine.has("usr/share/fish/vendor_completions.d/pikit-updater.fish"));
    machine.ok("cp /etc/pikit/updater.toml.example /root/ && pikit-updater config check --config /root/updater.toml.example");
    machine.reboot();
    assert_eq!(machine.ok("systemctl --failed --no-legend -q"), "");

    // a person sets it up, and edits what is theirs
    let config = "product = \"pikit\"\n[source]\ndir = \"/srv/releases\"\n[trust]\nrequired = false\n[[managed]]\nfrom = \"pikit-web/\"\nto = \"/var/www/pikit-web/\"\n\
                  [[managed]]\nfrom = \"pikit-api.py\"\nto = \"/usr/local/bin/pikit-api.py\"\n[services]\nrestart = [\"pikit-api.service\"]\n[trial]\ntimeout = \"300s\"\ninterval = \"100ms\"\nsettle = \"300ms\"\n[backup]\nmin_free = \"0\"\n";
    machine.write("etc/pikit/updater.toml", config);
    machine.write("etc/pikit/notes.txt", "mine");
    machine.write("etc/systemd/system/pikit-update-api.socket.d/override.conf", "[Socket]\nBacklog=64\n");
    machine.ok("echo '# mine' >>/etc/nginx/snippets/pikit-update.conf");
    machine.ok("pikit-updater auto check && systemctl disable pikit-update-trial.service");
    machine.start();

    // an upgrade in the middle of an update: that goes on, and ends with the program it began with
    machine.offer("1.1.0", false);
    machine.write("srv/hold-1.1.0", "");
    let config = machine.text("etc/pikit/updater.toml");
    machine.write("etc/pikit/updater.toml", format!("{config}\n[[health]]\nhttp = \"http://127.0.0.1:8080/ping\"\n"));
    machine.request(7, "\"action\":\"apply\"");
    machine.until("the trial", || machine.text("run/pikit-update/progress.json").contains("trial").then_some(()));
    let busy = machine.run("dpkg --remove pikit-updater");
    assert!(busy.code != 0 && busy.err.contains("an update is running"), "{busy:?}");
    let at_work = machine.show("pikit-update-apply.service", "MainPID");
    machine.ok("dpkg -i /root/second.deb");
    assert_eq!(machine.show("pikit-update-apply.service", "MainPID"), at_work);
    fs::remove_file(machine.path("srv/hold-1.1.0")).unwrap();
    machine.until_ended("confirmed", "1.1.0");
    assert!(machine.ok("dpkg -s pikit-updater").contains("Version: 99.0.0-1"));
    assert!(machine.text("etc/nginx/snippets/pikit-update.conf").ends_with("# mine\n"));
    assert_eq!(machine.ok(states), "enabled\ndisabled\nenabled\nenabled\nenabled\n");

    // removed: config, memory and backups stay, and another one goes on from there
    machine.ok("dpkg --remove pikit-updater");
    assert!(!machine.has("usr/bin/pikit-updater") && machine.has("etc/pikit/updater.toml") && machine.has("var/lib/pikit-update/state.json"));
    assert_eq!(machine.ok("systemctl list-units --no-legend -q 'pikit-update*'"), "");
    machine.ok("dpkg -i /root/first.deb");
    assert!(machine.ok("pikit-updater status").contains("1.1.0"));
    machine.ok("pikit-updater rollback -y");
    assert_eq!(machine.live().0, "1.0.0");

    machine.ok("dpkg --purge pikit-updater");
    let after = listing(&machine);
    let persons =
        ["/etc/pikit", "/etc/pikit/notes.txt", "/etc/systemd/system/pikit-update-api.socket.d", "/etc/systemd/system/pikit-update-api.socket.d/override.conf"];
    let left: Vec<&String> = after.difference(&before).filter(|p| !persons.contains(&p.as_str()) && !dashboards(p)).collect();
    assert!(left.is_empty(), "purge left {left:#?}");
    assert_eq!(before.difference(&after).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(persons.iter().all(|p| after.contains(*p)));
    assert_eq!((machine.live().0.as_str(), machine.text("etc/pikit/notes.txt").as_str()), ("1.0.0", "mine"));
    assert_eq!(machine.ok("ls /run | grep pikit; true"), "");
    machine.ok("systemctl daemon-reload && dpkg -i /root/first.deb");
    assert_eq!(machine.ok("systemctl is-enabled pikit-update-recover.service"), "enabled\n");
}

/// What belongs to the dashboard: made by its releases, its service, its packer.
fn dashboards(path: &str) -> bool {
    ["/var/www", "/usr/local/bin/pikit-api.py", "/srv/", "/etc/systemd/system/multi-user.target.wants/pikit-api.service"].iter().any(|p| path.starts_with(p))
}

/// A root with busybox and nothing else, in which OpenRC's commands only write down what they were asked.
fn alpine(scratch: &Scratch) -> PathBuf {
    let root = scratch.0.join("alpine");
    for dir in ["bin", "sbin", "etc/nginx", "dev", "tmp", "root", "var/log"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let shell = |words: &str| {
        let done = ran(Command::new("sh").args(["-c", words]).current_dir(&root).output().unwrap());
        assert_eq!(done.code, 0, "{words}: {}", done.err);
    };
    // what the program under test is linked with; the released one needs none of it
    shell(&format!(
        "ldd {} $(command -v busybox) | grep -o '/[^ ]*' | while read -r lib; do mkdir -p .$(dirname $lib); cp -L $lib .$lib; done",
        program().display()
    ));
    shell("mknod -m 666 dev/null c 1 3");
    shell("cp $(command -v busybox) bin/busybox; for name in $(bin/busybox --list); do [ $name = busybox ] || ln -sf /bin/busybox bin/$name; done");
    for name in ["rc-update", "rc-service", "openrc-run"] {
        fs::write(root.join("sbin").join(name), format!("#!/bin/sh\necho {name} \"$@\" >>/var/log/rc\n")).unwrap();
        fs::set_permissions(root.join("sbin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    // Debian's busybox has no adduser
    fs::write(root.join("sbin/adduser"), "#!/bin/sh\nfor name; do :; done\necho \"$name:x:100:100::/:/sbin/nologin\" >>/etc/passwd\n").unwrap();
    fs::write(root.join("sbin/addgroup"), "#!/bin/sh\n").unwrap();
    for name in ["adduser", "addgroup"] {
        fs::set_permissions(root.join("sbin").join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    root
}

fn inside(root: &Path, words: &str) -> Ran {
    let mut command = Command::new("chroot");
    command.arg(root).args(["/bin/sh", "-c", words]).env_clear().env("PATH", "/bin:/sbin:/usr/bin").stdin(Stdio::null());
    ran(command.output().unwrap())
}

/// Files below a root: path, mode, content.
fn files(root: &Path) -> BTreeSet<String> {
    let words = "find . \\( -type f -o -type l \\) -not -path './proc/*' -not -path './root/*' -not -path './var/log/*' -exec stat -c '%n %a' {} + -exec sha256sum {} + | sort";
    ran(Command::new("sh").args(["-c", words]).current_dir(root).output().unwrap()).out.lines().map(str::to_owned).collect()
}

#[test]
fn the_archive_installs_itself_twice_without_harm_and_goes_again() {
    if let Some(why) = missing(&["busybox", "strip", "chroot", "ldd"]) {
        println!("skipped: {why}");
        return;
    }
    let scratch = Scratch::new("tar");
    packed(&scratch, &["tar"]);
    let root = alpine(&scratch);
    let empty = files(&root);
    let unpacked = ran(Command::new("tar").arg("-xzf").arg(scratch.file(".tar.gz")).arg("-C").arg(root.join("root")).output().unwrap());
    assert_eq!(unpacked.code, 0, "{}", unpacked.err);
    let install = |words: &str| {
        let done = inside(&root, &format!("cd /root/pikit-updater-* && ./install.sh {words}"));
        assert_eq!(done.code, 0, "{}{}", done.out, done.err);
        done.out
    };
    assert!(install("").contains("installed (openrc)"));
    for (path, mode) in [
        ("usr/bin/pikit-updater", 0o755),
        ("etc/init.d/pikit-update-recover", 0o755),
        ("etc/init.d/pikit-update-trial", 0o755),
        ("etc/init.d/pikit-update-api", 0o755),
        ("etc/periodic/daily/pikit-update", 0o755),
        ("usr/lib/pikit-updater/openrc-control", 0o755),
        ("etc/pikit/updater.toml.example", 0o644),
        ("usr/share/man/man8/pikit-updater.8.gz", 0o644),
        ("etc/nginx/snippets/pikit-update.conf", 0o644),
        ("var/tmp/pikit-update", 0o700),
    ] {
        let found = fs::metadata(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path}");
    }
    assert!(!root.join("usr/lib/systemd").exists());
    assert!(fs::read_to_string(root.join("etc/nginx/snippets/pikit-update.conf")).unwrap().contains("http://127.0.0.1:8686"));
    assert!(fs::read_to_string(root.join("etc/passwd")).unwrap().contains("pikit-fetch:"));
    let asked = fs::read_to_string(root.join("var/log/rc")).unwrap();
    assert!(asked.contains("add pikit-update-recover boot") && asked.contains("add pikit-update-api default"), "{asked}");
    assert!(inside(&root, "pikit-updater --version").out.starts_with("pikit-updater "));

    // what a person changed stays as it is
    let snippet = root.join("etc/nginx/snippets/pikit-update.conf");
    fs::write(&snippet, "mine").unwrap();
    fs::write(root.join("etc/pikit/updater.toml"), "mine").unwrap();
    let once = files(&root);
    install("");
    assert_eq!(files(&root), once);

    // OpenRC's words and exit codes, as `services.control` gives them
    fs::write(root.join("etc/init.d/lighttpd"), "").unwrap();
    let control = |words: &str| inside(&root, &format!("/usr/lib/pikit-updater/openrc-control {words}")).code;
    assert_eq!((control("restart lighttpd.service"), control("is-active lighttpd"), control("restart other.service")), (0, 0, 5));
    fs::remove_file(root.join("etc/init.d/lighttpd")).unwrap();

    assert!(install("--uninstall").contains("removed"));
    let left: Vec<String> =
        files(&root).difference(&empty).filter(|l| !l.contains("etc/passwd") && !l.contains("etc/group") && !l.contains("etc/shadow")).cloned().collect();
    assert!(left.iter().all(|l| l.contains("etc/nginx/snippets/pikit-update.conf") || l.contains("etc/pikit/updater.toml")), "{left:#?}");
    assert!(fs::read_to_string(root.join("var/log/rc")).unwrap().contains("delete pikit-update-recover"));
}
