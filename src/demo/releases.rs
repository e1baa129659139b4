//! A server that speaks the part of Gitea's API that an updater reads: releases, paged; the latest; one by its tag; and the downloads.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use semver::Version;
use serde_json::{Value, json};
use tiny_http::{Method, Request};

use super::http::{self, Reply};
use crate::error::{Doing, Error, Result};
use crate::release::{Digest, Manifest, manifest};

/// `owner/name` of the repository it serves.
pub const REPO: &str = "pikit/pi-kit";

/// A running server.
pub struct Releases {
    dir: PathBuf,
    port: u16,
    shelf: Arc<Mutex<Vec<Release>>>,
}

/// A release on the shelf.
struct Release {
    id: usize,
    tag: String,
    manifest: Manifest,
    assets: Vec<Asset>,
}

struct Asset {
    id: usize,
    name: String,
    path: PathBuf,
    size: u64,
    sha256: Digest,
}

impl Releases {
    /// Serves these releases out of the folder of packed ones, on a free port of loopback.
    ///
    /// # Errors
    /// There is no free port; a release is not there.
    pub fn serve(dir: &Path, first: &[Version]) -> Result<Releases> {
        let (server, port) = http::open(0)?;
        let shelf = Arc::new(Mutex::new(Vec::new()));
        let releases = Releases { dir: dir.to_owned(), port, shelf: Arc::clone(&shelf) };
        first.iter().try_for_each(|version| releases.publish(version))?;
        http::serve(&server, move |request| answer(request, port, &shelf.lock().unwrap_or_else(PoisonError::into_inner)));
        Ok(releases)
    }

    /// Puts another release on the shelf, the newest now.
    ///
    /// # Errors
    /// It was not packed.
    pub fn publish(&self, version: &Version) -> Result<()> {
        let dir = self.dir.join(version.to_string());
        let reading = || format!("reading the release in {}", dir.display());
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        let tag = format!("v{version}");
        if shelf.iter().any(|r| r.tag == tag) {
            return Ok(());
        }
        let id = shelf.len() + 1;
        let bytes = std::fs::read(dir.join(manifest::NAME)).doing(reading)?;
        let manifest = Manifest::parse(&bytes).map_err(|e| Error::verification(reading()).because(e))?;
        let mut paths = Vec::new();
        for item in std::fs::read_dir(&dir).doing(reading)? {
            paths.push(item.doing(reading)?.path());
        }
        paths.sort();
        let mut assets = Vec::new();
        for path in paths {
            let (sha256, size) = Digest::of_reader(File::open(&path).doing(reading)?).doing(reading)?;
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            assets.push(Asset { id: 100 * id + assets.len(), name, path, size, sha256 });
        }
        // Gitea lists the newest first
        shelf.insert(0, Release { id, tag, manifest, assets });
        Ok(())
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn answer(request: &Request, port: u16, shelf: &[Release]) -> Reply {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return problem(405, "only GET and HEAD are answered");
    }
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let api = format!("/api/v1/repos/{REPO}/releases");
    let downloads = format!("/{REPO}/releases/download/");
    if let Some(rest) = path.strip_prefix(&downloads) {
        let asset = rest.split_once('/').and_then(|(tag, name)| shelf.iter().find(|r| r.tag == tag)?.assets.iter().find(|a| a.name == name));
        return asset.map_or_else(|| problem(404, "there is no such asset"), |asset| download(request, asset));
    }
    match path.strip_prefix(&api) {
        Some("") => list(port, shelf, query),
        Some("/latest") => one(port, shelf.first()),
        Some(rest) => match rest.strip_prefix("/tags/") {
            Some(tag) => one(port, shelf.iter().find(|r| r.tag == tag)),
            None => one(port, rest.strip_prefix('/').and_then(|id| shelf.iter().find(|r| r.id.to_string() == id))),
        },
        None => problem(404, "this server knows releases only"),
    }
}

fn one(port: u16, release: Option<&Release>) -> Reply {
    release.map_or_else(|| problem(404, "The target couldn't be found."), |r| Reply::json(200, &described(port, r)))
}

/// A page of the list, with the two headers by which Gitea tells how many there are.
fn list(port: u16, shelf: &[Release], query: &str) -> Reply {
    let number = |key: &str| query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse::<usize>().ok());
    let limit = number("limit").filter(|n| *n > 0).unwrap_or(30).min(50);
    let page = number("page").unwrap_or(1).max(1);
    let last = shelf.len().div_ceil(limit).max(1);
    let shown: Vec<Value> = shelf.iter().skip((page - 1).saturating_mul(limit)).take(limit).map(|r| described(port, r)).collect();
    let reply = Reply::json(200, &Value::Array(shown)).with("X-Total-Count", shelf.len().to_string());
    let link = |page: usize, rel: &str| format!("<http://127.0.0.1:{port}/api/v1/repos/{REPO}/releases?limit={limit}&page={page}>; rel=\"{rel}\"");
    let mut links = Vec::new();
    if page < last {
        links.extend([link(page + 1, "next"), link(last, "last")]);
    }
    if page > 1 {
        links.extend([link(1, "first"), link(page - 1, "prev")]);
    }
    if links.is_empty() { reply } else { reply.with("Link", links.join(",")) }
}

