//! Completions and the manual page, made from the command line itself so that they cannot tell anything else.

use std::io::{self, Write};

use super::args::{Shell, command};
use crate::error::{Doing, Result};

/// `completions`.
///
/// # Errors
/// stdout does not take it.
pub fn completions(shell: Shell) -> Result<u8> {
    use clap_complete::{generate, shells};
    let mut text = Vec::new();
    let (mut command, name) = (without_hidden(command()), "pikit-updater");
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, name, &mut text),
        Shell::Zsh => generate(shells::Zsh, &mut command, name, &mut text),
        Shell::Fish => generate(shells::Fish, &mut command, name, &mut text),
    }
    print(&text)
}

/// Nobody types them, so nobody completes them.
fn without_hidden(command: clap::Command) -> clap::Command {
    let demo = clap::Command::new("demo")
        .about("Play the whole story in a sandbox")
        .arg(clap::Arg::new("dir").value_hint(clap::ValueHint::DirPath))
        .arg(clap::Arg::new("tour").long("tour").action(clap::ArgAction::SetTrue));
    command.mut_subcommand("demo", |_| demo)
}

/// `man`.
///
/// # Errors
/// stdout does not take it.
pub fn manual() -> Result<u8> {
    let mut command = command();
    command.build();
    let man = clap_mangen::Man::new(command.clone()).section("8").manual("Pi-Kit");
    let mut text = Vec::new();
    let parts = [clap_mangen::Man::render_title, clap_mangen::Man::render_name_section, clap_mangen::Man::render_synopsis_section];
    parts.iter().try_for_each(|part| part(&man, &mut text)).doing(|| "writing the manual page".into())?;
    text.extend_from_slice(DESCRIPTION.as_bytes());
    text.extend_from_slice(b".SH COMMANDS\n");
    commands(&command, "", &mut text);
    man.render_options_section(&mut text).doing(|| "writing the manual page".into())?;
    text.extend_from_slice(REST.as_bytes());
    print(&text)
}

fn commands(above: &clap::Command, prefix: &str, out: &mut Vec<u8>) {
    for command in above.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = format!("{prefix}{}", command.get_name());
        let mut words = vec![format!("\\fB{}\\fR", roff(&name))];
        for arg in command.get_positionals() {
            let name = format!("\\fI{}\\fR", roff(&arg.get_id().as_str().to_uppercase()));
            words.push(if arg.is_required_set() { name } else { format!("[{name}]") });
        }
        let mut text = format!(".TP\n{}\n{}\n", words.join(" "), roff(&command.get_about().map(ToString::to_string).unwrap_or_default()));
        let options: Vec<&clap::Arg> = command.get_arguments().filter(|a| !a.is_positional() && !a.is_global_set() && a.get_id() != "help").collect();
        if !options.is_empty() {
            text.push_str(".RS\n");
            for option in options {
                let long = option.get_long().map(|l| format!("--{l}"));
                let short = option.get_short().map(|s| format!("-{s}"));
                let value =
                    option.get_num_args().is_some_and(|n| n.takes_values()).then(|| option.get_value_names().map(|v| format!(" {}", v[0])).unwrap_or_default());
                let spelled = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ") + &value.unwrap_or_default();
                let help = option.get_help().map(ToString::to_string).unwrap_or_default();
                text.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", roff(&spelled), roff(&help)));
            }
            text.push_str(".RE\n");
        }
        out.extend_from_slice(text.as_bytes());
        commands(command, &format!("{name} "), out);
    }
}

/// Text as roff takes it: no backslash, dash or leading dot of its own.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    text.lines().map(|l| if l.starts_with(['.', '\'']) { format!("\\&{l}") } else { l.to_owned() }).collect::<Vec<_>>().join("\n")
}

fn print(bytes: &[u8]) -> Result<u8> {
    match io::stdout().lock().write_all(bytes) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).doing(|| "writing to stdout".into()),
        _ => Ok(0),
    }
}

const DESCRIPTION: &str = r".SH DESCRIPTION
Brings the managed paths of a board to a release, all or nothing. The new tree is built beside the live one, checked byte for byte
against the release's manifest, switched in by renaming, and tried; if a health check fails, the old tree comes back by itself.
A power cut at any moment leaves the old tree or the new one, never a mix, once \fBrecover\fR has run: every command that changes
something runs it first, and a board should run it at boot.
.SH EXAMPLES
.nf
pikit\-updater check
sudo pikit\-updater apply
sudo pikit\-updater apply 1.4.0 \-y
sudo pikit\-updater rollback
pikit\-updater status \-\-json | jq .current
.fi
";

const REST: &str = r".SH EXIT CODES
.TP
\fB0\fR
done, or nothing to do
.TP
\fB1\fR
unexpected
.TP
\fB2\fR
usage, or a config that does not parse
.TP
\fB3\fR
network or source
.TP
\fB4\fR
verification failed: hash, signature, format, downgrade, quarantine; \fBverify\fR found drift
.TP
\fB5\fR
refused before any change: disk space, a requirement; \fBdoctor\fR found a failure
.TP
\fB6\fR
failed and rolled back: the system is as before
.TP
\fB7\fR
failed and could not roll back: the message says what to do
.TP
\fB8\fR
another run holds the lock
.TP
\fB9\fR
permission
.TP
\fB10\fR
cancelled
.TP
\fB100\fR
an update is available (\fBcheck \-\-exit\-code\fR only)
.SH FILES
.TP
\fI/etc/pikit/updater.toml\fR
the config
.TP
\fI/etc/pikit/version\fR
the installed version, one line
.TP
\fI/var/lib/pikit\-update/\fR
state.json, the installed manifest, the journal, history and logs
.TP
\fI/var/tmp/pikit\-update/\fR
what was fetched and is not used yet
.TP
\fI/var/backups/pikit/\fR
backups
.TP
\fI/var/run/pikit\-update.lock\fR
the lock
.SH ENVIRONMENT
\fBNO_COLOR\fR turns colours off. \fBHTTP_PROXY\fR, \fBHTTPS_PROXY\fR and \fBNO_PROXY\fR are honoured. \fBSOURCE_DATE_EPOCH\fR dates what \fBpack\fR makes.
";
