//! Both generations of runtimes: those that send a terminal to a socket, and those of dockerd 1.11 to 17.03, which take the
//! path of one and write capabilities as one list.

use crate::support::{Api, KILLED, SIGKILL, SOON, create_request, exec_request};
use gantry_api::types::{AddProcessRequest, CreateContainerRequest, UpdateProcessRequest};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Leaks, Runtime, Scratch, StdioFifos, wait_until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Says when it is on a terminal, and tells its size when it is asked for it.
const SCRIPT: &str = "test -t 0 && test -t 2 && echo terminal; while read line; do stty size; done; exit 5";

/// `support/runtime-with-console-path.sh`, installed for one test.
struct Old {
    program: PathBuf,
}

impl Old {
    fn install(scratch: &Scratch) -> Self {
        let program = scratch.path().join("old-runtime");
        fs::write(&program, include_str!("support/runtime-with-console-path.sh")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { program }
    }

    fn name(&self) -> &str {
        self.program.to_str().unwrap()
    }

    fn commands(&self) -> Vec<String> {
        let log = fs::read_to_string(self.program.with_extension("log")).unwrap();
        log.lines().map(str::to_owned).collect()
    }
}

fn start(scratch: &std::sync::Arc<Scratch>) -> (Old, Daemon) {
    let old = Old::install(scratch);
    let real = Runtime::BuiltIn.command(scratch).program;
    let options =
        DaemonOptions::new(Runtime::BuiltIn).runtime_program(old.name()).env("GANTRY_REAL_RUNTIME", real);
    (old, Daemon::start_in(scratch, options))
}

/// A bundle of that time.
fn old_bundle(daemon: &Daemon, terminal: bool) -> Bundle {
    let mut bundle = daemon.bundle().shell(SCRIPT).terminal(terminal).build();
    let rootfs = bundle.rootfs();
    bundle.rewrite(|config| {
        config["root"]["path"] = json!(rootfs);
        config["process"]["capabilities"] = json!(["CAP_KILL"]);
    });
    bundle
}

/// Asks until the process has the size; it may not have come so far as to be asked.
fn has_size(api: &Api, id: &str, process: &str, stdio: &StdioFifos, size: (u32, u32)) {
    let lines = stdio.stdout.lines();
    let (id, pid) = (id.to_owned(), process.to_owned());
    let request = UpdateProcessRequest { id, pid, close_stdin: false, width: size.1, height: size.0 };
    api.update_process(request).unwrap();
    let expected = format!("{} {}", size.0, size.1);
    wait_until("the terminal's size", SOON, || {
        stdio.stdin.write("size?\n");
        // Past the greeting and the echo of the question.
        let is_size = |line: &String| line.split(' ').all(|word| word.parse::<u32>().is_ok());
        std::iter::from_fn(|| lines.next(SOON)).find(is_size).is_some_and(|line| line == expected)
    });
}

#[test]
fn a_runtime_that_takes_a_terminal_by_its_path() {
    let scratch = Scratch::new();
    let (old, daemon) = start(&scratch);
    let leaks = Leaks::snapshot(&scratch);
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = old_bundle(&daemon, true);
    let id = bundle.id();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    let exec_stdio = StdioFifos::create(&bundle.path().join("io"), "e1");
    api.create_with(&bundle, &stdio).unwrap();
    has_size(&api, id, "init", &stdio, (33, 111));
    let request = AddProcessRequest {
        terminal: true,
        stdin: exec_stdio.stdin.text(),
        stdout: exec_stdio.stdout.text(),
        capabilities: vec!["CAP_KILL".to_owned()],
        ..exec_request(id, "e1", &["sh", "-c", SCRIPT])
    };
    api.add_process(request).unwrap();
    has_size(&api, id, "e1", &exec_stdio, (22, 99));
    // The exec's process object has the form that the bundle has.
    let process: Value =
        serde_json::from_slice(&fs::read(old.program.with_extension("process")).unwrap()).unwrap();
    assert_eq!(process["capabilities"], json!(["CAP_KILL"]));

    let commands = old.commands();
    let of = |word: &str| {
        let of: Vec<&String> = commands.iter().filter(|line| line.contains(&format!(" {word} "))).collect();
        assert_eq!(of.len(), 1, "{commands:?}");
        of[0].clone()
    };
    for line in [of("create"), of("exec")] {
        let (_, path) = line.split_once(" --console ").unwrap_or_else(|| panic!("{line}"));
        assert!(path.starts_with("/dev/pts/"), "{line}");
    }
    let asked = commands.iter().filter(|line| line.contains("--help")).count();
    assert_eq!(asked, 1, "each program is asked once: {commands:?}");

    // Ctrl-D: the terminal's end of file.
    exec_stdio.stdin.write("\u{4}");
    assert_eq!(events.exit_of(id, "e1"), 5);
    api.signal(id, "init", SIGKILL).unwrap();
    assert_eq!(events.exit_of(id, "init"), KILLED);
    leaks.assert_clean();
}

#[test]
fn without_a_terminal_it_is_told_of_none_and_not_even_asked() {
    let scratch = Scratch::new();
    let (old, daemon) = start(&scratch);
    let leaks = Leaks::snapshot(&scratch);
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let bundle = old_bundle(&daemon, false);
    let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
    api.create_with(&bundle, &stdio).unwrap();
    // Until this client goes, its end of file is not the process's: nobody would be left to open the FIFO for.
    let client = stdio.stdin.writer();
    api.update_process(UpdateProcessRequest {
        id: bundle.id().to_owned(),
        pid: "init".to_owned(),
        close_stdin: true,
        ..Default::default()
    })
    .unwrap();
    drop(client);
    assert_eq!(events.exit_of(bundle.id(), "init"), 5);
    let commands = old.commands();
    assert!(
        commands.iter().all(|line| !line.contains("--console") && !line.contains("--help")),
        "{commands:?}"
    );
    leaks.assert_clean();
}

#[test]
fn both_generations_in_one_daemon_and_one_in_the_place_of_the_other() {
    let scratch = Scratch::new();
    let (old, daemon) = start(&scratch);
    let leaks = Leaks::snapshot(&scratch);
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let real = Runtime::BuiltIn.command(&scratch);
    let mut run = |program: &str| {
        let bundle = old_bundle(&daemon, true);
        let stdio = StdioFifos::create(&bundle.path().join("io"), "init");
        let (stdin, stdout) = (stdio.stdin.text(), stdio.stdout.text());
        let (runtime, runtime_args) = (program.to_owned(), real.args.clone());
        let request =
            CreateContainerRequest { stdin, stdout, runtime, runtime_args, ..create_request(&bundle) };
        api.create(request).unwrap();
        has_size(&api, bundle.id(), "init", &stdio, (30, 70));
        api.signal(bundle.id(), "init", SIGKILL).unwrap();
        assert_eq!(events.exit_of(bundle.id(), "init"), KILLED);
    };
    run(old.name());
    run(&real.program);
    run(old.name());
    // An upgrade of the runtime under the running daemon.
    replace(&old.program, &format!("#!/bin/sh\nexec {} \"$@\"\n", real.program));
    run(old.name());
    leaks.assert_clean();
}

fn replace(program: &Path, script: &str) {
    let new = program.with_extension("new");
    fs::write(&new, script).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(new, program).unwrap();
}
