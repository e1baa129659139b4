//! placeholder until the lock is merged
/// lock
pub struct Locked(());
