//! More processes in a running container.

use super::{Suite, key, milliseconds_between};
use crate::support::{SOON, each_runtime, exec_request, host_process, shim_of};
use gantry_api::types::AddProcessRequest;
use gantry_testkit::{Runtime, StdioFifos, wait_until};
use rustix::process::Signal;
use std::fs;

each_runtime!(
    busybox_top_exec_echo,
    busybox_top_exec_top_kill_init,
    busybox_exec_create_detached_child,
    busybox_exec_create_attached_child,
    busybox_top_exec_sh_defunct,
    exec_kill_shim_no_panic,
);

fn busybox_top_exec_echo(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.top();
    let output = suite.exec(&bundle, "echo", &["sh", "-c", "echo -n Ay Caramba! ; exit 1"]);
    suite.expect(&bundle, &[("start-container", "", 0), ("start-process", "echo", 0), ("exit", "echo", 1)]);
    assert_eq!(output.read(), "Ay Caramba!");

    let stdio = StdioFifos::create(&bundle.path().join("io"), "echo");
    let collector = stdio.stdout.collect();
    let request = exec_request(bundle.id(), "echo", &["sh", "-c", "seq 1 20000; exit 2"]);
    suite.api.add_process(AddProcessRequest { stdout: stdio.stdout.text(), ..request }).unwrap();
    suite.expect(&bundle, &[("start-process", "echo", 0), ("exit", "echo", 2)]);
    assert!(collector.finish(SOON).ends_with("\n20000\n"));
    suite.end(&bundle);
}

#[test]
fn busybox_top_exec_top() {
    let mut suite = Suite::start(Runtime::BuiltIn);
    let bundle = suite.top();
    suite.exec(&bundle, "top2", &["top", "-b", "-d", "1000"]);
    suite.api.signal(bundle.id(), "top2", 9).unwrap();
    suite.expect(&bundle, &[("start-container", "", 0), ("start-process", "top2", 0), ("exit", "top2", 137)]);
    assert_eq!(suite.api.find(bundle.id()), Some(("running".to_owned(), vec!["init".to_owned()])));
    suite.end(&bundle);
}

fn busybox_top_exec_top_kill_init(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.shell("trap 'exit 143' TERM; echo ready; while :; do sleep 0.02; done").build();
    let ready = suite.create(&bundle);
    ready.wait_for("ready");
    suite.exec(&bundle, "top2", &["top", "-b", "-d", "1000"]);
    suite.api.signal(bundle.id(), "init", 15).unwrap();
    // 0.2's test took them in either order; dockerd needs the exec's first.
    suite.expect(
        &bundle,
        &[
            ("start-container", "", 0),
            ("start-process", "top2", 0),
            ("exit", "top2", 137),
            ("exit", "init", 143),
        ],
    );
    suite.assert_empty();
}

fn busybox_exec_create_detached_child(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.top();
    let script = "sleep 1000 </dev/null >/dev/null 2>&1 & exit 0";
    suite.exec(&bundle, "parent", &["sh", "-c", script]);
    suite.expect(
        &bundle,
        &[("start-container", "", 0), ("start-process", "parent", 0), ("exit", "parent", 0)],
    );
    let list = suite.exec(&bundle, "ps", &["ps"]);
    assert_eq!(suite.events.exit_of(bundle.id(), "ps"), 0);
    assert!(list.read().contains("sleep 1000"), "{}", list.read());
    suite.end(&bundle);
}

fn busybox_exec_create_attached_child(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.top();
    let stdio = StdioFifos::create(&bundle.path().join("io"), "parent");
    let collector = stdio.stdout.collect();
    let script = "(sleep 1; echo child) & echo parent";
    let request = exec_request(bundle.id(), "parent", &["sh", "-c", script]);
    suite.api.add_process(AddProcessRequest { stdout: stdio.stdout.text(), ..request }).unwrap();
    assert_eq!(suite.events.next().r#type, "start-container");
    let (start, exit) = (suite.events.next(), suite.events.next());
    assert_eq!((key(&start), key(&exit)), (("start-process", "parent", 0), ("exit", "parent", 0)));
    // The child shares the output, so that is not at its end before.
    assert!(milliseconds_between(&start, &exit) > 500, "{start:?} {exit:?}");
    assert_eq!(collector.finish(SOON), "parent\nchild\n");
    suite.end(&bundle);
}

fn busybox_top_exec_sh_defunct(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    // In the host's PID namespace, so that orphans are the shim's and not the container's init's.
    let bundle = suite.daemon.bundle().args(["sleep", "1000"]).without_namespace("pid").build();
    suite.create(&bundle);
    let stdio = StdioFifos::create(&bundle.path().join("io"), "sh");
    let collector = stdio.stdout.collect();
    // The last one holds the output, so that the shim stays and must reap the others meanwhile.
    let script = "for time in 0.05 0.1 0.2 1000; do sleep $time & echo $! >>/pids; done; exit 3";
    let request = exec_request(bundle.id(), "sh", &["sh", "-c", script]);
    let shell = suite.api.add_process(AddProcessRequest { stdout: stdio.stdout.text(), ..request }).unwrap();
    let pids = bundle.rootfs().join("pids");
    let pids =
        || fs::read_to_string(&pids).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();
    wait_until("four children", SOON, || pids().len() == 4);
    // A zombie still has a folder.
    let is_gone = |pid: &str| !fs::exists(format!("/proc/{pid}")).unwrap();
    let ended = [&[shell.to_string()], &pids()[..3]].concat();
    wait_until("no zombie", SOON, || ended.iter().all(|pid| is_gone(pid)));
    let (_, processes) = suite.api.find(bundle.id()).unwrap();
    assert!(processes.contains(&"sh".to_owned()), "its output is still open: {processes:?}");

    host_process(pids()[3].parse().unwrap()).signal(Signal::KILL);
    suite.expect(&bundle, &[("start-container", "", 0), ("start-process", "sh", 0), ("exit", "sh", 3)]);
    assert_eq!(collector.finish(SOON), "");
    suite.end(&bundle);
}

fn exec_kill_shim_no_panic(runtime: Runtime) {
    let mut suite = Suite::start(runtime);
    let bundle = suite.daemon.bundle().args(["sleep", "1000"]).build();
    let init = suite.api.run(&bundle);
    let exec =
        host_process(suite.api.add_process(exec_request(bundle.id(), "e1", &["sleep", "1000"])).unwrap());
    shim_of(&init).signal(Signal::KILL);
    suite.expect(&bundle, &[("start-container", "", 0), ("start-process", "e1", 0)]);
    // 0.2 told 255 for an exec whose container had gone before it could look; the truth is better.
    suite.expect(&bundle, &[("exit", "e1", 137), ("exit", "init", 137)]);
    assert!(!exec.is_alive() && !init.is_alive());
    suite.assert_empty();
}
