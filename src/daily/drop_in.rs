//! What the units cannot know before the config is written: where the managed paths lie and which services go with them.
//!
//! A sandbox opens a folder by mounting it onto itself, and that has two consequences. A managed folder must never be opened itself,
//! because a mount point cannot be exchanged: its parent is. And nothing can be linked from one opened folder into another one, although both
//! are on the same file system: a backup would be written to the card a second time instead of being a second name of the old
//! file. So where managed folders are, one mount must hold them and `/var/backups` as well: `/var`, or all of `/`; what nobody has to
//! write in there is closed again. For a single file a mount of its own is good enough: its copy is small.

use std::collections::BTreeSet;
use std::path::Path;

/// A managed path: where it goes, and whether it is a folder.
pub type Managed<'a> = (&'a Path, bool);

/// Folders of `/var` that are closed again where all of it was opened. Not `backups`, `tmp`, and ours in `lib`, which the units open.
const OF_VAR: [&str; 8] = ["/var/cache", "/var/lib", "/var/local", "/var/log", "/var/mail", "/var/opt", "/var/spool", "/var/www"];
/// The same of `/`, beside what `ProtectSystem=full` closes.
const OF_ROOT: [&str; 7] = ["/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv"];
/// Where a mount of its own is made for managed folders too: closed by `ProtectSystem`, or other file systems than `/var/backups` anyway.
const APART: [&str; 13] = ["bin", "boot", "dev", "efi", "etc", "lib", "lib64", "media", "mnt", "run", "sbin", "tmp", "usr"];

/// `paths.conf` for a unit of the root side. `recovering`: for pikit-update-recover.service, which comes before the services and has nothing to
/// do with them; for the others, the services are there until the unit has ended, also at shutdown: otherwise a reboot in the middle of a
/// trial would look like a sick release.
pub fn root_side(managed: &[Managed], services: &[&str], recovering: bool) -> String {
    let (mut alone, mut below_var, mut below_root) = (BTreeSet::new(), false, false);
    let parents: BTreeSet<&Path> = managed.iter().map(|(to, _)| parent(to)).collect();
    for (to, is_folder) in managed {
        let first = to.components().nth(1).and_then(|c| c.as_os_str().to_str()).unwrap_or_default();
        let (at_top, apart) = (parent(to) == Path::new("/"), APART.contains(&first));
        match (at_top, first, is_folder) {
            (true, ..) => below_root = true,
            (_, "var", true) => below_var = true,
            (_, _, true) if !apart => below_root = true,
            _ => drop(alone.insert(parent(to))),
        }
    }
    let mut text =
        String::from("# Written by `pikit-updater auto` from [[managed]] and [services] of the config; it is written anew when they change.\n[Unit]\n");
    text += &line("RequiresMountsFor=", "", parents.iter().copied());
    if !recovering && !services.is_empty() {
        let names: BTreeSet<String> = services.iter().map(|s| if s.contains('.') { (*s).to_owned() } else { format!("{s}.service") }).collect();
        text += &format!("After={}\n", names.into_iter().collect::<Vec<_>>().join(" "));
    }
    text += "[Service]\n";
    // closed is what lies on no way to a managed path
    let open = |folder: &str| parents.iter().any(|p| p.starts_with(folder));
    let closed = |folders: &'static [&'static str]| line("ReadOnlyPaths=", "-", folders.iter().filter(|f| !open(f)).map(Path::new));
    if below_root {
        // "/" by name too: what the units open below it is then no mount of its own
        text += "ProtectSystem=full\nReadWritePaths=/\n";
        if open("/home") || open("/root") {
            text += "ProtectHome=false\n";
        }
        text += &closed(&OF_ROOT);
        text += &closed(&OF_VAR);
    } else if below_var {
        text += "ReadWritePaths=/var\n";
        text += &closed(&OF_VAR);
    }
    text + &line("ReadWritePaths=", "-", alone.into_iter())
}

/// `paths.conf` for pikit-update-api.service, which may look at what it verifies; none is needed where the units open enough.
pub fn api(managed: &[Managed]) -> Option<String> {
    let hidden = managed.iter().any(|(to, _)| to.starts_with("/home") || to.starts_with("/root"));
    hidden.then(|| "# Written by `pikit-updater auto`: a managed path lies in a home.\n[Service]\nProtectHome=read-only\n".into())
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

fn line<'p>(key: &str, sign: &str, paths: impl Iterator<Item = &'p Path>) -> String {
    let words: Vec<String> = paths.map(|p| quoted(&format!("{sign}{}", p.display()))).collect();
    if words.is_empty() { String::new() } else { format!("{key}{}\n", words.join(" ")) }
}

/// As systemd reads a word: quotes, backslashes and its own specifiers mean themselves. A line break cannot be written, and cannot be in a
/// path of the config either.
fn quoted(word: &str) -> String {
    let plain = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if plain { word.to_owned() } else { format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('\n', "")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(managed: &[(&str, bool)]) -> Vec<String> {
        let managed: Vec<Managed> = managed.iter().map(|(p, f)| (Path::new(*p), *f)).collect();
        root_side(&managed, &["pikit-api", "nginx.service"], false).lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn a_folder_below_var_shares_one_mount_with_the_backups() {
        assert_eq!(
            lines(&[("/var/www/pikit-web", true), ("/usr/local/bin/pikit-api.py", false)]),
            [
                "[Unit]",
                "RequiresMountsFor=/usr/local/bin /var/www",
                "After=nginx.service pikit-api.service",
                "[Service]",
                "ReadWritePaths=/var",
                "ReadOnlyPaths=-/var/cache -/var/lib -/var/local -/var/log -/var/mail -/var/opt -/var/spool",
                "ReadWritePaths=-/usr/local/bin"
            ]
        );
    }

    #[test]
    fn a_folder_elsewhere_shares_the_root_and_what_is_not_on_its_way_is_closed() {
        assert_eq!(
            lines(&[("/srv/dash", true)])[3..],
            [
                "ProtectSystem=full",
                "ReadWritePaths=/",
                "ReadOnlyPaths=-/home -/media -/mnt -/opt -/root -/run",
                "ReadOnlyPaths=-/var/cache -/var/lib -/var/local -/var/log -/var/mail -/var/opt -/var/spool -/var/www"
            ]
            .map(String::from)
            .iter()
            .fold(vec!["[Service]".to_owned()], |mut all, l| {
                all.push(l.clone());
                all
            })[..]
        );
        let home = lines(&[("/home/pi/dash", true)]);
        assert!(home.contains(&"ProtectHome=false".into()) && home.contains(&"ReadOnlyPaths=-/media -/mnt -/opt -/root -/run -/srv".into()), "{home:?}");
    }

    #[test]
    fn files_and_other_disks_get_mounts_of_their_own() {
        assert_eq!(lines(&[("/mnt/ssd/dash", true), ("/opt/api.py", false)])[4..], ["ReadWritePaths=-/mnt/ssd -/opt"]);
        assert_eq!(lines(&[("/mnt/a \"b\" 5%/x", true)])[4..], ["ReadWritePaths=\"-/mnt/a \\\"b\\\" 5%%\""]);
    }

    #[test]
    fn recovery_waits_for_no_service() {
        assert!(!root_side(&[(Path::new("/srv/dash"), true)], &["a"], true).contains("After"));
    }

    #[test]
    fn the_api_sees_homes_only_where_it_must() {
        assert_eq!(api(&[(Path::new("/var/www/x"), true)]), None);
        assert!(api(&[(Path::new("/home/pi/x"), true)]).is_some());
    }
}
