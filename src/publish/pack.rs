//! `pack`: from a recipe to a folder with the assets of a release. The signature comes later, with `sign`.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::age::Ages;
use super::earlier::{Before, Earlier};
use super::reach::Reach;
use super::recipe::{Overrides, Recipe};
use super::{bundle, chunks, patches, tree};
use crate::error::{Doing, Error, Result};
use crate::release::manifest::{self, BundleInfo, Manifest};
use crate::release::{Digest, Step, patch};

/// How the names of a release's assets end, besides manifest and signature.
pub const ENDS: [&str; 4] = [".tar.gz", patch::SUFFIX, patch::MANIFEST_SUFFIX, crate::release::chunks::SUFFIX];

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Packed {
    /// The folder with the assets.
    pub dir: PathBuf,
    /// Whose release it is.
    pub product: String,
    /// Its version.
    pub version: semver::Version,
    /// Its channel.
    pub channel: String,
    /// Files in it.
    pub files: usize,
    /// Bytes of their contents.
    pub bytes: u64,
    /// Blocks of the bundle.
    pub blocks: usize,
    /// What there is to upload.
    pub assets: Vec<Asset>,
    /// What devices will fetch.
    pub reaches: Vec<Reach>,
}

/// One file of a release's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asset {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

/// A release before it is packed: what a recipe says, and the files that it finds. Whoever looks at them first looks at what will be packed.
#[derive(Debug)]
pub struct Prepared {
    /// What the recipe says.
    pub recipe: Recipe,
    /// Its files.
    pub entries: Vec<tree::Entry>,
    /// The folder it will be packed into.
    pub out: PathBuf,
}

impl Prepared {
    /// Reads a recipe and finds its files; it will go into `out`, or into `dist/<product>-<version>` of the current folder.
    ///
    /// # Errors
    /// What is wrong with the recipe or the files.
    pub fn read(recipe: &Path, overrides: &Overrides, out: Option<&Path>) -> Result<Self> {
        let recipe = Recipe::read(recipe, overrides)?;
        let out = match out {
            Some(dir) => dir.to_owned(),
            None => Path::new("dist").join(format!("{}-{}", recipe.product, recipe.version)),
        };
        let out = std::path::absolute(&out).doing(|| format!("finding {}", out.display()))?;
        let entries = tree::find(&recipe, &out)?;
        Ok(Prepared { recipe, entries, out })
    }

    /// Packs it. An earlier release in its folder is replaced; a pack that fails leaves nothing.
    ///
    /// # Errors
    /// A folder that holds something else; a file that is not what was found any more; a disk that does not take it.
    pub fn pack(self, before: &Before) -> Result<Packed> {
        let Prepared { recipe, entries, out } = self;
        let bundle_name = format!("{}-{}.tar.gz", recipe.product, recipe.version);
        refuse_foreign(&out, &recipe.product)?;
        listed_commands(&recipe, &entries)?;
        let earlier = Earlier::find(before, &recipe)?;

        let (Some(parent), Some(name)) = (out.parent(), out.file_name()) else {
            return Err(Error::usage(format!("{} cannot be a release's folder", out.display())));
        };
        std::fs::create_dir_all(parent).doing(|| format!("making {}", parent.display()))?;
        let temp = parent.join(format!(".{}.packing-{}", name.to_string_lossy(), std::process::id()));
        std::fs::create_dir(&temp).doing(|| format!("making {}", temp.display()))?;
        let written = write(&recipe, &entries, &earlier, &bundle_name, &temp).and_then(|written| {
            put(&temp, &out)?;
            Ok(written)
        });
        let (assets, manifest) = written.inspect_err(|_| drop(std::fs::remove_dir_all(&temp)))?;
        // an earlier release that cannot be read tells less, and the new one is there already
        let reach = |e: &Earlier| Reach::of(&manifest, &assets, &e.manifest, chunks::bytes(&manifest, &out, e).unwrap_or_default());
        let reaches = earlier.iter().map(reach).collect();
        Ok(Packed {
            dir: out,
            product: recipe.product,
            version: recipe.version,
            channel: recipe.channel,
            files: entries.len(),
            bytes: entries.iter().map(|e| e.size).sum(),
            blocks: manifest.bundle.as_ref().map_or(0, |b| b.blocks.len()),
            reaches,
            assets,
        })
    }
}

