//! A client of the shape of dockerd 1.12 to 17.03, from Python: its order of calls, its expectations, its restarts.
//!
//! It spawns its daemon itself, as dockerd does, by the names that docker's packages gave to the programs. Its bundles have
//! capabilities as one flat list, which runtimes of today do not read; the built-in one does.

use crate::support::Python;
use gantry_testkit::{Binaries, Bundle, Leaks, finish};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

/// Three lives of dockerd and five of its daemon, three of them noticed only after dockerd's own 1.5 seconds.
const TIMEOUT: Duration = Duration::from_secs(180);

#[test]
fn dockerd_runs_its_life_cycles() {
    let bundle = Bundle::busybox()
        .patch(|config| config["process"]["capabilities"] = json!(["CAP_CHOWN", "CAP_KILL"]))
        .build();
    let scratch = bundle.scratch();
    let leaks = Leaks::snapshot(scratch);
    let folder = |name: &str| {
        let folder = scratch.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let (programs, root, temporary) = (folder("programs"), folder("docker"), folder("tmp"));
    let binaries = Binaries::locate();
    let links = [
        (binaries.gantryd(), "docker-containerd"),
        (binaries.shim(), "docker-containerd-shim"),
        (binaries.runtime(), "docker-runc"),
    ];
    for (program, name) in links {
        symlink(program, programs.join(name)).unwrap();
    }

    let mut dockerd = Python::with_stubs(scratch).script("dockerd.py");
    dockerd.arg("--root").arg(&root).arg("--rootfs").arg(bundle.rootfs());
    dockerd.arg("--config").arg(bundle.path().join("config.json")).arg("--programs").arg(&programs);
    dockerd.arg(format!("--runtime-arg=--root={}", scratch.path().join("runtime").display()));
    let done = finish(dockerd.env("TMPDIR", temporary), TIMEOUT);
    let log = fs::read_to_string(root.join("libcontainerd/log")).unwrap_or_default();
    let last: Vec<&str> = log.lines().rev().take(40).collect();
    assert!(
        done.stdout.ends_with("ok\n"),
        "{done}\n{}",
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    );
    leaks.assert_clean();
}
