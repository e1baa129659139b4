//! The maintainer's commands: keygen, sign, verify-release, check-expiry, rotate, and pack; publish and lint in files of their own.

mod lint;
mod publish;

use std::ffi::OsString;
use std::path::Path;

use serde_json::json;

pub use lint::lint_release;
pub use publish::publish_release;

use super::args::{CheckExpiry, Keygen, Keys, Pack, Packing, Rotate, Sign, VerifyRelease};
use super::voice::{Tone, Voice, clean, clean_lines, json_line, with_ok};
use crate::error::{Code, Error, Result};
use crate::publish::Before;
use crate::publish::examine::{self, Level};
use crate::publish::key::Signer;
use crate::publish::pack::Prepared;
use crate::publish::reach::Reach;
use crate::publish::recipe::{self, Overrides};
use crate::publish::secret::{self, Place};
use crate::publish::sign::{self, Wanted};
use crate::publish::terminal::Terminal;
use crate::publish::trust_file::{self, Change, Step, TrustFile};
use crate::publish::{expiry, keygen, place, signers};
use crate::quantity::{bytes, count};
use crate::release::{KeyId, KeySet};

/// The variables of the environment that hold secrets.
const KEY_VARIABLE: &str = "PIKIT_SECRET_KEY";
const PASSPHRASE_VARIABLE: &str = "PIKIT_PASSPHRASE";

/// `pack`.
///
/// # Errors
/// See [`Prepared`].
pub fn pack_release(voice: &Voice, asked: &Pack) -> Result<u8> {
    let prepared = prepared(voice, &asked.recipe, &asked.packing)?;
    let packed = prepared.pack(&before(&asked.packing))?;
    let mut out = format!(
        "packed {} {} ({}): {}, {} in {}\n",
        packed.product,
        packed.version,
        packed.channel,
        count(packed.files, "file"),
        bytes(packed.bytes),
        count(packed.blocks, "block")
    );
    for asset in &packed.assets {
        out.push_str(&format!("  {}  {}  {}\n", packed.dir.join(&asset.name).display(), bytes(asset.size), asset.sha256));
    }
    out.push_str(&reaches(&packed.reaches));
    told(voice, true, &packed, &out);
    Ok(0)
}

/// What will be packed, looked at by the rules of `lint`.
fn prepared(voice: &Voice, recipe: &Path, packing: &Packing) -> Result<Prepared> {
    let overrides = overrides(packing.version.as_ref(), packing.channel.as_deref(), packing.released.as_deref())?;
    let prepared = Prepared::read(recipe, &overrides, packing.out.as_deref())?;
    lint::before_packing(voice, recipe, &prepared)?;
    Ok(prepared)
}

/// The earlier releases that the command line names.
fn before(packing: &Packing) -> Before {
    Before { previous: packing.previous.clone(), patch_from: packing.patch_from.clone() }
}

/// What the command line says in place of the recipe.
fn overrides(version: Option<&semver::Version>, channel: Option<&str>, released: Option<&str>) -> Result<Overrides> {
    Ok(Overrides {
        version: version.cloned(),
        channel: channel.map(str::to_owned),
        released: released.map(|d| recipe::time("--released", d)).transpose().map_err(Error::usage)?,
        source_date: recipe::source_date_epoch()?,
    })
}

/// What devices will fetch, a line for each earlier release.
fn reaches(reaches: &[Reach]) -> String {
    let mut out = String::new();
    if !reaches.is_empty() {
        out.push_str("what devices will fetch\n  from          manifest      contents\n");
    }
    for reach in reaches {
        let contents = match (reach.way, reach.requests) {
            ("nothing", _) => "nothing".into(),
            ("patch", _) => format!("{} as a patch (in blocks {})", bytes(reach.bytes), bytes(reach.blocks_bytes)),
            ("chunks", _) => {
                let most = if reach.at_most { "at most " } else { "" };
                format!("{most}{} in chunks (in blocks {})", bytes(reach.bytes), bytes(reach.blocks_bytes))
            }
            (way, n) => format!("{} of {way}, {}", bytes(reach.bytes), count(n, "request")),
        };
        out.push_str(&format!("  {:<12}  {:<12}  {contents}\n", reach.from.to_string(), bytes(reach.manifest_bytes)));
    }
    out
}

