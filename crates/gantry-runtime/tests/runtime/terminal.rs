//! Terminals: sent to a console socket, or served in the foreground.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::harness::Sandbox;

fn receive(socket: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut text = [0; 32];
    recvmsg(socket, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut messages = control.drain();
    match messages.next() {
        Some(RecvAncillaryMessage::ScmRights(mut descriptors)) => descriptors.next().unwrap(),
        _ => panic!("no descriptor"),
    }
}

/// Reads a terminal until its other side is closed.
fn read_all(master: &mut File) -> String {
    let mut bytes = Vec::new();
    // EIO is how a terminal ends.
    let _ = master.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn the_master_goes_to_the_console_socket() {
    let script = "tty() { readlink /proc/self/fd/0; }; tty; stty size; read -r line; echo got $line";
    let Some(sandbox) = Sandbox::new(&["sh", "-c", script]) else { return };
    sandbox.configure(|config| {
        config["process"]["terminal"] = true.into();
        config["process"]["consoleSize"] = serde_json::json!({"height": 30, "width": 90});
    });
    let id = sandbox.id();
    // Longer than a socket address can be.
    let directory = sandbox.path(&"d".repeat(120));
    std::fs::create_dir(&directory).unwrap();
    let short = sandbox.path("s");
    std::os::unix::fs::symlink(&directory, &short).unwrap();
    let listener = UnixListener::bind(short.join("console")).unwrap();
    let accept = thread::spawn(move || receive(&listener.accept().unwrap().0));
    let (bundle, socket) = (sandbox.bundle(), directory.join("console"));
    let args = ["create", "-b", bundle.to_str().unwrap(), "--console-socket", socket.to_str().unwrap(), &id];
    sandbox.run(&args).ok();
    let mut master = File::from(accept.join().unwrap());
    sandbox.run(&["start", &id]).ok();
    master.write_all(b"hello\n").unwrap();
    let text = read_all(&mut master);
    assert!(text.contains("/dev/pts/0"), "{text:?}");
    assert!(text.contains("30 90"), "{text:?}");
    assert!(text.contains("got hello"), "{text:?}");
    sandbox.wait_status(&id, "stopped");
    sandbox.end(&id);
}

#[test]
fn an_exec_has_a_terminal_of_its_own() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    sandbox.run(&["start", &id]).ok();
    let socket = sandbox.path("console");
    let listener = UnixListener::bind(&socket).unwrap();
    let accept = thread::spawn(move || receive(&listener.accept().unwrap().0));
    let args =
        ["exec", "-d", "-t", "--console-socket", socket.to_str().unwrap(), &id, "sh", "-c", "echo $(id -u)"];
    sandbox.run(&args).ok();
    let text = read_all(&mut File::from(accept.join().unwrap()));
    assert_eq!(text, "0\r\n");
    sandbox.end(&id);
}

#[test]
fn the_terminal_belongs_to_the_user_of_the_process() {
    let script = "stat -c %u:%g:%a /dev/pts/0; echo reopened > /dev/pts/0";
    let Some(sandbox) = Sandbox::new(&["sh", "-c", script]) else { return };
    sandbox.configure(|config| {
        config["process"]["terminal"] = true.into();
        config["process"]["user"] = serde_json::json!({"uid": 1000, "gid": 1000});
    });
    assert_eq!(sandbox.run_container().ok(), "1000:5:620\r\nreopened\r\n");
}

#[test]
fn the_terminal_of_an_exec_belongs_to_its_user_before_it_runs() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    sandbox.run(&["start", &id]).ok();
    let script = "terminal=$(readlink /proc/self/fd/0); stat -c %u $terminal; echo reopened > $terminal";
    for _ in 0..5 {
        let printed = sandbox.run(&["exec", "--tty", "--user", "1000:1000", &id, "sh", "-c", script]).ok();
        assert_eq!(printed, "1000\r\nreopened\r\n");
    }
    sandbox.end(&id);
}

#[test]
fn in_the_foreground_the_terminal_is_served() {
    let Some(sandbox) = Sandbox::new(&["sh", "-c", "readlink /proc/self/fd/1; exit 3"]) else { return };
    sandbox.configure(|config| config["process"]["terminal"] = true.into());
    let outcome = sandbox.run_container();
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), "/dev/pts/0\r\n"), "{outcome:?}");
}

#[test]
fn terminal_and_socket_must_fit() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let (id, bundle) = (sandbox.id(), sandbox.bundle());
    let bundle = bundle.to_str().unwrap();
    let error = sandbox.run(&["create", "-b", bundle, "--console-socket", "/x", &id]).err();
    assert!(error.contains("has no terminal"), "{error}");
    sandbox.configure(|config| config["process"]["terminal"] = true.into());
    assert!(sandbox.create(&id).err().contains("without --console-socket"));
    let error = sandbox.run(&["create", "-b", bundle, "--console-socket", "/no/such", &id]).err();
    assert!(error.contains("console socket \"/no/such\""), "{error}");
    sandbox.assert_gone(&id);
}
