//! What opens a server's door: a token, and the authorities that vouch for the server. Read from their files once, where that is
//! allowed; whoever speaks with the server gets the contents, and no path.

use std::fmt;
use std::path::Path;

use super::roots;
use crate::device::settings::Net;
use crate::error::{Error, Result};

/// Longest token, bytes.
const TOKEN_MAX: usize = 4 << 10;
/// Largest CA file, bytes.
pub const PEM_MAX: usize = 1 << 20;

/// An access token; nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token of these characters.
    pub fn new(text: &str) -> Option<Self> {
        let token = text.trim();
        let fits = !token.is_empty() && token.len() <= TOKEN_MAX && token.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Token(token.to_owned()))
    }
    /// The token itself: for the server, and for the process that speaks with it.
    pub fn secret(&self) -> &str {
        &self.0
    }

    fn read(path: &Path) -> Result<Self> {
        let text = roots::read_named(path, "source.token_file")?;
        Token::new(std::str::from_utf8(&text).unwrap_or_default()).ok_or_else(|| {
            Error::usage(format!("{} (source.token_file) does not hold a token", path.display())).hint("the file should hold the token alone, on one line")
        })
    }
}

/// What the config's files say about a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Sent to the configured server only.
    pub token: Option<Token>,
    /// The owner's authorities, PEM, and the path that messages name.
    pub authorities: Option<(String, Vec<u8>)>,
    /// Plain http beyond loopback.
    pub allow_http: bool,
}

impl Access {
    /// Reads the files.
    ///
    /// # Errors
    /// A token or CA file that is not there, cannot be read, or is none.
    pub fn read(net: &Net) -> Result<Self> {
        let token = net.token_file.as_deref().map(Token::read).transpose()?;
        let authorities = net.ca_file.as_deref().map(|path| {
            let pem = roots::read_named(path, "source.ca_file")?;
            if pem.len() > PEM_MAX {
                return Err(Error::usage(format!("{} (source.ca_file) is too big to be a file of certificates", path.display())));
            }
            Ok((path.display().to_string(), pem))
        });
        Ok(Access { token, authorities: authorities.transpose()?, allow_http: net.allow_http })
    }
}
