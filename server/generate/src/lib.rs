//! `PROGRAM --generate DIRECTORY`: man pages and shell completions, made of the program's own command line.
//!
//! Each of our programs calls [`asked`] before it reads its arguments, since the flag stands alone: whatever else a
//! program requires is not needed for this. What is made so is what packages and the release carry.

use clap::{Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The flag, as it is typed.
const FLAG: &str = "--generate";
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Does what was asked for if it was this, and says how the program ends.
pub fn asked<T: CommandFactory>() -> Option<ExitCode> {
    let directory = directory(std::env::args_os().skip(1))?;
    let name = T::command().get_name().to_owned();
    match generate(T::command(), &directory) {
        Ok(files) => {
            files.iter().for_each(|file| println!("{}", file.display()));
            Some(ExitCode::SUCCESS)
        }
        Err(error) => {
            eprintln!("{name}: cannot write to {}: {error}", directory.display());
            Some(ExitCode::FAILURE)
        }
    }
}

/// The flag for the program's help and for its completions; [`asked`] is who obeys it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flag {
    /// Write man pages and completions for bash, zsh and fish there, and do nothing else
    #[arg(long, value_name = "DIRECTORY", value_hint = ValueHint::DirPath, exclusive = true)]
    generate: Option<PathBuf>,
}

/// Writes all there is into `directory`, which is made if it is missing; returns what was written.
///
/// # Errors
/// The directory cannot be made or written to.
pub fn generate(mut command: Command, directory: &Path) -> io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)?;
    // What help says of itself is no page.
    let mut paged = command.clone().disable_help_subcommand(true);
    paged.build();
    let name = command.get_name().to_owned();
    let mut files = Vec::new();
    for shell in SHELLS {
        files.push(clap_complete::generate_to(shell, &mut command, &name, directory)?);
    }
    pages(&paged, directory, &mut files)?;
    Ok(files)
}

/// A page for the command, and one for each of those below it that are shown: as `git-commit.1` stands beside `git.1`.
fn pages(command: &Command, directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    files.push(clap_mangen::Man::new(command.clone()).generate_to(directory)?);
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| pages(below, directory, files))
}

/// The directory, if the flag is what the command line begins with.
fn directory(mut arguments: impl Iterator<Item = OsString>) -> Option<PathBuf> {
    let first = arguments.next()?;
    if first == FLAG {
        // Without a value clap complains.
        return arguments.next().map(PathBuf::from);
    }
    first.to_str()?.strip_prefix(FLAG)?.strip_prefix('=').map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, Args as _};
    use std::collections::BTreeSet;

    fn program() -> Command {
        let hidden = Command::new("inner").hide(true);
        let run = Command::new("run").about("Runs it").arg(Arg::new("fast").long("fast").help("At once"));
        Flag::augment_args(Command::new("tool").version("1").about("A tool")).subcommand(run).subcommand(hidden)
    }

    #[test]
    fn pages_and_completions_of_all_that_is_shown_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("new");

        let files = generate(program(), &below).unwrap();

        let names: BTreeSet<_> =
            files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy().into_owned()).collect();
        assert_eq!(names, ["_tool", "tool-run.1", "tool.1", "tool.bash", "tool.fish"].map(str::to_owned).into());
        let page = std::fs::read_to_string(below.join("tool-run.1")).unwrap();
        assert!(page.contains("Runs it") && page.contains("At once"), "{page}");
        assert!(std::fs::read_to_string(below.join("tool.bash")).unwrap().contains("--fast"));
    }

    #[test]
    fn flag_stands_at_the_front_and_has_a_value() {
        for (typed, expected) in [
            (&["--generate", "out"][..], Some("out")),
            (&["--generate=out"], Some("out")),
            (&["--generate"], None),
            (&["--generated", "out"], None),
            (&["host", "--generate", "out"], None),
            (&[], None),
        ] {
            let arguments = typed.iter().map(OsString::from);
            assert_eq!(directory(arguments), expected.map(PathBuf::from), "{typed:?}");
        }
    }
}
