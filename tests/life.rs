//! A whole life on one board: a Debian with systemd of its own, into which the package comes, then `setup`, releases by the timer and by the
//! page, a sick one that takes itself back, the updater's own updates, a good one and a bad one, and at the end the purge. Nothing is
//! replaced: the maintainer runs `publish`, the board asks a server, a browser clicks.
#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot be set up has failed

#[allow(dead_code)] // of machines more is told than this one needs
#[path = "systemd/http.rs"]
mod http;
#[allow(dead_code)] // likewise
#[path = "systemd/machine.rs"]
mod machine;
#[path = "life/maintainer.rs"]
mod maintainer;
#[path = "life/network.rs"]
mod network;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use machine::{Machine, REAL, SERVICE_UNIT, wrapped};
use maintainer::Maintainer;
use support::board::{program, ran};
use support::gitea::{Gitea, REPO};

/// Where the server is for the board.
const PORT: u16 = 3000;
const LIVE: &str = "usr/bin/pikit-updater";
const SENTINEL: &str = "var/lib/pikit-update/self-update";
/// What the package leaves on purpose, or Debian's own tools keep.
const KEPT: [&str; 6] = ["/var/log/", "/var/lib/dpkg/", "/var/lib/systemd/", "/var/cache/", "/etc/passwd-", "/etc/group-"];

#[test]
fn from_the_package_to_its_purge() {
    or_no_machine!();
    let gitea = Gitea::start();
    let maintainer = Maintainer::new(&gitea.url);
    let package = match package(&maintainer.dir.join("package")) {
        Ok(package) => package,
        Err(why) => return println!("skipped: {why}"),
    };
    let machine = Machine::empty("life");
    gitea.also_at(network::listen_inside(&machine, PORT));
    // what a person has: a dashboard's service, whose program the first release brings
    machine.write("etc/systemd/system/pikit-api.service", SERVICE_UNIT.replace("@API@", "/usr/local/bin/pikit-api.py"));
    machine.ok("systemctl enable pikit-api.service");
    machine.write("root/pikit-updater.deb", fs::read(&package).unwrap());
    machine.write("root/pikit.pub", fs::read(maintainer.dir.join("pikit.pub")).unwrap());
    let before = files(&machine);

    machine.ok("dpkg -i /root/pikit-updater.deb");
    assert_eq!(machine.ok("systemctl --failed --no-legend -q"), "");
    maintainer.publish("1.0.0", false);
    machine.ok(&format!(
        "pikit-updater setup -y --gitea http://127.0.0.1:{PORT} --repo {REPO} --key /root/pikit.pub --managed pikit-web/=/var/www/pikit-web/ \
         --managed pikit-api.py=/usr/local/bin/pikit-api.py --restart pikit-api --health http://127.0.0.1:8080/ping --auto install"
    ));
    // a person's own hand: a sick release need not be waited for two minutes
    let config = machine.text("etc/pikit/updater.toml");
    machine.write("etc/pikit/updater.toml", format!("{config}\n[trial]\ntimeout = \"20s\"\ninterval = \"200ms\"\nsettle = \"500ms\"\n"));

    // the timer, which does not wait for the night here, until the next boot
    let soon = "[Timer]\\nOnCalendar=\\nOnActiveSec=100ms\\nAccuracySec=1ms\\nRandomizedDelaySec=0\\nPersistent=false\\n";
    let dir = "/run/systemd/system/pikit-update.timer.d";
    let night = || machine.ok(&format!("mkdir -p {dir} && printf '{soon}' >{dir}/zz.conf && systemctl daemon-reload && systemctl restart pikit-update.timer"));
    night();
    machine.until_ended("confirmed", "1.0.0");
    serves(&machine, "1.0.0");

    // a person, a browser, a click
    maintainer.publish("1.1.0", false);
    click(&machine, "1.0.0", "1.1.0");
    machine.until_ended("confirmed", "1.1.0");
    serves(&machine, "1.1.0");

    // a sick one, at night
    maintainer.publish("1.2.0", true);
    night();
    machine.until_ended("rolled-back", "1.1.0");
    serves(&machine, "1.1.0");
    assert_eq!(machine.state()["quarantined"][0]["version"], "1.2.0");
    let index = fs::read_to_string(machine.path("var/www/pikit-web/index.html")).unwrap();
    assert_eq!(index, "page 1.1.0");

    // the updater itself
    let one = fs::read(machine.path(LIVE)).unwrap();
    let two = [&one[..], b"two"].concat();
    machine.write(
        "etc/pikit/updater.toml",
        format!("{}\n[[managed]]\nfrom = \"bin/pikit-updater\"\nto = \"/usr/bin/pikit-updater\"\n", machine.text("etc/pikit/updater.toml")),
    );
    machine.ok("pikit-updater auto install");
    maintainer.updater(&two);
    maintainer.publish("1.3.0", false);
    night();
    machine.until_ended("confirmed", "1.3.0");
    assert!(fs::read(machine.path(LIVE)).unwrap() == two, "the new updater is in its place");
    reboot(&machine, &gitea);
    machine.until("the proof of the new updater", || (!machine.has(SENTINEL)).then_some(()));
    serves(&machine, "1.3.0");

    // and one that cannot recover
    machine.write(&REAL[1..], &two);
    machine.ok(&format!("chmod 755 {REAL}"));
    maintainer.updater(&wrapped("return 1;"));
    maintainer.publish("1.4.0", false);
    night();
    machine.until_ended("confirmed", "1.4.0");
    reboot(&machine, &gitea);
    machine.until("the updater of before", || (!machine.has(SENTINEL) && fs::read(machine.path(LIVE)).unwrap() == two).then_some(()));
    machine.until("what it says", || (machine.outcome().0 == "failed").then_some(()));
    serves(&machine, "1.4.0");
    machine.ok("pikit-updater rollback -y");
    serves(&machine, "1.3.0");
    assert!(fs::read(machine.path(LIVE)).unwrap() == two);

    machine.ok("dpkg --purge pikit-updater");
    // the dashboard goes on, and nothing is left but what a person or their releases brought
    serves(&machine, "1.3.0");
    let left: Vec<String> = files(&machine).difference(&before).filter(|f| !KEPT.iter().any(|k| f.starts_with(k))).cloned().collect();
    let theirs = ["/usr/local/bin/pikit-api.py", REAL];
    let foreign: Vec<&String> = left.iter().filter(|f| !theirs.contains(&f.as_str()) && !f.starts_with("/var/www/pikit-web/")).collect();
    assert!(foreign.is_empty(), "left behind: {foreign:?}");
    let gone: Vec<String> = before.difference(&files(&machine)).filter(|f| !KEPT.iter().any(|k| f.starts_with(k))).cloned().collect();
    assert!(gone.is_empty(), "taken along: {gone:?}");
}