/// `keygen`.
///
/// # Errors
/// See [`keygen::keygen`].
pub fn make_key(voice: &Voice, asked: &Keygen) -> Result<u8> {
    // before anybody types a passphrase for nothing
    keygen::refuse_existing(&asked.name)?;
    let passphrase = if asked.no_passphrase {
        None
    } else {
        let told: Vec<OsString> = asked.passphrase.iter().cloned().collect();
        match places(voice, "--passphrase", &told, PASSPHRASE_VARIABLE)?.first() {
            Some(place) => Some(place.read("the passphrase")?.first_line()),
            None if voice.no_input => return Err(Error::usage("there is nobody to ask for a passphrase").hint("--passphrase WHERE, or --no-passphrase")),
            None => Some(Terminal::open()?.ask_twice("passphrase of the new key")?),
        }
    };
    if passphrase.as_ref().is_some_and(|p| p.reveal().is_empty()) {
        return Err(Error::usage("the passphrase is empty, and protects nothing").hint("--no-passphrase says that the key shall have none"));
    }
    let made = keygen::keygen(&asked.name, passphrase.as_ref(), asked.comment.as_deref())?;
    let protected = if made.passphrase { "protected by the passphrase" } else { "without a passphrase: whoever has the file can sign" };
    let out = format!(
        "{}\n\nThe public key {}, in {}:\n  copy it to /etc/pikit/keys/ on every device. It is no secret; publish it where people find it.\n\
         The secret key, in {}, {protected}:\n  keep it off the devices and out of the repository, with a copy in another place. Nobody can make it again.\n",
        made.line,
        made.id,
        made.public.display(),
        made.secret.display(),
    );
    told(voice, true, &made, &out);
    Ok(0)
}

/// `sign`.
///
/// # Errors
/// See [`sign::sign`] and [`trust_file::sign_step`].
pub fn sign_release(voice: &Voice, asked: &Sign) -> Result<u8> {
    let of_trust = TrustFile::is_one(&asked.target);
    if of_trust && (asked.recall || asked.expires.is_some() || asked.comment.is_some() || asked.others.is_some()) {
        return Err(Error::usage(format!("{} is a change of the keys: only --key and --passphrase are of use", asked.target.display())));
    }
    let signers = signers(voice, &asked.with)?;
    if of_trust {
        return step(voice, &trust_file::sign_step(&asked.target, &signers, sign::now())?);
    }
    let others = place::public_keys(&[], asked.others.as_deref())?;
    let wanted = Wanted {
        signers: &signers,
        known: &others,
        expires: asked.expires.as_deref(),
        recall: asked.recall,
        force: asked.force,
        comment: asked.comment.as_deref(),
        now: sign::now(),
    };
    let signed = sign::sign(&asked.target, &wanted)?;
    let mut out = format!("signed {} with {}\n  {}\n", signed.manifest.display(), ids(&signed.keys), signed.comment);
    if signed.recall {
        out.push_str(&format!("  it takes back every release above {}\n", signed.version));
    }
    if let (Some(at), true) = (signed.expires, asked.expires.is_some()) {
        out.push_str(&format!("  it expires at {}\n", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)));
    }
    let mut notes = signed.notes.clone();
    for (keys, what) in [
        (&signed.others.kept, "kept"),
        (&signed.others.unchecked, "kept, and not looked at: --keys FOLDER with the public key would tell whether it holds"),
        (&signed.others.dropped, "dropped: it does not hold any more"),
    ] {
        notes.extend(keys.iter().map(|key| format!("the signature by {key} was {what}")));
    }
    told(voice, true, &signed, &out);
    notes.iter().for_each(|note| voice.message(&format!("note: {}", clean(note))));
    Ok(0)
}

