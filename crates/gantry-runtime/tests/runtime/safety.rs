//! Nothing of the host gets into a container, and nothing of a container out.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;

use crate::harness::Sandbox;

/// Prints the open descriptors; the one that `ls` has for the directory is not there any more when it is printed.
const LIST: &str = "for fd in /proc/self/fd/*; do readlink $fd >/dev/null && echo ${fd##*/}; done; true";

#[test]
fn no_descriptor_of_the_host_is_inherited() {
    let Some(sandbox) = Sandbox::new(&["sh", "-c", LIST]) else { return };
    let leaked = File::open("/").unwrap();
    let number = leaked.as_raw_fd();
    let bundle = sandbox.bundle();
    let leak = |command: &mut std::process::Command| {
        let keep = move || {
            // Without close-on-exec, as a careless parent has them.
            for copy in [number, 7, 50] {
                // SAFETY: dup2 on plain numbers, in the child between fork and exec.
                unsafe { libc::dup2(number, copy) };
            }
            Ok(())
        };
        // SAFETY: the closure only calls dup2, which is async-signal-safe.
        unsafe { command.pre_exec(keep) };
    };
    let printed = sandbox.run_with(&["run", "-b", bundle.to_str().unwrap(), &sandbox.id()], leak).ok();
    assert_eq!(printed, "0\n1\n2\n");

    sandbox.configure(|config| config["process"]["args"] = ["sleep", "1000"].as_slice().into());
    let id = sandbox.id();
    sandbox.run_with(&["create", "-b", bundle.to_str().unwrap(), &id], leak).ok();
    sandbox.run(&["start", &id]).ok();
    let mut held: Vec<String> = fs::read_dir(format!("/proc/{}/fd", sandbox.pid(&id)))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    held.sort();
    assert_eq!(held, ["0", "1", "2"]);
    let printed = sandbox.run_with(&["exec", &id, "sh", "-c", LIST], leak).ok();
    assert_eq!(printed, "0\n1\n2\n");
    sandbox.end(&id);
}

#[test]
fn descriptors_are_passed_on_request() {
    let Some(sandbox) = Sandbox::new(&["cat", "/proc/self/fd/3"]) else { return };
    let file = sandbox.path("passed");
    fs::write(&file, "passed on").unwrap();
    let file = File::open(file).unwrap();
    let number = file.as_raw_fd();
    let bundle = sandbox.bundle();
    let args =
        ["run", "--preserve-fds", "1", "-b", bundle.to_str().unwrap(), &sandbox.id()].map(str::to_owned);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let pass = move || {
        // By way of another number: onto itself dup2 would leave close-on-exec set.
        // SAFETY: F_DUPFD on plain numbers.
        let copy = unsafe { libc::fcntl(number, libc::F_DUPFD, 100) };
        // SAFETY: dup2 on plain numbers, in the child between fork and exec.
        unsafe { libc::dup2(copy, 3) };
        Ok(())
    };
    let printed = sandbox.run_with(&args, |command| {
        // SAFETY: the closure only calls fcntl and dup2, which are async-signal-safe.
        unsafe { command.pre_exec(pass) };
    });
    assert_eq!(printed.ok(), "passed on");
}

#[test]
fn the_runtimes_binary_cannot_be_overwritten_from_inside() {
    // The command is the runtime itself, which the kernel finds by the link.
    let Some(sandbox) = Sandbox::new(&["/proc/self/exe", "--version"]) else { return };
    let outcome = sandbox.run_container();
    assert!(outcome.stdout.starts_with("gantry-runtime version"), "{outcome:?}");

    // A copy of its own, so that nobody else keeps the file busy.
    sandbox.configure(|config| config["process"]["args"] = ["sleep", "1000"].as_slice().into());
    let (id, binary) = (sandbox.id(), sandbox.path("gantry-runtime"));
    fs::copy(env!("CARGO_BIN_EXE_gantry-runtime"), &binary).unwrap();
    let run = |args: &[&str]| {
        let status = loop {
            let mut command = std::process::Command::new(&binary);
            match command.arg("--root").arg(sandbox.state_dir()).args(args).status() {
                // Another test has just forked and holds the copy open for writing until its execve.
                Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {}
                status => break status.unwrap(),
            }
        };
        assert!(status.success());
    };
    run(&["create", "-b", sandbox.bundle().to_str().unwrap(), &id]);
    // What waits for the start is still the runtime. Somebody inside keeps its link open until it has gone on.
    let link = rustix::fs::open(
        format!("/proc/{}/exe", sandbox.pid(&id)),
        rustix::fs::OFlags::PATH,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    run(&["start", &id]);
    let error = File::options().append(true).open(format!("/proc/self/fd/{}", link.as_raw_fd())).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EROFS), "{error}");
    File::options().append(true).open(&binary).unwrap();
    sandbox.end(&id);
}

