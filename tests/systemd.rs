//! The units under a real systemd: each test boots a Debian of its own (tests/systemd/box), installs the program and the units into it, and
//! clicks, waits, kills and pulls plugs there.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;
#[path = "systemd/drop_in.rs"]
mod drop_in;
#[path = "systemd/machine.rs"]
mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

use machine::{Machine, PLACES, ROOT_SIDE};

/// The page and the service of one release.
fn both(version: &str) -> (String, String) {
    (version.into(), version.into())
}

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("units").join(name)).unwrap()
}

#[test]
fn the_root_side_has_one_sandbox_and_every_line_of_it_stands_in_every_unit() {
    let sandbox = |name: &str| {
        let text = unit(name);
        let from = text.find("# The sandbox is the same").unwrap_or_else(|| panic!("{name} has no sandbox"));
        text[from..=from + text[from..].find("\nUMask=").unwrap()].to_owned()
    };
    for name in ROOT_SIDE {
        assert_eq!(sandbox(name), sandbox(ROOT_SIDE[0]), "{name}");
    }
}

#[test]
fn systemd_understands_the_units_and_finds_them_tight() {
    or_no_machine!();
    let machine = Machine::bare("tight", &PLACES);
    machine.install();
    let units = "cd /usr/lib/systemd/system && systemd-analyze verify --man=no pikit-update*";
    assert_eq!((machine.ok(&format!("{units} 2>&1")), machine.ok("systemctl --failed --no-legend -q")), (String::new(), String::new()));
    assert_eq!(machine.ok("systemctl is-system-running").trim(), "running");

    let score = |unit: &str| -> f64 {
        // as it is loaded, drop-ins included
        let said = machine.ok(&format!("systemd-analyze security --no-pager {unit}; true"));
        let line = said.lines().find(|l| l.contains("Overall exposure level")).unwrap_or_else(|| panic!("{unit}: {said}"));
        line.split(": ").nth(1).and_then(|r| r.split(' ').next()).unwrap().parse().unwrap()
    };
    let api = score("pikit-update-api.service");
    println!("exposure: pikit-update-api.service {api}");
    assert!(api <= 0.5, "{api}");
    for unit in ROOT_SIDE {
        let root = score(unit);
        println!("exposure: {unit} {root}");
        assert!(root <= 3.0, "{unit}: {root}");
    }
    // where all of / has to be one mount
    for name in ROOT_SIDE {
        machine.write(&format!("etc/systemd/system/{name}.d/paths.conf"), drop_in::root_side(&[(Path::new("/home/pi/dash"), true)], &[], false));
    }
    machine.ok("systemctl daemon-reload");
    assert!(score("pikit-update-apply.service") <= 3.2);

    let mode = |path: &str| fs::metadata(machine.path(path)).map(|m| (m.permissions().mode() & 0o7777, m.uid() == 0)).unwrap();
    assert_eq!((mode("var/lib/pikit-update"), mode("var/tmp/pikit-update")), ((0o755, true), (0o700, true)));
    let modes = "stat -c '%a %U:%G %n' /run/pikit-update /run/pikit-update/requests /run/pikit-update.lock /run/pikit-update/api.sock";
    let expected = "755 root:root /run/pikit-update\n750 pikit-update:pikit-update /run/pikit-update/requests\n\
                    644 root:root /run/pikit-update.lock\n660 root:www-data /run/pikit-update/api.sock\n";
    assert_eq!(machine.ok(modes), expected);
}

