//! Tables and properties of the decision.

use proptest::prelude::*;

use super::*;
use crate::error::Code;
use crate::plan::{Found, UnitFacts, VolumeFacts, Way};
use crate::release::manifest::Requires;

const MANAGED_FREE: u64 = 1 << 30;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn path(text: &str) -> ReleasePath {
    ReleasePath::new(text).unwrap()
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn want(content: &str) -> Rc<Want> {
    Rc::new(Want { sha256: digest(content), size: Some(content.len() as u64), mode: Some(0o644), owner: None, config: false })
}

fn found(content: &str) -> Rc<Found> {
    Rc::new(Found { sha256: digest(content), size: content.len() as u64, mtime: 0, ino: 1, mode: 0o644, uid: 0, gid: 0 })
}

fn release(v: &str, files: &[(&str, &str)]) -> Target {
    let list: Vec<String> = files.iter().map(|(p, c)| format!("{p} {c}")).collect();
    Target {
        version: Some(version(v)),
        manifest_sha256: Some(digest(&format!("manifest {v} {list:?}"))),
        content: Some(digest(&format!("{list:?}"))),
        files: files.iter().map(|(p, c)| (path(p), want(c))).collect(),
        steps: vec![],
        product: Some("pikit".into()),
        channel: None,
        requires: Requires::default(),
    }
}

fn installed(target: &Target) -> Installed {
    Installed { version: target.version.clone(), manifest_sha256: target.manifest_sha256, content: target.content, released: None, files: target.files.clone() }
}

fn live(files: &[(&str, &str)]) -> Facts {
    Facts {
        units: vec![UnitFacts { to: "/srv/web".into(), way: Way::Exchange, exists: true, owner: (0, 0), volume: 0, has_modes: true }],
        volumes: vec![VolumeFacts { dev: 1, at: "/srv".into(), free: MANAGED_FREE, block: 4096, read_only: false }],
        files: files.iter().map(|(p, c)| (path(p), found(c))).collect(),
        ..Facts::default()
    }
}

struct Case {
    managed: Vec<Managed>,
    restart: Vec<String>,
}

fn case() -> Case {
    Case { managed: vec![Managed { from: "web/".into(), to: "/srv/web".into() }], restart: vec!["api.service".into()] }
}

impl Case {
    fn policy(&self) -> Policy<'_> {
        Policy {
            action: Action::Apply,
            managed: &self.managed,
            product: "pikit",
            channel: "stable",
            restart: &self.restart,
            reload: &[],
            commands: false,
            min_free: 0,
            updater: version("0.2.0"),
            allow_downgrade: false,
            force: false,
            require_manifest: None,
            takes_back: None,
        }
    }
}

fn go(decision: Decision) -> Plan {
    match decision {
        Decision::Go(plan) => plan,
        other => panic!("{other:?}"),
    }
}

fn changes(plan: &Plan) -> Vec<(String, Change)> {
    plan.files.iter().map(|f| (f.path.to_string(), f.change)).collect()
}

#[test]
fn an_update_adds_changes_removes_and_keeps() {
    let old = release("1.0.0", &[("web/a", "1"), ("web/b", "b"), ("web/gone", "g"), ("web/missing", "m")]);
    let new = release("1.1.0", &[("web/a", "2"), ("web/b", "b"), ("web/new", "n")]);
    let plan = go(decide(&case().policy(), &installed(&old), &new, &live(&[("web/a", "1"), ("web/b", "b"), ("web/gone", "g")])));
    let expected = [("web/a", Change::Replace), ("web/b", Change::Keep), ("web/gone", Change::Remove), ("web/missing", Change::Gone), ("web/new", Change::Add)];
    assert_eq!(changes(&plan), expected.map(|(p, c)| (p.to_owned(), c)));
    assert_eq!(plan.restart, ["api.service"]);
    assert!(plan.backup && plan.switches());
    let counts = plan.counts();
    assert_eq!((counts.added, counts.changed, counts.removed, counts.kept, counts.drifted, counts.bytes_written), (1, 1, 1, 1, 1, 2));
}

