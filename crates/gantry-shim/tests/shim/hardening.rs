//! What a shim gives up, and that its container notices nothing of it.

use crate::support::{Container, Reader, Shim};
use gantry_record::ProcessRecord;
use serde_json::json;

/// `CAP_DAC_OVERRIDE` and `CAP_SYS_RESOURCE`, as far as there are such here.
fn kept() -> String {
    let own = u64::from_str_radix(&status("self", "CapPrm"), 16).unwrap();
    format!("{:016x}", own & (1 << 1 | SYS_RESOURCE))
}

const SYS_RESOURCE: u64 = 1 << 24;
const NONE: &str = "0000000000000000";

/// A field of `/proc/PID/status`.
fn status(pid: &str, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.trim_start_matches(':').trim().to_owned()
}

/// Waits until the shim has given up what it does: it does so when it has said that it is ready.
fn await_hardened(shim: &Shim, field: &str, value: &str) {
    let pid = shim.child.id().to_string();
    for _ in 0..10_000 {
        if status(&pid, field) == value {
            return;
        }
        assert!(!shim.has_exited(), "{field} never became {value}: {}", shim.logs());
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("{field} is {} and never became {value}: {}", status(&pid, field), shim.logs());
}

fn core_limit(pid: &str) -> Vec<String> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
    line.split_ascii_whitespace().take(2).map(str::to_owned).collect()
}

fn oom_score(pid: &str) -> i32 {
    std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
}

fn running(container: &Container, record: ProcessRecord) -> (Shim, String, String) {
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    await_hardened(&shim, "CapEff", &kept());
    let (own, process) = (shim.child.id().to_string(), shim.pid().to_string());
    (shim, own, process)
}

#[test]
fn beside_init_it_acts_without_privileges_and_can_still_tidy_up() {
    let container = Container::new(&["cat"]);
    let record = container.streams("init");
    let (shim, own, process) = running(&container, record);
    let all = status("self", "CapPrm");
    assert_eq!((status(&own, "CapPrm"), status(&own, "CapBnd")), (all.clone(), status("self", "CapBnd")));
    // Both would be inherited by the runtime and its hooks.
    assert_eq!((status(&own, "NoNewPrivs"), status(&own, "Seccomp")), ("0".to_owned(), "0".to_owned()));
    // CAP_KILL alone, as its bundle says.
    assert_eq!(status(&process, "CapEff"), "0000000000000020");
    assert_eq!(status(&process, "NoNewPrivs"), "0");
    shim.send(gantry_record::control::ControlMessage::CloseStdin);
    assert_eq!(shim.await_exit(), 0);
    assert!(!container.runtime(&["state"]).status.success());
    assert_eq!(shim.logs(), "");
}

#[test]
fn beside_an_exec_it_has_no_privileges_left() {
    let container = Container::new(&["sleep", "1000"]);
    let (_init, ..) = running(&container, ProcessRecord::default());
    let record = container.streams("exec");
    let stdout = Reader::open(&record.stdout);
    let mut exec = container.exec("e1", record, &["cat"]);
    exec.await_ready();
    await_hardened(&exec, "Seccomp", "2");
    let (own, process) = (exec.child.id().to_string(), exec.pid().to_string());
    let kept = &*kept();
    for (field, expected) in [
        ("CapPrm", kept),
        ("CapEff", kept),
        ("CapBnd", NONE),
        ("CapInh", NONE),
        ("CapAmb", NONE),
        ("NoNewPrivs", "1"),
    ] {
        assert_eq!(status(&own, field), expected, "{field}");
    }
    assert_eq!(
        (status(&process, "NoNewPrivs"), status(&process, "Seccomp")),
        ("0".to_owned(), "0".to_owned())
    );
    exec.send(gantry_record::control::ControlMessage::CloseStdin);
    assert_eq!(exec.await_exit(), 0);
    assert_eq!(stdout.text(), "");
    assert!(exec.child.wait().unwrap().success());
    assert_eq!(exec.logs(), "");
}

