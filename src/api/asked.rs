//! What a request asks for: its body, read into a shape that cannot be wrong.

use std::io::Read as _;

use semver::Version;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tiny_http::Request;

use super::reply::Reply;
use super::route::Route;
use crate::release::Digest;
use crate::request::{self, Wish};

/// Largest body, bytes.
const BODY_MAX: usize = 64 << 10;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Apply {
    version: Option<Version>,
    require_manifest: Option<Digest>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    upload: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rollback {
    backup: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Auto {
    mode: String,
    at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Which {
    version: Version,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// What the other side is to do, under this id.
///
/// # Errors
/// What is wrong with the body.
pub fn of(route: Route, request: &mut Request, id: &str) -> Result<request::Request, Reply> {
    meant(route, &body(request)?, id)
}

/// What a body of this route means.
///
/// # Errors
/// What is wrong with it.
pub fn meant(route: Route, body: &[u8], id: &str) -> Result<request::Request, Reply> {
    let plain = |action: Wish| request::Request {
        transaction: id.to_owned(),
        action,
        version: None,
        manifest: None,
        upload: false,
        backup: None,
        mode: None,
        at: None,
    };
    let asked = match route {
        Route::Check => shape::<Nothing>(body).map(|_| plain(Wish::Check)),
        Route::Repair => shape::<Nothing>(body).map(|_| plain(Wish::Repair)),
        Route::Apply => shape::<Apply>(body).map(|a| request::Request {
            version: a.version,
            manifest: a.require_manifest,
            upload: a.upload,
            ..plain(if a.force { Wish::ApplyAnyway } else { Wish::Apply })
        }),
        Route::Rollback => shape::<Rollback>(body).map(|r| request::Request { backup: r.backup, ..plain(Wish::Rollback) }),
        Route::Auto => shape::<Auto>(body).map(|a| request::Request { mode: Some(a.mode), at: a.at, ..plain(Wish::Auto) }),
        Route::Skip => shape::<Which>(body).map(|w| request::Request { version: Some(w.version), ..plain(Wish::Skip) }),
        Route::Unskip => shape::<Which>(body).map(|w| request::Request { version: Some(w.version), ..plain(Wish::Unskip) }),
        _ => Err(Reply::problem(404, "there is nothing here")),
    }?;
    asked.check().map_err(|why| Reply::problem(422, why)).map(|()| asked)
}

/// An empty body.
///
/// # Errors
/// It is not.
pub fn nothing(request: &mut Request) -> Result<(), Reply> {
    shape::<Nothing>(&body(request)?).map(drop)
}

/// The token that was typed.
///
/// # Errors
/// What is wrong with the body.
pub fn login(request: &mut Request) -> Result<String, Reply> {
    shape::<Login>(&body(request)?).map(|login| login.token)
}

/// The body as it came.
fn body(request: &mut Request) -> Result<Vec<u8>, Reply> {
    let mut body = Vec::new();
    let got = request.as_reader().take(BODY_MAX as u64 + 1).read_to_end(&mut body);
    if got.is_err() {
        return Err(Reply::problem(400, "the body ended early"));
    }
    if body.len() > BODY_MAX {
        return Err(Reply::problem(413, format!("the body is larger than {BODY_MAX} bytes")));
    }
    Ok(body)
}

/// A body of this shape. None at all is an empty object.
fn shape<T: DeserializeOwned>(body: &[u8]) -> Result<T, Reply> {
    let body = if body.is_empty() { b"{}" } else { body };
    let value: Value = serde_json::from_slice(body).map_err(|e| Reply::problem(400, format!("the body is no JSON: {e}")))?;
    if !value.is_object() {
        return Err(Reply::problem(422, "the body is to be a JSON object"));
    }
    serde_json::from_value(value).map_err(|e| Reply::problem(422, e.to_string()))
}