fn described(port: u16, release: &Release) -> Value {
    let base = format!("http://127.0.0.1:{port}");
    let tag = &release.tag;
    let at = release.manifest.released.map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
    let asset = |a: &Asset| {
        let uuid = a.sha256.to_string();
        json!({
            "id": a.id, "name": a.name, "size": a.size, "download_count": 0, "created_at": at,
            "uuid": format!("{}-{}-{}-{}-{}", &uuid[..8], &uuid[8..12], &uuid[12..16], &uuid[16..20], &uuid[20..32]),
            "browser_download_url": format!("{base}/{REPO}/releases/download/{tag}/{}", a.name),
        })
    };
    json!({
        "id": release.id, "tag_name": tag, "target_commitish": "main", "name": format!("Pi-Kit {}", release.manifest.version),
        "body": release.manifest.notes, "draft": false, "prerelease": !release.manifest.version.pre.is_empty(),
        "created_at": at, "published_at": at,
        "url": format!("{base}/api/v1/repos/{REPO}/releases/{}", release.id),
        "html_url": format!("{base}/{REPO}/releases/tag/{tag}"),
        "assets": release.assets.iter().map(asset).collect::<Vec<_>>(),
    })
}

/// An asset or a part of it (RFC 9110, single ranges; `If-Range` with the strong ETag).
fn download(request: &Request, asset: &Asset) -> Reply {
    let etag = format!("\"{}\"", asset.sha256);
    let Ok(mut file) = File::open(&asset.path) else { return problem(404, "the asset is gone") };
    let fresh = http::header(request, "If-Range").is_none_or(|known| known == etag);
    let part = http::header(request, "Range").filter(|_| fresh).and_then(|text| range(text, asset.size));
    let kind = if asset.name.ends_with(".json") { "application/json" } else { "application/octet-stream" };
    let reply = match part {
        None => Reply::new(200, kind, file, asset.size),
        Some(None) => problem(416, "the range lies outside the asset").with("Content-Range", format!("bytes */{}", asset.size)),
        Some(Some((start, end))) => {
            if file.seek(SeekFrom::Start(start)).is_err() {
                return problem(500, "the asset cannot be read");
            }
            let length = end - start + 1;
            Reply::new(206, kind, file.take(length), length).with("Content-Range", format!("bytes {start}-{end}/{}", asset.size))
        }
    };
    reply.with("ETag", etag).with("Accept-Ranges", "bytes")
}

/// First and last byte of a `Range`. `None`: not one that is understood, so the whole is sent; `Some(None)`: nothing lies there.
fn range(text: &str, size: u64) -> Option<Option<(u64, u64)>> {
    let (from, to) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let last = size.checked_sub(1);
    if from.is_empty() {
        let suffix: u64 = to.parse().ok()?;
        return Some(last.filter(|_| suffix > 0).map(|last| (size.saturating_sub(suffix), last)));
    }
    let from: u64 = from.parse().ok()?;
    let to: u64 = if to.is_empty() { u64::MAX } else { to.parse().ok()? };
    if to < from {
        return None;
    }
    Some(last.filter(|last| from <= *last).map(|last| (from, to.min(last))))
}

