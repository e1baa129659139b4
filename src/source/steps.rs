//! The changes of keys that a manifest carries. They are needed before its signature can be checked, so they come out of bytes that
//! nobody has vouched for: to be called where nothing is lost if this goes wrong.

use serde::Deserialize;

use crate::release::manifest::SignedStep;
pub use crate::release::steps::STEPS_MAX;

/// Largest text of a step, bytes.
pub const TEXT_MAX: usize = 64 << 10;

/// The steps; none when there are none, or too many, or the manifest is none. What is wrong with it the judge says.
pub fn of(manifest: &[u8]) -> Vec<SignedStep> {
    #[derive(Deserialize)]
    struct Peek {
        trust: Option<Trust>,
    }
    #[derive(Deserialize)]
    struct Trust {
        #[serde(default)]
        steps: Vec<SignedStep>,
    }
    let steps = serde_json::from_slice::<Peek>(manifest).ok().and_then(|p| p.trust).map(|t| t.steps).unwrap_or_default();
    if fit(&steps) { steps } else { Vec::new() }
}

/// Whether they are within the bounds.
pub fn fit(steps: &[SignedStep]) -> bool {
    steps.len() <= STEPS_MAX && steps.iter().all(|s| s.signed.len() <= TEXT_MAX && s.signatures.len() <= TEXT_MAX)
}

/// Whether the bytes may have steps at all: almost no manifest has, and then nobody needs to be asked. Looks for a word and reads nothing.
pub fn likely(manifest: &[u8]) -> bool {
    const WORD: &[u8] = b"\"steps\"";
    manifest.windows(WORD.len()).any(|w| w == WORD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_come_out_whole_or_not_at_all() {
        let step = r#"{"signed":"a","signatures":"b"}"#;
        let with = |steps: &str| format!(r#"{{"files":[],"trust":{{"version":2,"steps":[{steps}]}}}}"#);
        let count = |text: &str| of(text.as_bytes()).len();
        assert_eq!(of(with(step).as_bytes()), [SignedStep { signed: "a".into(), signatures: "b".into() }]);
        assert!(likely(with(step).as_bytes()) && !likely(br#"{"files":[]}"#));
        assert_eq!(count(&with(&vec![step; STEPS_MAX].join(","))), STEPS_MAX);
        assert_eq!(count(&with(&vec![step; STEPS_MAX + 1].join(","))), 0);
        assert_eq!(count(&with(&step.replace('a', &"a".repeat(TEXT_MAX + 1)))), 0);
        let deep = format!(r#"{{"trust":{}"#, "[".repeat(100_000));
        for bad in ["", "{", "[]", r#"{"trust":7}"#, r#"{"trust":{"steps":{}}}"#, &with(r#"{"signed":1}"#), deep.as_str()] {
            assert_eq!(count(bad), 0, "{bad:.40}");
        }
    }
}
