//! Keys change: in band, step by step, and by hand.

use super::*;

/// Three generations of keys, and the steps between them.
struct Dynasty {
    second: Key,
    third: Key,
    steps: Vec<Value>,
}

fn dynasty(first: &Key) -> Dynasty {
    let (second, third) = (Key::new(), Key::new());
    let steps = vec![maintainer::step(2, &[&second], 1, &[first, &second]), maintainer::step(3, &[&third], 1, &[&second, &third])];
    Dynasty { second, third, steps }
}

#[test]
fn a_board_follows_its_maintainer_to_new_keys_and_does_not_believe_the_old_ones_any_more() {
    let board = Signed::new("keys-rotate");
    let keys = dynasty(&board.key);
    // signed by the new key alone: whoever did not follow the step would refuse it
    board.release_by("1.1.0", &[&keys.second], |m| m["trust"] = maintainer::trust(2, &[&keys.second], 1, &keys.steps[..1]));
    board.ok(&["apply", "-y"]);
    let trust = board.status()["trust"].clone();
    assert_eq!((&trust["version"], &trust["adopted"], &trust["keys"]), (&json!(2), &json!(true), &json!([keys.second.id()])));
    let said = board.ok(&["status"]).out;
    assert!(said.contains("version 2, adopted from a release") && said.contains(&keys.second.id()), "{said}");
    // the old key was changed for a reason
    board.release_signed("1.2.0", |_| {});
    board.only("1.2.0");
    board.refuses(&["apply", "-y"], 4, &["not signed by whom this device trusts", &keys.second.id()]);
}

#[test]
fn a_board_that_slept_through_two_changes_still_arrives() {
    let board = Signed::new("keys-slept");
    let keys = dynasty(&board.key);
    board.release_by("1.3.0", &[&keys.third], |m| m["trust"] = maintainer::trust(3, &[&keys.third], 1, &keys.steps));
    board.ok(&["apply", "-y"]);
    assert_eq!(board.status()["trust"]["version"], 3);
    assert_eq!(board.installed(), "1.3.0");
}

#[test]
fn a_step_that_not_both_sides_signed_or_that_is_missing_leads_nowhere() {
    let board = Signed::new("keys-gap");
    let keys = dynasty(&board.key);
    let thief = Key::new();
    let stolen = maintainer::step(2, &[&thief], 1, &[&thief]);
    let forced = maintainer::step(2, &[&keys.second], 1, &[&board.key]);
    for (who, steps, version) in [(&keys.third, vec![keys.steps[1].clone()], 3), (&thief, vec![stolen], 2), (&keys.second, vec![forced], 2)] {
        board.release_by("1.1.0", &[who], |m| m["trust"] = maintainer::trust(version, &[who], 1, &steps));
        board.only("1.1.0");
        board.refuses(&["apply", "-y"], 4, &["not signed by whom this device trusts", "the change to version 2 of the keys is refused"]);
    }
    assert_eq!(board.status()["trust"]["adopted"], false);
}

#[test]
fn a_replayed_step_does_not_bring_an_old_key_back() {
    let board = Signed::new("keys-replay");
    let keys = dynasty(&board.key);
    board.release_by("1.1.0", &[&keys.third], |m| m["trust"] = maintainer::trust(3, &[&keys.third], 1, &keys.steps));
    board.ok(&["apply", "-y"]);
    board.release_by("1.2.0", &[&keys.second], |m| m["trust"] = maintainer::trust(2, &[&keys.second], 1, &keys.steps[..1]));
    board.only("1.2.0");
    board.refuses(&["apply", "-y"], 4, &["not signed by whom this device trusts", &keys.third.id()]);
    assert_eq!(board.status()["trust"]["version"], 3);
}