#[test]
fn a_request_of_the_unprivileged_side_is_confirmed_or_rolled_back_and_nothing_else_is_writable() {
    or_no_machine!();
    let machine = Machine::new("request");
    machine.offer("1.1.0", false);
    let old = fs::metadata(machine.path("var/www/pikit-web/big.js")).unwrap().ino();
    let begun = Instant::now();
    machine.request(1, "\"action\":\"apply\"");
    machine.until_ended("confirmed", "1.1.0");
    println!("request to confirmed: {:.2} s", begun.elapsed().as_secs_f64());
    assert_eq!(machine.live(), both("1.1.0"));
    assert_eq!(machine.state()["last_result"]["transaction"], format!("{:026}", 1));
    let backup = machine.ok("echo /var/backups/pikit/*1.0.0/files/pikit-web/big.js");
    assert_eq!(fs::metadata(machine.path(&backup.trim()[1..])).unwrap().ino(), old, "the backup is the old file, not a copy");
    assert!(machine.journal("pikit-update-apply").contains("1.1.0 is installed"));

    machine.offer("1.2.0", true);
    machine.request(2, "\"action\":\"apply\"");
    machine.until_ended("rolled-back", "1.1.0");
    assert_eq!(machine.live(), both("1.1.0"));
    machine.until("the end of the unit", || (machine.show("pikit-update-apply.service", "ActiveState") == "inactive").then_some(()));
    assert_eq!(machine.ok("systemctl --failed --no-legend -q"), "", "a release that took itself back is no failed unit");
    assert_eq!(machine.ok("cat /run/pikit-update/answer.json | grep -c '\"code\":6'").trim(), "1");

    // the same sandbox, with hands in it
    let try_out = "for f in /usr/x /etc/x /etc/systemd/system/x /var/lib/x /var/log/x /var/spool/x /root/x /srv/x /run/x /boot/x; do \
                   touch $f 2>/dev/null && echo $f; done; touch /var/www/x /usr/local/bin/x /etc/pikit/x /tmp/x && echo open; rm /var/www/x; chroot / true 2>&1; mount -t tmpfs x /mnt 2>&1; true";
    machine.write("etc/systemd/system/pikit-update-apply.service.d/hands.conf", format!("[Service]\nExecStart=\nExecStart=/bin/sh -c \"{}\"\n", try_out.replace('$', "$$")));
    machine.ok("systemctl daemon-reload && systemctl start pikit-update-apply");
    let said = machine.journal("pikit-update-apply");
    let hands: Vec<&str> = said.lines().filter(|l| l.starts_with('/') || *l == "open").collect();
    assert_eq!(hands, ["open"], "{said}");
    assert!(said.contains("chroot: ") && said.contains("mount: "), "{said}");
}

#[test]
fn wherever_a_managed_folder_lies_it_is_exchanged_and_its_backup_is_a_second_name() {
    or_no_machine!();
    for (name, web, api) in [("srv", "/srv/dash/web/", "/opt/dash/api.py"), ("home", "/home/pi/my dash 100%/", "/home/pi/api.py"), ("varlib", "/var/lib/dash/", "/usr/local/lib/dash/api.py")] {
        let machine = Machine::bare(name, &[("pikit-web/", web), ("pikit-api.py", api)]);
        for place in [web, api] {
            fs::create_dir_all(machine.path(&place[1..]).parent().unwrap()).unwrap();
        }
        machine.install();
        machine.write("etc/systemd/system/pikit-api.service", format!("[Service]\nExecStart=/usr/bin/python3 {api}\nRestart=always\nRestartSec=200ms\n"));
        machine.ok("systemctl daemon-reload");
        machine.offer("1.0.0", false);
        machine.request(1, "\"action\":\"apply\"");
        machine.until_ended("confirmed", "1.0.0");
        let folder = fs::metadata(machine.path(&web[1..])).unwrap().ino();
        let old = fs::metadata(machine.path(&format!("{}big.js", &web[1..]))).unwrap().ino();
        machine.offer("1.1.0", false);
        machine.request(2, "\"action\":\"apply\"");
        machine.until_ended("confirmed", "1.1.0");
        assert_eq!(machine.live(), both("1.1.0"), "{web}");
        assert_ne!(fs::metadata(machine.path(&web[1..])).unwrap().ino(), folder, "{web} was exchanged");
        let backup = machine.ok("echo /var/backups/pikit/*1.0.0/files/pikit-web/big.js");
        assert_eq!(fs::metadata(machine.path(&backup.trim()[1..])).unwrap().ino(), old, "{web}: the backup is the old file, not a copy");
        machine.request(3, "\"action\":\"rollback\"");
        machine.until_ended("confirmed", "1.0.0");
    }
}

/// An apply whose every rename takes its time, so that the plug can be pulled between two of them.
const SLOWLY: &str = "[Service]\nExecStart=\nExecStart=/usr/bin/strace -f -qq -o /dev/null -e trace=renameat2,renameat,rename \
                      -e inject=renameat2,renameat,rename:delay_exit=600ms /usr/bin/pikit-updater apply -y\nSystemCallFilter=@debug\n";

