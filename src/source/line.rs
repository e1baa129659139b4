//! A source on the network, as far as this board knows it: everything that has to be known to speak with it, and nothing that has to be
//! looked up. So it can be handed to a process that may read none of our files.

use super::access::Access;
use super::choose::Taste;
use super::http::Http;
use super::{Network, gitea, url};
use crate::device::settings::{Download, Settings, Source};
use crate::error::Result;
use crate::world::Clock;

/// What kind of server it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Gitea or Forgejo; `owner/name`.
    Gitea(String),
    /// A folder on a static web server.
    Folder,
}

/// Everything there is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What kind of server it is.
    pub place: Place,
    /// Its address.
    pub base: String,
    /// What is looked for.
    pub taste: Taste,
    /// What opens its door.
    pub access: Access,
    /// Limits of the network.
    pub limits: Download,
}

impl Line {
    /// As the config says; none when the source is a folder of this machine.
    ///
    /// # Errors
    /// The token or CA file.
    pub fn of(settings: &Settings) -> Result<Option<Self>> {
        let (place, base, net) = match &settings.source {
            Source::Gitea { base, repo, net } => (Place::Gitea(repo.clone()), base, net),
            Source::Url { base, net } => (Place::Folder, base, net),
            Source::Dir(_) => return Ok(None),
        };
        Ok(Some(Line { place, base: base.clone(), taste: Taste::of(settings), access: Access::read(net)?, limits: settings.download }))
    }

    /// A source that speaks over it. Asks nobody yet.
    ///
    /// # Errors
    /// The address, the authorities or a proxy variable cannot be used.
    pub fn open(self, clock: &dyn Clock) -> Result<Box<dyn Network + '_>> {
        let http = Http::new(&self.base, self.access, self.limits, clock)?;
        Ok(match &self.place {
            Place::Gitea(repo) => Box::new(gitea::Gitea::new(repo, self.taste, http)?),
            Place::Folder => Box::new(url::Static::new(&self.base, self.taste, http)?),
        })
    }
}
