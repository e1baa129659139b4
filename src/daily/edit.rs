//! `updater.toml` with another `[schedule]`: text in, text out. Comments, order, blank lines and everything else stay byte for byte;
//! where a key stands is the parser's word, and the result is read again before anybody writes it.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The text with these values in it; what is `None` stays as it is.
///
/// # Errors
/// The text is no TOML, or is written in a way that cannot be changed without changing more.
pub fn schedule(text: &str, action: Option<&str>, at: Option<&str>) -> Result<String, String> {
    let mut new = text.to_owned();
    // each goes before its neighbours, so that the action comes to stand first
    for (key, value) in [("at", at), ("action", action)] {
        if let Some(value) = value {
            new = with(&new, key, value)?;
        }
    }
    let mut wanted: toml::Table = toml::from_str(text).map_err(|e| e.message().to_owned())?;
    let section = wanted.entry("schedule").or_insert_with(|| toml::Table::new().into());
    if let Some(section) = section.as_table_mut() {
        let given = [("action", action), ("at", at)].into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.into())));
        section.extend(given);
    }
    let same = toml::from_str::<toml::Table>(&new).is_ok_and(|got| got == wanted || (action, at) == (None, None));
    if same { Ok(new) } else { Err("[schedule] is written in a way that is not understood; change action and at by hand".into()) }
}

/// One key of the section.
fn with(text: &str, key: &str, value: &str) -> Result<String, String> {
    let root = DeTable::parse(text).map_err(|e| e.message().to_owned())?;
    let eol = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let new = format!("{key} = \"{value}\"");
    let found = root.get_ref().iter().find(|(name, _)| name.get_ref() == "schedule").map(|(_, section)| (section.span(), section.get_ref()));
    let Some((span, DeValue::Table(section))) = found else {
        let gap = if text.is_empty() || text.ends_with('\n') { "" } else { eol };
        let blank = if text.is_empty() { "" } else { eol };
        return Ok(format!("{text}{gap}{blank}[schedule]{eol}{new}{eol}"));
    };
    if let Some((_, old)) = section.iter().find(|(name, _)| name.get_ref() == key) {
        let same = matches!(old.get_ref(), DeValue::String(old) if *old == value);
        return Ok(if same { text.to_owned() } else { spliced(text, old.span(), &format!("\"{value}\"")) });
    }
    if text[span.clone()].starts_with('{') {
        let comma = if section.is_empty() { "" } else { "," };
        let brace = span.start + 1;
        return Ok(spliced(text, brace..brace, &format!(" {new}{comma}")));
    }
    match section.iter().map(|(name, _)| name.span().start).min() {
        // as its first neighbour is written: indented, or `schedule.` before it
        Some(neighbour) => {
            let line = text[..neighbour].rfind('\n').map_or(0, |i| i + 1);
            let before = text[line..neighbour].trim_start_matches('\u{feff}');
            let at = neighbour - before.len();
            Ok(spliced(text, at..at, &format!("{before}{new}{eol}")))
        }
        // a header and nothing below it
        None => {
            let end = text[span.end..].find('\n').map_or(text.len(), |i| span.end + i + 1);
            let gap = if text[..end].ends_with('\n') { "" } else { eol };
            Ok(spliced(text, end..end, &format!("{gap}{new}{eol}")))
        }
    }
}