#[test]
fn edited_files_are_overwritten_and_edited_config_is_not() {
    let mut old = release("1.0.0", &[("web/a", "1"), ("web/conf", "default"), ("web/same", "default")]);
    let mut new = release("1.1.0", &[("web/a", "2"), ("web/conf", "better"), ("web/same", "default")]);
    for target in [&mut old, &mut new] {
        for file in ["web/conf", "web/same"] {
            Rc::make_mut(target.files.get_mut(file).unwrap()).config = true;
        }
    }
    let plan = go(decide(&case().policy(), &installed(&old), &new, &live(&[("web/a", "mine"), ("web/conf", "mine"), ("web/same", "mine")])));
    let expected = [("web/a", Change::Replace), ("web/conf", Change::KeepEdited), ("web/conf.pikit-new", Change::Add), ("web/same", Change::KeepEdited)];
    assert_eq!(changes(&plan), expected.map(|(p, c)| (p.to_owned(), c)), "a new default is laid beside only where there is one");
    assert!(plan.files[0].drifted && plan.files[0].is_backed_up());
    let untouched = go(decide(&case().policy(), &installed(&old), &new, &live(&[("web/a", "1"), ("web/conf", "default"), ("web/same", "default")])));
    assert_eq!(untouched.files[1].change, Change::Replace);

    // a path is planned once, and what a release lists there goes before a default that would be laid there
    new.files.insert(path("web/conf.pikit-new"), Rc::new(Want { config: false, sha256: Digest::of(b"listed"), ..(*new.files["web/conf"]).clone() }));
    let plan = go(decide(&case().policy(), &installed(&old), &new, &live(&[("web/a", "1"), ("web/conf", "mine"), ("web/same", "default")])));
    let beside: Vec<_> = plan.files.iter().filter(|f| f.path.as_str() == "web/conf.pikit-new").map(|f| f.want.as_ref().unwrap().sha256).collect();
    assert_eq!(beside, [Digest::of(b"listed")]);
    assert!(plan.files.is_sorted_by(|a, b| a.path < b.path));
}

#[test]
fn content_mode_and_owner_must_all_match_where_the_file_system_keeps_them() {
    let old = release("1.0.0", &[("web/a", "1")]);
    let new = release("1.1.0", &[("web/a", "1")]);
    let mut facts = live(&[("web/a", "1")]);
    for (mode, uid, has_modes, expected) in
        [(0o644, 0, true, Change::Keep), (0o600, 0, true, Change::Replace), (0o644, 7, true, Change::Replace), (0o777, 7, false, Change::Keep)]
    {
        let file = Rc::make_mut(facts.files.get_mut("web/a").unwrap());
        (file.mode, file.uid) = (mode, uid);
        facts.units[0].has_modes = has_modes;
        assert_eq!(go(decide(&case().policy(), &installed(&old), &new, &facts)).files[0].change, expected, "{mode:o} {uid} {has_modes}");
    }
}

