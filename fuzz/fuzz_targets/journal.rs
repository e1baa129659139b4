//! What lies on the card after a crash, or after years: records of this and of other versions, torn and worn. Recovery never panics, and
//! touches nothing when it is not sure.
//!
//! The first byte says how many managed paths were found, then comes a byte for each of them, and the record follows. Its checksum is
//! made to fit when the second bit of the first byte is set: a record whose checksum fails ends at the envelope.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pikit_updater::journal::{self, Finding, Journal, Read, Recovery, Side, Stage};
use pikit_updater::record::{self, RecordError};
use pikit_updater::release::Digest;
use pikit_updater::state::{Ledger, Row, State};
use pikit_updater::update::backup::Record;

fuzz_target!(|input: &[u8]| {
    let Some((head, rest)) = input.split_first() else { return };
    let count = usize::from(head >> 5).min(rest.len());
    let (found, body) = rest.split_at(count);
    let found: Vec<Finding> = found.iter().copied().map(finding).collect();
    let sealed;
    let bytes = if head & 2 != 0 {
        let sha256 = Digest::of(body);
        sealed = [format!(r#"{{"schema":{},"sha256":"{sha256}","body":"#, head & 1).as_bytes(), body, b"}\n"].concat();
        &sealed[..]
    } else {
        body
    };

    let read = match record::open_record::<Journal>(bytes, journal::SCHEMA) {
        Ok(journal) => {
            let again = record::open_record::<Journal>(&record::seal_record(journal::SCHEMA, &journal), journal::SCHEMA);
            assert_eq!(again.as_ref(), Ok(&journal));
            let moved = journal.clone().below(Path::new("/media/card"));
            assert_eq!(moved.units.len(), journal.units.len());
            Read::Here(Box::new(journal))
        }
        Err(e @ (RecordError::Newer(_) | RecordError::Damaged(_))) => Read::Unreadable(e.to_string()),
    };
    settle(&read, &found);
    // as many findings as there are paths, so that a journal with units gets past the first question
    if let Read::Here(journal) = &read
        && !found.is_empty()
    {
        let all: Vec<Finding> = (0..journal.units.len()).map(|i| found[i % found.len()]).collect();
        settle(&read, &all);
    }

    let again = |opened: Result<Ledger, RecordError>| {
        let Ok(distrust) = opened else { return };
        assert_eq!(record::open_record::<Ledger>(&record::seal_record(1, &distrust), 1).as_ref(), Ok(&distrust));
        let _ = distrust.reason(&Digest::of(b""));
    };
    again(record::open_record(bytes, 1));
    if let Ok(backup) = record::open_record::<Record>(bytes, 1) {
        assert_eq!(record::open_record::<Record>(&record::seal_record(1, &backup), 1).as_ref(), Ok(&backup));
    }
    if let Ok(state) = serde_json::from_slice::<State>(body) {
        let written = serde_json::to_vec(&state).expect("a state is plain data");
        assert!(serde_json::from_slice::<State>(&written).is_ok());
    }
    for row in body.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Row>(line).ok()) {
        let written = serde_json::to_string(&row).expect("a row is plain data");
        assert!(!written.contains('\n') && serde_json::from_str::<Row>(&written).is_ok());
    }
});

fn finding(byte: u8) -> Finding {
    let side = [Side::Old, Side::New, Side::Mixed, Side::Unknown][usize::from(byte & 3)];
    Finding { side, sealed: byte & 4 != 0, way_back: byte & 8 != 0 }
}

fn settle(read: &Read, found: &[Finding]) {
    let decided = journal::recovery(read, found);
    assert_eq!(decided, journal::recovery(read, found));
    let all = |side: Side| found.iter().all(|f| f.side == side);
    let journal = match read {
        Read::Here(journal) => journal,
        Read::Unreadable(_) => return assert!(matches!(decided, Recovery::Hold(_)), "{decided:?} of what cannot be read"),
        Read::Absent => return assert_eq!(decided, Recovery::Nothing),
    };
    match decided {
        Recovery::Hold(why) => assert!(!why.is_empty()),
        Recovery::Nothing => panic!("a journal that is there was passed over"),
        Recovery::Abandon => assert!(journal.stage == Stage::Preparing && found.iter().all(|f| f.side != Side::New)),
        Recovery::CompleteSwitch => assert!(journal.stage == Stage::Switching && found.iter().all(|f| f.side == Side::New || f.sealed)),
        Recovery::ReturnToOld { quarantine, .. } => {
            assert!(found.iter().all(|f| f.side != Side::Unknown && (f.side == Side::Old || f.way_back)) || matches!(journal.stage, Stage::Trial { .. }));
            assert!(!quarantine || matches!(journal.stage, Stage::Trial { attempt } if attempt >= journal::ATTEMPTS));
        }
        Recovery::RunTrial { attempt } => assert!((1..=journal::ATTEMPTS).contains(&attempt) && all(Side::New)),
        Recovery::FinishConfirming => assert!(matches!(journal.stage, Stage::Confirming { .. }) && all(Side::New)),
        Recovery::FinishRollingBack => {
            assert!(matches!(journal.stage, Stage::RollingBack { .. }) && found.iter().all(|f| f.side == Side::Old || f.way_back));
        }
    }
}
