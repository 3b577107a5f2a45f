//! Runs batches with each runtime.

use std::fs;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::{self, available_parallelism};

use gantry_testkit::{Bundle, Runtime, RuntimeCommand, Scratch};
use serde_json::{Value, json};

use crate::rows::{Batch, Kind, Row};
use crate::table::Line;

/// Precedes each answer in the output.
const MARK: &str = "@@@";

/// In the place of an answer: see [`asks_the_slow_one_only_if_needed`].
pub(crate) const NOT_ASKED: &str = "(not asked)";

/// Whether runc has a say only where the other two disagree, as in the guest, where each of its commands takes seconds. A row
/// fails that differs from both, so the verdicts are the same.
pub(crate) fn asks_the_slow_one_only_if_needed() -> bool {
    std::env::var_os("GANTRY_RUNC_IF_NEEDED").is_some()
}

/// Runs all batches, as many at a time as there are processors, each of those with a bundle of its own.
pub(crate) fn all(batches: Vec<Batch>) -> Vec<Line> {
    let queue = Mutex::new(batches.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let work = |mut runner: Runner| {
        loop {
            let Some((number, batch)) = queue.lock().unwrap().next() else { break };
            let lines = runner.run(batch);
            done.lock().unwrap().push((number, lines));
        }
    };
    let workers = available_parallelism().map_or(1, NonZero::get);
    // Complete before anything is started: a program cannot be executed while a child of another thread has it open.
    let runners: Vec<Runner> = (0..workers).map(|_| Runner::new()).collect();
    let work = &work;
    thread::scope(|scope| {
        for runner in runners {
            scope.spawn(move || work(runner));
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().flat_map(|(_, lines)| lines).collect()
}

/// Whether the first runtime was built with system call filters.
pub(crate) fn has_filters() -> bool {
    let features = Runtime::BuiltIn.command(&Scratch::new()).subcommand("features").output().unwrap();
    let features: Value = serde_json::from_slice(&features.stdout).unwrap();
    features["linux"]["seccomp"]["enabled"] == json!(true)
}

/// A bundle for each batch in turn, and the runtimes.
struct Runner {
    bundle: Bundle,
    base: Value,
    out: PathBuf,
    runtimes: Vec<(Runtime, RuntimeCommand)>,
}

impl Runner {
    fn new() -> Self {
        let scratch = Scratch::new();
        let bundle = Bundle::busybox_in(&scratch).build();
        let base = bundle.config().clone();
        let out = scratch.path().join("out");
        fs::create_dir(&out).unwrap();
        for folder in ["bind", "bind/sub", "bind/sub/sub"] {
            fs::create_dir(scratch.path().join(folder)).unwrap();
        }
        fs::write(scratch.path().join("bind/file"), "content\n").unwrap();
        let rootfs = bundle.rootfs();
        fs::create_dir_all(rootfs.join("paths/directory/below")).unwrap();
        fs::write(rootfs.join("paths/file"), "content\n").unwrap();
        fs::write(rootfs.join("paths/directory/file"), "content\n").unwrap();
        std::os::unix::fs::symlink("/paths/directory", rootfs.join("paths/link")).unwrap();
        let runtimes = Runtime::ALL.map(|runtime| (runtime, runtime.command(&scratch))).into();
        Self { bundle, base, out, runtimes }
    }

    /// Runs a batch with all runtimes.
    fn run(&mut self, batch: Batch) -> Vec<Line> {
        let runtimes = self.runtimes.clone();
        if std::env::var_os("GANTRY_REASONS").is_some() {
            eprintln!("{}: {} = {} ...", batch.section, batch.rows[0].property, batch.rows[0].value);
        }
        let mut answers = vec![vec![NOT_ASKED.to_owned(); batch.rows.len()]; runtimes.len()];
        // Ours, then the one that answers quickest.
        for number in [0, 2, 1] {
            let (Some((asked, runtime)), is_agreed) = (runtimes.get(number), answers[0] == answers[2]) else {
                continue;
            };
            if *asked == Runtime::Runc && is_agreed && asks_the_slow_one_only_if_needed() {
                continue;
            }
            answers[number] = self.one_by_one_if_needed(&batch, runtime);
        }
        let line = |(number, row): (usize, Row)| Line {
            section: batch.section,
            property: row.property,
            value: row.value,
            answers: answers.iter().map(|answers| answers[number].clone()).collect(),
            wanted: row.wanted,
        };
        batch.rows.into_iter().enumerate().map(line).collect()
    }

    /// What the rows of a batch read, each in a container of its own where there is none for all.
    fn one_by_one_if_needed(&mut self, batch: &Batch, runtime: &RuntimeCommand) -> Vec<String> {
        let rows: Vec<&Row> = batch.rows.iter().collect();
        self.answers(batch, &rows, runtime).unwrap_or_else(|_| {
            let one = |row| match self.answers(batch, &[row], runtime) {
                Ok(answer) => answer.concat(),
                Err(reason) if std::env::var_os("GANTRY_REASONS").is_some() => reason,
                Err(_) => "refused".to_owned(),
            };
            batch.rows.iter().map(one).collect()
        })
    }

    /// What some rows of a batch read in one container; the reason if it does not run.
    fn answers(
        &mut self,
        batch: &Batch,
        rows: &[&Row],
        runtime: &RuntimeCommand,
    ) -> Result<Vec<String>, String> {
        let mut config = self.base.clone();
        (batch.base)(&mut config);
        for row in rows {
            (row.change)(&mut config);
        }
        let script = |of: &dyn Fn(&Row) -> String| {
            rows.iter().map(|row| format!("echo {MARK}\n{}\n", of(row))).collect::<String>()
        };
        let inside = match batch.kind {
            Kind::Inside => script(&|row| format!("{{ {}; }} 2>&1", row.probe)),
            Kind::Host => "true".to_owned(),
            Kind::Runs => format!("echo {MARK}; echo runs"),
        };
        if config["process"]["args"] == json!(["true"]) {
            config["process"]["args"] = json!(["sh", "-c", inside]);
        }
        let scratch = self.bundle.scratch().path().to_str().unwrap().to_owned();
        let config: Value = serde_json::from_str(&config.to_string().replace("$SCRATCH", &scratch)).unwrap();
        self.bundle.rewrite(|old| *old = config);
        let _ = fs::remove_dir_all(&self.out);
        fs::create_dir(&self.out).unwrap();
        let mut command = runtime.subcommand("run");
        command.arg("--bundle").arg(self.bundle.path()).arg(self.bundle.id());
        let ran = command.stdin(Stdio::null()).output().unwrap();
        let mut text = String::from_utf8_lossy(&ran.stdout).into_owned();
        if !ran.status.success() && !text.contains(MARK) || batch.kind == Kind::Runs && !text.contains("runs")
        {
            let _ = runtime.subcommand("delete").args(["--force", self.bundle.id()]).output();
            return Err(String::from_utf8_lossy(&ran.stderr).trim().to_owned());
        }
        if batch.kind == Kind::Host {
            let script = script(&|row| row.probe.clone());
            let read = Command::new("sh").arg("-c").arg(script).env("OUT", &self.out).output().unwrap();
            text = String::from_utf8_lossy(&read.stdout).into_owned();
        }
        let answers: Vec<String> = text.split(MARK).skip(1).map(|answer| self.plain(answer)).collect();
        if answers.len() == rows.len() { Ok(answers) } else { Err(format!("unexpected output: {text}")) }
    }

    /// One line, without what is this run's alone.
    fn plain(&self, answer: &str) -> String {
        let line =
            answer.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        let scratch = self.bundle.scratch();
        let line = line.replace(self.bundle.id(), "ID").replace(scratch.path().to_str().unwrap(), "SCRATCH");
        line.replace(scratch.cgroup(), "CGROUP")
    }
}
