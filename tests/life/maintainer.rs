//! The maintainer's desk: a recipe, a key, the files of the next version, and `publish`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::machine::dashboard;
use crate::support::board::{home, program, ran};
use crate::support::gitea::{REPO, TOKEN};

pub struct Maintainer {
    pub dir: PathBuf,
}

impl Drop for Maintainer {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

impl Maintainer {
    /// One with a key, who publishes on this server.
    pub fn new(gitea: &str) -> Self {
        let dir = home().join(format!("pikit-life-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        let maintainer = Maintainer { dir };
        let recipe = format!(
            "product = \"pikit\"\nreleased = \"2026-11-20\"\n[modes]\n\"pikit-api.py\" = \"0755\"\n\
             [[include]]\nfrom = \"tree\"\nto = \"\"\n[services]\nrestart = [\"pikit-api.service\"]\n\
             [publish]\ngitea = \"{gitea}\"\nrepo = \"{REPO}\"\npatches = 1\n"
        );
        maintainer.write("release.toml", recipe.as_bytes());
        maintainer.run(&["keygen", "pikit", "--no-passphrase"]);
        maintainer
    }
    /// Publishes the dashboard in this version; a sick one is never well.
    pub fn publish(&self, version: &str, sick: bool) {
        for (path, content) in dashboard(version, sick, "/var/www/pikit-web/") {
            self.write(&format!("tree/{path}"), content.as_bytes());
        }
        self.run(&["publish", "--version", version, "--key", "pikit.key"]);
    }
    /// From now on releases bring this updater, too.
    pub fn updater(&self, program: &[u8]) {
        self.write("tree/bin/pikit-updater", program);
        fs::set_permissions(self.dir.join("tree/bin/pikit-updater"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    fn write(&self, path: &str, content: &[u8]) {
        let path = self.dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fn run(&self, words: &[&str]) {
        let mut command = Command::new(program());
        command.args(words).current_dir(&self.dir).stdin(Stdio::null()).env("PIKIT_GITEA_TOKEN", TOKEN);
        let ran = ran(command.env_remove("PIKIT_SECRET_KEY").env_remove("SOURCE_DATE_EPOCH").output().unwrap());
        assert_eq!(ran.code, 0, "{words:?}: {}\n{}", ran.err, ran.out);
    }
}
