//! Command lines in the pages are understood by the very parser of the program, and what stands in blocks for a shell is shell.

use std::process::Command;

use clap::Parser;
use pikit_updater::cli::args::Cli;

use crate::support::pages::{blocks, pages, read};

/// The lines of a block that are typed: in `console` those after a prompt.
fn typed(language: &str, text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let lines = joined.lines().map(str::trim);
    match language {
        "console" => lines.filter_map(|l| l.strip_prefix("$ ")).map(str::to_owned).collect(),
        _ => lines.map(str::to_owned).collect(),
    }
}

/// The words of each run of the program in a line, up to where a shell would end it.
fn runs(line: &str) -> Vec<Vec<String>> {
    let mut words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    if let Some(at) = words.iter().position(|w| w.starts_with('#')) {
        words.truncate(at);
    }
    let ends = |w: &String| ["|", "||", "&&", ";", ">", "<", "then"].contains(&w.as_str());
    let commands = words.split(ends).map(|c| c.iter().map(|w| w.trim_matches(['"', '\'']).to_owned()).collect::<Vec<_>>());
    let of_ours = |c: Vec<String>| {
        let c: Vec<String> = c.into_iter().skip_while(|w| w == "sudo").collect();
        (c.first().is_some_and(|w| w == "pikit-updater")).then_some(c)
    };
    commands.filter_map(of_ours).collect()
}

/// Every command line of a block, and in the text every `code` that begins with the program's name.
fn all() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for name in pages() {
        let page = read(&name);
        for (language, text) in blocks(&page).into_iter().filter(|(l, _)| ["sh", "console"].contains(&l.as_str())) {
            found.extend(typed(&language, &text).iter().flat_map(|line| runs(line)).map(|run| (name.clone(), run)));
        }
        let inline = crate::support::pages::prose(&page).split('`').skip(1).step_by(2).map(|c| c.replace('\n', " ")).collect::<Vec<_>>();
        found.extend(inline.iter().flat_map(|code| runs(code)).map(|run| (name.clone(), run)));
    }
    found
}

/// Words in capitals stand for something, and so do those in quotes of a shell; a value of the right shape takes their place.
fn filled(words: &[String]) -> Vec<String> {
    let fill = |w: &String| match w.as_str() {
        "VERSION" => "1.0.0".to_owned(),
        "MODE" => "check".to_owned(),
        "${GITHUB_REF_NAME#v}" => "1.0.0".to_owned(),
        other => other.to_owned(),
    };
    words.iter().map(fill).collect()
}

#[test]
fn every_command_line_in_the_pages_is_understood() {
    let all = all();
    let mut wrong = Vec::new();
    for (page, words) in &all {
        // a name alone, or with COMMAND, is a way of speaking; help and version come as errors that are none
        if words.len() == 1 || words.contains(&"COMMAND".to_owned()) {
            continue;
        }
        if let Err(why) = Cli::try_parse_from(filled(words))
            && why.use_stderr()
        {
            wrong.push(format!("{page}: {}\n    {}", words.join(" "), why.to_string().lines().next().unwrap_or_default()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.len() > 80, "only {} command lines were found", all.len());
}

#[test]
fn a_wrong_command_line_would_be_noticed() {
    for line in ["pikit-updater aply", "sudo pikit-updater apply --form x", "pikit-updater verify --repair --no-such", "pikit-updater sign | less"] {
        assert!(runs(line).iter().any(|run| Cli::try_parse_from(run).is_err()), "{line}");
    }
}

#[test]
fn every_command_is_in_the_table_of_commands() {
    let page = read("docs/commands.md");
    let command = <Cli as clap::CommandFactory>::command();
    let names: Vec<&str> = command.get_subcommands().filter(|c| !c.is_hide_set()).map(clap::Command::get_name).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}")), "docs/commands.md does not tell of {name}");
    }
}

#[test]
fn what_is_for_a_shell_is_shell() {
    for name in pages() {
        for (language, text) in blocks(&read(&name)).into_iter().filter(|(l, _)| ["sh", "console"].contains(&l.as_str())) {
            let script = typed(&language, &text).join("\n");
            let script = if language == "sh" { text.clone() } else { script };
            let ran = Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
            assert!(ran.status.success(), "{name}:\n{text}\n{}", String::from_utf8_lossy(&ran.stderr));
        }
    }
}