/// The package around the program under test, in a folder of its own; or why there can be none here. In CI it must be possible.
fn package(into: &Path) -> Result<PathBuf, String> {
    let mut build = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/build"));
    let made = ran(build.arg("--binary").arg(program()).arg("--out").arg(into).arg("deb").stdin(Stdio::null()).output().unwrap());
    if made.code != 0 {
        assert!(std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: {}", made.err);
        return Err(format!("no package could be made: {}", made.err.lines().last().unwrap_or_default()));
    }
    let package = fs::read_dir(into).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    Ok(package.expect("packaging/build makes a .deb"))
}

/// Every file and link of the machine, as its own paths.
fn files(machine: &Machine) -> BTreeSet<String> {
    let found = Command::new("find").arg(&machine.root).args(["-xdev", "!", "-type", "d", "-printf", "/%P\\n"]).output().unwrap();
    let all = String::from_utf8_lossy(&found.stdout).into_owned();
    // Python keeps compiled copies of its own files, wherever it runs
    let all = all.lines().filter(|l| !l.contains("/__pycache__/"));
    all.filter(|l| !["/proc/", "/sys/", "/dev/", "/run/", "/tmp/"].iter().any(|p| l.starts_with(p))).map(str::to_owned).collect()
}

/// Restarts it; the server is there again in its new network.
fn reboot(machine: &Machine, gitea: &Gitea) {
    machine.reboot();
    gitea.also_at(network::listen_inside(machine, PORT));
}

/// The dashboard's service answers, and is this version.
fn serves(machine: &Machine, version: &str) {
    let asked = || machine.run("curl -s --max-time 5 http://127.0.0.1:8080/").out;
    machine.until(&format!("the dashboard {version}"), || (asked() == version).then_some(()));
}

/// A browser on this machine that reaches the board's page, logs in and installs what is offered.
fn click(machine: &Machine, from: &str, to: &str) {
    let url = network::front(machine);
    let token = machine.ok("pikit-updater token");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/web/click.mjs");
    let clicked = ran(Command::new("node").arg(script).args([&url, token.trim(), from, to]).stdin(Stdio::null()).output().unwrap());
    assert_eq!(clicked.code, 0, "{}\n{}", clicked.out, clicked.err);
}
