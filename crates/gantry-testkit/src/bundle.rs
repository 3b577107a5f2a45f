//! Bundles made from the system's static busybox.

use crate::{Scratch, spec};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Where Debian's busybox-static puts it.
const BUSYBOX: &str = "/bin/busybox";

/// A bundle on disk, ready to be run.
#[derive(Debug)]
pub struct Bundle {
    scratch: Arc<Scratch>,
    id: String,
    path: PathBuf,
    config: Value,
}

/// What a bundle is to be; [`BundleBuilder::build`] writes it.
#[derive(Debug)]
pub struct BundleBuilder {
    scratch: Arc<Scratch>,
    number: u32,
    config: Value,
}

// === impl Bundle ===

impl Bundle {
    /// Starts a bundle in a scratch of its own.
    #[must_use]
    pub fn busybox() -> BundleBuilder {
        Self::busybox_in(&Scratch::new())
    }

    /// Starts a bundle that shares a scratch, most often the one of a [`Daemon`](crate::Daemon).
    #[must_use]
    pub fn busybox_in(scratch: &Arc<Scratch>) -> BundleBuilder {
        let number = scratch.next_bundle();
        let config = spec::default(&format!("/{}/c{number}", scratch.cgroup()));
        BundleBuilder { scratch: Arc::clone(scratch), number, config }
    }

    /// A container id that no other test uses.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The bundle's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the container's files.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.path.join("rootfs")
    }

    /// Where it lives.
    #[must_use]
    pub fn scratch(&self) -> &Arc<Scratch> {
        &self.scratch
    }

    /// What is in `config.json`.
    #[must_use]
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Writes another `config.json`, for the next start.
    pub fn rewrite(&mut self, change: impl FnOnce(&mut Value)) {
        change(&mut self.config);
        self.write_config();
    }

    fn write_config(&self) {
        let text = serde_json::to_string_pretty(&self.config).expect("JSON as text");
        fs::write(self.path.join("config.json"), text).expect("write config.json");
    }
}

// === impl BundleBuilder ===

impl BundleBuilder {
    /// The command line.
    #[must_use]
    pub fn args<S: AsRef<str>>(self, args: impl IntoIterator<Item = S>) -> Self {
        let args: Vec<String> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self.patch(|config| config["process"]["args"] = json!(args))
    }

    /// A script for the container's shell.
    #[must_use]
    pub fn shell(self, script: &str) -> Self {
        self.args(["sh", "-c", script])
    }

    /// One more variable of the environment.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.patch(|config| {
            let env = config["process"]["env"].as_array_mut().expect("env is a list");
            env.push(json!(format!("{name}={value}")));
        })
    }

    /// The working directory.
    #[must_use]
    pub fn cwd(self, cwd: &str) -> Self {
        self.patch(|config| config["process"]["cwd"] = json!(cwd))
    }

    /// Whether the process has a terminal.
    #[must_use]
    pub fn terminal(self, terminal: bool) -> Self {
        self.patch(|config| config["process"]["terminal"] = json!(terminal))
    }

    /// The user, as seen in the container.
    #[must_use]
    pub fn user(self, uid: u32, gid: u32) -> Self {
        self.patch(|config| config["process"]["user"] = json!({ "uid": uid, "gid": gid }))
    }

    /// The most memory that it may use.
    #[must_use]
    pub fn memory_limit_bytes(self, limit: u64) -> Self {
        self.patch(|config| config["linux"]["resources"]["memory"] = json!({ "limit": limit }))
    }

    /// The most processes that it may have.
    #[must_use]
    pub fn pids_limit(self, limit: u32) -> Self {
        self.patch(|config| config["linux"]["resources"]["pids"] = json!({ "limit": limit }))
    }

    /// Takes a namespace away, such as `pid`: the container shares the host's.
    #[must_use]
    pub fn without_namespace(self, kind: &str) -> Self {
        self.patch(|config| {
            let namespaces = config["linux"]["namespaces"].as_array_mut().expect("namespaces are a list");
            namespaces.retain(|namespace| namespace["type"] != kind);
        })
    }

    /// Whether set-user-id programs are denied their privileges.
    #[must_use]
    pub fn no_new_privileges(self, denied: bool) -> Self {
        self.patch(|config| config["process"]["noNewPrivileges"] = json!(denied))
    }

    /// The capabilities, by name (`CAP_KILL`).
    #[must_use]
    pub fn capabilities(self, names: &[&str]) -> Self {
        self.patch(|config| config["process"]["capabilities"] = spec::capabilities(names))
    }

    /// Another cgroup than the scratch's own; it is not removed at the end unless its path has the scratch's name.
    #[must_use]
    pub fn cgroups_path(self, path: &str) -> Self {
        self.patch(|config| config["linux"]["cgroupsPath"] = json!(path))
    }

    /// Any other change.
    #[must_use]
    pub fn patch(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self
    }

    /// Writes the bundle.
    #[must_use]
    pub fn build(self) -> Bundle {
        let path = self.scratch.path().join(format!("bundle-{}", self.number));
        fs::create_dir(&path).expect("make the bundle's folder");
        make_rootfs(&path.join("rootfs"));
        let id = format!("{}.{}", self.scratch.cgroup(), self.number);
        let bundle = Bundle { scratch: self.scratch, id, path, config: self.config };
        bundle.write_config();
        bundle
    }
}

/// A small root: busybox under all its names, the folders that programs expect, and a few users.
fn make_rootfs(rootfs: &Path) {
    for folder in ["bin", "dev", "etc", "proc", "root", "run", "sys", "tmp", "usr/bin", "var"] {
        fs::create_dir_all(rootfs.join(folder)).expect("make a folder of the root");
    }
    fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).expect("open /tmp");
    let busybox = rootfs.join("bin/busybox");
    if let Err(error) = fs::copy(BUSYBOX, &busybox) {
        panic!("copy {BUSYBOX}: {error}: install busybox-static (`make setup`)");
    }
    // Not the copy: a child that another thread is just starting may still hold it open for writing.
    let list = Command::new(BUSYBOX).arg("--list").output().expect("run busybox --list");
    assert!(list.status.success(), "busybox --list failed");
    for applet in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", rootfs.join("bin").join(applet)).expect("link an applet");
    }
    fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    )
    .expect("write passwd");
    fs::write(rootfs.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").expect("write group");
}
