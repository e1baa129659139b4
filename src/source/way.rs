//! How the network is reached from this board, for those who are no source: the proxy of the environment, the authorities that are
//! believed.

use super::address::Address;
use super::proxy::Proxies;
use super::roots;
use crate::device::settings::{Settings, Source};
use crate::error::{Error, Result};
use crate::world::outside::Way;

/// The way to this address.
///
/// # Errors
/// The address, a proxy variable or the CA file cannot be used.
pub fn way(to: &str, settings: &Settings) -> Result<Way> {
    let address = Address::parse(to).map_err(Error::usage)?;
    let net = match &settings.source {
        Source::Gitea { net, .. } | Source::Url { net, .. } => Some(net),
        Source::Dir(_) => None,
    };
    Ok(Way { proxy: Proxies::new(|name| std::env::var(name).ok())?.of(&address), roots: roots::roots(net.and_then(|n| n.ca_file.as_deref()))? })
}