#[test]
fn a_change_of_keys_holds_although_the_release_that_brought_it_is_refused() {
    let board = Signed::new("keys-kept");
    let keys = dynasty(&board.key);
    // a mirror serves the change with a release that the old key signed
    board.release_signed("1.1.0", |m| m["trust"] = maintainer::trust(2, &[&keys.second], 1, &keys.steps[..1]));
    board.only("1.1.0");
    let ran = board.run(&["apply", "-y"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    maintainer::edit(&board.dir("1.1.0"), |m| drop(m.as_object_mut().unwrap().remove("trust")));
    sign(&board.dir("1.1.0"), &[&board.key]);
    board.refuses(&["apply", "-y"], 4, &["not signed by whom this device trusts", &keys.second.id()]);
}

#[test]
fn fast_forward_a_stolen_key_cannot_shut_later_releases_out() {
    let board = Signed::new("keys-forward");
    let keys = dynasty(&board.key);
    board.release_signed("999.0.0", |m| m["released"] = json!("2037-01-01T00:00:00Z"));
    board.ok(&["check"]);
    board.withdraw("999.0.0");
    board.release_by("1.1.0", &[&keys.second], |m| m["trust"] = maintainer::trust(2, &[&keys.second], 1, &keys.steps[..1]));
    board.ok(&["apply", "-y"]);
    assert_eq!(board.installed(), "1.1.0");
    assert_eq!(board.status()["trust"]["highest"], "1.1.0");
}

#[test]
fn what_a_person_puts_into_the_folder_counts_from_then_on() {
    let board = Signed::new("keys-hand");
    let keys = dynasty(&board.key);
    board.release_by("1.1.0", &[&keys.second], |m| m["trust"] = maintainer::trust(2, &[&keys.second], 1, &keys.steps[..1]));
    board.ok(&["apply", "-y"]);
    // the second key is lost: the maintainer publishes another one, and people put it there by hand
    let by_hand = Key::new();
    board.write("etc/pikit/keys/maintainer.pub", by_hand.public());
    assert_eq!(board.status()["trust"]["keys"], json!([by_hand.id()]));
    board.release_by("1.2.0", &[&keys.second], |_| {});
    board.only("1.2.0");
    assert_eq!(board.run(&["check"]).code, 4); // what was adopted before is forgotten with the first look
    board.refuses(&["apply", "-y"], 4, &["not signed by whom this device trusts", &by_hand.id()]);
    sign(&board.dir("1.2.0"), &[&by_hand]);
    board.ok(&["apply", "-y"]);
    assert_eq!(board.status()["trust"]["adopted"], false);
}

#[test]
fn a_board_set_up_with_the_newest_key_follows_from_there() {
    let board = Signed::empty("keys-late");
    let keys = dynasty(&board.key);
    let fourth = Key::new();
    board.write("etc/pikit/keys/maintainer.pub", keys.third.public());
    let mut steps = keys.steps.clone();
    steps.push(maintainer::step(4, &[&fourth], 1, &[&keys.third, &fourth]));
    board.release_by("2.0.0", &[&fourth], |m| m["trust"] = maintainer::trust(4, &[&fourth], 1, &steps));
    board.ok(&["apply", "-y"]);
    assert_eq!(board.status()["trust"]["version"], 4);
}

#[test]
fn both_generations_of_the_memory_damaged_refuse_installs_and_not_the_way_back() {
    let board = Signed::new("keys-damaged");
    board.release_signed("1.1.0", |_| {});
    board.ok(&["apply", "-y"]);
    board.release_signed("1.2.0", |_| {});
    let (one, two) = ("var/lib/pikit-update/trust.json", "var/lib/pikit-update/trust.previous.json");
    let whole = board.text(one);
    board.write(one, whole.replace("1.1.0", "1.0.1"));
    assert!(board.has(two));
    board.ok(&["check"]);
    board.write(one, "rubbish");
    board.write(two, "rubbish");
    board.refuses(&["apply", "-y"], 4, &["cannot be read"]);
    board.ok(&["rollback", "-y"]);
    assert_eq!(board.installed(), "1.0.0");
}
