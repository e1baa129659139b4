//! The units under a real systemd: each test boots a Debian of its own (tests/systemd/box), installs the program and the units into it, and
//! clicks, waits, kills and pulls plugs there.

#![allow(clippy::unwrap_used, clippy::panic)] // allowed in tests, and the helpers here are outside of any

mod support;
#[path = "systemd/http.rs"]
mod http;
#[path = "systemd/itself.rs"]
mod itself;
#[allow(dead_code)] // tests/life.rs needs more of it
#[path = "systemd/machine.rs"]
mod machine;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use machine::{Machine, PLACES, ROOT_SIDE};
use pikit_updater::daily::drop_in;
use support::pulse::Pulse;

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
    assert_eq!((mode("var/lib/pikit-update"), mode("var/tmp/pikit-update")), ((0o755, true), (0o711, true)));
    assert_eq!(mode("var/tmp/pikit-update/upload"), (0o700, false), "the API's user writes there, and nobody else sees it");
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
    machine.write(
        "etc/systemd/system/pikit-update-apply.service.d/hands.conf",
        format!("[Service]\nExecStart=\nExecStart=/bin/sh -c \"{}\"\n", try_out.replace('$', "$$")),
    );
    machine.ok("systemctl daemon-reload && systemctl start pikit-update-apply");
    let said = machine.journal("pikit-update-apply");
    let hands: Vec<&str> = said.lines().filter(|l| l.starts_with('/') || *l == "open").collect();
    assert_eq!(hands, ["open"], "{said}");
    assert!(said.contains("chroot: ") && said.contains("mount: "), "{said}");
}

