//! A board with systemd and a dashboard on it, in a box: installed by the units as a person would, from files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pikit_updater::publish::{Before, Overrides, pack};

use crate::http;
use crate::support::board::{Ran, program, ran};

/// The longest wait. It costs nothing where things work.
const PATIENCE: Duration = Duration::from_secs(150);
/// How long a release that is sick is on trial, and one that is well may take at most: a busy machine starts a service slowly.
const SICK: &str = "timeout = \"8s\"";
const WELL: &str = "timeout = \"60s\"";

/// What the dashboard consists of on most machines.
pub const PLACES: [(&str, &str); 2] = [("pikit-web/", "/var/www/pikit-web/"), ("pikit-api.py", "/usr/local/bin/pikit-api.py")];
/// Units of the root side that share one sandbox.
pub const ROOT_SIDE: [&str; 5] =
    ["pikit-update.service", "pikit-update-apply.service", "pikit-update-recover.service", "pikit-update-trial.service", "pikit-update-previous.service"];

/// The dashboard's own service: it says which page it was started with, and whether it is well. It is sick for ever in a release that says so, and
/// not well yet while there is a file `/srv/hold-VERSION`.
const API: &str = r#"#!/usr/bin/python3
import http.server, os
VERSION, SICK = "@VERSION@", @SICK@
page = open("@WEB@index.html").read().strip()
print("started", VERSION, "with", page, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if SICK or os.path.exists("/srv/hold-" + VERSION) else 200)
        self.end_headers()
        self.wfile.write(VERSION.encode())
    def log_message(self, *args):
        pass
http.server.HTTPServer.allow_reuse_address = True
http.server.HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"#;
pub const SERVICE_UNIT: &str = "[Service]\nExecStart=@API@\nRestart=always\nRestartSec=200ms\n[Install]\nWantedBy=multi-user.target\n";
const CONFIG: &str = r#"product = "pikit"
[source]
dir = "/srv/releases"
[trust]
required = false
@MANAGED@
[services]
restart = ["pikit-api.service"]
[[health]]
http = "http://127.0.0.1:8080/ping"
[[health]]
unit = "pikit-api.service"
[trial]
timeout = "60s"
interval = "100ms"
settle = "300ms"
[backup]
min_free = "0"
"#;

/// The program that the shells of [`wrapped`] become.
pub const REAL: &str = "/usr/local/lib/pikit-real";

/// A program that is the real one in everything but `recover --boot`, for which it has something of its own.
pub fn wrapped(recover_at_boot: &str) -> Vec<u8> {
    let dir = std::env::temp_dir().join(format!("pikit-wrapped-{}-{:?}", std::process::id(), std::thread::current().id()));
    fs::create_dir_all(&dir).unwrap();
    let source = format!(
        "#include <string.h>\n#include <unistd.h>\nint main(int n, char **words) {{\n  int recover = 0, boot = 0;\n  for (int i = 1; i < n; i++) {{ recover |= !strcmp(words[i], \"recover\"); boot |= !strcmp(words[i], \"--boot\"); }}\n  \
         if (recover && boot) {{ {recover_at_boot} }}\n  execv(\"{REAL}\", words);\n  return 127;\n}}\n"
    );
    fs::write(dir.join("w.c"), source).unwrap();
    let built = Command::new("cc").args(["-static", "-o"]).arg(dir.join("w")).arg(dir.join("w.c")).status().unwrap();
    assert!(built.success());
    let bytes = fs::read(dir.join("w")).unwrap();
    fs::remove_dir_all(dir).unwrap();
    bytes
}

