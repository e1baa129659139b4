//! First contact, what follows from the answers: the source is asked, the key is tried on its releases, the board is looked at; and only when all
//! of it fits is anything written: key, config, what is installed, timer, in this order. Each is whole or as before, and done again by the
//! next `setup` if this one is killed.

use std::path::Path;

use super::args::{Globals, Setup};
use super::board::{self, Board};
use super::interview::Interview;
use super::progress::Progress;
use super::setup_view::{self, Ended};
use super::voice::{Voice, clean};
use super::{ask, own};
use crate::device::settings::Probe;
use crate::device::{Layout, Settings};
use crate::error::{Code, Doing, Error, Result};
use crate::event::Silent;
use crate::release::PublicKey;
use crate::setup::adopt::{self, Here};
use crate::setup::answers::{Answers, Origin};
use crate::setup::catalogue::{self, Catalogue};
use crate::setup::{diff, fit, identity, put};
use crate::update::belief::Belief;
use crate::update::{Trip, check, recover};
use crate::world::World;
use crate::world::clock::RealClock;
use crate::world::look::LookOnly;
use crate::world::outside::RealOutside;
use crate::world::real::RealDisk;
use crate::{apart, daily};

/// Largest key file that is read, bytes.
const KEY_MAX: u64 = 4 << 10;

/// `setup`.
///
/// # Errors
/// An answer that is missing or does not fit; the source; what cannot be written.
pub fn run(globals: &Globals, voice: &Voice, asked: &Setup) -> Result<u8> {
    let layout = board::layout(globals)?;
    let path = board::config_path(globals, &layout);
    let clock = RealClock::with_signals().doing(|| "listening for signals".into())?;
    let learned = {
        let disk = RealDisk::new(Vec::new());
        let world = World { disk: &disk, outside: &RealOutside, clock: &clock };
        if !asked.dry_run {
            own::check(&layout)?;
            nothing_interrupted(world, &layout)?;
        }
        Desk { world, layout: &layout, voice, asked, path: &path }.learn(&Interview { voice, clock: &clock, asked })?
    };
    let text = learned.answers.text();
    let board = Board::of(board::effective(&text, Path::new("the answers"), &layout)?, clock, None);
    let here = {
        let looking = LookOnly(&board.disk);
        let mut silent = Silent;
        adopt::look(&Trip::looking(World { disk: &looking, ..board.world() }, &board.settings, &mut silent)?, &learned.catalogue.known)?
    };
    let mut ended = Ended {
        config: path.clone(),
        text,
        here,
        newest: learned.newest.clone(),
        key: learned.key.clone(),
        source: learned.source.clone(),
        ..Ended::default()
    };
    ended.notes.clone_from(&learned.notes);
    if asked.dry_run {
        setup_view::show(voice, &ended, true);
        return Ok(0);
    }
    write((voice, asked), &board, &learned, &mut ended)?;
    let timer = finish(&board, &path, &mut ended);
    setup_view::show(voice, &ended, false);
    timer.map(|()| 0)
}

/// What was learned from the answers.
struct Learned {
    answers: Answers,
    catalogue: Catalogue,
    /// The newest release, in words.
    newest: String,
    /// The key, unless nothing is signed.
    key: Option<PublicKey>,
    /// What the folder of keys holds.
    in_folder: Vec<PublicKey>,
    source: String,
    notes: Vec<String>,
}

struct Desk<'a> {
    world: World<'a>,
    layout: &'a Layout,
    voice: &'a Voice,
    asked: &'a Setup,
    /// Of the config.
    path: &'a Path,
}

