//! The table: its lines, and its place in the documentation.

use std::fmt;
use std::fs;

use gantry_testkit::Runtime;

/// What one property reads with each runtime, in the order of [`Runtime::ALL`].
pub(crate) struct Line {
    pub(crate) section: &'static str,
    pub(crate) property: String,
    pub(crate) value: String,
    pub(crate) answers: Vec<String>,
    pub(crate) wanted: Option<&'static str>,
}

/// Where the first runtime stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    All,
    Runc,
    Crun,
    Specification,
    Neither,
}

impl Line {
    /// Whether the first runtime reads as another, or as specified.
    pub(crate) fn passes(&self) -> bool {
        self.verdict() != Verdict::Neither
    }

    fn verdict(&self) -> Verdict {
        let [ours, runc, crun] = self.answers.as_slice() else { return Verdict::Neither };
        match (ours == runc, ours == crun) {
            // An empty answer shows nothing.
            _ if ours.is_empty() => Verdict::Neither,
            (true, true) => Verdict::All,
            (true, false) => Verdict::Runc,
            (false, true) => Verdict::Crun,
            (false, false) if self.wanted == Some(ours.as_str()) => Verdict::Specification,
            (false, false) => Verdict::Neither,
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} = {}: ", self.section, self.property, self.value)?;
        match self.verdict() {
            Verdict::All => write!(f, "{}", self.answers[0]),
            _ => {
                let answers = Runtime::ALL.iter().zip(&self.answers);
                let answers: Vec<String> = answers.map(|(r, a)| format!("{} [{a}]", r.name())).collect();
                write!(f, "{}", answers.join(", "))
            }
        }
    }
}

/// The table in numbers.
pub(crate) fn summary(lines: &[Line]) -> String {
    let count = |verdict| lines.iter().filter(|line| line.verdict() == verdict).count();
    format!(
        "{} rows: {} read the same with all three, {} as with runc only, {} as with crun only, {} as specified where \
         both others differ, {} fail.",
        lines.len(),
        count(Verdict::All),
        count(Verdict::Runc),
        count(Verdict::Crun),
        count(Verdict::Specification),
        count(Verdict::Neither),
    )
}

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runtime.md");
const BEGIN: &str = "<!-- table: begin -->\n";
const END: &str = "<!-- table: end -->\n";

/// Replaces the table in the documentation.
pub(crate) fn write(lines: &[Line]) {
    let text = fs::read_to_string(PATH).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the table has a beginning");
    let (_, after) = rest.split_once(END).expect("the table has an end");
    let table = format!("{}\n{}", summary(lines), markdown(lines));
    fs::write(PATH, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}

/// The summary of all lines and those about version 2 of cgroups.
pub(crate) fn of_version_2(lines: &[Line]) -> String {
    let about = lines.iter().filter(|line| line.section.contains("version 2"));
    format!("{}\n{}", summary(lines), markdown(about))
}

fn markdown<'a>(lines: impl IntoIterator<Item = &'a Line>) -> String {
    let mut table = String::new();
    let mut section = "";
    for line in lines {
        if line.section != section {
            section = line.section;
            table +=
                &format!("\n### {section}\n\n| property | set to | reads | |\n| --- | --- | --- | --- |\n");
        }
        let [ours, runc, crun] = line.answers.as_slice() else { continue };
        let note = match line.verdict() {
            Verdict::All => String::new(),
            Verdict::Runc => format!("as runc; crun: {}", cell(crun)),
            Verdict::Crun => format!("as crun; runc: {}", cell(runc)),
            Verdict::Specification => {
                format!("as specified; runc: {}; crun: {}", cell(runc), cell(crun))
            }
            Verdict::Neither => format!("**differs**; runc: {}; crun: {}", cell(runc), cell(crun)),
        };
        table += &format!("| {} | {} | {} | {note} |\n", cell(&line.property), cell(&line.value), cell(ours));
    }
    table
}

fn cell(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", text.replace('|', "\\|").replace('`', "'")) }
}