/// `verify-release`.
///
/// # Errors
/// See [`examine::examine`].
pub fn verify_release(voice: &Voice, asked: &VerifyRelease) -> Result<u8> {
    let keys = place::public_keys(&asked.keys, asked.folder.as_deref())?;
    let set = if keys.is_empty() { None } else { Some(KeySet::new(1, keys, asked.threshold).map_err(Error::usage)?) };
    let found = examine::examine(&asked.target, set.as_ref(), asked.unsigned, sign::now())?;
    let mut out = String::new();
    for check in &found.checks {
        let (word, tone) = match check.level {
            Level::Ok => ("ok  ", Tone::Good),
            Level::Note => ("note", Tone::Odd),
            Level::Fail => ("FAIL", Tone::Bad),
        };
        out.push_str(&format!("{}  {:<9} {}\n", voice.paint(word, tone), check.name, clean(&check.message)));
    }
    if voice.json {
        json_line(&with_ok(found.well(), &found));
    } else {
        voice.result(&out);
    }
    Ok(if found.well() { 0 } else { Code::Verification as u8 })
}

/// `check-expiry`.
///
/// # Errors
/// See [`expiry::check`].
pub fn check_expiry(voice: &Voice, asked: &CheckExpiry) -> Result<u8> {
    let found = expiry::check(&asked.target, asked.within, sign::now())?;
    told(voice, found.enough, &found, &found.words);
    Ok(if found.enough { 0 } else { Code::Verification as u8 })
}

/// `rotate`.
///
/// # Errors
/// See [`trust_file::rotate`].
pub fn rotate(voice: &Voice, asked: &Rotate) -> Result<u8> {
    let (to, from) = (place::public_keys(&asked.to, None)?, place::public_keys(&asked.from, None)?);
    let signers = signers(voice, &asked.with)?;
    let change = Change {
        to: &to,
        threshold: asked.threshold,
        product: asked.product.as_deref(),
        from: &from,
        from_threshold: asked.from_threshold,
        signers: &signers,
        partial: asked.partial,
        now: sign::now(),
    };
    step(voice, &trust_file::rotate(&asked.file, &change)?)
}

fn step(voice: &Voice, step: &Step) -> Result<u8> {
    let product = step.product.as_ref().map_or("every product that these keys sign".to_owned(), |p| format!("releases of {p}"));
    let mut out = format!("{}: version {} of the keys, {} of {}, for {product}\n", step.file.display(), step.version, step.threshold, ids(&step.keys));
    out.push_str(&format!("  signed by {}\n", ids(&step.signed)));
    match &step.missing {
        Some(why) => out.push_str(&format!("  not complete: {why}\n")),
        None => out.push_str("  complete: `pack` puts it into the next release when release.toml says trust = \"trust.json\"\n"),
    }
    if voice.json {
        voice.json(true, &json!({"step": step}));
    } else {
        voice.result(&lines(&out));
    }
    Ok(0)
}

fn signers(voice: &Voice, with: &Keys) -> Result<Vec<Signer>> {
    let keys = places(voice, "--key", &with.keys, KEY_VARIABLE)?;
    let passphrases = places(voice, "--passphrase", &with.passphrases, PASSPHRASE_VARIABLE)?;
    signers::signers(&keys, &passphrases, !voice.no_input)
}

/// Where secrets are; a file that others can read gets a word.
fn places(voice: &Voice, option: &str, told: &[OsString], variable: &str) -> Result<Vec<Place>> {
    let places = secret::places(option, told, variable)?;
    for doubt in places.iter().filter_map(Place::doubt) {
        voice.message(&format!("{} {}", voice.paint_err("warning:", Tone::Odd), clean(&doubt)));
    }
    Ok(places)
}

fn ids(keys: &[KeyId]) -> String {
    if keys.is_empty() { "nobody".into() } else { keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") }
}

fn told(voice: &Voice, ok: bool, value: &impl serde::Serialize, text: &str) {
    if voice.json { voice.json(ok, value) } else { voice.result(&lines(text)) }
}

fn lines(text: &str) -> String {
    clean_lines(text).map(|line| format!("{line}\n")).collect()
}
