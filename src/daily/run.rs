//! One day's work, as the timer calls it.