fn problem(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({ "message": message, "errors": [], "url": "/api/swagger" }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Folder, sample};
    use std::io::Write;
    use std::net::TcpStream;

    /// Status, headers (lower case) and body.
    fn ask(port: u16, request: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        write!(stream, "{}\r\nHost: x\r\nConnection: close\r\n\r\n", request.trim()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let cut = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..cut].to_vec()).unwrap().to_lowercase();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head, answer[cut + 4..].to_vec())
    }

    #[test]
    fn answers_as_gitea_does() {
        let dir = std::env::temp_dir().join(format!("pikit-demo-releases-{}", std::process::id()));
        let (folder, _alive) = Folder::claim(&dir).unwrap();
        sample::pack_all(&folder).unwrap();
        let releases = Releases::serve(&folder.releases(), &sample::FIRST).unwrap();
        let port = releases.port();
        let api = format!("/api/v1/repos/{REPO}/releases");
        let get = |path: &str| {
            let (status, head, body) = ask(port, &format!("GET {path} HTTP/1.1"));
            (status, head, serde_json::from_slice::<Value>(&body).unwrap())
        };

        let (status, head, list) = get(&api);
        assert_eq!((status, list.as_array().unwrap().len()), (200, 2));
        assert!(head.contains("x-total-count: 2") && !head.contains("link:"), "{head}");
        assert_eq!((list[0]["tag_name"].as_str(), list[0]["prerelease"].as_bool()), (Some("v1.1.0"), Some(false)));
        let (_, head, list) = get(&format!("{api}?page=2&limit=1"));
        assert_eq!((list.as_array().unwrap().len(), &list[0]["tag_name"]), (1, &json!("v1.0.0")));
        assert!(head.contains("rel=\"prev\"") && !head.contains("rel=\"next\""), "{head}");
        assert!(get(&format!("{api}?limit=1")).1.contains("limit=1&page=2>; rel=\"next\""));

        assert_eq!(get(&format!("{api}/latest")).2["tag_name"], "v1.1.0");
        assert_eq!(get(&format!("{api}/tags/v1.2.0")).0, 404);
        releases.publish(&sample::SICK).unwrap();
        releases.publish(&sample::SICK).unwrap();
        assert_eq!(get(&format!("{api}/latest")).2["tag_name"], "v1.2.0");
        assert_eq!(get(&api).2.as_array().unwrap().len(), 3);
        assert_eq!(get("/api/v1/repos/some/body/releases").0, 404);
        assert_eq!(ask(port, &format!("POST {api} HTTP/1.1")).0, 405);

        let release = get(&format!("{api}/tags/v1.1.0")).2;
        let asset = release["assets"].as_array().unwrap().iter().find(|a| a["name"] == "pikit-1.1.0.tar.gz").unwrap();
        let url = asset["browser_download_url"].as_str().unwrap().split_once(&port.to_string()).unwrap().1.to_owned();
        let whole = std::fs::read(folder.releases().join("1.1.0/pikit-1.1.0.tar.gz")).unwrap();
        let (status, head, body) = ask(port, &format!("GET {url} HTTP/1.1"));
        assert_eq!((status, body == whole, asset["size"].as_u64()), (200, true, Some(whole.len() as u64)));
        let etag = head.lines().find_map(|l| l.strip_prefix("etag: ")).unwrap();
        let part = |more: &str| ask(port, &format!("GET {url} HTTP/1.1\r\n{more}"));
        let (status, head, body) = part("Range: bytes=10-19");
        assert_eq!((status, &body[..]), (206, &whole[10..20]));
        assert!(head.contains(&format!("content-range: bytes 10-19/{}", whole.len())), "{head}");
        assert_eq!(part("Range: bytes=-7").2, &whole[whole.len() - 7..]);
        assert_eq!(part(&format!("Range: bytes=100-\r\nIf-Range: {etag}")).2, &whole[100..]);
        assert_eq!(part("Range: bytes=100-\r\nIf-Range: \"other\"").0, 200);
        assert_eq!(part("Range: bytes=99999999-").0, 416);
        assert_eq!(part("Range: bytes=9-5").0, 200);
        let (status, head, body) = ask(port, &format!("HEAD {url} HTTP/1.1"));
        assert!(status == 200 && body.is_empty() && head.contains(&format!("content-length: {}", whole.len())), "{head}");
        assert_eq!(ask(port, &format!("GET /{REPO}/releases/download/v1.1.0/../../x HTTP/1.1")).0, 404);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