#[test]
fn the_environment_of_the_runtime_stays_outside() {
    let Some(sandbox) = Sandbox::new(&["env"]) else { return };
    sandbox.configure(|config| config["process"]["env"] = ["PATH=/bin"].as_slice().into());
    let bundle = sandbox.bundle();
    let printed = sandbox.run_with(&["run", "-b", bundle.to_str().unwrap(), &sandbox.id()], |command| {
        command.env("SECRET", "1");
    });
    assert_eq!(printed.ok(), "PATH=/bin\nHOME=/root\n");
}

#[test]
fn capabilities_are_dropped() {
    let Some(sandbox) = Sandbox::new(&["cat", "/proc/self/status"]) else { return };
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    sandbox.configure(|config| {
        let one = serde_json::json!(["CAP_KILL"]);
        config["process"]["capabilities"] =
            serde_json::json!({"bounding": one, "effective": one, "permitted": one});
    });
    let text = sandbox.run_container().ok();
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(&text, set), 1 << 5, "{set}");
    }
    sandbox.configure(|config| drop(config["process"].as_object_mut().unwrap().remove("capabilities")));
    let text = sandbox.run_container().ok();
    for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "CapInh:"] {
        assert_eq!(field(&text, set), 0, "{set}");
    }
}

#[test]
fn masked_and_read_only_paths_and_root_hold() {
    let script = "cat /proc/keys | head -c 1; echo > /proc/sys/kernel/domainname; touch /x; echo end";
    let Some(sandbox) = Sandbox::new(&["sh", "-c", script]) else { return };
    sandbox.configure(|config| config["root"]["readonly"] = true.into());
    let outcome = sandbox.run_container();
    assert_eq!(outcome.stdout, "end\n");
    assert_eq!(outcome.stderr.matches("Read-only file system").count(), 2, "{outcome:?}");
}

#[test]
fn a_user_namespace_maps_the_users_of_run_and_exec() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let map = serde_json::json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    sandbox.configure(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(serde_json::json!({"type": "user"}));
        config["linux"]["uidMappings"] = map.clone();
        config["linux"]["gidMappings"] = map.clone();
    });
    // The mapped root must get to its root filesystem.
    for path in [sandbox.path(""), sandbox.bundle(), sandbox.rootfs()] {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let id = sandbox.id();
    sandbox.create(&id).ok();
    sandbox.run(&["start", &id]).ok();
    let pid = sandbox.pid(&id);
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    assert!(status.contains("Uid:\t100000\t100000"), "{status}");
    let printed = sandbox.run(&["exec", &id, "sh", "-c", "id -u; readlink /proc/self/ns/user"]).ok();
    let link = fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    assert_eq!(printed, format!("0\n{}\n", link.display()));
    sandbox.end(&id);
}

#[cfg(feature = "seccomp")]
#[test]
fn a_filter_holds_for_run_and_exec() {
    let Some(sandbox) = Sandbox::new(&["sh", "-c", "mkdir /tmp/x || echo refused; sleep 1000"]) else {
        return;
    };
    sandbox.configure(|config| {
        config["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
        });
    });
    for no_new_privileges in [true, false] {
        sandbox.configure(|config| config["process"]["noNewPrivileges"] = no_new_privileges.into());
        let id = sandbox.id();
        sandbox.create(&id).ok();
        sandbox.run(&["start", &id]).ok();
        let outcome = sandbox.run(&["exec", &id, "mkdir", "/tmp/y"]);
        assert!(outcome.stderr.contains("Operation not permitted"), "{outcome:?}");
        sandbox.end(&id);
    }
    assert!(!sandbox.rootfs().join("tmp/x").exists());
}

#[cfg(feature = "seccomp")]
#[test]
fn a_filter_from_before_newer_calls_lets_the_command_be_found() {
    let Some(sandbox) = Sandbox::new(&["echo", "found"]) else { return };
    sandbox.configure(|config| {
        let names = ["statx", "faccessat2", "openat2", "clone3", "close_range", "rseq", "epoll_pwait2"];
        config["linux"]["seccomp"] = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": names, "action": "SCMP_ACT_ERRNO"}],
        });
    });
    for no_new_privileges in [true, false] {
        sandbox.configure(|config| config["process"]["noNewPrivileges"] = no_new_privileges.into());
        assert_eq!(sandbox.run_container().ok(), "found\n");
    }
    sandbox.configure(|config| config["process"]["args"] = ["/etc/passwd"].as_slice().into());
    assert!(sandbox.run_container().err().contains("permission denied"));
}
