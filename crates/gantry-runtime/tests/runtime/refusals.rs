//! What is not supported is refused by name, before anything was made.

use serde_json::{Value, json};

use crate::harness::Sandbox;

#[test]
fn what_a_configuration_may_not_ask_for_is_named() {
    type Change = fn(&mut Value);
    let refused: &[(Change, &str)] = &[
        (|c| c["process"]["selinuxLabel"] = "system_u:system_r:x:s0".into(), "process.selinuxLabel"),
        (|c| c["linux"]["mountLabel"] = "system_u:object_r:x:s0".into(), "linux.mountLabel"),
        (|c| c["linux"]["intelRdt"] = json!({"closID": "x"}), "linux.intelRdt"),
        (|c| c["linux"]["netDevices"] = json!({"eth0": {}}), "linux.netDevices"),
        (|c| c["linux"]["rootfsPropagation"] = "sideways".into(), "linux.rootfsPropagation \"sideways\""),
        (
            |c| {
                c["linux"]["namespaces"].as_array_mut().unwrap().retain(|ns| ns["type"] != "mount");
                (c["linux"]["maskedPaths"], c["linux"]["readonlyPaths"]) = (json!([]), json!([]));
            },
            "a container without a mount namespace",
        ),
        (
            |c| c["linux"]["seccomp"] = json!({"defaultAction": "SCMP_ACT_NOTIFY"}),
            "linux.seccomp with SCMP_ACT_NOTIFY",
        ),
        (|c| mount(c, &["bind", "idmap"]), "the id-mapped mount \"/m\""),
        (
            |c| {
                mount(c, &["bind"]);
                let map = json!([{"containerID": 0, "hostID": 1000, "size": 1}]);
                let mounts = c["mounts"].as_array_mut().unwrap();
                let last = mounts.last_mut().unwrap();
                (last["uidMappings"], last["gidMappings"]) = (map.clone(), map);
            },
            "the id-mapped mount \"/m\"",
        ),
        (|c| mount(c, &["bind", "remount"]), "option remount"),
        (|c| mount(c, &["bind", "tmpcopyup"]), "option tmpcopyup"),
        (|c| c["linux"]["resources"]["rdma"] = json!({"mlx5_0": {"hcaHandles": 3}}), "linux.resources.rdma"),
        (
            |c| c["linux"]["resources"]["unified"] = json!({"../memory.max": "5"}),
            "linux.resources.unified \"../memory.max\"",
        ),
    ];
    for (change, name) in refused {
        let Some(sandbox) = Sandbox::new(&["true"]) else { return };
        sandbox.configure(change);
        let id = sandbox.id();
        let error = sandbox.create(&id).err();
        assert!(error.contains(name), "{name}: {error}");
        sandbox.assert_gone(&id);
    }
}

fn mount(config: &mut Value, options: &[&str]) {
    let mount = json!({"destination": "/m", "type": "bind", "source": "/tmp", "options": options});
    config["mounts"].as_array_mut().unwrap().push(mount);
}

#[test]
fn flags_of_a_checkpoint_that_are_not_supported_are_named() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    let common = [&["--lazy-pages"][..], &["--empty-ns", "ipc"], &["--manage-cgroups-mode", "sideways"]];
    let checkpoint = [
        &["--pre-dump"][..],
        &["--parent-path", "before"],
        &["--page-server", "127.0.0.1:1"],
        &["--status-fd", "3"],
    ];
    let restore =
        [&["--no-pivot"][..], &["--lsm-profile", "apparmor:x"], &["--lsm-mount-context", "system_u:x"]];
    let all = common.iter().chain(&checkpoint).map(|flags| ("checkpoint", *flags));
    for (command, flags) in all.chain(common.iter().chain(&restore).map(|flags| ("restore", *flags))) {
        let line = [&[command][..], flags, &[id.as_str()]].concat();
        let error = sandbox.run(&line).err();
        assert!(error.contains(flags[0]), "{line:?}: {error}");
    }
    sandbox.end(&id);
}

#[test]
fn only_what_runs_can_be_saved_and_only_what_was_saved_restored() {
    let Some(sandbox) = Sandbox::new(&["sleep", "1000"]) else { return };
    let id = sandbox.id();
    sandbox.create(&id).ok();
    let (images, bundle) = (sandbox.path("images"), sandbox.bundle());
    let error = sandbox.run(&["checkpoint", "--image-path", images.to_str().unwrap(), &id]).err();
    assert!(error.contains(&format!("cannot checkpoint container {id} that is created")), "{error}");
    assert!(!images.exists());
    sandbox.end(&id);
    let other = sandbox.id();
    let line = ["restore", "-b", bundle.to_str().unwrap(), "--image-path", images.to_str().unwrap(), &other];
    let error = sandbox.run(&line).err();
    assert!(error.contains("find the images in") && error.contains("images"), "{error}");
    sandbox.assert_gone(&other);

    std::fs::create_dir(&images).unwrap();
    std::fs::write(images.join("gantry.json"), r#"{"cgroup": "elsewhere"}"#).unwrap();
    let error = sandbox.run(&line).err();
    assert!(error.contains("linux.cgroupsPath"), "{error}");
    sandbox.assert_gone(&other);
}
