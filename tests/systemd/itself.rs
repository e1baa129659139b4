//! The updater replaces itself on a real board: one that works, one that cannot recover, and one that is none.

use std::fs;
use std::process::Command;

use crate::machine::{Machine, PLACES, REAL, wrapped};
use crate::or_no_machine;
use crate::support::board::program;

const LIVE: &str = "usr/bin/pikit-updater";
const PREVIOUS: &str = "usr/bin/pikit-updater.previous";
const SENTINEL: &str = "var/lib/pikit-update/self-update";

/// The program under test without what is for debuggers, as packages have it.
fn stripped() -> Vec<u8> {
    let to = std::env::temp_dir().join(format!("pikit-stripped-{}", std::process::id()));
    assert!(Command::new("strip").arg("-o").arg(&to).arg(program()).status().unwrap().success());
    let bytes = fs::read(&to).unwrap();
    fs::remove_file(to).unwrap();
    bytes
}

/// A board whose releases bring the updater too, with 1.0.0 on it.
fn board(name: &str) -> (Machine, Vec<u8>) {
    let one = stripped();
    let machine = Machine::bare(name, &[PLACES[0], PLACES[1], ("bin/pikit-updater", "/usr/bin/pikit-updater")]);
    machine.write("srv/packing/tree/bin/pikit-updater", &one);
    machine.write(&REAL[1..], &one);
    machine.ok(&format!("chmod 755 {REAL}"));
    machine.install();
    machine.start();
    assert_eq!(fs::read(machine.path(LIVE)).unwrap(), one);
    (machine, one)
}

fn offer(machine: &Machine, version: &str, updater: &[u8]) {
    machine.write("srv/packing/tree/bin/pikit-updater", updater);
    machine.offer(version, false);
}

#[test]
fn a_new_updater_that_works_is_confirmed_and_proves_itself_at_the_next_boot() {
    or_no_machine!();
    let (machine, one) = board("itself");
    let two = [&one[..], b"two"].concat();
    offer(&machine, "1.1.0", &two);
    machine.request(1, "\"action\":\"apply\"");
    machine.until_ended("confirmed", "1.1.0");
    assert!(fs::read(machine.path(LIVE)).unwrap() == two && fs::read(machine.path(PREVIOUS)).unwrap() == one);
    assert!(machine.text(SENTINEL).starts_with("path=/usr/bin/pikit-updater\n"), "{}", machine.text(SENTINEL));
    machine.reboot();
    machine.until("the proof", || (!machine.has(SENTINEL)).then_some(()));
    assert!(fs::read(machine.path(LIVE)).unwrap() == two && fs::read(machine.path(PREVIOUS)).unwrap() == one);
    assert_eq!(machine.ok("systemctl --failed --no-legend -q"), "");
    assert_eq!(machine.show("pikit-update-previous.service", "ActiveEnterTimestampMonotonic"), "0", "nothing was to be put back");
    // and back, by the page: the backup has it
    machine.request(2, "\"action\":\"rollback\"");
    machine.until_ended("confirmed", "1.0.0");
    assert!(fs::read(machine.path(LIVE)).unwrap() == one);
    // the daily round is as good a proof as a boot
    machine.ok("systemctl start --wait pikit-update.service");
    assert!(!machine.has(SENTINEL));
}