#[test]
fn wherever_a_managed_folder_lies_it_is_exchanged_and_its_backup_is_a_second_name() {
    or_no_machine!();
    for (name, web, api) in [
        ("srv", "/srv/dash/web/", "/opt/dash/api.py"),
        ("home", "/home/pi/my dash 100%/", "/home/pi/api.py"),
        ("varlib", "/var/lib/dash/", "/usr/local/lib/dash/api.py"),
    ] {
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

/// An apply whose exchanges of trees take their time, so that the plug can be pulled between two of them, however slow the hand is.
const SLOWLY: &str = "[Service]\nExecStart=\nExecStart=/usr/bin/strace -f -qq -o /dev/null -e trace=renameat2 \
                      -e inject=renameat2:delay_exit=5s /usr/bin/pikit-updater apply -y\nSystemCallFilter=@debug\n";

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
    machine.kill();
    assert!(machine.has("var/lib/pikit-update/journal.json"), "the plug was pulled in the trial");
    machine.boot();
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
    machine.ok(&format!(
        "cd /run/pikit-update/requests && setpriv --reuid pikit-update --regid pikit-update --clear-groups sh -c '{}'",
        clicks.replace('\'', "'\\''")
    ));
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
        machine.ok(&format!(
            "cd /run/pikit-update/requests && setpriv --reuid pikit-update --regid pikit-update --clear-groups sh -c '{}'",
            how.replace('\'', "'\\''")
        ));
        machine.until(&format!("{what} to be gone"), || {
            machine.run("test ! -e /run/pikit-update/requests/request.json -a ! -L /run/pikit-update/requests/request.json").code.eq(&0).then_some(())
        });
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

/// Every two seconds, to the point.
const OFTEN: &str = "[Timer]\nOnCalendar=\nOnCalendar=*:*:0/2\nRandomizedDelaySec=0\nAccuracySec=10ms\n";

#[test]
fn the_timer_makes_the_round_and_makes_up_for_one_that_was_missed() {
    or_no_machine!();
    let machine = Machine::new("timer");
    machine.offer("1.1.0", false);
    machine.ok("pikit-updater auto install --at 03:33");
    assert_eq!(machine.ok("systemctl is-enabled pikit-update.timer").trim(), "enabled");
    let next = machine.ok("systemctl list-timers --no-legend pikit-update.timer");
    assert!(next.contains("pikit-update.service"), "{next}");
    let hour: Vec<u32> = machine
        .ok("date -d \"$(systemctl show --value -p NextElapseUSecRealtime pikit-update.timer)\" '+%-H %-M'")
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    assert!((213..=244).contains(&(hour[0] * 60 + hour[1])), "between 03:33 and 04:03: {hour:?}");
    assert_eq!(machine.outcome(), ("confirmed".into(), "1.0.0".into()));

    machine.write("etc/systemd/system/pikit-update.timer.d/zz-often.conf", OFTEN);
    machine.ok("systemctl daemon-reload && systemctl restart pikit-update.timer");
    machine.until_ended("confirmed", "1.1.0");
    assert_eq!(machine.live(), both("1.1.0"));

    // once a day, and due two days ago while the board was off; not before, or this would show nothing
    machine.ok("systemctl stop pikit-update.timer");
    machine.until("the round's end", || (machine.show("pikit-update.service", "ActiveState") == "inactive").then_some(()));
    machine.offer("1.2.0", false);
    machine.write("etc/systemd/system/pikit-update.timer.d/zz-often.conf", OFTEN.replace("*:*:0/2", "daily"));
    machine.ok("touch -d '2 days ago' /var/lib/systemd/timers/stamp-pikit-update.timer; sync");
    assert_eq!(machine.outcome(), ("confirmed".into(), "1.1.0".into()));
    machine.power_cut();
    machine.until_ended("confirmed", "1.2.0");
}

#[test]
fn a_source_that_cannot_be_reached_is_asked_four_times_and_not_for_ever() {
    or_no_machine!();
    let machine = Machine::new("offline");
    machine.ok("pikit-updater auto install");
    machine.write(
        "etc/systemd/system/pikit-update.service.d/soon.conf",
        "[Service]\nExecStart=\nExecStart=/usr/bin/pikit-updater auto run --retry 200ms,300ms,500ms\n",
    );
    machine.ok("systemctl daemon-reload && mv /srv/releases /srv/gone; systemctl start --no-block pikit-update.service");
    machine.until("the fourth try", || (machine.show("pikit-update.service", "ActiveState") == "failed").then_some(()));
    let journal = machine.journal("pikit-update");
    assert_eq!(journal.matches("trying again in").count(), 3, "{journal}");
    assert_eq!(machine.show("pikit-update.timer", "ActiveState"), "active", "tomorrow it is asked again");

    // a round that was missed is made up for at boot, and the board has started whether or not anybody answers
    machine.write("etc/systemd/system/pikit-update.service.d/soon.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/pikit-updater auto run --retry 30m\n");
    machine.write("etc/systemd/system/pikit-update.timer.d/zz-soon.conf", OFTEN.replace("*:*:0/2", "daily"));
    machine.ok("systemctl stop pikit-update.timer; touch -d '2 days ago' /var/lib/systemd/timers/stamp-pikit-update.timer; sync");
    machine.reboot();
    machine.until("a first try", || machine.journal("pikit-update").contains("trying again in").then_some(()));
    machine.until("the end of the start", || (machine.run("systemctl is-system-running").out.trim() == "running").then_some(()));
    assert_eq!(machine.show("pikit-update.service", "SubState"), "running", "it goes on trying");
    machine.ok("systemctl stop pikit-update.service");
    machine.ok("mv /srv/gone /srv/releases; systemctl reset-failed pikit-update.service; systemctl start --wait pikit-update.service");
}

/// Times that a test can wait for. The API looks at itself, and tells systemd, every 10 s.
const QUICK_API: &str = "[Service]\nExecStart=\nExecStart=/usr/bin/pikit-updater serve --leave-requests --idle 20s\nWatchdogSec=20s\nRestartSec=200ms\n";

#[test]
fn the_api_comes_with_the_first_question_leaves_when_nobody_asks_and_its_clicks_are_run_by_the_root_side() {
    or_no_machine!();
    let machine = Machine::new("api");
    machine.offer("1.1.0", false);
    machine.write("etc/systemd/system/pikit-update-api.service.d/quick.conf", QUICK_API);
    machine.ok("systemctl daemon-reload");
    assert_eq!(machine.show("pikit-update-api.service", "ActiveState"), "inactive", "nothing runs while nobody looks");
    let begun = Instant::now();
    let ping = machine.ask("GET", "/ping", "", "");
    println!("first answer: {} ms", begun.elapsed().as_millis());
    assert_eq!((ping.status, ping.json()["version"].as_str()), (200, Some("1.0.0")), "{ping:?}");
    assert_eq!(machine.ask("GET", "/api/update/status", "", "").status, 401);

    // made by the first start; in no journal
    let token = machine.ok("pikit-updater token").trim().to_owned();
    assert_eq!(machine.ok("stat -c '%a %U:%G' /etc/pikit/api-token").trim(), "640 root:pikit-update");
    assert!(token.len() >= 16 && !machine.ok("journalctl -b --no-pager").contains(&token));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(machine.ask("GET", "/api/update/status", &bearer, "").json()["current"], "1.0.0");
    assert_eq!(
        machine.ok(&format!("curl -s -H 'Authorization: Bearer {token}' http://127.0.0.1:8686/api/update/status")).matches("\"1.0.0\"").count().min(1),
        1
    );

    // as little as possible: an own user, no capability, no network, nothing writable but the folders of requests and uploads
    assert_eq!(machine.ask("GET", "/ping", "", "").status, 200, "asked again, it does not leave meanwhile");
    let pid = machine.show("pikit-update-api.service", "MainPID");
    let status = machine.ok(&format!("cat /proc/{pid}/status"));
    let line = |name: &str| status.lines().find(|l| l.starts_with(name)).unwrap_or_default().split_whitespace().nth(1).unwrap_or_default().to_owned();
    assert_eq!((line("CapEff:"), line("NoNewPrivs:"), line("Seccomp:")), ("0000000000000000".into(), "1".into(), "2".into()));
    assert_eq!(line("Uid:"), machine.ok("id -u pikit-update").trim());
    println!("the API: {} kB, {} threads", line("VmRSS:"), line("Threads:"));
    let writable = machine
        .ok(&format!("nsenter -t {pid} -m setpriv --reuid pikit-update --regid pikit-update --clear-groups find / -xdev -writable -type d 2>/dev/null; true"));
    let reachable = machine.ok(&format!("nsenter -t {pid} -m -n setpriv --reuid pikit-update --regid pikit-update --clear-groups sh -c 'for d in /etc /var /var/tmp /srv /run /run/pikit-update /run/pikit-update/requests; do touch $d/x 2>/dev/null && echo $d; done; rm -f /run/pikit-update/requests/x; cat /proc/net/dev | grep -c :'"));
    // the first two are of its own, and go with it; in the third lies what somebody sends
    assert_eq!(writable, "/tmp\n/var/tmp\n/var/tmp/pikit-update/upload\n");
    assert_eq!(reachable, "/var/tmp\n/run/pikit-update/requests\n1\n");

    let paths = machine.text("etc/systemd/system/pikit-update-apply.service.d/paths.conf");
    let auto = machine.ask("POST", "/api/update/auto", &bearer, "{\"mode\":\"off\",\"at\":\"05:05\"}");
    assert_eq!((auto.status, &auto.json()["auto"]["at"]), (200, &"05:05".into()), "{auto:?}");
    assert!(machine.text("etc/systemd/system/pikit-update.timer.d/schedule.conf").contains("05:05"));
    assert_eq!(machine.run("systemctl is-enabled pikit-update.timer").out.trim(), "disabled");
    assert_eq!(machine.text("etc/systemd/system/pikit-update-apply.service.d/paths.conf"), paths);

    let asked = machine.ask("POST", "/api/update/apply", &bearer, "{}");
    assert_eq!(asked.status, 202, "{asked:?}");
    // whatever happens to the API meanwhile
    machine.ok("systemctl kill -s KILL pikit-update-api.service");
    machine.until_ended("confirmed", "1.1.0");
    assert_eq!(machine.state()["last_result"]["transaction"], asked.json()["transaction"]);
    machine.offer("1.2.0", true);
    assert_eq!(machine.ask("POST", "/api/update/check", &bearer, "{}").json()["available"]["version"], "1.2.0");
    assert_eq!(machine.ask("POST", "/api/update/apply", &bearer, "{}").status, 202);
    machine.until_ended("rolled-back", "1.1.0");
    let seen = machine.ask("GET", "/api/update/status", &bearer, "").json();
    assert_eq!((&seen["current"], &seen["last_result"]["outcome"]), (&"1.1.0".into(), &"rolled-back".into()));

    // hung: killed by the watchdog, not before, and there again
    let killed = || machine.journal("pikit-update-api").matches("Watchdog timeout").count();
    assert_eq!(killed(), 0);
    assert_eq!(machine.ask("GET", "/ping", "", "").status, 200);
    let pid = machine.show("pikit-update-api.service", "MainPID");
    machine.ok(&format!("kill -STOP {pid}"));
    let begun = Instant::now();
    machine.until("another process", || (![pid.as_str(), "0"].contains(&machine.show("pikit-update-api.service", "MainPID").as_str())).then_some(()));
    assert_eq!(machine.ask("GET", "/ping", "", "").status, 200);
    println!("hung and back: {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(killed(), 1);

    machine.until("the end of an idle API", || (machine.show("pikit-update-api.service", "ActiveState") == "inactive").then_some(()));
    assert_eq!(machine.show("pikit-update-api.service", "Result"), "success");
    assert_eq!(machine.ask("GET", "/ping", "", "").status, 200);
    assert_eq!(machine.ok("systemctl --failed --no-legend -q"), "");
}

/// A dashboard's nginx with our lines in its `server` block.
const NGINX: &str = "server { listen 127.0.0.1:80 default_server; listen unix:/run/front.sock; server_name localhost;\n\
                     include snippets/pikit-update.conf;\n location / { root /var/www/pikit-web; } }\n";

#[test]
fn behind_nginx_one_logs_in_and_each_event_comes_within_200_ms_of_its_cause() {
    or_no_machine!();
    let machine = Machine::new("nginx");
    machine.offer("1.1.0", false);
    machine.write("etc/nginx/conf.d/dashboard.conf", NGINX);
    machine.ok("rm /etc/nginx/sites-enabled/default; nginx -t -q && systemctl restart nginx && chmod 666 /run/front.sock");
    let front = machine.path("run/front.sock");
    let ask = |method: &str, path: &str, headers: &str, body: &str| http::ask(&front, method, path, headers, body).unwrap();
    assert_eq!(ask("GET", "/", "", "").body, "page 1.0.0", "the dashboard is as it was");
    assert_eq!(ask("GET", "/api/update/ping", "", "").status, 200);
    assert_eq!(ask("GET", "/pikit-update/pikit-update.js", "", "").status, 200);
    assert_eq!(ask("GET", "/api/update/status", "", "").status, 401);

    let token = machine.ok("pikit-updater token").trim().to_owned();
    let form = format!("{{\"token\":\"{token}\"}}");
    assert_eq!(ask("POST", "/api/update/login", "Origin: http://evil.example\r\n", &form).status, 403);
    assert_eq!(ask("POST", "/api/update/login", "Origin: http://localhost\r\n", "{\"token\":\"wrong-wrong-wrong-wrong\"}").status, 401);
    let login = ask("POST", "/api/update/login", "Origin: http://localhost\r\n", &form);
    assert_eq!(login.status, 204, "{login:?}");
    let cookie = login.head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case("set-cookie"))).unwrap().1;
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = format!("Cookie: {}\r\nOrigin: http://localhost\r\n", cookie.split(';').next().unwrap());
    assert_eq!(ask("GET", "/api/update/status", &cookie, "").json()["current"], "1.0.0");
    assert!(!machine.ok("cat /var/log/nginx/access.log").contains(&token));

    let (causes, done, pulse) = (Mutex::new(Vec::new()), AtomicBool::new(false), Pulse::start());
    let file = machine.path("run/pikit-update/progress.json");
    let mut told: Vec<(SystemTime, String, serde_json::Value)> = Vec::new();
    let seen = |e: &http::Event| (e.came, e.name.clone(), e.data.clone());
    std::thread::scope(|scope| {
        // what the root side tells about its way, with the time at which it did
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                // of one file, also while the next one takes its name
                let read = fs::File::open(&file).and_then(|open| Ok((open.metadata()?.modified()?, std::io::read_to_string(open)?)));
                if let Some((at, progress)) = read.ok().and_then(|(at, text)| Some((at, serde_json::from_str::<serde_json::Value>(&text).ok()?))) {
                    let mut causes = causes.lock().unwrap();
                    if causes.last().is_none_or(|(_, last)| *last != progress) {
                        causes.push((at, progress));
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let mut asked = false;
        let heard = http::events(&front, &cookie, |event| {
            told.push(seen(event));
            if !asked {
                asked = true;
                assert_eq!(event.name, "state");
                assert_eq!(ask("POST", "/api/update/apply", &cookie, "{}").status, 202);
            }
            event.name == "result"
        });
        done.store(true, Ordering::SeqCst);
        heard.unwrap();
    });
    assert_eq!(told.last().unwrap().2["outcome"], "confirmed");
    let causes = causes.into_inner().unwrap();
    let same = |a: &serde_json::Value, b: &serde_json::Value| ["phase", "percent", "bytes_done", "message"].iter().all(|k| a[k] == b[k]);
    let mut lags: Vec<Duration> = Vec::new();
    for (came, _, data) in told.iter().filter(|(_, name, _)| name == "progress") {
        // the same words twice: the later one is meant, of those that were before
        let cause = causes.iter().rev().find(|(at, progress)| same(progress, data) && at <= came);
        lags.extend(cause.map(|(at, _)| came.duration_since(*at).unwrap()));
    }
    lags.sort_unstable();
    println!("{} events through nginx, of {} causes: {:?} in the middle, {:?} at most", lags.len(), causes.len(), lags[lags.len() / 2], lags[lags.len() - 1]);
    assert!(lags.len() >= 3 && lags[lags.len() - 1] < pulse.allows(Duration::from_millis(200)), "{lags:?}");

    // nginx restarted below an open page: the stream ends, and the next one begins with the whole state
    let mut last = String::new();
    let _ = http::events(&front, &cookie, |event| {
        if last.is_empty() {
            machine.ok("systemctl restart nginx && chmod 666 /run/front.sock");
        }
        last.clone_from(&event.id);
        false
    });
    http::events(&front, &format!("{cookie}Last-Event-ID: {last}\r\n"), |event| {
        assert_eq!((event.name.as_str(), event.data["current"].as_str()), ("state", Some("1.1.0")));
        true
    })
    .unwrap();
}
