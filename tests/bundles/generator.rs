//! Hostile bundles, the same for the same seed: a good release, damaged in one or two ways. Of each way it is known whether a
//! bundle that has it must be refused, or may as well be installed: then as exactly what its manifest says.

use std::io::Write;

use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use super::tricks::{self, Verdict};

pub const BLOCK: usize = 512;

/// Splitmix64: small, and the same everywhere.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    pub fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// One entry of the archive as it will be written.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub flag: u8,
    pub mode: u32,
    pub link: Vec<u8>,
    pub content: Vec<u8>,
    /// Extension entries before it, raw.
    pub before: Vec<u8>,
    /// Bytes put over the header before its checksum is made.
    pub spoil: Vec<(usize, Vec<u8>)>,
    /// The checksum is wrong.
    pub unsummed: bool,
}

impl Entry {
    pub fn file(name: &str, content: &[u8]) -> Self {
        let (name, content) = (name.as_bytes().to_vec(), content.to_vec());
        Entry { name, flag: b'0', mode: 0o644, link: Vec::new(), content, before: Vec::new(), spoil: Vec::new(), unsummed: false }
    }
    pub fn of_kind(name: &str, flag: u8, link: &str) -> Self {
        Entry { flag, link: link.as_bytes().to_vec(), ..Entry::file(name, b"") }
    }
    pub fn bytes(&self) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_size(self.content.len() as u64);
        header.set_mode(self.mode);
        header.set_mtime(1_795_000_000);
        header.set_uid(0);
        header.set_gid(0);
        let block = header.as_mut_bytes();
        let short = self.name.len().min(100);
        block[..short].copy_from_slice(&self.name[..short]);
        block[156] = self.flag;
        block[157..157 + self.link.len()].copy_from_slice(&self.link);
        for (at, with) in &self.spoil {
            block[*at..*at + with.len()].copy_from_slice(with);
        }
        header.set_cksum();
        if self.unsummed {
            header.as_mut_bytes()[148] ^= 1;
        }
        let mut bytes = [self.before.as_slice(), header.as_bytes(), &self.content].concat();
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}

/// A file as the manifest lists it.
#[derive(Clone)]
pub struct Listed {
    pub path: String,
    pub content: Vec<u8>,
    pub mode: u32,
}

/// A release that can still be damaged.
pub struct Release {
    pub listed: Vec<Listed>,
    pub manifest: String,
    /// The payload, without the manifest.
    pub entries: Vec<Entry>,
    /// Where the manifest stands in the bundle.
    pub manifest_at: usize,
    /// Put over the manifest's own entry.
    pub manifest_entries: Vec<Entry>,
    /// Behind the last entry.
    pub end: Vec<u8>,
    /// The archive is cut into gzip members at these places of it, or each entry is one.
    pub cuts: Option<Vec<usize>>,
    pub level: u32,
    /// Done to the gzip stream.
    pub after: Vec<After>,
    pub gz_name: Option<Vec<u8>>,
}

/// What is done to the compressed bytes.
pub type After = Box<dyn Fn(Vec<u8>) -> Vec<u8>>;

impl Release {
    /// A good one; every seed has other contents, so that nothing of it is on the device already.
    pub fn good(dice: &mut Dice) -> Self {
        let mut noise = |n: usize| -> Vec<u8> { (0..n).map(|_| dice.next() as u8).collect() };
        let listed = [("web/index.html", 700, 0o644), ("web/js/app.js", 5000, 0o644), ("web/img/deep/er/logo.png", 60_000, 0o640), ("api.py", 300, 0o755)];
        let mut listed: Vec<Listed> = listed.into_iter().map(|(path, n, mode)| Listed { path: path.into(), content: noise(n), mode }).collect();
        listed.push(Listed { path: "web/same.js".into(), content: b"same".to_vec(), mode: 0o644 });
        let entries = listed.iter().map(|f| Entry { mode: f.mode, ..Entry::file(&f.path, &f.content) }).collect();
        let manifest = manifest(&listed);
        Release {
            listed,
            manifest_entries: vec![Entry::file("manifest.json", manifest.as_bytes())],
            manifest,
            entries,
            manifest_at: 0,
            end: vec![0; 2 * BLOCK],
            cuts: None,
            level: 6,
            after: Vec::new(),
            gz_name: None,
        }
    }
    pub fn entry(&mut self, path: &str) -> &mut Entry {
        // another trick may have renamed or removed it: then another file with content
        let named = |e: &Entry| e.name.strip_prefix(b"./").unwrap_or(&e.name) == path.as_bytes();
        let at = self.entries.iter().position(named).or_else(|| self.entries.iter().position(|e| e.flag == b'0' && e.content.len() > 100));
        &mut self.entries[at.expect("a release has files")]
    }
    /// The bundle's bytes.
    pub fn bundle(&self) -> Vec<u8> {
        let mut all = self.entries.clone();
        let at = self.manifest_at.min(all.len());
        all.splice(at..at, self.manifest_entries.clone());
        let mut parts: Vec<Vec<u8>> = all.iter().map(Entry::bytes).collect();
        parts.push(self.end.clone());
        if let Some(cuts) = &self.cuts {
            let whole = parts.concat();
            let mut places: Vec<usize> = cuts.iter().map(|c| c % whole.len()).collect();
            places.extend([0, whole.len()]);
            places.sort_unstable();
            parts = places.windows(2).map(|w| whole[w[0]..w[1]].to_vec()).collect();
        }
        let members = parts.iter().filter(|p| !p.is_empty()).map(|part| gzip(part, self.level, self.gz_name.as_deref()));
        self.after.iter().fold(members.collect::<Vec<_>>().concat(), |bytes, after| after(bytes))
    }
}

pub fn gzip(bytes: &[u8], level: u32, name: Option<&[u8]>) -> Vec<u8> {
    let mut builder = GzBuilder::new();
    if let Some(name) = name {
        builder = builder.filename(name).extra(name.to_vec());
    }
    let mut gz = builder.write(Vec::new(), Compression::new(level));
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

pub fn manifest(listed: &[Listed]) -> String {
    let files: Vec<serde_json::Value> = listed
        .iter()
        .map(|f| {
            let sha256: String = Sha256::digest(&f.content).iter().map(|b| format!("{b:02x}")).collect();
            serde_json::json!({"path": f.path, "sha256": sha256, "size": f.content.len(), "mode": format!("{:04o}", f.mode)})
        })
        .collect();
    serde_json::json!({"product": "pikit", "version": "1.1.0", "released": "2026-11-21T00:00:00Z", "files": files}).to_string()
}

/// A damaged release.
pub struct Hostile {
    pub release: Release,
    /// The ways in which it is damaged.
    pub ways: Vec<&'static str>,
    pub verdict: Verdict,
}

/// The hostile release of this seed. The first ones have each trick once, alone; later ones one or two by chance.
pub fn hostile(seed: u64) -> Hostile {
    let mut dice = Dice::new(seed);
    let mut release = Release::good(&mut dice);
    let all = tricks::all();
    let chosen: Vec<usize> = match usize::try_from(seed).ok().filter(|s| *s < all.len()) {
        Some(one) => vec![one],
        None => (0..1 + dice.below(2)).map(|_| dice.below(all.len())).collect(),
    };
    let mut verdict = Verdict::MayPass;
    let mut ways = Vec::new();
    for index in chosen {
        let trick = &all[index];
        if ways.contains(&trick.name) {
            continue;
        }
        (trick.apply)(&mut release, &mut dice);
        ways.push(trick.name);
        verdict = verdict.max(trick.verdict);
    }
    Hostile { release, ways, verdict }
}
