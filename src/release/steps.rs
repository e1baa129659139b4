//! How keys change: a chain of steps, each a document that the keys before it and the keys it names have both signed. Whoever knows one
//! set of the chain can follow it to the last, and nobody can leave a step out.

use super::keyset::KeySet;
use super::manifest::{Keys, SignedStep};

/// Most steps of a chain: each costs a signature or two to check.
pub const STEPS_MAX: usize = 256;
/// Largest text of a step, bytes.
const STEP_MAX: usize = 64 << 10;
/// The version that the first step makes; the keys before it are version 1.
pub const FIRST: u64 = 2;

/// How far a chain led.
#[derive(Debug, Clone)]
pub struct Walked {
    /// The last set that was reached, with its version; the start itself if no step led on.
    pub set: KeySet,
    /// Why it went no further, if more steps follow.
    pub stopped: Option<String>,
}

/// Follows the steps that come after a set of keys.
///
/// The n-th step makes version n + 1. A start above version 1 stands where it says. One of version 1, as keys in a folder are, may be the
/// set that some step names: a device that was set up later. Then it stands there, if it has signed that step.
pub fn walk(start: &KeySet, product: &str, steps: &[SignedStep]) -> Walked {
    let mut set = start.clone();
    if steps.len() > STEPS_MAX {
        return Walked { set, stopped: Some(format!("the keys have changed {} times, {STEPS_MAX} is the most that is followed", steps.len())) };
    }
    if set.version() < FIRST {
        let named = (FIRST..).zip(steps).filter(|(version, step)| read(&set, product, step, *version).is_ok_and(|named| named.same(&set))).last();
        if let Some((version, _)) = named {
            set = set.at(version);
        }
    }
    for (version, step) in (FIRST..).zip(steps) {
        if version <= set.version() {
            continue;
        }
        match follow(&set, product, step, version) {
            Ok(next) => set = next,
            Err(why) => return Walked { set, stopped: Some(format!("the change to version {version} of the keys is refused: {why}")) },
        }
    }
    Walked { set, stopped: None }
}

/// The set that a step leads to from this one.
///
/// # Errors
/// Why it does not, in words.
pub fn follow(from: &KeySet, product: &str, step: &SignedStep, version: u64) -> Result<KeySet, String> {
    let next = read(from, product, step, version)?;
    // who names a key must have it: a step to keys that nobody holds would lock every device out
    next.verify(step.signed.as_bytes(), step.signatures.as_bytes()).map_err(|e| format!("the new keys have not agreed: {e}"))?;
    Ok(next)
}

/// What a step says. Nothing in it is looked at before the signatures of a known set hold.
fn read(known: &KeySet, product: &str, step: &SignedStep, version: u64) -> Result<KeySet, String> {
    known.verify(step.signed.as_bytes(), step.signatures.as_bytes()).map_err(|e| format!("the old keys have not agreed: {e}"))?;
    named(&step.signed, product, version)
}

