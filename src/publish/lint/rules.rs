//! The rules. Each takes the facts and adds what it finds.

use std::collections::BTreeMap;

use chrono::{SecondsFormat, TimeDelta};

use super::names;
use super::{Facts, Finding, Level, Limits};
use crate::device::managed;
use crate::quantity::{bytes, count};
use crate::release::elf;

/// An expiry that is nearer leaves no time to sign again.
const SHORT: TimeDelta = TimeDelta::days(7);

/// Asks every rule: errors first, each in the order of the files.
pub fn look(facts: &Facts, limits: &Limits) -> Vec<Finding> {
    let mut found = Vec::new();
    version(facts, &mut found);
    expiry(facts, &mut found);
    case(facts, &mut found);
    for file in &facts.files {
        let path = file.path.as_str();
        if limits.allow.iter().any(|p| p.matches(path) || file.path.parents().any(|folder| p.matches(folder))) {
            continue;
        }
        let mut add = |rule, level, message: String, hint| found.push(Finding { rule, level, path: Some(path.to_owned()), message, hint: Some(hint) });
        const SECRET: &str = "exclude it in the recipe, and make a new secret if it was ever published; [lint] allow lets it pass";
        if let Some((what, sure)) = names::secret_name(path) {
            add("secret", if sure { Level::Error } else { Level::Warning }, what.into(), SECRET);
        }
        if let Some(what) = names::secret_content(&file.first) {
            add("secret", Level::Error, what.into(), SECRET);
        }
        if let Some(what) = names::leftover(path) {
            add("leftover", Level::Warning, what.into(), "exclude it in the recipe");
        }
        if file.size > limits.large {
            add("large", Level::Warning, format!("has {}", bytes(file.size)), "does every device need it? [lint] large sets the limit");
        }
        if let Some(kind) = names::program(path, &file.first).filter(|_| file.mode & 0o111 == 0) {
            add(
                "mode",
                Level::Warning,
                format!("is {kind} that cannot be executed (mode {:04o})", file.mode),
                "chmod +x, or \"0755\" under [modes] in the recipe",
            );
        }
        if let Some(machine) = foreign(facts, &file.first) {
            add(
                "machine",
                Level::Error,
                format!("is a program for {machine}, and the release is for {}", facts.arch.join(", ")),
                "build it for the device, or mend requires.arch",
            );
        }
    }
    if let Some(size) = facts.bundle.filter(|size| *size > limits.bundle) {
        let message = format!("the bundle has {}", bytes(size));
        found.push(Finding {
            rule: "large",
            level: Level::Warning,
            path: None,
            message,
            hint: Some("a first installation fetches all of it; publish.max_bundle sets the limit"),
        });
    }
    places(facts, &mut found);
    found.sort_by_key(|f| std::cmp::Reverse(f.level));
    found
}

fn version(facts: &Facts, found: &mut Vec<Finding>) {
    if let Some(published) = facts.published.as_ref().filter(|p| facts.version <= **p) {
        let message = format!("{} is not above {published}, which is published: no device would install it", facts.version);
        found.push(Finding { rule: "version", level: Level::Error, path: None, message, hint: Some("give it a higher version") });
    }
}

fn expiry(facts: &Facts, found: &mut Vec<Finding>) {
    let (Some(expires), Some(now)) = (facts.expires, facts.now) else { return };
    let at = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
    let (level, message) = if expires <= now {
        (Level::Error, format!("it expired at {at}: devices refuse it"))
    } else if expires - now < SHORT {
        (Level::Warning, format!("it expires at {at}, within a week"))
    } else {
        return;
    };
    found.push(Finding { rule: "expiry", level, path: None, message, hint: Some("a later `expires` in the recipe, or `sign --expires 90d`") });
}

/// Names that differ by case alone cannot both live on every card.
fn case(facts: &Facts, found: &mut Vec<Finding>) {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for file in &facts.files {
        let path = file.path.as_str();
        match seen.insert(path.to_lowercase(), path) {
            Some(other) if other != path => found.push(Finding {
                rule: "case",
                level: Level::Error,
                path: Some(path.to_owned()),
                message: format!("differs from {other} by case alone: devices refuse that"),
                hint: Some("rename one of them"),
            }),
            _ => {}
        }
    }
}

/// Where the files go: what no managed path takes; or, without a device to ask, what has to be managed.
fn places(facts: &Facts, found: &mut Vec<Finding>) {
    if let Some(managed) = &facts.managed {
        for file in facts.files.iter().filter(|f| managed::place(managed, &f.path).is_none()) {
            found.push(Finding {
                rule: "place",
                level: Level::Error,
                path: Some(file.path.as_str().to_owned()),
                message: "no [[managed]] entry of the device takes it: the device would refuse the release".into(),
                hint: Some("add an entry to the device's updater.toml, or exclude the file in the recipe"),
            });
        }
        return;
    }
    let mut tops: BTreeMap<&str, usize> = BTreeMap::new();
    for file in &facts.files {
        let path = file.path.as_str();
        *tops.entry(path.find('/').map_or(path, |at| &path[..=at])).or_default() += 1;
    }
    for (top, files) in tops {
        let message = format!("devices need a [[managed]] entry for it ({})", count(files, "file"));
        found.push(Finding { rule: "place", level: Level::Note, path: Some(top.to_owned()), message, hint: None });
    }
}