impl Desk<'_> {
    fn settings(&self, answers: &Answers) -> Result<Settings> {
        Settings::parse(&answers.text(), self.layout).map_err(Error::usage)
    }

    /// Asks for everything and checks it.
    fn learn(&self, interview: &Interview) -> Result<Learned> {
        let asked = self.asked;
        let from = |origin: Origin| Answers {
            channel: asked.channel.clone(),
            token_file: asked.token_file.clone(),
            ca_file: asked.ca_file.clone(),
            allow_http: asked.allow_http,
            unsigned: asked.unsigned,
            ..Answers::of(origin)
        };
        let (mut answers, offered) = interview.origin(&mut |origin| {
            let answers = from(origin);
            let settings = self.settings(&answers)?;
            // who gives a key at once hears of the source together with it
            let peeks = interview.is_possible() || asked.key_fingerprint.is_some();
            let offered = if peeks { catalogue::peek(apart::open(&settings, self.world.clock)?.as_ref())? } else { Vec::new() };
            Ok((answers, offered))
        })?;
        let settings = self.settings(&answers)?;
        let source = apart::open(&settings, self.world.clock)?;
        let belief = Belief::load(self.world, &settings)?;
        let in_folder = belief.in_folder().to_vec();
        let try_out = |key: Option<&PublicKey>| -> Result<Catalogue> {
            let mut belief = key.map_or_else(|| Ok(belief.clone()), |key| catalogue::with_key(belief.clone(), key, settings.trust.threshold))?;
            catalogue::look(source.as_ref(), &mut belief)
        };
        let (key, catalogue) = match asked.key_fingerprint {
            _ if asked.unsigned => (None, try_out(None)?),
            Some(wanted) => {
                let all: Vec<PublicKey> = in_folder.iter().chain(&offered).cloned().collect();
                let key = catalogue::with_fingerprint(&all, &wanted).ok_or_else(|| {
                    Error::verification(format!("no key in {} or in its releases has this fingerprint", settings.trust.keys.display()))
                        .hint("a release carries its maintainer's keys only once they were changed: give the key itself, --key FILE")
                })?;
                let catalogue = try_out(Some(&key))?;
                (Some(key), catalogue)
            }
            // what a package or a person put there does
            None if asked.key.is_none() && !in_folder.is_empty() && (!interview.is_possible() || try_out(None).is_ok()) => (None, try_out(None)?),
            None => interview.key(&mut |typed| {
                let key = self.read_key(typed)?;
                let catalogue = try_out(Some(&key))?;
                Ok((Some(key), catalogue))
            })?,
        };
        let newest = catalogue.newest(asked.product.as_deref(), &answers.channel).cloned();
        let newest = newest.ok_or_else(|| {
            let has: Vec<String> =
                catalogue.known.iter().map(|k| format!("{} of {}", k.manifest.version, k.manifest.product.as_deref().unwrap_or("no named product"))).collect();
            Error::source_failed(format!("{} has no release for this board on the channel {}", source.name(), answers.channel))
                .hint(format!("it has {}: look at --product and --channel", has.join(", ")))
        })?;
        let who: Vec<String> = newest.signed.iter().map(|s| s.key.to_string()).collect();
        let words = match who.as_slice() {
            [] => format!("{}, signed by nobody", newest.manifest.version),
            keys => format!("{}, signed by {}", newest.manifest.version, keys.join(", ")),
        };
        if interview.is_possible() {
            self.voice.message(&format!("  {} has {}", clean(&source.name()), clean(&words)));
        }
        let mut notes = Vec::new();
        interview.rest(&mut answers, &newest, self.standing()?, &mut |answers| self.fits(answers).map(drop))?;
        let settings = board::effective(&answers.text(), Path::new("the answers"), self.layout)?;
        notes.extend(fit::covers(&settings, &newest.manifest)?);
        notes.extend(self.fits(&answers)?);
        // what only a release suggests, and nobody has looked at, is not asked yet
        if interview.is_possible() || !asked.health.is_empty() {
            notes.extend(fit::health(self.world, &settings));
        }
        notes.extend(catalogue.trouble.iter().map(Error::message));
        if !catalogue.refused.is_empty() && !asked.unsigned {
            notes.push(format!("{} of {} not signed by this key", crate::quantity::count(catalogue.refused.len(), "older release"), source.name()));
        }
        if settings.layout.root() != Path::new("/") {
            notes.push("--root: services are not looked for, and no timer is set: the board does that when it runs `pikit-updater auto`".into());
        }
        Ok(Learned { answers, catalogue, newest: words, key, in_folder, source: source.name(), notes })
    }

    /// The health checks of a config that is there and can be read.
    fn standing(&self) -> Result<Option<Vec<Probe>>> {
        let text = put::present(self.world, self.path)?;
        Ok(text.and_then(|text| Settings::parse(&text, self.layout).ok()).map(|settings| settings.health))
    }

    /// Whether places and services are there.
    fn fits(&self, answers: &Answers) -> Result<Vec<String>> {
        let settings = board::effective(&answers.text(), Path::new("the answers"), self.layout)?;
        fit::parents(self.world, &settings)?;
        fit::services(self.world, &settings)
    }

    /// A key as it was typed: its line, or a file with it.
    fn read_key(&self, typed: &str) -> Result<PublicKey> {
        let wrong = |e: String| {
            Error::usage(format!("--key {typed}: {e}")).hint("the maintainer's public key: a file that ends in .pub, or its line that begins with RW")
        };
        if typed.starts_with("RW") && !typed.contains(['/', '.']) || (typed.starts_with("RW") && typed.len() == 56) {
            return PublicKey::parse(typed).map_err(wrong);
        }
        let path = std::path::absolute(typed).doing(|| format!("finding {typed}"))?;
        let bytes = crate::world::durable::read(self.world.disk, &path, KEY_MAX).doing(|| format!("reading the key {}", path.display()))?;
        let bytes = bytes.ok_or_else(|| wrong("there is no such file".into()))?;
        PublicKey::parse(&String::from_utf8_lossy(&bytes)).map_err(wrong)
    }
}