#[test]
fn after_a_power_cut_in_the_middle_of_a_switch_the_service_starts_with_one_whole_release() {
    or_no_machine!();
    let machine = Machine::new("plug");
    machine.offer("1.1.0", false);
    machine.write("etc/systemd/system/pikit-update-apply.service.d/slowly.conf", SLOWLY);
    machine.ok("systemctl daemon-reload && systemctl start --no-block pikit-update-apply");
    machine.until("the page of one release with the service of the other", || {
        let (page, api) = machine.live();
        (page != api).then_some(())
    });
    machine.kill();
    let (page, api) = machine.live();
    println!("at the power cut: page {page}, service {api}");
    assert_ne!(page, api, "the plug was pulled between the two renames");
    assert!(machine.has("var/lib/pikit-update/journal.json"));
    machine.boot();
    machine.until_ended("confirmed", "1.1.0");
    assert_eq!(machine.live(), both("1.1.0"));
    let said = machine.journal("pikit-api");
    let started: Vec<&str> = said.lines().filter(|l| l.starts_with("started")).collect();
    assert!(!started.is_empty() && started.iter().all(|l| *l == "started 1.1.0 with page 1.1.0"), "{started:?}");
    in_order(&machine);
    assert_eq!(machine.ok("systemctl --failed --no-legend -q"), "");
}

#[test]
fn after_a_power_cut_in_a_sick_trial_the_old_release_comes_back() {
    or_no_machine!();
    let machine = Machine::new("sick");
    machine.offer("1.1.0", true);
    machine.request(1, "\"action\":\"apply\"");
    machine.until("the trial", || machine.text("var/lib/pikit-update/journal.json").contains("\"trial\"").then_some(()));
    machine.power_cut();
    machine.until_ended("rolled-back", "1.0.0");
    assert_eq!(machine.live(), both("1.0.0"));
    in_order(&machine);
}

/// Recovery before the dashboard's service, its trial after; as systemd timed them in this boot.
fn in_order(machine: &Machine) {
    let at = |unit: &str, property: &str| -> u64 { machine.show(unit, property).parse().unwrap() };
    let recovered = at("pikit-update-recover.service", "ActiveEnterTimestampMonotonic");
    let service = at("pikit-api.service", "InactiveExitTimestampMonotonic");
    let trial = at("pikit-update-trial.service", "InactiveExitTimestampMonotonic");
    println!("after power on: recovered +0 ms, service +{} ms, trial +{} ms", (service - recovered) / 1000, (trial.max(recovered) - recovered) / 1000);
    assert!(recovered > 0 && recovered < trial, "{recovered} {trial}");
    // a service that was restarted since tells its latest start, which is later still
    assert!(recovered < service, "{recovered} {service}");
}

#[test]
fn a_root_side_that_is_killed_is_settled_at_once_and_the_next_click_counts() {
    or_no_machine!();
    let machine = Machine::new("killed");
    machine.offer("1.1.0", false);
    machine.write("srv/hold-1.1.0", "");
    machine.request(1, "\"action\":\"apply\"");
    machine.until("the trial", || machine.text("var/lib/pikit-update/journal.json").contains("\"trial\"").then_some(()));
    machine.ok("systemctl kill --kill-who=main -s KILL pikit-update-apply.service");
    fs::remove_file(machine.path("srv/hold-1.1.0")).unwrap();
    machine.until_ended("confirmed", "1.1.0");
    assert_eq!(machine.live(), both("1.1.0"));
    machine.request(2, "\"action\":\"rollback\"");
    machine.until_ended("confirmed", "1.0.0");
}

#[test]
fn a_restart_of_the_board_in_the_middle_of_a_trial_is_no_fault_of_the_release() {
    or_no_machine!();
    let machine = Machine::new("reboot");
    machine.offer("1.1.0", false);
    machine.write("srv/hold-1.1.0", "");
    machine.request(1, "\"action\":\"apply\"");
    machine.until("the trial", || machine.text("var/lib/pikit-update/journal.json").contains("\"trial\"").then_some(()));
    // well from now on, if only its service is left running until the trial has ended
    let reboot = std::thread::scope(|s| {
        let reboot = s.spawn(|| machine.reboot());
        machine.until("the shutdown", || machine.run("systemctl is-system-running").out.contains("stopping").then_some(()));
        fs::remove_file(machine.path("srv/hold-1.1.0")).unwrap();
        reboot.join()
    });
    reboot.unwrap();
    machine.until_ended("confirmed", "1.1.0");
    assert_eq!(machine.live(), both("1.1.0"));
    assert_eq!(machine.state()["quarantined"].as_array().map(Vec::len), Some(0));
}

