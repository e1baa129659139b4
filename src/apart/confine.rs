//! What the process without privileges takes from itself before it reads a single byte from outside.

use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, getegid, geteuid, getgid, getuid};

use crate::error::{Error, Result};

/// Writable memory, bytes. It needs some 20 MB; the largest manifest that may come, read as JSON, needs about 150.
const DATA: u64 = 256 << 20;
/// Open files.
const FILES: u64 = 64;
/// Processes and threads of its user: it has a few threads.
const THREADS: u64 = 512;

/// Gives up what can be given up. `dropped`: it was root that started us, and we are a user that has nothing else to do.
///
/// # Errors
/// We are root, or one of the bonds does not hold: better nothing than without.
pub fn confine(dropped: bool) -> Result<()> {
    if getuid().is_root() || geteuid().is_root() || (dropped && (getgid().is_root() || getegid().is_root())) {
        return Err(Error::unexpected("the process that fetches and unpacks is still root, and does nothing as root"));
    }
    let all = || -> rustix::io::Result<()> {
        rustix::thread::set_name(c"pikit-fetcher")?;
        rustix::thread::set_no_new_privs(true)?;
        // whoever else runs as this user is to read no token in our memory
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // it writes to its line and to nothing else
        limit(Resource::Fsize, 0)?;
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, FILES)?;
        limit(Resource::Data, DATA)?;
        if dropped {
            limit(Resource::Nproc, THREADS)?;
        }
        Ok(())
    };
    all().map_err(|e| Error::unexpected("confining the process that fetches and unpacks").because(std::io::Error::from(e)))
}

/// For good: nobody without privileges can raise a hard limit again.
fn limit(resource: Resource, most: u64) -> rustix::io::Result<()> {
    let most = rustix::process::getrlimit(resource).maximum.map_or(most, |now| now.min(most));
    rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
}