/// Asks once more where something of a person's would change, then writes.
fn write((voice, asked): (&Voice, &Setup), board: &Board, learned: &Learned, ended: &mut Ended) -> Result<()> {
    let (world, path) = (board.world(), ended.config.clone());
    let present = put::present(world, &path)?;
    let changes = present.as_deref() != Some(ended.text.as_str());
    if let Some(before) = present.as_deref().filter(|_| changes) {
        voice.failure(&format!("{} is there already, and would change:\n{}", path.display(), clean_all(&diff::lines(before, &ended.text))));
        if !asked.force {
            if asked.yes || !ask::somebody(voice) {
                return Err(Error::refused(format!("{} is not replaced", path.display())).hint("--force replaces it and keeps the old one beside it"));
            }
            ask::consent(voice, &board.clock, "Replace it? The old one is kept beside it", false)?;
        }
    } else if changes {
        if !asked.yes && ask::somebody(voice) {
            voice.failure(&clean_all(&ended.text.lines().map(str::to_owned).collect::<Vec<_>>()));
        }
        ask::consent(voice, &board.clock, &format!("Write this to {}?", path.display()), asked.yes)?;
    }
    let locked = board.lock()?;
    nothing_interrupted(world, &board.settings.layout)?;
    if let Some(key) = &learned.key {
        ended.key_file = put::key(world, &board.settings, key, &learned.in_folder)?;
    }
    if changes {
        ended.kept = put::config(world, &path, &ended.text)?;
        ended.written = true;
    }
    if let Here::Release(adoption) = &ended.here {
        let mut silent = Silent;
        let mut trip = Trip::new(world, &board.settings, &locked, &mut silent)?;
        adopt::record(&mut trip, adoption)?;
    }
    // so that everybody is told the same from now on
    let mut progress = Progress::new(voice);
    let mut silent = Silent;
    let sink: &mut dyn crate::event::Sink = if voice.json || voice.quiet { &mut silent } else { &mut progress };
    let mut trip = Trip::new(world, &board.settings, &locked, sink)?;
    let asked = apart::open(&board.settings, &board.clock).and_then(|source| check::check(&mut trip, source.as_ref()));
    if let Err(error) = asked {
        ended.notes.push(format!("what is offered could not be noted: {}", error.message()));
    }
    ended.offered = trip.state.available.as_ref().map(|a| a.version.clone());
    Ok(())
}

fn clean_all(lines: &[String]) -> String {
    lines.iter().map(|l| format!("  {}", clean(l))).collect::<Vec<_>>().join("\n")
}

/// The timer. What is written stays written if it cannot be set; but then not all is done.
fn finish(board: &Board, path: &Path, ended: &mut Ended) -> Result<()> {
    let path = std::path::absolute(path).doing(|| format!("finding {}", path.display()))?;
    let _locked = board.lock()?;
    let (mode, at) = (board.settings.schedule.action.clone(), board.settings.schedule.at.clone());
    match daily::set(board.world(), &board.settings, &path, Some(&mode), Some(&at)) {
        Ok(set) => {
            ended.notes.extend(set.notes.clone());
            ended.auto = Some(set);
            Ok(())
        }
        Err(error) => {
            ended.notes.push(format!("all else is done, but: {}", error.message()));
            Err(error)
        }
    }
}

/// An interrupted update goes by the config that it began with.
fn nothing_interrupted(world: World, layout: &Layout) -> Result<()> {
    match recover::waiting(world.disk, layout)? {
        None => Ok(()),
        Some(id) => Err(Error::new(Code::Refused, format!("the update {id} was interrupted, and goes by the config that is there"))
            .hint("`sudo pikit-updater recover` first")),
    }
}

/// `setup --reset-identity`.
///
/// # Errors
/// The config; a run that is at work or was interrupted; what cannot be removed.
pub fn reset_identity(globals: &Globals, voice: &Voice, yes: bool) -> Result<u8> {
    let board = Board::to_change(globals)?;
    ask::consent(voice, &board.clock, "Forget the token, the history and the logs, as on a new board?", yes)?;
    let _locked = board.lock()?;
    nothing_interrupted(board.world(), &board.settings.layout)?;
    let done = identity::reset(board.world(), &board.settings)?;
    setup_view::reset(voice, &done);
    Ok(0)
}
