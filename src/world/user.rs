//! Who the process without privileges is.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The user that the package makes for this, and no other program runs as.
const OWN: &str = "pikit-fetch";
/// Where there is none: the user that owns nothing. Others run as it too.
const NOBODY: User = User { uid: 65534, gid: 65534 };

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// The one to become.
    pub fn find() -> Self {
        let all = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        User::among(&all)
    }

    fn among(passwd: &str) -> Self {
        let found = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [OWN, _, uid, gid, ..] = fields[..] else { return None };
            Some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        });
        // a user of that name that is root would be worse than none
        found.filter(|u| u.uid != 0 && u.gid != 0).unwrap_or(NOBODY)
    }

    /// The command will run as this user and in its group alone. Never forgotten: std gives up the other groups with it.
    pub fn of(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_user_is_found_and_root_is_never_it() {
        let line = "root:x:0:0:root:/root:/bin/sh\npikit-fetch:x:990:989::/:/usr/sbin/nologin\n";
        assert_eq!(User::among(line), User { uid: 990, gid: 989 });
        for none in ["", "pikit-fetch", "pikit-fetch:x:a:b:", "pikit-fetch:x:0:0:", "pikit-fetch:x:5:0:", "pikit-fetcher:x:5:5:"] {
            assert_eq!(User::among(none), NOBODY, "{none}");
        }
    }
}
