//! A state dir that is somebody else's, or no folder, or full of what is no container's.

use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Daemon, DaemonOptions, Fifo, Finished, Runtime, Scratch, finish};
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const NOBODY: u32 = 65_534;

/// Starts a daemon that must refuse to, with this state dir.
fn refuses(scratch: &Arc<Scratch>, state_dir: &Path) -> Finished {
    let mut daemon = Command::new(gantry_testkit::Binaries::locate().gantryd());
    daemon.arg("--listen").arg(format!("unix://{}", scratch.path().join("refused.sock").display()));
    daemon.arg("--state-dir").arg(state_dir);
    let done = finish(&mut daemon, SOON);
    done.expect_code(1);
    assert!(done.stderr.contains(state_dir.to_str().unwrap()), "{done}");
    done
}

#[test]
fn a_state_dir_of_somebody_else_is_refused() {
    let scratch = Scratch::new();
    let theirs = scratch.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(NOBODY), None).unwrap();
    assert!(refuses(&scratch, &theirs).stderr.contains("belongs to user 65534"));
    // Nor one that they could put another one in place of.
    let within = theirs.join("state");
    fs::create_dir(&within).unwrap();
    assert!(refuses(&scratch, &within).stderr.contains("belongs to user 65534"));
    let open = scratch.path().join("open");
    fs::create_dir_all(open.join("state")).unwrap();
    fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
    assert!(refuses(&scratch, &open.join("state")).stderr.contains("others can write to"));
    let link = scratch.path().join("link");
    symlink(&within, &link).unwrap();
    assert!(refuses(&scratch, &link).stderr.contains("belongs to user 65534"));
}

#[test]
fn a_state_dir_that_is_none_is_refused() {
    let scratch = Scratch::new();
    let file = scratch.path().join("file");
    fs::write(&file, b"precious").unwrap();
    assert!(refuses(&scratch, &file).stderr.contains("not a directory"));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let dangling = scratch.path().join("dangling");
    symlink("nowhere", &dangling).unwrap();
    refuses(&scratch, &dangling);
    let read_only = scratch.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    let mount = finish(Command::new("mount").args(["-t", "tmpfs", "-o", "ro", "none"]).arg(&read_only), SOON);
    mount.expect_code(0);
    let said = refuses(&scratch, &read_only).stderr.to_lowercase();
    assert!(said.contains("read-only file system"), "{said}");
}

#[test]
fn a_state_dir_that_is_too_open_is_closed_and_one_behind_a_link_is_used() {
    let scratch = Scratch::new();
    let real = scratch.path().join("real");
    fs::create_dir(&real).unwrap();
    fs::set_permissions(&real, Permissions::from_mode(0o777)).unwrap();
    symlink("real", scratch.path().join("state")).unwrap();
    let daemon = Daemon::start_in(&scratch, DaemonOptions::new(Runtime::BuiltIn));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o755);
    assert!(daemon.log().contains("others could write to the state dir"), "{}", daemon.log());
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().shell("exit 6").build();
    let mut events = api.events();
    api.create(create_request(&bundle)).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "init"), 6);
}

#[test]
fn thousands_of_stale_folders_and_strangers() {
    const STALE: usize = 3000;
    let mut daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["sleep", "1000"]).build();
    let init = api.run(&bundle);
    drop(api);
    daemon.kill_hard();
    let state = daemon.state_dir();
    for number in 0..STALE {
        fs::create_dir(state.join(format!("stale-{number}"))).unwrap();
    }
    let strangers = ["a b", "-rf", "é", "a\nb"].map(|name| state.join(name));
    strangers.iter().for_each(|path| fs::create_dir(path).unwrap());
    let theirs = state.join("theirs");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(NOBODY), None).unwrap();
    drop(Fifo::create(state.join("fifo")));
    symlink("/", state.join("link")).unwrap();
    daemon.restart();
    let api = Api::connect(&daemon);
    assert_eq!(api.state("").unwrap().len(), 1);
    assert!(init.is_alive());
    let stale = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("stale-");
    assert_eq!(fs::read_dir(&state).unwrap().map(Result::unwrap).filter(stale).count(), 0);
    assert!(
        strangers.iter().chain([&theirs]).all(|path| path.is_dir()),
        "what is no container's is left alone"
    );
    let log = daemon.log();
    assert_eq!(log.matches("is no container's folder; leaving it alone").count(), strangers.len() + 3);
}