/// The machine a program is for, when that is none of those the release is for.
fn foreign(facts: &Facts, first: &[u8]) -> Option<String> {
    // manifests tell apart what the header of a program does not
    let own = |arch: &String| if arch.starts_with("armv") { "arm".to_owned() } else { arch.clone() };
    let told: Vec<Option<String>> = facts.arch.iter().map(|arch| elf::foreign(first, &own(arch))).collect();
    told.into_iter().collect::<Option<Vec<_>>>()?.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Managed;
    use crate::publish::glob::Pattern;
    use crate::publish::lint::Fact;
    use crate::release::ReleasePath;

    /// Path, size, mode, first bytes.
    type Given<'g> = (&'g str, u64, u32, &'g [u8]);

    fn facts(files: &[Given]) -> Facts {
        let fact = |(path, size, mode, first): &Given| Fact { path: ReleasePath::new(path).unwrap(), size: *size, mode: *mode, first: first.to_vec() };
        let files = files.iter().map(fact).collect();
        let managed = Some(vec![Managed { from: "web/".into(), to: "/srv/web".into() }]);
        Facts { version: "1.1.0".parse().unwrap(), expires: None, files, bundle: None, arch: Vec::new(), published: None, managed, now: None }
    }

    fn told(facts: &Facts, limits: &Limits) -> Vec<String> {
        let word = |f: &Finding| format!("{:?} {} {}", f.level, f.rule, f.path.clone().unwrap_or_default()).trim().to_owned();
        look(facts, limits).iter().map(word).collect()
    }

    #[test]
    fn each_rule_finds_its_own() {
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(64, 0);
        (elf[16], elf[18], elf[25]) = (2, 62, 1);
        type Change = fn(&mut Facts);
        type Row<'r> = (&'r [Given<'r>], Change, &'r [&'r str]);
        let table: &[Row] = &[
            (&[("web/index.html", 10, 0o644, b"<h1>")], |_| {}, &[]),
            (&[("api.py", 10, 0o644, b"x")], |_| {}, &["Error place api.py"]),
            (
                &[("api.py", 10, 0o644, b"x"), ("web/a", 1, 0o644, b""), ("web/b", 1, 0o644, b"")],
                |f| f.managed = None,
                &["Note place api.py", "Note place web/"],
            ),
            (&[("web/run.sh", 10, 0o644, b"#!/bin/sh")], |_| {}, &["Warning mode web/run.sh"]),
            (&[("web/run.sh", 10, 0o755, b"#!/bin/sh")], |_| {}, &[]),
            (&[("web/tool", 10, 0o644, &elf)], |_| {}, &["Warning mode web/tool"]),
            (&[("web/tool", 10, 0o755, &elf)], |f| f.arch = vec!["aarch64".into(), "armv7".into()], &["Error machine web/tool"]),
            (&[("web/tool", 10, 0o755, &elf)], |f| f.arch = vec!["aarch64".into(), "x86_64".into()], &[]),
            (&[("web/film.mp4", 17 << 20, 0o644, b"x")], |_| {}, &["Warning large web/film.mp4"]),
            (&[("web/.env", 10, 0o644, b"A=1")], |_| {}, &["Error secret web/.env"]),
            (&[("web/node_modules/x.js", 10, 0o644, b"x")], |_| {}, &["Warning leftover web/node_modules/x.js"]),
            (&[("web/A.js", 1, 0o644, b""), ("web/a.js", 1, 0o644, b"")], |_| {}, &["Error case web/a.js"]),
            (&[("web/a", 1, 0o644, b"")], |f| f.published = Some("1.1.0".parse().unwrap()), &["Error version"]),
            (&[("web/a", 1, 0o644, b"")], |f| f.published = Some("1.0.9".parse().unwrap()), &[]),
            (&[("web/a", 1, 0o644, b"")], |f| f.bundle = Some(65 << 20), &["Warning large"]),
        ];
        for (files, change, expected) in table {
            let mut facts = facts(files);
            change(&mut facts);
            assert_eq!(told(&facts, &Limits::default()), *expected, "{files:?}");
        }
    }

    #[test]
    fn an_expiry_has_to_leave_time() {
        let now = "2026-11-20T00:00:00Z".parse().unwrap();
        for (expires, expected) in
            [("2026-11-19T00:00:00Z", Some(Level::Error)), ("2026-11-22T00:00:00Z", Some(Level::Warning)), ("2026-12-20T00:00:00Z", None)]
        {
            let facts = Facts { expires: Some(expires.parse().unwrap()), now: Some(now), ..facts(&[]) };
            assert_eq!(look(&facts, &Limits::default()).first().map(|f| f.level), expected, "{expires}");
        }
    }

    #[test]
    fn what_a_person_has_looked_at_passes() {
        let all = facts(&[("web/.env", 10, 0o644, b"A=1"), ("web/node_modules/x.js", 10, 0o644, b"x")]);
        let limits = Limits { allow: vec![Pattern::new("web/.env"), Pattern::new("node_modules")], ..Limits::default() };
        assert_eq!(told(&all, &limits), Vec::<String>::new());
    }
}