/// Prepares a release and packs it.
///
/// # Errors
/// Those of both.
pub fn pack(recipe: &Path, overrides: &Overrides, before: &Before, out: Option<&Path>) -> Result<Packed> {
    Prepared::read(recipe, overrides, out)?.pack(before)
}

/// Writes the assets into a folder.
fn write(recipe: &Recipe, entries: &[tree::Entry], earlier: &[Earlier], bundle_name: &str, dir: &Path) -> Result<(Vec<Asset>, Manifest)> {
    let mtime = recipe.released.timestamp().max(0) as u64;
    let (bundle_path, payload_path) = (dir.join(bundle_name), dir.join("payload"));
    let creating = |path: &Path| File::create(path).doing(|| format!("making {}", path.display()));

    // the manifest goes before the payload and tells where in it everything lies: so the payload is written first, on its own
    let ages = Ages::after(earlier.iter().map(|e| &e.manifest).collect());
    let payload = bundle::payload(&bundle::by_age(entries, &ages, &recipe.version), recipe.block, creating(&payload_path)?)?;
    let mut manifest = Manifest {
        schema: manifest::SCHEMA,
        product: Some(recipe.product.clone()),
        version: recipe.version.clone(),
        channel: Some(recipe.channel.clone()),
        released: Some(recipe.released),
        expires: recipe.expires,
        changelog: recipe.changelog.clone(),
        notes: recipe.notes.clone(),
        earlier: recipe.earlier.clone(),
        files: payload.files,
        post_install: recipe.post_install.clone(),
        health: recipe.health.clone(),
        requires: recipe.requires.clone(),
        recall: None,
        rollout: recipe.rollout.clone(),
        trust: recipe.trust.clone(),
        bundle: Some(BundleInfo {
            name: bundle_name.to_owned(),
            payload_size: payload.size,
            blocks: payload.blocks,
            generations: payload.generations,
            patches: Vec::new(),
            chunks: None,
        }),
    };
    let mut assets = Vec::new();
    let patches = patches::contents(&manifest, entries, earlier, dir)?;
    assets.extend(patches.iter().map(|p| Asset { name: p.name.clone(), size: p.size, sha256: p.sha256 }));
    let chunks = if recipe.chunks { chunks::write(&manifest, entries, dir)? } else { None };
    assets.extend(chunks.iter().map(|c| Asset { name: c.name.clone(), size: c.size, sha256: c.sha256 }));
    if let Some(bundle) = &mut manifest.bundle {
        (bundle.patches, bundle.chunks) = (patches, chunks);
    }
    let bytes = text(&manifest);
    // devices will read it by the same door; what they would refuse is refused here, where it can be mended
    Manifest::parse(&bytes).map_err(|e| Error::refused(format!("no device would accept this release: {e}")))?;
    assets.extend(patches::manifests(&manifest, &bytes, earlier, dir)?);

    let writing = || format!("writing {}", bundle_path.display());
    let mut bundle = creating(&bundle_path)?;
    io::Write::write_all(&mut bundle, &bundle::head(&bytes, None, mtime).doing(writing)?).doing(writing)?;
    io::copy(&mut File::open(&payload_path).doing(writing)?, &mut bundle).doing(writing)?;
    bundle.sync_all().doing(writing)?;
    std::fs::remove_file(&payload_path).doing(writing)?;

    let manifest_path = dir.join(manifest::NAME);
    let writing = || format!("writing {}", manifest_path.display());
    let mut file = creating(&manifest_path)?;
    io::Write::write_all(&mut file, &bytes).doing(writing)?;
    file.sync_all().doing(writing)?;

    let asset = |name: &str, path: &Path| {
        let reading = || format!("reading back {}", path.display());
        let (sha256, size) = Digest::of_reader(File::open(path).doing(reading)?).doing(reading)?;
        Ok(Asset { name: name.to_owned(), size, sha256 })
    };
    assets.splice(0..0, [asset(manifest::NAME, &manifest_path)?, asset(bundle_name, &bundle_path)?]);
    Ok((assets, manifest))
}

