//! The text of updater.toml. Whatever is accepted keeps to the root it was given, and nothing of it is too large to be reckoned with.
#![no_main]

use std::path::{Component, Path};

use chrono::NaiveDateTime;
use libfuzzer_sys::fuzz_target;
use pikit_updater::device::contact::Listen;
use pikit_updater::device::{Layout, Settings};

fuzz_target!(|text: &str| {
    for root in ["/", "/media/card"] {
        let layout = Layout::new(root);
        let settings = match Settings::parse(text, &layout) {
            Ok(settings) => settings,
            Err(why) => return assert!(!why.trim().is_empty()),
        };
        for (i, managed) in settings.managed.iter().enumerate() {
            assert!(managed.to.starts_with(root) && managed.to != Path::new(root), "{:?} is not below the root", managed.to);
            assert!(managed.to.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_))));
            for own in [layout.state_dir(), layout.fetched(), layout.backups()] {
                assert!(!own.starts_with(&managed.to) && !managed.to.starts_with(&own), "{:?} is the updater's own", managed.to);
            }
            assert!(settings.managed[..i].iter().all(|other| !other.to.starts_with(&managed.to) && !managed.to.starts_with(&other.to)));
        }
        match &settings.api.listen {
            Listen::Tcp(address) => assert!(address.ip().is_loopback()),
            Listen::Unix(path) => assert!(path.starts_with(root)),
        }
        assert!(settings.trust.threshold >= 1 && settings.backup_keep >= 1);
        for unit in settings.services.restart.iter().chain(&settings.services.reload) {
            assert!(!unit.starts_with('-') && !unit.contains(['/', ' ']), "{unit:?} is no unit");
        }
        for now in ["2026-11-20T23:59:59", "1970-01-01T00:00:00", "2038-01-19T03:14:08"] {
            let now: NaiveDateTime = now.parse().expect("it is a time");
            let _ = settings.schedule.may_begin(now);
        }
        // what waits is reckoned with: sums and doubles of these must have a value
        let trial = settings.trial;
        for wait in [trial.timeout, trial.interval, trial.settle, settings.download.timeout, settings.schedule.window, settings.schedule.jitter] {
            assert!(std::time::Instant::now().checked_add(wait * 4).is_some(), "{wait:?} is no time to wait");
        }
        assert!(settings.min_free.checked_mul(2).is_some());
    }
});
