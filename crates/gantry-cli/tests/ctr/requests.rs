//! What ctr sends for what was typed.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use gantry_api::types::{Checkpoint, CreateContainerRequest, UpdateResource};

use super::{Setup, files};

#[test]
fn start_sends_all_of_its_flags() {
    let setup = Setup::new();
    let bundle = setup.bundle("bundle", "true");
    let relative = format!("{bundle}/../bundle/.");
    let args = ["containers", "start", "-l", "a=b", "--label", "c", "--no-pivot", "--runtime=crun"];
    let rest = ["--runtime-args", "--root=/x", "-runtime-args", "-v", "-checkpoint-dir=/c", "web", &relative];
    let forms = setup.run(&[&args[..], &rest].concat());
    assert_eq!((forms.status, &*forms.stderr), (1, "[ctr] Cannot use two forms of the same flag: l label\n"));
    let args = ["containers", "start", "-l", "a=b", "-l", "c", "--no-pivot", "--runtime=crun", "-c", "one"];
    setup.run(&[&args[..], &rest].concat()).expect(0, "", "");

    let request = setup.daemon.shared().creates.lock().unwrap()[0].clone();
    let expected = CreateContainerRequest {
        id: "web".into(),
        bundle_path: bundle,
        checkpoint: "one".into(),
        labels: vec!["a=b".into(), "c".into()],
        no_pivot_root: true,
        runtime: "crun".into(),
        runtime_args: vec!["--root=/x".into(), "-v".into()],
        checkpoint_dir: "/c".into(),
        stdin: request.stdin.clone(),
        stdout: request.stdout.clone(),
        stderr: request.stderr.clone(),
    };
    assert_eq!(request, expected);
    let prefix = setup.path_text("tmp/ctr-");
    for (path, name) in [(&request.stdin, "stdin"), (&request.stdout, "stdout"), (&request.stderr, "stderr")]
    {
        assert!(path.starts_with(&prefix) && path.ends_with(&format!("/{name}")), "{path}");
    }
    assert!(setup.temporary_files().is_empty());
}

#[test]
fn the_runtime_is_runc_unless_named() {
    let setup = Setup::new();
    let bundle = setup.bundle("bundle", "true");
    setup.run(&["containers", "start", "web", &bundle]).expect(0, "", "");
    let request = setup.daemon.shared().creates.lock().unwrap()[0].clone();
    assert_eq!((request.runtime.as_str(), request.runtime_args.len()), ("runc", 0));
}

#[test]
fn fifos_are_there_while_it_is_attached() {
    let setup = Setup::new();
    let bundle = setup.bundle("bundle", "read line; exit 4");
    let mut child = setup.spawn(&["containers", "start", "-a", "web", &bundle]);
    setup.wait_running("web");
    let [folder] = &*setup.temporary_files() else { panic!("{:?}", setup.temporary_files()) };
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
    let mut fifos = files(folder);
    fifos.sort();
    for (fifo, name) in fifos.iter().zip(["stderr", "stdin", "stdout"]) {
        let metadata = fs::metadata(fifo).unwrap();
        assert!(metadata.file_type().is_fifo() && fifo.ends_with(Path::new(name)), "{fifo:?}");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o755);
    }
    drop(child.stdin.take());
    super::Ended::wait(child).expect(4, "", "");
    assert!(setup.temporary_files().is_empty());
    let updates = setup.daemon.shared().updates.lock().unwrap();
    assert!(updates.iter().any(|update| update.id == "web" && update.pid == "init" && update.close_stdin));
}

#[test]
fn execs_close_their_own_stdin() {
    let setup = Setup::new();
    let bundle = setup.bundle("bundle", "sleep 60");
    setup.run(&["containers", "start", "web", &bundle]).expect(0, "", "");
    let exec =
        ["containers", "exec", "--id", "web", "--pid", "one", "-a", "-e", "A=1", "-e", "PATH=/bin:/usr/bin"];
    setup.run(&[&exec[..], &["sh", "-c", "cat; echo $A -a; exit 3"]].concat()).expect(3, "1 -a\n", "");
    let updates = setup.daemon.shared().updates.lock().unwrap();
    assert!(updates.iter().all(|update| update.pid == "one"), "{updates:?}");
    assert!(updates.iter().any(|update| update.close_stdin), "{updates:?}");
    assert!(setup.temporary_files().is_empty());
}

#[test]
fn updates_and_checkpoints() {
    let setup = Setup::new();
    let update = [
        "containers",
        "update",
        "web",
        "--memory-limit",
        "0x100000",
        "--cpu-shares=512",
        "--pids-limit",
        "9",
    ];
    setup.run(&update).expect(0, "", "");
    let expected = UpdateResource {
        memory_limit: 0x10_0000,
        cpu_shares: 512,
        pids_limit: 9,
        ..UpdateResource::default()
    };
    assert_eq!(*setup.daemon.shared().resources.lock().unwrap(), [expected]);

    let create =
        ["checkpoints", "create", "web", "one", "--tcp", "--exit", "--empty-ns", "network", "-empty-ns=ipc"];
    setup.run(&create).expect(0, "", "");
    let other =
        ["checkpoints", "create", "--unix-sockets", "--shell", "--checkpoint-dir", "/c", "web", "two"];
    setup.run(&other).expect(0, "", "");
    let one = Checkpoint {
        name: "one".into(),
        exit: true,
        tcp: true,
        empty_ns: vec!["network".into(), "ipc".into()],
        ..Checkpoint::default()
    };
    let two = Checkpoint { name: "two".into(), unix_sockets: true, shell: true, ..Checkpoint::default() };
    let checkpoints = setup.daemon.shared().checkpoints.lock().unwrap().clone();
    assert_eq!(checkpoints, [(String::new(), one), ("/c".to_owned(), two)]);

    let header = "NAME                TCP                 UNIX SOCKETS        SHELL\n";
    let row =
        |name: &str, tcp: &str, unix: &str, shell: &str| format!("{name:<20}{tcp:<20}{unix:<20}{shell}\n");
    let one = format!("{header}{}", row("one", "true", "false", "false"));
    setup.run(&["checkpoints", "web"]).expect(0, &one, "");
    setup.run(&["checkpoints", "list", "web"]).expect(0, &one, "");
    let two = format!("{header}{}", row("two", "false", "true", "true"));
    setup.run(&["checkpoints", "list", "web", "--checkpoint-dir", "/c"]).expect(0, &two, "");
    setup.run(&["checkpoints", "delete", "web", "one"]).expect(0, "", "");
    setup.run(&["checkpoints", "web"]).expect(0, header, "");
}