/// A manifest as it is written. JSON for people and for diffs: a line a key, a line a file, a line a block.
pub fn text(manifest: &Manifest) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut json = serde_json::Serializer::with_formatter(&mut bytes, Lines(0));
    manifest.serialize(&mut json).expect("a manifest is plain data");
    bytes.push(b'\n');
    bytes
}

/// Breaks lines before the keys of the manifest and before the items of its lists. Holds how deep it is.
struct Lines(usize);

impl Lines {
    fn next<W: ?Sized + io::Write>(&self, out: &mut W, first: bool, own_line: bool) -> io::Result<()> {
        out.write_all(if first { b"" } else { b"," })?;
        if own_line { write!(out, "\n{:1$}", "", self.0) } else { Ok(()) }
    }
}

impl serde_json::ser::Formatter for Lines {
    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0 += 1;
        out.write_all(b"{")
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0 -= 1;
        out.write_all(if self.0 == 0 { b"\n}" } else { b"}" })
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first, self.0 == 1)
    }
    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0 += 1;
        out.write_all(b"[")
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0 -= 1;
        out.write_all(b"]")
    }
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.next(out, first, self.0 <= 3)
    }
}

/// A `run` that names no file of the release would be refused on every device.
fn listed_commands(recipe: &Recipe, entries: &[tree::Entry]) -> Result<()> {
    for step in &recipe.post_install {
        let Step::Run { argv, .. } = step else { continue };
        if !entries.iter().any(|e| argv.first().is_some_and(|word| word == e.path.as_str())) {
            return Err(Error::usage(format!("post_install: `{}` does not begin with a file of the release", argv.join(" "))));
        }
    }
    Ok(())
}

/// A folder is replaced only if it holds a release and nothing else.
fn refuse_foreign(out: &Path, product: &str) -> Result<()> {
    let reading = || format!("reading the folder {}", out.display());
    let items = match std::fs::read_dir(out) {
        Ok(items) => items,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e).doing(reading),
    };
    let ours = format!("{product}-");
    for item in items {
        let name = item.doing(reading)?.file_name().to_string_lossy().into_owned();
        let asset = name.starts_with(&ours) && (name.ends_with(".tar.gz.new") || ENDS.iter().any(|end| name.ends_with(end)));
        if name != manifest::NAME && name != manifest::SIGNATURE_NAME && !asset {
            let told = format!("{} holds {name}, which is no part of a release", out.display());
            return Err(Error::refused(told).hint("name an empty folder or one that does not exist yet"));
        }
    }
    Ok(())
}

/// Moves the finished folder to its place. The earlier one goes aside first and returns if that fails.
fn put(temp: &Path, out: &Path) -> Result<()> {
    let moving = || format!("moving the release to {}", out.display());
    let aside = temp.with_extension("replaced");
    let replaced = match std::fs::rename(out, &aside) {
        Ok(()) => true,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(e).doing(moving),
    };
    if let Err(e) = std::fs::rename(temp, out) {
        if replaced {
            std::fs::rename(&aside, out).doing(|| format!("moving the earlier release back from {}", aside.display()))?;
        }
        return Err(e).doing(moving);
    }
    if replaced {
        std::fs::remove_dir_all(&aside).doing(|| format!("removing the earlier release {}", aside.display()))?;
    }
    Ok(())
}
