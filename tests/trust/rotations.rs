//! Sequences of changes of keys, with the names that The Update Framework's conformance suite gives them: who must sign what.

use pikit_updater::release::keyset::KeySet;
use pikit_updater::release::manifest::SignedStep;
use pikit_updater::release::{PublicKey, steps};

use super::*;

/// Keys, threshold and signers of one version; keys by number.
type Version = (&'static [usize], usize, &'static [usize]);

const FIVE: &[usize] = &[0, 1, 2, 3, 4];
const ROTATED: &[usize] = &[0, 1, 3, 4, 5];
const OTHERS: &[usize] = &[5, 6, 7, 8, 9];

/// Name, versions, and whether the last of them is reached.
const CASES: [(&str, &[Version], bool); 15] = [
    ("1-of-1-key-rotation", &[(&[1], 1, &[1]), (&[2], 1, &[2, 1]), (&[2], 1, &[2])], true),
    ("1-of-1-key-rotation-unused-signatures", &[(&[1], 1, &[3, 1, 4]), (&[2], 1, &[3, 2, 1, 4]), (&[2], 1, &[3, 2, 4])], true),
    ("3-of-5-sign-with-different-keycombos", &[(FIVE, 3, &[0, 2, 4]), (FIVE, 3, &[0, 4, 1]), (FIVE, 3, &[0, 1, 3]), (FIVE, 3, &[0, 1, 3])], true),
    ("3-of-5-one-key-rotated", &[(FIVE, 3, &[0, 2, 4]), (ROTATED, 3, &[0, 4, 1])], true),
    ("3-of-5-one-key-rotated-with-intermediate-step", &[(FIVE, 3, &[0, 2, 4]), (ROTATED, 3, &[0, 2, 4, 5]), (ROTATED, 3, &[0, 4, 5])], true),
    ("3-of-5-all-keys-rotated-with-intermediate-step", &[(FIVE, 3, &[0, 2, 4]), (OTHERS, 3, &[0, 2, 4, 5, 6, 7]), (OTHERS, 3, &[5, 6, 7])], true),
    ("1-of-3-threshold-increase-to-2-of-3", &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[1, 2])], true),
    ("2-of-3-threshold-decrease-to-1-of-3", &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1, 2]), (&[1, 2, 3], 1, &[1])], true),
    ("1-of-2-threshold-increase-to-2-of-2", &[(&[1], 1, &[1]), (&[1, 2], 2, &[1, 2])], true),
    ("1-of-1-key-rotation-fail-not-signed-with-old-key", &[(&[1], 1, &[1]), (&[2], 1, &[2, 3, 4])], false),
    ("1-of-1-key-rotation-fail-not-signed-with-new-key", &[(&[1], 1, &[1]), (&[2], 1, &[1, 3, 4])], false),
    ("3-of-5-one-key-rotate-fails-not-signed-with-3-new-keys", &[(FIVE, 3, &[0, 2, 4]), (ROTATED, 3, &[0, 2, 4])], false),
    ("3-of-5-one-key-rotate-fails-not-signed-with-3-old-keys", &[(FIVE, 3, &[0, 2, 4]), (ROTATED, 3, &[0, 4, 5])], false),
    ("1-of-3-threshold-bump-to-2-of-3-fails-new-threshold-not-reached", &[(&[1, 2, 3], 1, &[1]), (&[1, 2, 3], 2, &[2])], false),
    ("2-of-3-threshold-decr-to-1-of-3-fails-old-threshold-not-reached", &[(&[1, 2, 3], 2, &[1, 2]), (&[1, 2, 3], 1, &[1])], false),
];

#[test]
fn each_sequence_ends_where_the_framework_says() {
    let keys: Vec<Key> = (0..10).map(|_| Key::new()).collect();
    let pick = |numbers: &[usize]| numbers.iter().map(|n| &keys[*n]).collect::<Vec<&Key>>();
    for (name, versions, reached) in CASES {
        let set = |n: usize| {
            let (numbers, threshold, _) = versions[n];
            let lines = pick(numbers).iter().map(|k| PublicKey::parse(&k.line()).unwrap()).collect();
            KeySet::new(n as u64 + 1, lines, threshold).unwrap()
        };
        let chain: Vec<SignedStep> = (1..versions.len())
            .map(|n| {
                let (numbers, threshold, signers) = versions[n];
                serde_json::from_value(maintainer::step(n as u64 + 1, &pick(numbers), threshold, &pick(signers))).unwrap()
            })
            .collect();
        let walked = steps::walk(&set(0), "pikit", &chain);
        assert_eq!(walked.stopped.is_none(), reached, "{name}: {:?}", walked.stopped);
        if reached {
            assert!(walked.set.same(&set(versions.len() - 1)), "{name}");
        } else {
            assert!(walked.set.same(&set(versions.len() - 2)), "{name}: a step that is refused changes nothing");
        }
    }
}
