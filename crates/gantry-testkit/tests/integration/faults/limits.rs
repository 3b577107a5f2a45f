//! No descriptors, no processes: starts fail and say why, exits are still told, and it is over when the want is.

use super::{assert_told_once, assert_works, daemon, ends_with};
use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Daemon, Leaks, wait_until};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use tonic::Code;

/// Leaves the daemon no descriptor beyond those that it has.
fn limit_files(daemon: &Daemon, limit: u64) {
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(limit), maximum }).unwrap();
}

#[test]
fn without_descriptors_starts_fail_clearly_and_exits_are_told_when_there_are_some() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let running = daemon.bundle().shell(&ends_with(43)).build();
    api.run(&running);
    let mut events = api.events();
    let leaks = Leaks::snapshot(daemon.scratch());
    let before = getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 16);
    limit_files(&daemon, 3);
    let bundle = daemon.bundle().args(["true"]).build();
    for _ in 0..3 {
        let error = api.create(create_request(&bundle)).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.message().contains("too many open files"), "{error:?}");
        leaks.assert_clean();
    }
    // Nobody comes in, and that is not said again and again.
    let strangers = [(); 5].map(|()| UnixStream::connect(daemon.socket()).unwrap());
    wait_until("it complains", SOON, || daemon.log().contains("a connection cannot be accepted"));
    assert_eq!(api.state("").unwrap().len(), 1);
    api.signal(running.id(), "init", 15).unwrap();
    wait_until("the status cannot be read", SOON, || daemon.log().contains("the exit status cannot be read"));
    assert_eq!(daemon.log().matches("a connection cannot be accepted").count(), 1);
    limit_files(&daemon, before);
    drop(strangers);
    assert_told_once(&api, &mut events, &BTreeMap::from([(running.id().to_owned(), 43)]));
    assert_works(&api, &bundle);
    leaks.assert_clean();
    assert_works(&Api::connect(&daemon), &bundle);
}

#[test]
fn without_processes_a_start_fails_clearly_and_leaves_nothing() {
    let daemon = daemon();
    let api = Api::connect(&daemon);
    let bundle = daemon.bundle().args(["true"]).build();
    // It makes its cgroup and the parent of shims.
    assert_works(&api, &bundle);
    let parent = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];
    let parent = parent.into_iter().find(|folder| fs::metadata(folder).is_ok()).unwrap();
    let folder = std::path::Path::new(parent).join(daemon.scratch().cgroup()).join("daemon");
    fs::create_dir_all(&folder).unwrap();
    if !folder.join("pids.max").exists() {
        fs::write(folder.parent().unwrap().join("cgroup.subtree_control"), "+pids").unwrap();
    }
    let own = daemon.pid().to_string();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
    // The parent of shims, which forks itself away from the daemon and says who it is in the log.
    let log = daemon.log();
    let resident = log.lines().find(|line| line.contains("a resident parent")).unwrap();
    let resident = resident.rsplit("pid=").next().unwrap().trim().to_owned();
    for pid in children.split_ascii_whitespace().map(str::to_owned).chain([resident, own]) {
        // A child may be the resident parent, or have ended.
        let _ = fs::write(folder.join("cgroup.procs"), pid);
    }
    let leaks = Leaks::snapshot(daemon.scratch());
    fs::write(folder.join("pids.max"), "1").unwrap();
    let error = api.create(create_request(&bundle)).unwrap_err();
    assert!(error.message().to_lowercase().contains("resource temporarily unavailable"), "{error:?}");
    leaks.assert_clean();
    assert_eq!(api.state("").unwrap().len(), 0);
    fs::write(folder.join("pids.max"), "max").unwrap();
    assert_works(&api, &bundle);
}
