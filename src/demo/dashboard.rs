//! The sample dashboard as a process of its own: the files of `pikit-web/` and a small API, on loopback.
//! Like many a real one it reads its configuration when it starts: only a restart makes a new version answer.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use signal_hook::consts::{SIGINT, SIGTERM};
use tiny_http::Request;

use super::Folder;
use super::http::{self, Reply};
use crate::error::{Doing, Error, Result};
use crate::release::ReleasePath;

/// `pikit-api.json` of the release.
#[derive(Debug, Deserialize)]
struct Api {
    version: String,
    /// Devices without which it cannot work.
    #[serde(default)]
    needs: Vec<PathBuf>,
}

/// Runs the dashboard of a sandbox board (`demo dashboard --root BOARD`) until it is told to stop or the demo is over.
///
/// # Errors
/// The board is no demo's, its API has no configuration, its port is taken.
pub fn dashboard(root: &Path) -> Result<u8> {
    let folder = Folder::of_board(root)?;
    let demo = folder.clone();
    std::thread::spawn(move || {
        // an error means that there is no telling: then it is over too
        let _ = demo.wait_for_the_end();
        std::process::exit(0);
    });
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT]).doing(|| "waiting for signals".into())?;

    let config = folder.api_config();
    let reading = || format!("reading {}", config.display());
    let text = std::fs::read_to_string(&config).doing(reading)?;
    let api: Api = serde_json::from_str(&text).map_err(|e| Error::usage(reading()).because(e))?;
    let server = listen(folder.dashboard_port()?)?;
    let started = chrono::Utc::now();
    let root = root.to_owned();
    http::serve(&server, move |request| answer(request, &folder, &root, &api, started));
    signals.forever().next();
    Ok(0)
}

/// The port may still be that of the dashboard before this one.
fn listen(port: u16) -> Result<std::sync::Arc<tiny_http::Server>> {
    let begun = Instant::now();
    loop {
        match http::open(port) {
            Ok((server, _)) => return Ok(server),
            Err(e) if begun.elapsed() > Duration::from_secs(3) => return Err(e),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn answer(request: &Request, folder: &Folder, root: &Path, api: &Api, started: chrono::DateTime<chrono::Utc>) -> Reply {
    let path = request.url().split('?').next().unwrap_or_default();
    match path {
        "/ping" => match api.needs.iter().find(|device| !device.exists()) {
            None => Reply::json(200, &json!({ "status": "ok", "version": api.version, "started": started })),
            Some(device) => {
                let reason = format!("{} is not there", device.display());
                Reply::json(503, &json!({ "status": "sick", "version": api.version, "reason": reason }))
            }
        },
        "/api/status" => Reply::json(200, &status(root, &api.version)),
        "/" => page(folder, "index.html"),
        _ => page(folder, path.trim_start_matches('/')),
    }
    .with("Cache-Control", "no-store")
}

/// A file of the live tree, read anew for each request.
fn page(folder: &Folder, path: &str) -> Reply {
    let file = ReleasePath::new(path).ok().and_then(|p| std::fs::read(folder.web().join(p.as_str())).ok());
    let Some(bytes) = file else { return Reply::json(404, &json!({ "status": 404, "title": "there is no such page" })) };
    let kind = match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let length = bytes.len() as u64;
    Reply::new(200, kind, Cursor::new(bytes), length).with("Content-Security-Policy", "default-src 'self'")
}

/// How this machine is; what it cannot tell is left out, but for the temperature: a machine without a sensor shows a made-up one.
fn status(root: &Path, version: &str) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let uptime: Option<f64> = read("/proc/uptime").split(' ').next().and_then(|n| n.parse().ok());
    let meminfo = read("/proc/meminfo");
    let memory = |key: &str| -> Option<f64> { meminfo.lines().find_map(|l| l.strip_prefix(key)?.split_whitespace().next()?.parse().ok()) };
    let used = memory("MemTotal:").zip(memory("MemAvailable:")).map(|(total, free)| 100.0 * (1.0 - free / total));
    let sensor: Option<f64> = read("/sys/class/thermal/thermal_zone0/temp").trim().parse().ok();
    let made_up = 48.0 + 3.0 * (uptime.unwrap_or(0.0) / 20.0).sin();
    let disk = rustix::fs::statvfs(root).ok().map(|v| 100.0 * (1.0 - v.f_bavail as f64 / v.f_blocks.max(1) as f64));
    json!({
        "version": version,
        "host": rustix::system::uname().nodename().to_string_lossy(),
        "temperature": sensor.map_or(made_up, |milli| milli / 1000.0),
        "memory": used,
        "disk": disk,
        "uptime": uptime,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serves_the_live_tree_and_tells_how_it_is() {
        let dir = std::env::temp_dir().join(format!("pikit-demo-dashboard-{}", std::process::id()));
        let (folder, _alive) = Folder::claim(&dir).unwrap();
        std::fs::create_dir_all(folder.web()).unwrap();
        std::fs::write(folder.web().join("index.html"), "one").unwrap();
        std::fs::write(dir.join("secret"), "not for the web").unwrap();
        let served = |needs: Vec<PathBuf>| {
            let (server, port) = http::open(0).unwrap();
            let (folder, api) = (folder.clone(), Api { version: "1.0.0".into(), needs });
            http::serve(&server, move |request| answer(request, &folder, &folder.board(), &api, chrono::Utc::now()));
            move |path: &str| http::get(port, path).unwrap()
        };
        let well = served(Vec::new());
        assert_eq!(well("/"), (200, "one".into()));
        std::fs::write(folder.web().join("index.html"), "two").unwrap();
        assert_eq!(well("/index.html?x=1"), (200, "two".into()));
        for bad in ["/../../../secret", "/%2e%2e/secret", "/none", "//etc/passwd"] {
            assert_eq!(well(bad).0, 404, "{bad}");
        }
        let ping: Value = serde_json::from_str(&well("/ping").1).unwrap();
        assert_eq!((ping["status"].as_str(), ping["version"].as_str()), (Some("ok"), Some("1.0.0")));
        let board: Value = serde_json::from_str(&well("/api/status").1).unwrap();
        assert!(board["temperature"].is_number() && board["uptime"].is_number() && board["host"].is_string(), "{board}");

        let (status, body) = served(vec!["/dev/pikit-sensor".into()])("/ping");
        assert!(status == 503 && body.contains("/dev/pikit-sensor is not there"), "{status} {body}");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