#[test]
fn no_number_of_clicks_fails_the_path_unit() {
    or_no_machine!();
    let machine = Machine::new("clicks");
    let begun = Instant::now();
    // as fast as the root side takes them
    let clicks = "n=0; while [ $n -lt 300 ]; do printf '{\"transaction\":\"%026d\",\"action\":\"unskip\",\"version\":\"9.9.9\"}' $n >new; \
                  until ln new request.json 2>/dev/null; do :; done; rm new; n=$((n+1)); done";
    machine.ok(&format!("cd /run/pikit-update/requests && setpriv --reuid pikit-update --regid pikit-update --clear-groups sh -c '{}'", clicks.replace('\'', "'\\''")));
    machine.until("the last", || (!machine.has("run/pikit-update/requests/request.json")).then_some(()));
    println!("300 clicks: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(machine.show("pikit-update-apply.path", "ActiveState"), "active");
    machine.until("the last answer", || machine.ok("cat /run/pikit-update/answer.json").contains("00299").then_some(()));
    machine.offer("1.1.0", false);
    machine.request(1000, "\"action\":\"apply\"");
    machine.until_ended("confirmed", "1.1.0");

    // a root side that cannot be started at all: the request is dropped, not tried for ever
    machine.ok("mv /usr/bin/pikit-updater /usr/bin/away");
    machine.request(1001, "\"action\":\"check\"");
    machine.until("the request to be dropped", || (!machine.ok("ls /run/pikit-update/requests").contains("request.json")).then_some(()));
    assert_eq!(machine.show("pikit-update-apply.path", "ActiveState"), "active");
    let tries = machine.journal("pikit-update-apply").matches("Failed at step EXEC").count();
    assert_eq!(tries, 1);
    machine.ok("mv /usr/bin/away /usr/bin/pikit-updater");
    machine.request(1002, "\"action\":\"rollback\"");
    machine.until_ended("confirmed", "1.0.0");
}

#[test]
fn what_is_no_request_is_dropped_and_the_next_one_is_served() {
    or_no_machine!();
    let machine = Machine::new("hostile");
    machine.offer("1.1.0", false);
    let good = "'{\"transaction\":\"00000000000000000000000007\",\"action\":\"apply\"}'";
    let hostile: BTreeMap<&str, String> = [
        ("a folder", "mkdir -p request.json/a/b".to_owned()),
        ("a fifo", "mkfifo request.json".into()),
        ("a link to a secret", "ln -s /etc/shadow request.json".into()),
        ("a link to a good request", format!("echo {good} >/tmp/good; ln -s /tmp/good request.json")),
        ("a second name of a good request", format!("echo {good} >other; ln other request.json; sleep .3")),
        ("a gigabyte", "truncate -s 1G request.json".into()),
        ("rubbish", "head -c 4000 /dev/urandom >request.json".into()),
        ("a command", "echo '{\"transaction\":\"00000000000000000000000007\",\"action\":\"run\",\"version\":\"1.1.0\"}' >request.json".into()),
        ("a path", "echo '{\"transaction\":\"../../../../etc/cron.d/xxx\",\"action\":\"apply\"}' >request.json".into()),
    ]
    .into();
    let shadow = machine.text("etc/shadow");
    for (what, how) in hostile {
        machine.ok(&format!("cd /run/pikit-update/requests && setpriv --reuid pikit-update --regid pikit-update --clear-groups sh -c '{}'", how.replace('\'', "'\\''")));
        machine.until(&format!("{what} to be gone"), || machine.run("test ! -e /run/pikit-update/requests/request.json -a ! -L /run/pikit-update/requests/request.json").code.eq(&0).then_some(()));
        machine.until("the root side's end", || (machine.show("pikit-update-apply.service", "ActiveState") != "activating").then_some(()));
    }
    // made by another user altogether
    machine.ok(&format!("cd /run/pikit-update/requests && echo {good} >n && chown www-data n && mv n request.json"));
    machine.until("a foreign one to be gone", || machine.run("test ! -e /run/pikit-update/requests/request.json").code.eq(&0).then_some(()));
    machine.until("the root side's end", || (machine.show("pikit-update-apply.service", "ActiveState") != "activating").then_some(()));
    assert_eq!(machine.outcome(), ("confirmed".into(), "1.0.0".into()), "none of them did anything");
    assert_eq!(machine.text("etc/shadow"), shadow);
    assert_eq!(machine.show("pikit-update-apply.path", "ActiveState"), "active");
    assert_eq!(machine.ok("ls -A /run/pikit-update | grep taken; true"), "");
    machine.request(1, "\"action\":\"apply\"");
    machine.until_ended("confirmed", "1.1.0");
}
