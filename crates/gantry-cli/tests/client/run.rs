//! `gantry run` and `gantry exec`: output, status, input, bundles.

use std::fs;
use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

use super::{Setup, finish};

#[test]
fn output_and_status_are_the_container_s() {
    let setup = Setup::new();
    let result = setup.run(&["run", "--rm", "ROOT", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((result.status, result.stdout.as_str(), result.stderr.as_str()), (7, "out\n", "err\n"));
    assert_eq!(setup.run(&["run", "--rm", "ROOT", "true"]).status, 0);
    assert_eq!(setup.run(&["run", "--rm", "ROOT", "sh", "-c", "kill -9 $$"]).status, 137);
    assert!(setup.bundles().is_empty());
}

#[test]
fn much_output_is_whole() {
    let setup = Setup::new();
    let mut child = setup.spawn(&["run", "--rm", "ROOT", "head", "-c", "20000000", "/dev/zero"]);
    // A reader that is late and slow loses nothing.
    sleep(Duration::from_millis(300));
    let mut count = 0;
    let mut buffer = vec![0; 100_000];
    let mut stdout = child.stdout.take().unwrap();
    loop {
        match stdout.read(&mut buffer).unwrap() {
            0 => break,
            read => count += read,
        }
    }
    assert_eq!(count, 20_000_000);
    assert_eq!(finish(child).status, 0);
}

#[test]
fn input_reaches_the_container_and_ends() {
    let setup = Setup::new();
    let mut child = setup.spawn(&["run", "--rm", "-i", "--name", "in", "ROOT", "wc", "-c"]);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&vec![b'x'; 300_000]).unwrap();
    drop(stdin);
    let result = finish(child);
    assert_eq!((result.status, result.stdout.trim()), (0, "300000"));
    let updates = setup.daemon.shared().updates.lock().unwrap();
    assert!(updates.iter().any(|update| update.close_stdin && update.pid == "init"));
}

#[test]
fn without_i_there_is_no_input() {
    let setup = Setup::new();
    let result = setup.run(&["run", "--rm", "ROOT", "wc", "-c"]);
    assert_eq!((result.status, result.stdout.trim()), (0, "0"));
    assert_eq!(setup.daemon.shared().creates.lock().unwrap()[0].stdin, "");
}

#[test]
fn a_failed_start_has_a_shell_s_status_and_leaves_nothing() {
    let setup = Setup::new();
    let cases = [
        ("nope", None, 127),
        ("/etc/passwd", None, 126),
        ("sh", Some("fail:containerd: container did not start before the specified timeout"), 125),
        ("sh", Some("fail:nope not installed on system"), 125),
    ];
    for (command, runtime, status) in cases {
        let runtime = runtime.map_or(Vec::new(), |runtime| vec!["--runtime", runtime]);
        let args = [&["run", "ROOT"][..], &runtime, &[command]].concat();
        let result = setup.run(&args);
        assert_eq!(result.status, status, "{result:?}");
        assert!(result.stderr.starts_with("gantry: cannot run "), "{result:?}");
        assert!(!result.stderr.contains("containerd"), "{result:?}");
    }
    assert!(setup.bundles().is_empty());
}

#[test]
fn a_name_is_taken_until_it_is_removed() {
    let setup = Setup::new();
    assert_eq!(setup.run(&["run", "--name", "one", "ROOT", "true"]).status, 0);
    let again = setup.run(&["run", "--name", "one", "ROOT", "true"]);
    assert_eq!(again.status, 125);
    assert!(again.stderr.contains("gantry rm one"), "{again:?}");
    assert_eq!(setup.run(&["rm", "one"]).stdout, "one\n");
    assert_eq!(setup.run(&["run", "--name", "one", "--rm", "ROOT", "true"]).status, 0);
}

#[test]
fn bad_input_is_refused_before_anything_is_made() {
    let setup = Setup::new();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["run", "--name", "a/b", "ROOT", "x"], 2, "not allowed in an id"),
        (&["run", "--bundle", "/nonexistent"], 125, "no such file"),
        (&["run", "--rootfs", "/nonexistent", "x"], 125, "no such file"),
        (&["run", "--rootfs", "/etc/passwd", "x"], 125, "not a directory"),
        (&["run", "ROOT"], 2, "needs a command"),
        (&["run", "-it", "ROOT", "sh"], 2, "needs a terminal"),
    ];
    for (args, status, text) in cases {
        let result = setup.run(args);
        assert_eq!(result.status, status, "{args:?}: {result:?}");
        assert!(result.stderr.contains(text), "{args:?}: {result:?}");
    }
    assert!(setup.bundles().is_empty());
    assert!(setup.daemon.shared().creates.lock().unwrap().is_empty());
}

#[test]
fn a_bundle_is_used_as_it_is() {
    let setup = Setup::new();
    let bundle = tempfile::tempdir().unwrap();
    let config = r#"{"process": {"args": ["sh", "-c", "echo $A"], "env": ["A=7", "PATH=/bin:/usr/bin"]}}"#;
    fs::write(bundle.path().join("config.json"), config).unwrap();
    let path = bundle.path().to_str().unwrap();
    let result = setup.run(&["run", "--bundle", path]);
    assert_eq!((result.status, result.stdout.as_str()), (0, "7\n"));
    assert_eq!(setup.run(&["run", "--bundle", path, "true"]).status, 2);
    assert_eq!(setup.run(&["run", "--bundle", path, "-t"]).status, 125);
    assert_eq!(fs::read_dir(bundle.path()).unwrap().count(), 1);
}

// === exec ===

#[test]
fn exec_has_a_status_of_its_own() {
    let setup = Setup::new();
    assert_eq!(
        setup.run(&["run", "-d", "--name", "web", "-e", "A=1", "ROOT", "sleep", "60"]).stdout,
        "web\n"
    );
    let result = setup.run(&["exec", "-e", "B=2", "web", "sh", "-c", "echo $A$B; exit 9"]);
    assert_eq!((result.status, result.stdout.as_str()), (9, "12\n"));
    assert_eq!(setup.run(&["exec", "web", "nope"]).status, 127);
    assert_eq!(setup.run(&["exec", "web", "/etc/passwd"]).status, 126);
    assert_eq!(setup.run(&["exec", "--id", "init", "web", "true"]).status, 2);
    let unknown = setup.run(&["exec", "nobody", "true"]);
    assert_eq!(unknown.status, 125);
    assert!(unknown.stderr.starts_with("gantry: there is no container `nobody`"), "{unknown:?}");
    let left: Vec<String> = fs::read_dir(setup.daemon.bundles().join("web"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("std") && !name.ends_with(".log"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