/// Each way to be blocked, with the words that a person reads.
#[test]
fn every_reason_blocks_with_its_words_and_code() {
    let old = release("1.0.0", &[("web/a", "1")]);
    let base = release("1.1.0", &[("web/a", "2")]);
    let facts = live(&[("web/a", "1")]);
    let blocked = |words: &str, code: Code, target: &dyn Fn(&mut Target), facts: &Facts, policy: &dyn Fn(&mut Policy)| {
        let mut offered = base.clone();
        target(&mut offered);
        let case = case();
        let mut asked = case.policy();
        policy(&mut asked);
        match decide(&asked, &installed(&old), &offered, facts) {
            Decision::Blocked(reasons) => {
                let error = Reason::error(&reasons);
                assert!(error.message().contains(words), "{words:?} in {}", error.message());
                assert_eq!(error.code, code, "{words}");
                assert!(error.hint.is_some_and(|h| !h.is_empty()), "{words}");
            }
            other => panic!("{words}: {other:?}"),
        }
    };
    let as_is = |_: &mut Policy| {};
    let same = |_: &mut Target| {};
    let (refused, verification) = (Code::Refused, Code::Verification);
    blocked("the product \"other\"", refused, &|t| t.product = Some("other".into()), &facts, &as_is);
    blocked("the channel \"beta\"", refused, &|t| t.channel = Some("beta".into()), &facts, &as_is);
    blocked("this board is", refused, &|t| t.requires.arch = vec!["pdp11".into()], &facts, &as_is);
    blocked("needs pikit-updater >=9", refused, &|t| t.requires.updater = Some(">=9".parse().unwrap()), &facts, &as_is);
    blocked("can replace >=1.0.5 only", refused, &|t| t.requires.from = Some(">=1.0.5".parse().unwrap()), &facts, &as_is);
    blocked("0.9.0 is older than 1.0.0", verification, &|t| t.version = Some(version("0.9.0")), &facts, &as_is);
    blocked("now offered with other contents", verification, &|t| t.version = Some(version("1.0.0")), &facts, &as_is);
    blocked("no managed path takes etc/passwd", refused, &|t| t.files.extend([(path("etc/passwd"), want("x"))]), &facts, &as_is);
    blocked("wants to restart sshd.service", refused, &|t| t.steps = vec![Step::Restart("sshd.service".into())], &facts, &as_is);
    blocked(
        "wants to run \"rm -rf\"",
        refused,
        &|t| t.steps = vec![Step::Run { argv: vec!["rm".into(), "-rf".into()], timeout: Default::default() }],
        &facts,
        &as_is,
    );
    blocked("manifest 0", verification, &same, &facts, &|p| p.require_manifest = Some("0".repeat(64).parse().unwrap()));
    let quarantined = Facts { quarantined: Some("HTTP 503".into()), ..facts.clone() };
    blocked("failed on this board before (HTTP 503)", verification, &same, &quarantined, &as_is);
    let obstacle = Facts { obstacles: [(path("web/a"), "/srv/web/a is a symbolic link".to_owned())].into(), ..facts.clone() };
    blocked("/srv/web/a is a symbolic link", refused, &same, &obstacle, &as_is);
    let mut full = facts.clone();
    full.volumes[0].free = 4_000_000;
    blocked("needed 12.", refused, &same, &full, &|p| p.min_free = 12_000_000);
    let mut frozen = facts.clone();
    frozen.volumes[0].read_only = true;
    blocked("mounted read-only", refused, &same, &frozen, &as_is);
}

