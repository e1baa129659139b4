//! `config check`: the config as it is understood, every default filled in, and every doubt about it.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::Globals;
use super::board;
use super::voice::{Tone, Voice, clean, json_line, with_ok};
use crate::device::Settings;
use crate::device::settings::{Probe, Source};
use crate::error::Result;
use crate::quantity;

/// `config check`.
///
/// # Errors
/// The config is not there, or is none.
pub fn check(globals: &Globals, voice: &Voice) -> Result<u8> {
    let settings = board::settings(globals)?;
    let config = effective(&settings);
    if voice.json {
        json_line(&with_ok(true, &json!({"config": config, "doubts": settings.doubts})));
        return Ok(0);
    }
    let mut out = String::new();
    lines("", &config, &mut out);
    voice.result(&out);
    for doubt in &settings.doubts {
        voice.message(&format!("{} {}", voice.paint_err("doubt:", Tone::Odd), clean(doubt)));
    }
    if settings.doubts.is_empty() {
        voice.message(&voice.paint_err("no doubts", Tone::Good));
    }
    Ok(0)
}

/// Paths are those on the device, with the root before them and links on the way followed.
fn effective(s: &Settings) -> Value {
    let net = |net: &crate::device::settings::Net| json!({"token_file": net.token_file, "ca_file": net.ca_file, "allow_http": net.allow_http});
    let source = match &s.source {
        Source::Gitea { base, repo, net: n } => json!({"gitea": base, "repo": repo, "channel": s.channel, "net": net(n)}),
        Source::Url { base, net: n } => json!({"url": base, "channel": s.channel, "net": net(n)}),
        Source::Dir(dir) => json!({"dir": dir, "channel": s.channel}),
    };
    let probe = |p: &Probe| match p {
        Probe::Http { url, contains } => json!({"http": url, "contains": contains}),
        Probe::Tcp(addr) => json!({"tcp": addr}),
        Probe::Unit(unit) => json!({"unit": unit}),
        Probe::Run(argv) => json!({"run": argv}),
    };
    let time = |d: Duration| quantity::seconds(d.as_secs_f64());
    json!({
        "product": s.product,
        "source": source,
        "trust": {"required": s.trust.required, "keys": s.trust.keys, "threshold": s.trust.threshold},
        "managed": s.managed.iter().map(|m| json!({"from": m.from, "to": m.to})).collect::<Vec<_>>(),
        "services": {"restart": s.services.restart, "reload": s.services.reload, "control": s.services.control, "allow_commands": s.services.allow_commands},
        "health": s.health.iter().map(probe).collect::<Vec<_>>(),
        "trial": {"timeout": time(s.trial.timeout), "interval": time(s.trial.interval), "settle": time(s.trial.settle)},
        "backup": {"keep": s.backup_keep, "min_free": quantity::bytes(s.min_free)},
        "download": {"timeout": time(s.download.timeout), "min_speed": s.download.min_speed, "limit_rate": s.download.limit_rate},
        "schedule": {
            "action": s.schedule.action,
            "at": s.schedule.at,
            "window": time(s.schedule.window),
            "days": s.schedule.day_names(),
            "jitter": time(s.schedule.jitter)
        },
        "api": {"listen": s.api.listen.to_string(), "token_file": s.api.token_file, "hosts": s.api.hosts, "upload_limit": s.api.upload_limit},
        "notify": s.notify.as_ref().map(|n| json!({"webhook": crate::notify::to_whom(&n.webhook), "events": n.events, "format": format!("{:?}", n.format).to_lowercase()})),
    })
}

/// `trial.timeout = "120 s"`, a line each.
fn lines(prefix: &str, value: &Value, out: &mut String) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                lines(&path, value, out);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (i, item) in items.iter().enumerate() {
                lines(&format!("{prefix}[{i}]"), item, out);
            }
        }
        Value::Null => {}
        plain => out.push_str(&format!("{prefix} = {}\n", clean(&plain.to_string()))),
    }
}