/// Everything that such a shim does: a terminal with a client that reads late, resizing, a log, lingering. A call that
/// the filter refuses would show in what comes out or in its log.
#[test]
fn the_filter_lets_pass_all_that_an_exec_needs() {
    let container = Container::new(&["sleep", "1000"]);
    let (_init, ..) = running(&container, ProcessRecord::default());
    let log = container.path("logs.txt");
    let target = format!("gantry-log://{}?max-bytes=100&max-files=3", log.display());
    let script = "i=0; while test $i -lt 50; do echo line $i; echo $i >&2; i=$((i+1)); done";
    let record = ProcessRecord { stdout: target, stderr: container.fifo("late"), ..ProcessRecord::default() };
    let mut exec = container.exec("logged", record, &["sh", "-c", script]);
    exec.await_ready();
    assert_eq!(exec.await_exit(), 0);
    // It stays for a reader of standard error.
    assert_eq!(std::fs::read_to_string(container.path("late")).unwrap().lines().count(), 50);
    assert!(exec.child.wait().unwrap().success());
    assert_eq!(exec.logs(), "");
    let newest = std::fs::read_to_string(&log).unwrap();
    assert!(newest.ends_with(" stdout F line 49\n"), "{newest}");
    assert!(container.path("logs.txt.2").exists() && !container.path("logs.txt.3").exists());

    let record = container.streams("tty");
    let late = record.stdout.clone();
    let extra = json!({"terminal": true});
    let script =
        "stty -opost; read go; stty size; i=0; while test $i -lt 3000; do echo line $i; i=$((i+1)); done";
    let stdin = record.stdin.clone();
    let mut exec = container.exec_with("tty", record, &["sh", "-c", script], &extra);
    exec.await_ready();
    await_hardened(&exec, "Seccomp", "2");
    exec.send(gantry_record::control::ControlMessage::Resize { width: 100, height: 40 });
    let shim = exec.child.id().to_string();
    std::io::Write::write_all(&mut crate::support::open_writer(&stdin), b"go\n").unwrap();
    // It comes to rest with a client that does not read.
    let text = Reader::open(&late).text();
    assert!(text.contains("40 100\n") && text.ends_with("line 2999\n"), "{text}");
    assert_eq!(exec.await_exit(), 0);
    assert!(exec.child.wait().unwrap().success(), "shim {shim}");
    assert_eq!(exec.logs(), "");
}

#[test]
fn cores_are_off_and_the_container_keeps_its_limit() {
    // As a daemon would that has limits, and descriptors that it forgot to close.
    let container =
        Container::new(&["sleep", "1000"]).spawned_by("ulimit -c 8; exec 7</dev/null 8</dev/null");
    let record = container.streams("init");
    let (shim, own, process) = running(&container, record);
    assert_eq!(core_limit(&own), ["0", "4096"]);
    assert_eq!(core_limit(&process), ["4096", "4096"]);
    for pid in [&own, &process] {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let leaked =
            open.filter(|fd| fd.file_name() != "0" && fd.file_name() != "1" && fd.file_name() != "2");
        let leaked = leaked.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.ends_with("null")));
        assert_eq!(leaked.count(), 0, "process {pid}");
    }
    drop(shim);
}

#[test]
fn it_is_killed_after_its_container_whatever_that_one_is_worth() {
    let own = oom_score("self");
    let may_protect = u64::from_str_radix(&status("self", "CapPrm"), 16).unwrap() & SYS_RESOURCE != 0;
    let mut cases = vec![(Some(300), own)];
    if may_protect {
        cases.extend([(None, own - 1), (Some(-500), -501), (Some(-1000), -1000)]);
    } else {
        println!("without CAP_SYS_RESOURCE nobody can be protected");
        cases.push((None, own));
    }
    for (score, expected) in cases {
        let container = Container::new(&["sleep", "1000"]);
        let container = if let Some(score) = score { container.with_oom_score(score) } else { container };
        let (_shim, shim, process) = running(&container, ProcessRecord::default());
        assert_eq!(oom_score(&process), score.unwrap_or(own));
        assert_eq!(oom_score(&shim), expected, "beside {score:?}");
    }
}
