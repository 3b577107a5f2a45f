//! What a container had used is written down before its exit.

use crate::support::{Container, Shim, script};
use gantry_record::layout::name;
use gantry_record::{ProcessRecord, Usage};

fn usage(shim: &Shim) -> Usage {
    shim.dir.usage().unwrap_or_else(|| panic!("no usage; {}", shim.logs()))
}

/// Uses a quarter of a second of processor time and 20 MB, in children that nobody waits for.
const WORK: &str = "dd if=/dev/zero of=/dev/null bs=20M count=1 2>/dev/null & wait
    i=0; while test $i -lt 100000; do i=$((i+1)); done";

#[test]
fn it_is_the_whole_cgroups() {
    let container = Container::new(&["sh", "-c", WORK]);
    let mut shim = container.init(ProcessRecord::default());
    shim.await_ready();
    assert!(!shim.dir.file(name::USAGE).exists());
    container.start();
    assert_eq!(shim.await_exit(), 0);
    let usage = usage(&shim);
    assert!(usage.cpu_nanos.unwrap() > 10_000_000, "{usage:?}");
    assert!(usage.peak_memory_bytes.unwrap() > 20_000_000, "{usage:?}");
}

#[test]
fn a_successor_reads_it_too() {
    let container = Container::new(&["sh", "-c", &format!("{WORK}; read x")]);
    let record = container.streams("init");
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    let pid = shim.pid();
    let mut shim = container.adopt(shim, None);
    shim.await_ready();
    shim.send(gantry_record::control::ControlMessage::CloseStdin);
    crate::adopt::reap(pid);
    shim.await_exit();
    assert!(usage(&shim).peak_memory_bytes.unwrap() > 20_000_000);
}

#[test]
fn an_exec_has_none() {
    let container = Container::new(&["sleep", "1000"]);
    let mut init = container.init(ProcessRecord::default());
    init.await_ready();
    container.start();
    let mut exec = container.exec("e1", ProcessRecord::default(), &["true"]);
    exec.await_ready();
    assert_eq!(exec.await_exit(), 0);
    assert_eq!(exec.dir.usage(), None);
}

#[test]
fn without_a_cgroup_of_its_own_it_is_the_process_own() {
    let container = Container::new(&["true"]);
    // A runtime that makes nothing but a process.
    let runtime = script(
        &container,
        r#"while test $# -gt 0; do
    case $1 in create) create=1;; --pid-file) pid_file=$2;; esac
    shift
done
test "$create" || exit 0
(i=0; while test $i -lt 20000; do i=$((i+1)); done; exit 5) &
echo -n $! > $pid_file"#,
    );
    let dir = gantry_record::ProcessDir::new(container.path("state/init"));
    dir.create(&ProcessRecord::default()).unwrap();
    dir.mark_started().unwrap();
    let shim = Shim::spawn(dir, "c", &container.path("bundle"), runtime.to_str().unwrap());
    assert_eq!(shim.await_exit(), 5);
    let usage = usage(&shim);
    assert!(usage.cpu_nanos.unwrap() > 1_000_000, "{usage:?}");
    assert!((100_000..50_000_000).contains(&usage.peak_memory_bytes.unwrap()), "{usage:?}");
}
