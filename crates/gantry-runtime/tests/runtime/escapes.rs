//! Known ways out of a container, each tried as its advisory describes it.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::harness::Sandbox;

/// Sets the command of a sandbox to a script.
fn script(sandbox: &Sandbox, script: &str) {
    sandbox.configure(|config| config["process"]["args"] = json!(["sh", "-c", script]));
}

/// CVE-2024-21626: a working directory by a descriptor that the runtime left open leads to the host.
#[test]
fn the_working_directory_is_not_a_descriptor_of_the_host() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    script(&sandbox, "pwd; ls /proc/self/cwd/../../../../../../etc/shadow 2>&1 | head -n 1");
    for descriptor in 3..24 {
        sandbox.configure(|config| config["process"]["cwd"] = json!(format!("/proc/self/fd/{descriptor}")));
        let outcome = sandbox.run_container();
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{descriptor}: {outcome:?}");
        assert!(outcome.stderr.contains("process.cwd"), "{descriptor}: {outcome:?}");
    }
    // By a link of the image, and for an exec.
    symlink("/proc/self/fd/7", sandbox.rootfs().join("link")).unwrap();
    sandbox.configure(|config| config["process"]["cwd"] = json!("/link"));
    assert_eq!(sandbox.run_container().code, Some(1));
    sandbox.configure(|config| {
        config["process"]["cwd"] = json!("/");
        config["process"]["args"] = json!(["sleep", "1000"]);
    });
    let id = sandbox.id();
    sandbox.create(&id).ok();
    sandbox.run(&["start", &id]).ok();
    for descriptor in 3..24 {
        let cwd = format!("/proc/self/fd/{descriptor}");
        let outcome = sandbox.run(&["exec", "--cwd", &cwd, &id, "ls", "/proc/self/cwd/"]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{descriptor}: {outcome:?}");
    }
    sandbox.end(&id);
}

/// CVE-2025-31133: with `/dev/null` swapped for a link, masking mounts the link's target, writable.
#[test]
fn a_mask_is_the_null_device_and_nothing_else() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    script(&sandbox, "echo x > /etc/hidden; cat /target");
    let rootfs = sandbox.rootfs();
    fs::write(rootfs.join("target"), "untouched\n").unwrap();
    fs::write(rootfs.join("etc/hidden"), "secret\n").unwrap();
    sandbox.configure(|config| {
        // The image's own /dev, so that it decides what is there.
        config["mounts"]
            .as_array_mut()
            .unwrap()
            .retain(|mount| !mount["destination"].as_str().unwrap_or_default().starts_with("/dev"));
        config["linux"]["maskedPaths"] = json!(["/etc/hidden"]);
    });
    for target in ["/target", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger"] {
        let null = rootfs.join("dev/null");
        let _ = fs::remove_file(&null);
        symlink(target, &null).unwrap();
        let outcome = sandbox.run_container();
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
        assert!(outcome.stderr.contains("/dev/null"), "{outcome:?}");
    }
    // A plain file in its place is no better.
    fs::remove_file(rootfs.join("dev/null")).unwrap();
    fs::write(rootfs.join("dev/null"), "").unwrap();
    assert!(sandbox.run_container().err().contains("is not the null device"));
    assert_eq!(fs::read_to_string(rootfs.join("target")).unwrap(), "untouched\n");
}

/// CVE-2025-31133 and -52881: masked and read-only paths that lead elsewhere by links of the image.
#[test]
fn masks_and_read_only_paths_stay_inside_and_cover_what_is_read() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let rootfs = sandbox.rootfs();
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(rootfs.join("etc/secret"), "secret\n").unwrap();
    symlink("/etc/secret", rootfs.join("etc/masked")).unwrap();
    symlink(&outside, rootfs.join("etc/escape")).unwrap();
    symlink("../../../../../../../../tmp", rootfs.join("etc/up")).unwrap();
    sandbox.configure(|config| {
        config["linux"]["maskedPaths"] = json!(["/etc/masked", "/etc/escape"]);
        config["linux"]["readonlyPaths"] = json!(["/etc/up"]);
    });
    script(&sandbox, "cat /etc/masked /etc/secret; touch /tmp/x /etc/up/x 2>/dev/null; ls /tmp; echo end");
    assert_eq!(sandbox.run_container().ok(), "end\n");
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(outside.to_str().unwrap()));
}