fn spliced(text: &str, place: Range<usize>, new: &str) -> String {
    format!("{}{new}{}", &text[..place.start], &text[place.end..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_value_changes_however_the_section_is_written() {
        let table = [
            (
                "a = 1\n[schedule] # daily\naction = \"check\"  # look\nat=\"04:20\"\n[x]\n",
                "a = 1\n[schedule] # daily\naction = \"install\"  # look\nat=\"05:00\"\n[x]\n",
            ),
            ("schedule = { action = 'off' } # all\nb = 2\n", "schedule = { at = \"05:00\", action = \"install\" } # all\nb = 2\n"),
            ("schedule = {}\n", "schedule = { action = \"install\", at = \"05:00\"}\n"),
            ("[ \"schedule\" ]\r\n  \"action\" = \"off\"\r\n", "[ \"schedule\" ]\r\n  at = \"05:00\"\r\n  \"action\" = \"install\"\r\n"),
            (
                "a = 1\nschedule . jitter = \"1m\" # j\n[x]\n",
                "a = 1\nschedule . action = \"install\"\nschedule . at = \"05:00\"\nschedule . jitter = \"1m\" # j\n[x]\n",
            ),
            ("[schedule]", "[schedule]\naction = \"install\"\nat = \"05:00\"\n"),
            ("[schedule] # here\n\n# at = \"1\"\n[x]\n", "[schedule] # here\naction = \"install\"\nat = \"05:00\"\n\n# at = \"1\"\n[x]\n"),
            ("[schedule]\ndays = [\n  \"mon\", # not much\n]\n", "[schedule]\naction = \"install\"\nat = \"05:00\"\ndays = [\n  \"mon\", # not much\n]\n"),
            ("a = 1 # [schedule]", "a = 1 # [schedule]\n\n[schedule]\naction = \"install\"\nat = \"05:00\"\n"),
            ("", "[schedule]\naction = \"install\"\nat = \"05:00\"\n"),
            (
                "t = \"\"\"\n[schedule]\naction = \"off\"\n\"\"\"\n",
                "t = \"\"\"\n[schedule]\naction = \"off\"\n\"\"\"\n\n[schedule]\naction = \"install\"\nat = \"05:00\"\n",
            ),
            ("[schedule]\naction = \"\"\"check\"\"\"\nat = '''04:20'''\n", "[schedule]\naction = \"install\"\nat = \"05:00\"\n"),
            ("\u{feff}[schedule]\naction = \"off\"\n", "\u{feff}[schedule]\nat = \"05:00\"\naction = \"install\"\n"),
            ("\u{feff}schedule.jitter = \"1m\"\n", "\u{feff}schedule.action = \"install\"\nschedule.at = \"05:00\"\nschedule.jitter = \"1m\"\n"),
        ];
        for (text, want) in table {
            assert_eq!(schedule(text, Some("install"), Some("05:00")).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_so_already_or_not_asked_for_stays_and_nonsense_is_refused() {
        let text = "[schedule]\naction = 'install' # mine\n";
        assert_eq!(schedule(text, Some("install"), None).as_deref(), Ok(text));
        assert_eq!(schedule(text, None, None).as_deref(), Ok(text));
        assert!(schedule("schedule = 7\n", Some("off"), None).is_err());
        assert!(schedule("[schedule\n", Some("off"), None).is_err());
        assert!(schedule("[[schedule]]\n", Some("off"), None).is_err());
    }

    fn eol() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("\n"), Just("\r\n")]
    }

    prop_compose! {
        /// A config of lines as people write them; the section in one of its forms, or not at all.
        fn config()(
            eol in eol(),
            above in prop::collection::vec(prop_oneof![Just("# ünïcode [schedule]"), Just("a = 1 # x"), Just(""), Just("  s = 'action = \"off\"'")], 0..1),
            form in 0..6,
            keys in prop::sample::subsequence(vec!["action = \"check\"", "  at = '03:10' # at", "\"jitter\" = \"5m\"", "days = [\"mon\"]", "# action = \"off\"", ""], 0..6).prop_shuffle(),
            below in prop::collection::vec(prop_oneof![Just("[api]"), Just("# end"), Just("")], 0..2),
            open in any::<bool>(),
        ) -> String {
            let mut lines: Vec<String> = above.into_iter().map(str::to_owned).collect();
            let plain: Vec<&str> = keys.iter().filter(|k| k.contains('=') && !k.trim_start().starts_with('#')).map(|k| k.split(" #").next().unwrap().trim()).collect();
            match form {
                0 => {}
                1 => lines.push(format!("schedule = {{ {} }}  # inline", plain.join(" , "))),
                2 => lines.extend(plain.iter().map(|k| format!("schedule.{k} # dotted"))),
                _ => {
                    lines.push("  [schedule]   # daily".into());
                    lines.extend(keys.iter().map(|k| (*k).to_owned()));
                }
            }
            lines.extend(below.into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().map(str::to_owned));
            lines.join(eol) + if open { "" } else { eol }
        }
    }

    proptest! {
        #[test]
        fn nothing_else_changes(text in config(), action in prop_oneof![Just("off"), Just("check"), Just("install")], at in prop::option::of("[01][0-9]:[0-5][0-9]")) {
            prop_assume!(toml::from_str::<toml::Table>(&text).is_ok());
            let new = schedule(&text, Some(action), at.as_deref()).unwrap();
            // the section says what was asked for, and the rest what it said before
            let parse = |t: &str| toml::from_str::<toml::Table>(t).unwrap();
            let (mut was, mut is) = (parse(&text), parse(&new));
            let (was_section, is_section) = (was.remove("schedule"), is.remove("schedule").unwrap());
            prop_assert_eq!(was, is);
            prop_assert_eq!(is_section["action"].as_str(), Some(action));
            let old_at = was_section.as_ref().and_then(|s| s.get("at")).and_then(|v| v.as_str().map(str::to_owned));
            prop_assert_eq!(is_section.get("at").and_then(|v| v.as_str().map(str::to_owned)), at.clone().or(old_at));
            // twice is once
            prop_assert_eq!(schedule(&new, Some(action), at.as_deref()).unwrap(), new.clone());
            // every line that says nothing of the two keys is there, in its order
            let others = |t: &str| t.lines().filter(|l| !l.contains("action") && !l.contains("at =") && !l.contains("schedule")).filter(|l| !l.trim().is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(others(&text), others(&new));
            let comments = |t: &str| t.matches('#').count();
            prop_assert_eq!(comments(&text), comments(&new));
            // line ends stay what they are
            prop_assert!(!text.contains('\r') || !new.replace("\r\n", "").contains('\n'));
        }
    }
}
