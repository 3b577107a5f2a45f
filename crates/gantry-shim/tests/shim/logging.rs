//! Output that the shim logs.

use crate::adopt::{kill, open_both, reap, terminal_of};
use crate::faults::SmallDisk;
use crate::support::{Container, Shim};
use gantry_record::container_log::{LogRecord, LogTarget, MAX_TEXT_BYTES, Stream};
use gantry_record::layout::name;
use gantry_record::{ProcessRecord, log, timestamp};
use rustix::event::PollFlags;
use rustix::fs::OFlags;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A record of a file, without its time.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    stream: Stream,
    partial: bool,
    text: String,
}

fn out(text: &str) -> Line {
    Line { stream: Stream::Stdout, partial: false, text: text.to_owned() }
}

fn err(text: &str) -> Line {
    Line { stream: Stream::Stderr, ..out(text) }
}

fn part(text: &str) -> Line {
    Line { partial: true, ..out(text) }
}

/// A log in the test's folder, for both outputs.
fn logged(target: &LogTarget) -> ProcessRecord {
    let stdout = target.to_string();
    ProcessRecord { stderr: stdout.clone(), stdout, ..ProcessRecord::default() }
}

fn target(container: &Container) -> LogTarget {
    LogTarget::new(container.path("log"))
}

/// All records of a file that nobody writes to any more.
fn lines(path: &Path) -> Vec<Line> {
    let content = std::fs::read(path).unwrap();
    assert!(content.is_empty() || content.ends_with(b"\n"));
    lines_so_far(path)
}

/// All whole records of a file, whose times must be in order and not long ago. On a full disk there may be part of one
/// for a moment.
fn lines_so_far(path: &Path) -> Vec<Line> {
    let mut content = std::fs::read(path).unwrap();
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    content.truncate(whole);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let mut last = now - Duration::from_secs(600);
    let parse = |line: &[u8]| {
        let record = LogRecord::parse(line)
            .unwrap_or_else(|| panic!("no record: {:?}", String::from_utf8_lossy(line)));
        assert!(last <= record.time && record.time <= now, "{:?}", timestamp::format(record.time));
        last = record.time;
        let text = String::from_utf8(record.text.to_vec()).unwrap();
        Line { stream: record.stream, partial: record.partial, text }
    };
    content.split_inclusive(|byte| *byte == b'\n').map(parse).collect()
}

fn run(container: &Container, record: ProcessRecord) -> Shim {
    let mut shim = container.init(record);
    shim.await_ready();
    container.start();
    shim
}