/// CVE-2025-52565: `/dev/console` swapped for a link makes the terminal's mount land elsewhere.
#[test]
fn the_console_is_not_mounted_through_a_link() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let rootfs = sandbox.rootfs();
    sandbox.configure(|config| {
        config["process"]["terminal"] = true.into();
        // The image's own /dev, with the container's devpts in it.
        config["mounts"].as_array_mut().unwrap().retain(|mount| {
            let destination = mount["destination"].as_str().unwrap_or_default();
            destination == "/dev/pts" || !destination.starts_with("/dev")
        });
        config["linux"]["maskedPaths"] = json!([]);
    });
    fs::create_dir_all(rootfs.join("dev/pts")).unwrap();
    symlink("/proc/sys/kernel/core_pattern", rootfs.join("dev/console")).unwrap();
    let outcome = sandbox.run_container();
    assert_ne!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("/dev/console"), "{outcome:?}");

    // Nor is a terminal taken from what only has its name.
    fs::remove_file(rootfs.join("dev/console")).unwrap();
    sandbox.configure(|config| {
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev/pts");
    });
    fs::write(rootfs.join("dev/pts/ptmx"), "").unwrap();
    let outcome = sandbox.run_container();
    assert!(outcome.stderr.contains("is not of a devpts file system"), "{outcome:?}");
}

/// CVE-2019-16884 and CVE-2023-27561: `/proc` as a link of the image, so that what is written there goes elsewhere.
#[test]
fn proc_is_not_mounted_through_a_link() {
    let Some(sandbox) = Sandbox::new(&["echo", "runs"]) else { return };
    let rootfs = sandbox.rootfs();
    for name in ["proc", "sys"] {
        fs::remove_dir(rootfs.join(name)).unwrap();
        fs::create_dir_all(rootfs.join("elsewhere")).unwrap();
        symlink("/elsewhere", rootfs.join(name)).unwrap();
        let error = sandbox.run_container().err();
        assert!(error.contains(&format!("\"/{name}\" must be mounted on an ordinary directory")), "{error}");
        fs::remove_file(rootfs.join(name)).unwrap();
        fs::create_dir(rootfs.join(name)).unwrap();
    }
    assert_eq!(sandbox.run_container().ok(), "runs\n");
}

/// CVE-2019-16884 and CVE-2025-52881: something over `/proc`, or a part of it, that swallows what is written to protect.
#[test]
fn nothing_is_mounted_over_proc() {
    let Some(sandbox) = Sandbox::new(&["echo", "runs"]) else { return };
    symlink("/proc", sandbox.rootfs().join("alias")).unwrap();
    for (destination, kind) in [
        ("/proc", "tmpfs"),
        ("/proc/self", "tmpfs"),
        ("/proc/sys", "tmpfs"),
        ("/alias/sys", "tmpfs"),
        ("/alias", "tmpfs"),
    ] {
        let mut mounts = serde_json::Value::Null;
        sandbox.configure(|config| {
            mounts = config["mounts"].clone();
            let mount = json!({"destination": destination, "type": kind, "source": kind});
            config["mounts"].as_array_mut().unwrap().push(mount);
        });
        let error = sandbox.run_container().err();
        assert!(error.contains("cannot be mounted because"), "{destination}: {error}");
        sandbox.configure(|config| config["mounts"] = mounts.clone());
    }
}

/// CVE-2025-52881: kernel parameters are written to the kernel even without a `/proc` in the container.
#[test]
fn kernel_parameters_go_to_the_kernel_and_not_to_the_image() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let rootfs = sandbox.rootfs();
    fs::create_dir_all(rootfs.join("proc/sys/kernel")).unwrap();
    fs::write(rootfs.join("proc/sys/kernel/msgmax"), "fake").unwrap();
    sandbox.configure(|config| {
        config["linux"]["sysctl"] = json!({"kernel.msgmax": "4567"});
        config["linux"]["maskedPaths"] = json!([]);
        config["linux"]["readonlyPaths"] = json!([]);
        for mount in config["mounts"].as_array_mut().unwrap() {
            if mount["destination"] == "/proc" {
                mount["destination"] = "/real".into();
            }
        }
    });
    script(&sandbox, "cat /proc/sys/kernel/msgmax /real/sys/kernel/msgmax");
    assert_eq!(sandbox.run_container().ok(), "fake4567\n");
}

/// Mount destinations that are links out of the image end inside.
#[test]
fn mounts_stay_inside_the_root_filesystem() {
    let Some(sandbox) = Sandbox::new(&["true"]) else { return };
    let outside = sandbox.path("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, sandbox.rootfs().join("escape")).unwrap();
    symlink("../../../..", sandbox.rootfs().join("up")).unwrap();
    sandbox.configure(|config| {
        for destination in ["/escape", "/up/tmp/deep"] {
            let mount = json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"});
            config["mounts"].as_array_mut().unwrap().push(mount);
        }
    });
    script(&sandbox, "ls -d /tmp/deep && echo x > /tmp/deep/x");
    let outcome = sandbox.run_container();
    // A link to what is missing inside is no destination; it is not followed to the host.
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    sandbox.configure(|config| {
        config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/escape");
    });
    assert_eq!(sandbox.run_container().ok(), "/tmp/deep\n");
    assert!(!std::path::Path::new("/tmp/deep").exists());
}
