//! Man pages and shell completions from a command line's definition.
//!
//! Each program links this only in builds with its feature `docs`, and then, instead of its work, writes its pages into
//! the folder that `GANTRY_DOCS` names ([`write_if_asked`]): what is installed says what the program does, and a
//! release carries none of this. `scripts/docs.sh` runs them all.

use clap::Command;
use clap_complete::Shell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Names the folder to write into.
const VARIABLE: &str = "GANTRY_DOCS";

/// Where a page belongs in the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Programs for everybody.
    User,
    /// Programs for administrators.
    System,
}

impl Section {
    fn number(self) -> &'static str {
        match self {
            Self::User => "1",
            Self::System => "8",
        }
    }
}

/// Writes the pages of `command` if the environment asks for it; then the program has nothing else to do.
///
/// # Errors
/// When a file cannot be written.
pub fn write_if_asked(section: Section, command: impl FnOnce() -> Command) -> io::Result<bool> {
    match env::var_os(VARIABLE) {
        Some(folder) => write(&PathBuf::from(folder), section, command()).map(|()| true),
        None => Ok(false),
    }
}

/// Writes `man/<page>.<section>` for the command and each of its subcommands, and completions for bash, zsh and fish,
/// each where a package puts them below `share`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, section: Section, mut command: Command) -> io::Result<()> {
    let man = folder.join("man").join(format!("man{}", section.number()));
    fs::create_dir_all(&man)?;
    command.build();
    pages(&man, section, &command, command.get_name())?;
    let name = command.get_name().to_owned();
    for (shell, below, file) in [
        (Shell::Bash, "bash-completion/completions", name.clone()),
        (Shell::Zsh, "zsh/vendor-completions", format!("_{name}")),
        (Shell::Fish, "fish/vendor_completions.d", format!("{name}.fish")),
    ] {
        let below = folder.join(below);
        fs::create_dir_all(&below)?;
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut command, &name, &mut text);
        fs::write(below.join(file), text)?;
    }
    Ok(())
}

fn pages(man: &Path, section: Section, command: &Command, name: &str) -> io::Result<()> {
    // Hidden ones are nobody's business, and `help` explains itself.
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set() && inner.get_name() != "help")
    {
        pages(man, section, inner, &format!("{name}-{}", inner.get_name()))?;
    }
    let source = format!("Gantry {}", env!("CARGO_PKG_VERSION"));
    let page = clap_mangen::Man::new(command.clone().name(name.to_owned()).version(None::<&str>))
        .title(name.to_uppercase())
        .section(section.number())
        .source(source)
        // No date: the same source makes the same page.
        .date("");
    let mut text = Vec::new();
    page.render(&mut text)?;
    fs::write(man.join(OsString::from(format!("{name}.{}", section.number()))), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn every_command_has_a_page_and_every_shell_its_completions() {
        let folder = tempfile::tempdir().unwrap();
        let run = Command::new("run").about("Runs it").arg(Arg::new("rm").long("rm").help("Removes it"));
        let hidden = Command::new("internal").hide(true);
        let command =
            Command::new("tool").version("1.2.3").about("Does it").subcommand(run).subcommand(hidden);
        write(folder.path(), Section::User, command).unwrap();
        let read = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
        assert!(read("man/man1/tool.1").contains("Does it"));
        assert!(read("man/man1/tool-run.1").contains("Removes it"));
        assert!(!folder.path().join("man/man1/tool-internal.1").exists());
        for path in [
            "bash-completion/completions/tool",
            "zsh/vendor-completions/_tool",
            "fish/vendor_completions.d/tool.fish",
        ] {
            assert!(read(path).contains("rm"), "{path}");
        }
    }
}