fn await_lines(path: &Path, count: usize) -> Vec<Line> {
    loop {
        let lines = lines_so_far(path);
        if lines.len() >= count {
            return lines;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn each_line_is_a_record_of_its_stream() {
    let container = Container::new(&[
        "sh",
        "-c",
        "echo one; echo two >&2; echo; printf 'th'; printf 'ree\nfour'; exit 9",
    ]);
    let mut shim = run(&container, logged(&target(&container)));
    assert_eq!(shim.await_exit(), 9);
    // Two FIFOs have no common order, but each stream has its own.
    let (stdout, stderr): (Vec<_>, Vec<_>) =
        lines(&container.path("log")).into_iter().partition(|line| line.stream == Stream::Stdout);
    assert_eq!(stdout, [out("one"), out(""), out("three"), out("four")]);
    assert_eq!(stderr, [err("two")]);
    assert!(shim.child.wait().unwrap().success());
    assert_eq!(shim.logs(), "");
}

#[test]
fn each_stream_may_have_its_own_file_or_none() {
    let container = Container::new(&["sh", "-c", "echo one; echo two >&2"]);
    let [a, b] = ["a", "b"].map(|name| LogTarget::new(container.path(name)).to_string());
    let shim = run(&container, ProcessRecord { stdout: a, stderr: b, ..ProcessRecord::default() });
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(lines(&container.path("a")), [out("one")]);
    assert_eq!(lines(&container.path("b")), [err("two")]);
    let container = Container::new(&["sh", "-c", "echo one; echo two >&2"]);
    let record = ProcessRecord { stdout: String::new(), ..logged(&target(&container)) };
    let shim = run(&container, record);
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(lines(&container.path("log")), [err("two")]);
}

#[test]
fn a_line_is_logged_when_it_has_come_and_its_beginning_waits() {
    let container = Container::new(&["sh", "-c", "echo one; printf tw; read x; echo o"]);
    let stdin = container.fifo("stdin");
    let holder = open_both(&stdin);
    let shim = run(&container, ProcessRecord { stdin, ..logged(&target(&container)) });
    assert_eq!(await_lines(&container.path("log"), 1), [out("one")]);
    holder.write(b"\n");
    assert_eq!(shim.await_exit(), 0);
    assert_eq!(lines(&container.path("log")), [out("one"), out("two")]);
}

#[test]
fn a_line_that_is_too_long_is_several_records() {
    let script = "x() { head -c $1 /dev/zero | tr '\\0' x; }; x 40000; echo; x 16384; echo; x 20000";
    let container = Container::new(&["sh", "-c", script]);
    let shim = run(&container, logged(&target(&container)));
    assert_eq!(shim.await_exit(), 0);
    let [max, rest, end] = [MAX_TEXT_BYTES, 40_000 - 2 * MAX_TEXT_BYTES, 20_000 - MAX_TEXT_BYTES]
        .map(|length| "x".repeat(length));
    let expected = [part(&max), part(&max), out(&rest), out(&max), part(&max), out(&end)];
    assert!(lines(&container.path("log")) == expected);
}

#[test]
fn files_are_set_aside_before_they_grow_too_large() {
    let script = "i=0; while test $i -lt 1000; do echo line $i; i=$((i+1)); done";
    let container = Container::new(&["sh", "-c", script]);
    let target = LogTarget { max_bytes: Some(4000), max_files: 4, ..target(&container) };
    let shim = run(&container, logged(&target));
    assert_eq!(shim.await_exit(), 0);
    let files: Vec<PathBuf> = (0..4).rev().map(|number| target.file(number)).collect();
    assert!(files.iter().all(|file| (1..=4000).contains(&std::fs::metadata(file).unwrap().len())));
    assert!(!target.file(4).exists());
    let all: Vec<Line> = files.iter().flat_map(|file| lines(file)).collect();
    // The oldest are gone; the others are all there.
    let expected: Vec<Line> = (1000 - all.len()..1000).map(|i| out(&format!("line {i}"))).collect();
    assert_eq!(all, expected);
}

#[test]
fn with_a_terminal_there_is_one_stream() {
    let script = "echo one; echo two >&2; read x; i=0; while test $i -lt 5000; do echo $i; i=$((i+1)); done";
    let container = Container::new(&["sh", "-c", script]).with_terminal();
    let stdin = container.fifo("stdin");
    let holder = open_both(&stdin);
    let shim = run(&container, ProcessRecord { stdin, ..logged(&target(&container)) });
    assert_eq!(await_lines(&container.path("log"), 2), [out("one\r"), out("two\r")]);
    holder.write(b"\n");
    assert_eq!(shim.await_exit(), 0);
    let lines = lines(&container.path("log"));
    let expected = ["one".to_owned(), "two".to_owned(), String::new()].into_iter();
    let expected = expected.chain((0..5000).map(|i| i.to_string()));
    let expected: Vec<Line> = expected.map(|text| out(&format!("{text}\r"))).collect();
    assert!(lines == expected, "{:?}", &lines[..5]);
    assert!(!shim.dir.file(name::STDERR).exists());
}

#[test]
fn an_exec_is_logged_up_to_its_last_background_child() {
    let container = Container::new(&["sleep", "1000"]);
    let _init = run(&container, ProcessRecord::default());
    let gate = "while test ! -e /tmp/go; do sleep 0.05; done; printf late";
    let script = format!("({gate}) & echo early");
    let mut exec = container.exec("e1", logged(&target(&container)), &["sh", "-c", &script]);
    exec.await_ready();
    assert_eq!(await_lines(&container.path("log"), 1), [out("early")]);
    crate::support::await_death(exec.pid());
    assert!(!exec.has_exited());
    std::fs::write(container.path("bundle/rootfs/tmp/go"), "").unwrap();
    assert_eq!(exec.await_exit(), 0);
    assert_eq!(lines(&container.path("log")), [out("early"), out("late")]);
}

#[test]
fn a_log_that_cannot_be_is_no_start() {
    let container = Container::new(&["true"]);
    std::os::unix::fs::symlink("/dev/null", container.path("link")).unwrap();
    let both = |stdout: &str, stderr: &str| ProcessRecord {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        ..ProcessRecord::default()
    };
    let link = LogTarget::new(container.path("link")).to_string();
    let wrong = [
        (both("gantry-log://x", ""), "its path is not that of a file"),
        (both("gantry-log:///a?max-files=200", ""), "max-files is more than 100"),
        (both("gantry-log:///no/such/log", ""), "opening /no/such/log failed: no such file or directory"),
        (both(&link, ""), "failed: too many levels of symbolic links"),
        (both("gantry-log:///tmp/a", "gantry-log:///tmp/a?max-bytes=1"), "have different limits"),
    ];
    for (number, (record, reason)) in wrong.into_iter().enumerate() {
        let mut shim = container.exec(&format!("e{number}"), record, &["true"]);
        assert_eq!(shim.readiness(), gantry_record::ready::HELLO);
        assert_eq!(shim.child.wait().unwrap().code(), Some(1));
        let error = log::first_error(&shim.dir.file(name::SHIM_LOG)).unwrap().unwrap();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_log_of_somebody_else_is_left_alone() {
    let container = Container::new(&["sleep", "1000"]);
    let _init = run(&container, logged(&target(&container)));
    let mut second = container.exec("e1", logged(&target(&container)), &["true"]);
    assert_eq!(second.readiness(), gantry_record::ready::HELLO);
    let error = log::first_error(&second.dir.file(name::SHIM_LOG)).unwrap().unwrap();
    assert!(error.ends_with("is in use by another process"), "{error}");
}

#[test]
fn a_full_disk_stops_nobody_and_is_told_of() {
    let script = "i=0; while read x; do i=$((i+1)); echo line $i; done";
    let container = Container::new(&["sh", "-c", script]);
    std::fs::create_dir(container.path("disk")).unwrap();
    let disk = SmallDisk::over(container.path("disk"));
    let stdin = container.fifo("stdin");
    let holder = open_both(&stdin);
    let log = container.path("disk/log");
    let mut shim = run(&container, ProcessRecord { stdin, ..logged(&LogTarget::new(log.clone())) });
    holder.write(b"\n\n");
    assert_eq!(await_lines(&log, 2), [out("line 1"), out("line 2")]);
    disk.fill();
    // More than the page that the log has already, and less than the disk.
    for _ in 0..2000 {
        holder.write(b"\n");
    }
    let warning = || std::fs::read_to_string(shim.dir.file(name::SHIM_LOG)).unwrap();
    while !warning().contains("so lines are dropped until it can: no space left on device") {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(container.path("disk/filler")).unwrap();
    // Each line that comes is another chance.
    let is_note = |line: &Line| line.text.starts_with("gantry: ");
    let mut sent = 2002;
    loop {
        holder.write(b"\n");
        sent += 1;
        std::thread::sleep(Duration::from_millis(5));
        if lines_so_far(&log).iter().any(is_note) {
            break;
        }
    }
    while lines_so_far(&log).last().is_none_or(|line| line.text != format!("line {sent}")) {
        std::thread::sleep(Duration::from_millis(5));
    }
    kill(shim.pid());
    assert_eq!(shim.await_exit(), 137);
    assert!(shim.child.wait().unwrap().success());
    let mut number = 0;
    for line in lines(&log) {
        if is_note(&line) {
            let dropped: usize = line.text.split(' ').nth(1).unwrap().parse().unwrap();
            let text = format!("gantry: {dropped} lines of output were dropped: no space left on device");
            assert_eq!(line, out(&text));
            number += dropped;
        } else {
            number += 1;
            assert_eq!(line, out(&format!("line {number}")));
        }
    }
    assert_eq!(number, sent);
    assert!(lines(&log).iter().any(is_note));
}

/// The daemon's second holders of the FIFOs.
fn hold(shim: &Shim) -> [rustix::fd::OwnedFd; 2] {
    [name::STDOUT, name::STDERR]
        .map(|name| gantry_record::fifo::open(&shim.dir.file(name), OFlags::RDONLY).unwrap())
}

#[test]
fn no_line_is_lost_or_doubled_by_a_death() {
    // The beginnings of lines, too, must survive.
    let script = "i=0; while test $i -lt 60000; do printf 'line '; echo $i; i=$((i+1)); done; exit 8";
    let container = Container::new(&["sh", "-c", script]);
    let target = LogTarget { max_bytes: Some(700_000), max_files: 20, ..target(&container) };
    let mut shim = container.init(logged(&target));
    shim.await_ready();
    let holders = hold(&shim);
    container.start();
    let pid = shim.pid();
    let process = rustix::process::pidfd_open(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::PidfdFlags::empty(),
    );
    let process = process.unwrap();
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 7_000_000 };
    let mut deaths = 0;
    while rustix::event::poll(&mut [rustix::event::PollFd::new(&process, PollFlags::IN)], Some(&now)) == Ok(0)
    {
        shim = container.adopt(shim, None);
        shim.await_ready();
        deaths += 1;
    }
    drop(holders);
    reap(pid);
    assert_eq!(shim.await_exit(), 8);
    let files = (0..20).rev().map(|number| target.file(number)).filter(|file| file.exists());
    let all: Vec<Line> = files.flat_map(|file| lines(&file)).collect();
    for (number, line) in all.iter().enumerate() {
        assert_eq!(*line, out(&format!("line {number}")), "after {deaths} deaths");
    }
    assert_eq!(all.len(), 60_000);
    assert!(deaths > 2, "{deaths}");
}

#[test]
fn a_terminals_log_goes_on_with_a_successor() {
    let script = "stty -opost; i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done; exit 8";
    let container = Container::new(&["sh", "-c", script]).with_terminal();
    let mut shim = container.init(logged(&target(&container)));
    shim.await_ready();
    let master = terminal_of(&shim);
    let holder = open_both(shim.dir.file(name::STDOUT).to_str().unwrap());
    container.start();
    let pid = shim.pid();
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(7));
        shim = container.adopt(shim, Some(master.try_clone().unwrap()));
        shim.await_ready();
    }
    drop((master, holder));
    reap(pid);
    assert_eq!(shim.await_exit(), 8);
    let expected: Vec<Line> = (0..20_000).map(|number| out(&format!("line {number}"))).collect();
    let lines = lines(&container.path("log"));
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn a_fifo_that_a_line_does_not_fit_into_does_not_stop_it() {
    let container = Container::new(&["sh", "-c", "read x; head -c 10000 /dev/zero | tr '\\0' x; echo"]);
    let stdin = container.fifo("stdin");
    let holder = open_both(&stdin);
    let shim = run(&container, ProcessRecord { stdin, ..logged(&target(&container)) });
    let [stdout, _stderr] = hold(&shim);
    rustix::pipe::fcntl_setpipe_size(&stdout, 4096).unwrap();
    holder.write(b"\n");
    assert_eq!(shim.await_exit(), 0);
    let text: String = lines(&container.path("log")).into_iter().map(|line| line.text).collect();
    assert_eq!(text, "x".repeat(10_000));
}