#[test]
fn a_new_updater_that_cannot_recover_gives_way_to_the_old_one_at_boot() {
    or_no_machine!();
    for (name, fault) in [("fails", "return 1;"), ("dies", "*(volatile int *)0 = 1;"), ("hangs", "for (;;) pause();")] {
        let (machine, one) = board(name);
        let soon = "etc/systemd/system/pikit-update-recover.service.d/soon.conf";
        if name == "hangs" {
            machine.write(soon, "[Service]\nTimeoutStartSec=3s\n");
        }
        let bad = wrapped(fault);
        offer(&machine, "1.1.0", &bad);
        machine.request(1, "\"action\":\"apply\"");
        machine.until_ended("confirmed", "1.1.0");
        assert!(fs::read(machine.path(LIVE)).unwrap() == bad, "{name}: nothing is wrong with it yet");
        machine.reboot();
        machine.until("the old updater", || (!machine.has(SENTINEL) && fs::read(machine.path(LIVE)).unwrap() == one).then_some(()));
        machine.until("what it says", || (machine.outcome() == ("failed".into(), "1.1.0".into())).then_some(()));
        assert_eq!(machine.live(), ("1.1.0".into(), "1.1.0".into()), "{name}: the rest had been confirmed, and stays");
        assert!(machine.state()["last_result"]["reason"].as_str().unwrap().contains("could not complete `recover`"), "{}", machine.state());
        assert_eq!(machine.state()["quarantined"][0]["version"], "1.1.0");
        assert!(machine.journal("pikit-update-previous").contains("the one before it is put back at /usr/bin/pikit-updater"));
        assert_eq!(machine.run("pikit-updater verify").code, 4, "{name}: it differs from what is installed");
        assert!(machine.text("var/lib/pikit-update/history.jsonl").contains("could not complete"));
        // before the dashboard, as ever
        let at = |unit: &str, property: &str| -> u64 { machine.show(unit, property).parse().unwrap() };
        let (back, service) =
            (at("pikit-update-previous.service", "InactiveEnterTimestampMonotonic"), at("pikit-api.service", "InactiveExitTimestampMonotonic"));
        println!("{name}: old updater back, and its recovery done, {} ms before the service", (service as i64 - back as i64) / 1000);
        assert!(back > 0 && back < service, "{back} {service}");
        // once is enough, and the next boot is an ordinary one, where a good updater has all its time
        machine.write(soon, "");
        machine.reboot();
        machine.until("the boot", || (machine.show("pikit-update-recover.service", "ActiveState") == "active").then_some(()));
        assert!(fs::read(machine.path(LIVE)).unwrap() == one);
        assert_eq!(machine.outcome(), ("failed".into(), "1.1.0".into()));
    }
}

#[test]
fn a_new_updater_that_cannot_recover_takes_its_whole_release_along_while_it_is_on_trial() {
    or_no_machine!();
    let (machine, one) = board("trial");
    let bad = wrapped("return 1;");
    offer(&machine, "1.1.0", &bad);
    machine.write("srv/hold-1.1.0", "");
    machine.request(1, "\"action\":\"apply\"");
    machine.until("the trial", || machine.text("var/lib/pikit-update/journal.json").contains("\"trial\"").then_some(()));
    assert!(fs::read(machine.path(LIVE)).unwrap() == bad);
    machine.power_cut();
    machine.until_ended("rolled-back", "1.0.0");
    assert_eq!(machine.live(), ("1.0.0".into(), "1.0.0".into()));
    assert!(fs::read(machine.path(LIVE)).unwrap() == one && !machine.has(SENTINEL));
    assert_eq!(machine.state()["quarantined"][0]["version"], "1.1.0");
    assert!(machine.state()["last_result"]["reason"].as_str().unwrap().contains("could not complete `recover`"), "{}", machine.state());
}

#[test]
fn what_is_no_updater_for_this_board_is_refused_before_any_change() {
    or_no_machine!();
    let (machine, one) = board("none");
    let mut foreign = one.clone();
    foreign[18] = if foreign[18] == 183 { 62 } else { 183 };
    for (n, (updater, why)) in
        [(b"#!/bin/sh\nexit 0\n".to_vec(), "no program for this board"), (foreign, "is a program for"), (fs::read("/bin/true").unwrap(), "")]
            .into_iter()
            .enumerate()
    {
        let version = format!("1.{}.0", n + 1);
        offer(&machine, &version, &updater);
        machine.request(n as u32 + 1, "\"action\":\"apply\"");
        // Each round ends in the same way: only the version it was about tells this end from the one before.
        let state = machine.until(&format!("the end of {version}"), || {
            let state = machine.state();
            (state["last_result"]["to"] == version.as_str() && machine.idle()).then_some(state)
        });
        machine.until("the end of the unit", || (machine.show("pikit-update-apply.service", "ActiveState") == "inactive").then_some(()));
        let result = &state["last_result"];
        assert!(result["outcome"] == "refused" && result["reason"].as_str().unwrap().contains(why), "{state}");
        assert_eq!(machine.live(), ("1.0.0".into(), "1.0.0".into()));
        assert!(fs::read(machine.path(LIVE)).unwrap() == one && !machine.has(SENTINEL) && !machine.has("usr/bin/.pikit-updater"));
    }
}
