//! What parses and what does not.

use super::*;

const BASE: &str = "product = \"p\"\n[source]\ndir = \"/media/stick\"\n";

fn parse(more: &str) -> Result<Settings, String> {
    Settings::parse(&format!("{BASE}{more}"), &Layout::new("/sandbox"))
}

#[test]
fn the_contract_s_example_parses() {
    let s = Settings::parse(include_str!("../../../tests/fixtures/updater.toml"), &Layout::new("/")).unwrap();
    assert_eq!((s.managed.len(), s.health.len(), s.min_free), (2, 4, 64 << 20));
    assert_eq!(s.trial.timeout, Duration::from_secs(120));
    assert_eq!(s.managed[0].to, Path::new("/var/www/pikit-web"));
}

#[test]
fn the_root_goes_before_every_path() {
    let s = parse("[[managed]]\nfrom = \"a/\"\nto = \"/srv/a/\"\n[trust]\nkeys = \"/k\"\n").unwrap();
    assert_eq!(s.source, Source::Dir("/sandbox/media/stick".into()));
    assert_eq!(s.managed[0].to, Path::new("/sandbox/srv/a"));
    assert_eq!(s.trust.keys, Path::new("/sandbox/k"));
}

#[test]
fn what_is_wrong_is_named() {
    let table = [
        ("[[managed]]\nfrom = \"a/\"\nto = \"/srv/a\"\n", "both a folder"),
        ("[[managed]]\nfrom = \"a/\"\nto = \"srv/a/\"\n", "absolute"),
        ("[[managed]]\nfrom = \"a/\"\nto = \"/srv/../a/\"\n", "absolute"),
        ("[[managed]]\nfrom = \"a/\"\nto = \"/\"\n", "absolute"),
        ("[[managed]]\nfrom = \"a/\"\nto = \"/srv/a/\"\n[[managed]]\nfrom = \"b/\"\nto = \"/srv/a/b/\"\n", "overlap"),
        ("[[managed]]\nfrom = \"a/\"\nto = \"/var/lib/pikit-update/\"\n", "own"),
        ("[[health]]\nhttp = \"ftp://x\"\n", "health.http"),
        ("[[health]]\ntcp = \"localhost\"\n", "host:port"),
        ("[[health]]\ncontains = \"x\"\n", "exactly one"),
        ("[trial]\nsettle = \"soon\"\n", "trial.settle"),
        ("[backup]\nmin_free = \"lots\"\n", "backup.min_free"),
        ("[services]\nrestart = [\"-rf\"]\n", "services.restart"),
        ("[schedule]\nat = \"25:00\"\n", "schedule.at"),
        ("[schedule]\naction = \"always\"\n", "schedule.action"),
    ];
    for (more, want) in table {
        let error = parse(more).unwrap_err();
        assert!(error.contains(want), "{more}: {error}");
    }
    let with = |source: &str| Settings::parse(&format!("product = \"p\"\n[source]\n{source}\n"), &Layout::new("/")).map(|_| ());
    assert!(with("gitea = \"https://x\"").unwrap_err().contains("exactly one"));
    assert!(with("gitea = \"http://git.lan\"\nrepo = \"a/b\"").unwrap_err().contains("plain http"));
    assert!(with("url = \"https://me:pw@x/\"").unwrap_err().contains("token_file"));
    with("gitea = \"http://127.0.0.1:3000\"\nrepo = \"a/b\"").unwrap();
    with("gitea = \"http://git.lan\"\nrepo = \"a/b\"\nallow_http = true").unwrap();
}