/// The set that a step's text names, whoever signed it.
///
/// # Errors
/// It is no step, not this one, or one of another product.
pub fn named(text: &str, product: &str, version: u64) -> Result<KeySet, String> {
    if text.len() > STEP_MAX {
        return Err(format!("it has {} bytes, {STEP_MAX} is the most that is read", text.len()));
    }
    let keys: Keys = serde_json::from_str(text).map_err(|e| format!("it is not the JSON it should be: {e}"))?;
    if let Some(other) = keys.product.as_deref().filter(|p| *p != product) {
        return Err(format!("it is one of {other:?}, and this is {product:?}"));
    }
    if keys.version != version {
        return Err(format!("it says that it makes version {}", keys.version));
    }
    if !keys.steps.is_empty() {
        return Err("it holds steps itself".into());
    }
    KeySet::of(&keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::PublicKey;

    type Pair = minisign::KeyPair;

    fn pair() -> Pair {
        Pair::generate_unencrypted_keypair().unwrap()
    }

    fn set(version: u64, threshold: usize, keys: &[&Pair]) -> KeySet {
        KeySet::new(version, keys.iter().map(|p| PublicKey::parse(&p.pk.to_base64()).unwrap()).collect(), threshold).unwrap()
    }

    fn signed(text: String, by: &[&Pair]) -> SignedStep {
        let one = |p: &&Pair| minisign::sign(None, &p.sk, text.as_bytes(), Some("keys"), None).unwrap().into_string();
        SignedStep { signatures: by.iter().map(one).collect(), signed: text }
    }

    fn step(to: &KeySet, by: &[&Pair]) -> SignedStep {
        signed(serde_json::to_string(&to.named(Some("pikit"))).unwrap(), by)
    }

    fn reached(start: &KeySet, steps: &[SignedStep]) -> (u64, String) {
        let walked = walk(start, "pikit", steps);
        (walked.set.version(), walked.stopped.unwrap_or_default())
    }

    #[test]
    fn a_device_that_slept_through_steps_arrives_from_wherever_it_stood() {
        let (a, b, c, d) = (pair(), pair(), pair(), pair());
        let (one, two, three) = (set(2, 1, &[&b]), set(3, 2, &[&b, &c]), set(4, 2, &[&c, &d]));
        let steps = [step(&one, &[&a, &b]), step(&two, &[&b, &c]), step(&three, &[&b, &c, &d])];
        // set up before any step; after the first; with the keys of the second; with those of the last; what it had stored
        for start in [set(1, 1, &[&a]), set(1, 1, &[&b]), set(1, 2, &[&c, &b]), set(1, 2, &[&c, &d]), one.clone(), two.clone(), three.clone()] {
            let walked = walk(&start, "pikit", &steps);
            assert!(walked.stopped.is_none() && walked.set.same(&three) && walked.set.version() == 4, "{start:?}: {:?}", walked.stopped);
        }
        assert_eq!(reached(&set(1, 1, &[&a]), &steps[..1]), (2, String::new()));
        assert_eq!(reached(&set(1, 1, &[&a]), &[]), (1, String::new()));
    }

    #[test]
    fn a_step_that_not_both_sides_agreed_to_leads_nowhere() {
        let (a, b, c, evil) = (pair(), pair(), pair(), pair());
        let (two, pairs) = (set(2, 1, &[&b]), set(2, 2, &[&b, &c]));
        let both = set(1, 2, &[&a, &c]);
        let one = set(1, 1, &[&a]);
        let table = [
            ("only the old one", &one, step(&two, &[&a]), "the new keys have not agreed"),
            ("only the new one", &one, step(&two, &[&b]), "the old keys have not agreed"),
            ("a stranger", &one, step(&two, &[&evil]), "the old keys have not agreed"),
            ("a stranger and the new one", &one, step(&two, &[&evil, &b]), "the old keys have not agreed"),
            ("one of two old ones", &both, step(&two, &[&a, &b]), "only, and it takes 2 of 2 keys"),
            ("one of two old ones, twice", &both, step(&two, &[&a, &a, &b]), "only, and it takes 2 of 2 keys"),
            ("one of two new ones", &one, step(&pairs, &[&a, &b]), "the new keys have not agreed"),
            ("one of two new ones, twice", &one, step(&pairs, &[&a, &b, &b]), "the new keys have not agreed"),
            ("nobody", &one, SignedStep { signatures: String::new(), ..step(&two, &[]) }, "the old keys have not agreed"),
        ];
        for (name, start, step, words) in table {
            let (version, why) = reached(start, &[step]);
            assert!(version == 1 && why.contains(words) && why.contains("version 2"), "{name}: {why}");
        }
        assert_eq!(reached(&both, &[step(&pairs, &[&a, &b, &c])]), (2, String::new()));
    }

    #[test]
    fn a_step_says_what_it_is_and_is_nothing_else() {
        let (a, b) = (pair(), pair());
        let line = b.pk.to_base64();
        let table = [
            (r#"{"version":3,"keys":["KEY"],"threshold":1}"#, "it says that it makes version 3"),
            (r#"{"version":2,"keys":["KEY"],"threshold":1,"product":"other"}"#, "one of \"other\""),
            (r#"{"version":2,"keys":["KEY"],"threshold":0}"#, "nobody"),
            (r#"{"version":2,"keys":["KEY"],"threshold":2}"#, "never be met"),
            (r#"{"version":2,"keys":["KEY","KEY"],"threshold":2}"#, "never be met"),
            (r#"{"version":2,"keys":[],"threshold":1}"#, "no key"),
            (r#"{"version":2,"keys":["RWnone"],"threshold":1}"#, "not a minisign public key"),
            (r#"{"version":2,"keys":["KEY"],"threshold":1,"steps":[{"signed":"","signatures":""}]}"#, "holds steps"),
            (r#"{"version":2,"keys":["KEY"]}"#, "JSON"),
            ("keys", "JSON"),
        ];
        for (text, words) in table {
            let (version, why) = reached(&set(1, 1, &[&a]), &[signed(text.replace("KEY", &line), &[&a, &b])]);
            assert!(version == 1 && why.contains(words), "{text}: {why}");
        }
        let anybodys = signed(r#"{"version":2,"keys":["KEY"],"threshold":1}"#.replace("KEY", &line), &[&a, &b]);
        assert_eq!(reached(&set(1, 1, &[&a]), &[anybodys]).0, 2);
    }

    #[test]
    fn no_step_can_be_left_out_changed_or_taken_twice() {
        let (a, b, c) = (pair(), pair(), pair());
        // the old key stays in all of them: only the numbers tell that something is missing
        let (two, three) = (set(2, 1, &[&a, &b]), set(3, 1, &[&a, &c]));
        let (first, second) = (step(&two, &[&a, &b]), step(&three, &[&a, &c]));
        let start = set(1, 1, &[&a]);
        assert_eq!(reached(&start, &[first.clone(), second.clone()]), (3, String::new()));
        let (version, why) = reached(&start, std::slice::from_ref(&second));
        assert!(version == 1 && why.contains("makes version 3"), "{why}");
        let (version, why) = reached(&start, &[first.clone(), first.clone(), second.clone()]);
        assert!(version == 2 && why.contains("makes version 2"), "{why}");
        let (version, why) = reached(&start, &[second.clone(), first.clone()]);
        assert!(version == 1 && !why.is_empty());
        let changed = SignedStep { signed: first.signed.replace("\"threshold\":1", "\"threshold\": 1"), ..first.clone() };
        assert_eq!(reached(&start, &[changed]).0, 1);
        // an older chain does not take back where a device stands
        assert_eq!(reached(&three, std::slice::from_ref(&first)), (3, String::new()));
        assert_eq!(reached(&three, &[]), (3, String::new()));
        assert_eq!(walk(&start, "pikit", &vec![first; STEPS_MAX + 1]).set.version(), 1);
    }

    #[test]
    fn a_key_that_was_removed_leads_nobody_who_knows_that() {
        let (stolen, b, evil) = (pair(), pair(), pair());
        let two = set(2, 1, &[&b]);
        let honest = step(&two, &[&stolen, &b]);
        let thief = step(&set(3, 1, &[&evil]), &[&stolen, &evil]);
        let (version, why) = reached(&set(1, 1, &[&stolen]), &[honest.clone(), thief.clone()]);
        assert!(version == 2 && why.contains("the old keys have not agreed"), "{why}");
        // nor can it talk a device out of the step that removed it, by naming the set that the device has
        let fork = step(&set(2, 1, &[&stolen]), &[&stolen]);
        assert_eq!(reached(&two, &[fork.clone(), thief.clone()]).0, 2);
        // and a stranger cannot put a device above the steps that are to come
        let high = step(&set(2, 1, &[&stolen]), &[&evil]);
        assert_eq!(reached(&set(1, 1, &[&stolen]), &[high, honest]).0, 1);
    }

    #[test]
    fn back_to_earlier_keys_is_a_step_like_any_other() {
        let (a, b, c) = (pair(), pair(), pair());
        let steps = [step(&set(2, 1, &[&b]), &[&a, &b]), step(&set(3, 1, &[&a]), &[&b, &a]), step(&set(4, 1, &[&c]), &[&a, &c])];
        for start in [set(1, 1, &[&a]), set(1, 1, &[&b])] {
            assert_eq!(reached(&start, &steps[..2]), (3, String::new()));
            assert_eq!(reached(&start, &steps), (4, String::new()));
        }
    }
}