/// The files of the dashboard in one version, as the release calls them; its page lies at `web`. A sick one is never well.
pub fn dashboard(version: &str, sick: bool, web: &str) -> [(&'static str, String); 4] {
    let api = API.replace("@VERSION@", version).replace("@SICK@", if sick { "True" } else { "False" }).replace("@WEB@", web);
    let page = ("pikit-web/index.html", format!("page {version}"));
    [page, ("pikit-web/same.js", "same".into()), ("pikit-web/big.js", version.repeat(50_000)), ("pikit-api.py", api)]
}

/// Why there can be no such machine here.
pub fn missing() -> Option<String> {
    let out = Command::new(script()).arg("have").output().unwrap();
    let why = (!out.status.success()).then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    assert!(why.is_none() || std::env::var_os("CI").is_none_or(|v| v != "true"), "in CI this must run: {why:?}");
    why
}

/// Leaves the test with a plain word when it cannot run here.
#[macro_export]
macro_rules! or_no_machine {
    () => {
        if let Some(why) = $crate::machine::missing() {
            println!("skipped: {why}");
            return;
        }
    };
}

fn script() -> PathBuf {
    home().join("tests/systemd/box")
}

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The machine; it goes with the test, unless that failed: then its journal is shown and it is stopped.
pub struct Machine {
    name: String,
    pub root: PathBuf,
    places: Vec<(String, String)>,
}

impl Machine {
    /// Boots one, installs the program and the units, and the dashboard 1.0.0.
    pub fn new(name: &str) -> Self {
        let machine = Machine::bare(name, &PLACES);
        machine.install();
        machine.start();
        machine
    }
    /// Installs the dashboard 1.0.0 and starts its service.
    pub fn start(&self) {
        self.offer("1.0.0", false);
        self.ok("pikit-updater apply -y");
        self.ok("systemctl enable --now pikit-api.service");
    }
    /// Boots one with nothing of ours, for a dashboard at the usual places.
    pub fn empty(name: &str) -> Self {
        Machine::booted(name, &PLACES)
    }
    fn booted(name: &str, places: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        boxed(&["up", &name]);
        let root = PathBuf::from(boxed(&["root", &name]).trim());
        let places: Vec<(String, String)> = places.iter().map(|(f, t)| ((*f).to_owned(), (*t).to_owned())).collect();
        Machine { name, root, places }
    }
    /// Boots one with nothing but a config, for a dashboard at these places.
    pub fn bare(name: &str, places: &[(&str, &str)]) -> Self {
        let machine = Machine::booted(name, places);
        let managed = machine.places.iter().map(|(from, to)| format!("[[managed]]\nfrom = \"{from}\"\nto = \"{to}\"\n"));
        machine.write("etc/pikit/updater.toml", CONFIG.replace("@MANAGED@", &managed.collect::<String>()));
        machine.write("etc/systemd/system/pikit-api.service", SERVICE_UNIT.replace("@API@", machine.place("pikit-api.py")));
        fs::create_dir_all(machine.path("srv/releases")).unwrap();
        machine
    }
    /// What a package does (files into their places, user, folders, units), and then a person: `auto` writes what depends on the config.
    pub fn install(&self) {
        fs::copy(program(), self.path("usr/bin/pikit-updater")).unwrap();
        for entry in fs::read_dir(home().join("units")).unwrap() {
            let (path, name) = entry.map(|e| (e.path(), e.file_name().into_string().unwrap())).unwrap();
            let to = match name.as_str() {
                "nginx.conf" => "etc/nginx/snippets/pikit-update.conf".to_owned(),
                _ if name.ends_with(".sysusers.conf") => "usr/lib/sysusers.d/pikit-update.conf".to_owned(),
                _ if name.ends_with(".tmpfiles.conf") => "usr/lib/tmpfiles.d/pikit-update.conf".to_owned(),
                _ => format!("usr/lib/systemd/system/{name}"),
            };
            self.write(&to, fs::read(path).unwrap());
        }
        self.ok("systemd-sysusers && systemd-tmpfiles --create pikit-update.conf && systemctl daemon-reload");
        self.ok("pikit-updater auto check");
        self.ok("systemctl enable --now pikit-update-recover.service pikit-update-trial.service pikit-update-apply.path pikit-update-api.socket");
    }
    /// Makes this the only release that the source has; a sick one is never well, and that is found out soon.
    pub fn offer(&self, version: &str, sick: bool) {
        let config = self.text("etc/pikit/updater.toml");
        let (from, to) = if sick { (WELL, SICK) } else { (SICK, WELL) };
        self.write("etc/pikit/updater.toml", config.replace(from, to));
        let _ = fs::remove_dir_all(self.path("srv/releases"));
        for (path, content) in dashboard(version, sick, self.place("pikit-web/")) {
            self.write(&format!("srv/packing/tree/{path}"), content);
        }
        let updater = if self.has("srv/packing/tree/bin/pikit-updater") { "\"bin/pikit-updater\" = \"0755\"\n" } else { "" };
        let recipe = format!(
            "product = \"pikit\"\nversion = \"{version}\"\nreleased = \"2026-11-20\"\n[modes]\n\"pikit-api.py\" = \"0755\"\n{updater}\
             [[include]]\nfrom = \"tree\"\nto = \"\"\n[services]\nrestart = [\"pikit-api.service\"]\n\
             # an updater with all that finds faults has 70 MB, and the board reads a folder\n[bundle]\nchunks = false\n"
        );
        self.write("srv/packing/release.toml", recipe);
        let packed = pack(&self.path("srv/packing/release.toml"), &Overrides::default(), &Before::default(), Some(&self.path("srv/releases").join(version)));
        packed.unwrap_or_else(|e| panic!("packing {version}: {}", e.message()));
    }
    fn place(&self, from: &str) -> &str {
        &self.places.iter().find(|(f, _)| f == from).unwrap().1
    }
    /// Where it lies on this machine. What is in memory inside is reached through its first process.
    pub fn path(&self, path: &str) -> PathBuf {
        if path.starts_with("run/") { self.process().join("root").join(path) } else { self.root.join(path) }
    }
    /// What this machine's `/proc` says of its first process.
    pub fn process(&self) -> PathBuf {
        let leader = fs::read_to_string(self.root.with_file_name("leader")).unwrap();
        Path::new("/proc").join(leader.trim())
    }
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path(path);
        let dir = path.parent().unwrap();
        fs::create_dir_all(dir).unwrap();
        // a link in there that begins with "/" leads into this machine
        let outside = |p: &Path| !fs::canonicalize(p).unwrap().starts_with(fs::canonicalize(&self.root).unwrap());
        assert!(!fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()) && !outside(dir), "{} is a link", path.display());
        fs::write(path, content).unwrap();
    }
    pub fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }
    pub fn has(&self, path: &str) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }
    /// Runs a shell's words inside, as root.
    pub fn run(&self, words: &str) -> Ran {
        ran(self.command(words).output().unwrap())
    }
    /// The same; it must succeed. What it printed.
    pub fn ok(&self, words: &str) -> String {
        let ran = self.run(words);
        assert_eq!(ran.code, 0, "{words}: {}\n{}", ran.err, ran.out);
        ran.out
    }
    fn command(&self, words: &str) -> Command {
        let mut command = Command::new(script());
        command.args(["sh", &self.name, "sh", "-c", words]).stdin(Stdio::null());
        command
    }
    /// One property of a unit.
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.ok(&format!("systemctl show --value -p {property} {unit}")).trim().to_owned()
    }
    /// What a unit said, in this boot.
    pub fn journal(&self, unit: &str) -> String {
        self.ok(&format!("journalctl --sync; journalctl -b -o cat --no-pager -u {unit}"))
    }
    /// The state, as everybody may read it.
    pub fn state(&self) -> serde_json::Value {
        serde_json::from_str(&self.text("var/lib/pikit-update/state.json")).unwrap_or_default()
    }
    /// How the last transaction ended: outcome and the version that is installed now.
    pub fn outcome(&self) -> (String, String) {
        let state = self.state();
        let word = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        (word(&state["last_result"]["outcome"]), word(&state["current"]))
    }
    /// The versions of page and service that lie on the card.
    pub fn live(&self) -> (String, String) {
        let page = self.text(&format!("{}index.html", &self.place("pikit-web/")[1..]));
        let api = self.text(&self.place("pikit-api.py")[1..]);
        let version = api.lines().find_map(|l| l.strip_prefix("VERSION, SICK = \"")).and_then(|l| l.split('"').next());
        (page.trim_start_matches("page ").to_owned(), version.unwrap_or_default().to_owned())
    }
    /// Leaves a request as the API's user does.
    pub fn request(&self, id: u32, rest: &str) {
        let dir = "/run/pikit-update/requests";
        let text = format!("{{\"transaction\":\"{id:026}\",{rest}}}").replace('"', "\\\"");
        self.ok(&format!("setpriv --reuid pikit-update --regid pikit-update --clear-groups sh -c 'echo \"{text}\" >{dir}/new && ln {dir}/new {dir}/request.json; r=$?; rm {dir}/new; exit $r'"));
    }
    /// Asks the API over the socket that systemd keeps.
    pub fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> http::Answer {
        http::ask(&self.path("run/pikit-update/api.sock"), method, path, headers, body).unwrap()
    }
    /// Pulls the plug and switches it on again.
    pub fn power_cut(&self) {
        boxed(&["kill", &self.name]);
        boxed(&["boot", &self.name]);
    }
    /// Pulls the plug.
    pub fn kill(&self) {
        boxed(&["kill", &self.name]);
    }
    /// Switches it on.
    pub fn boot(&self) {
        boxed(&["boot", &self.name]);
    }
    /// An orderly restart.
    pub fn reboot(&self) {
        boxed(&["reboot", &self.name]);
    }
    /// Waits for something to become true.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}; state: {}", self.state());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    /// Waits until the last transaction ended so, with this version installed and nothing left over.
    pub fn until_ended(&self, outcome: &str, version: &str) {
        self.until(&format!("{outcome}, {version}"), || (self.outcome() == (outcome.into(), version.into()) && self.idle()).then_some(()));
    }
    /// Whether no transaction is there and nobody holds the lock: who has let go of it has emptied its file, and that comes last.
    pub fn idle(&self) -> bool {
        !self.has("var/lib/pikit-update/journal.json") && self.text("run/pikit-update.lock").is_empty()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seen = self.run("journalctl --sync; journalctl -b -o short-monotonic --no-pager | tail -60");
            eprintln!("the end of the machine's journal:\n{}", seen.out);
        }
        if std::env::var_os("PIKIT_KEEP_BOXES").is_none() {
            let _ = Command::new(script()).args(["down", &self.name]).status();
        }
    }
}

fn boxed(words: &[&str]) -> String {
    let out = Command::new(script()).args(words).output().unwrap();
    assert!(out.status.success(), "box {words:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}