#[test]
fn all_reasons_are_named_at_once() {
    let mut offered = release("1.1.0", &[("web/a", "2"), ("elsewhere", "x")]);
    offered.product = Some("other".into());
    match decide(&case().policy(), &Installed::default(), &offered, &live(&[])) {
        Decision::Blocked(reasons) => assert_eq!(reasons.len(), 2, "{reasons:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_person_may_insist() {
    let old = release("1.1.0", &[("web/a", "1")]);
    let lower = release("1.0.0", &[("web/a", "0")]);
    let case = case();
    let facts = Facts { quarantined: Some("sick".into()), ..live(&[("web/a", "1")]) };
    let asked = Policy { allow_downgrade: true, ..case.policy() };
    assert!(matches!(decide(&asked, &installed(&old), &lower, &facts), Decision::Blocked(_)), "a downgrade does not lift a quarantine");
    assert!(
        matches!(decide(&Policy { force: true, ..case.policy() }, &installed(&old), &lower, &facts), Decision::Blocked(_)),
        "and force is no wish for an older one"
    );
    go(decide(&Policy { force: true, ..asked }, &installed(&old), &lower, &facts));
    let drifted = live(&[("web/a", "edited")]);
    match decide(&case.policy(), &installed(&old), &old, &drifted) {
        Decision::UpToDate { drifted, note } => assert_eq!((drifted, note.is_some()), (vec![path("web/a")], true)),
        other => panic!("{other:?}"),
    }
    assert_eq!(go(decide(&Policy { force: true, ..case.policy() }, &installed(&old), &old, &drifted)).files[0].change, Change::Replace);
}

#[test]
fn channels_take_their_own_and_stable() {
    let table = [
        ("stable", None, "1.0.0", true),
        ("stable", Some("stable"), "1.0.0", true),
        ("stable", None, "1.0.0-rc.1", false),
        ("stable", Some("beta"), "1.0.0", false),
        ("beta", Some("beta"), "1.0.0-beta.2", true),
        ("beta", Some("stable"), "1.0.0", true),
        ("beta", None, "1.0.0", true),
        ("beta", Some("dev"), "1.0.0", false),
    ];
    for (device, offered, v, fits) in table {
        assert_eq!(channel_fits(device, offered, Some(&version(v))), fits, "{device} {offered:?} {v}");
    }
}

#[test]
fn a_new_signature_on_the_same_release_changes_records_and_no_file() {
    let old = release("1.0.0", &[("web/a", "1")]);
    let mut again = old.clone();
    again.manifest_sha256 = Some(digest("signed again"));
    let plan = go(decide(&case().policy(), &installed(&old), &again, &live(&[("web/a", "1")])));
    assert!(!plan.switches() && !plan.backup && plan.restart.is_empty());
}

fn contents() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map(prop_oneof!["web/[a-d]", "web/x/[a-c]"], "[0-2]", 0..7).prop_map(|m| m.into_iter().collect())
}

fn pairs(list: &[(String, String)]) -> Vec<(&str, &str)> {
    list.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect()
}

#[test]
fn what_was_taken_back_makes_way_for_a_lower_version_and_for_no_other() {
    let (bad, good, far) = (release("1.5.0", &[("web/a", "5")]), release("1.4.0", &[("web/a", "4")]), release("1.4.9", &[("web/a", "9")]));
    let case = case();
    let policy = Policy { takes_back: Some(version("1.4.0")), ..case.policy() };
    let facts = live(&[("web/a", "5")]);
    assert_eq!(go(decide(&policy, &installed(&bad), &good, &facts)).to, Some(version("1.4.0")));
    assert!(matches!(decide(&policy, &installed(&bad), &far, &facts), Decision::Blocked(_)));
    assert!(matches!(decide(&case.policy(), &installed(&bad), &good, &facts), Decision::Blocked(_)));
}

proptest! {
    /// Carrying a plan out and deciding again finds nothing to do.
    #[test]
    fn deciding_twice_is_deciding_once(old in contents(), new in contents(), here in contents()) {
        let (old, new) = (release("1.0.0", &pairs(&old)), release("1.1.0", &pairs(&new)));
        let mut facts = live(&pairs(&here));
        let plan = go(decide(&case().policy(), &installed(&old), &new, &facts));
        for file in &plan.files {
            match (&file.change, &file.want) {
                (Change::Add | Change::Replace, Some(want)) => {
                    facts.files.insert(file.path.clone(), Rc::new(Found { sha256: want.sha256, ..*found("") }));
                }
                (Change::Remove, _) => {
                    facts.files.remove(&file.path);
                }
                _ => {}
            }
        }
        let again = decide(&case().policy(), &installed(&new), &new, &facts);
        prop_assert_eq!(again, Decision::UpToDate { drifted: vec![], note: None });
        // and what the release does not list was left alone unless the old one listed it
        for (path, _) in &here {
            let path = ReleasePath::new(path).unwrap();
            let listed = old.files.contains_key(&path) || new.files.contains_key(&path);
            prop_assert!(listed || facts.files.contains_key(&path));
        }
    }

    #[test]
    fn never_a_downgrade_unless_asked(from in (0u64..4, 0u64..4), to in (0u64..4, 0u64..4), old in contents(), new in contents()) {
        let name = |(a, b): (u64, u64)| format!("{a}.{b}.0");
        let (old, new) = (release(&name(from), &pairs(&old)), release(&name(to), &pairs(&new)));
        if let Decision::Go(plan) = decide(&case().policy(), &installed(&old), &new, &live(&[])) {
            prop_assert!(plan.to >= plan.from);
        }
    }
}
