//! placeholder until the lock is merged
/// lock
pub struct Locked(());
impl Locked {
    /// A lock on a board that only a test has.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        Locked(())
    }
}
