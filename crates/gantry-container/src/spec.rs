//! From a client's request to `process.json`.

use crate::bundle::Bundle;
use crate::error::Result;
use gantry_record::ProcessRecord;
use gantry_record::container_log::LogTarget;
use serde_json::{Map, Value, json};

/// Insists that a text can be a path or an argument: for the kernel it would end at a NUL byte.
///
/// # Errors
/// [`crate::Error::Invalid`].
pub fn no_nul(what: &str, text: &str) -> Result<()> {
    if text.contains('\0') {
        return Err(crate::Error::Invalid(format!("{what} has a NUL byte: {text:?}")));
    }
    Ok(())
}

/// Three paths for the standard streams; an empty one means `/dev/null`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stdio {
    /// Standard input.
    pub stdin: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error; unused with a terminal.
    pub stderr: String,
}

impl Stdio {
    /// Whether outputs that name a log do so in the right form, so that a mistake is the client's and not a shim's.
    ///
    /// # Errors
    /// [`crate::Error::LogTarget`], or [`crate::Error::Invalid`] for a path that is none.
    pub fn check(&self) -> Result<()> {
        for path in [&self.stdin, &self.stdout, &self.stderr] {
            no_nul("the path of a stream", path)?;
        }
        for path in [&self.stdout, &self.stderr] {
            LogTarget::of_stream(path)?;
        }
        Ok(())
    }
}

/// A resource limit of getrlimit(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// `RLIMIT_NOFILE` and the like.
    pub kind: String,
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

/// What another process in a running container should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Whether it gets a terminal.
    pub terminal: bool,
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Supplementary groups.
    pub additional_gids: Vec<u32>,
    /// The command.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; empty means `/`.
    pub cwd: String,
    /// Names such as `CAP_KILL`: one list for the bounding, effective, inheritable and permitted sets.
    pub capabilities: Vec<String>,
    /// AppArmor profile, or empty.
    pub apparmor_profile: String,
    /// SELinux label, or empty.
    pub selinux_label: String,
    /// Sets `no_new_privs`.
    pub no_new_privileges: bool,
    /// Resource limits.
    pub rlimits: Vec<Rlimit>,
    /// Where the standard streams go.
    pub stdio: Stdio,
}

impl ExecSpec {
    /// The OCI process object of this exec in the container of `bundle`.
    ///
    /// Capabilities take the form that the bundle's own have: an object of sets, or the flat array of the
    /// first runtime-spec drafts, which is what the bundle's runtime then understands. Without a `PATH` the
    /// exec gets the container's.
    #[must_use]
    pub fn to_oci(&self, bundle: &Bundle) -> Map<String, Value> {
        let mut user = json!({ "uid": self.uid, "gid": self.gid });
        if !self.additional_gids.is_empty() {
            user["additionalGids"] = json!(self.additional_gids);
        }
        let mut env = self.env.clone();
        if !env.iter().any(|e| e.starts_with("PATH=")) {
            env.extend(bundle.env().find(|e| e.starts_with("PATH=")).map(str::to_owned));
        }
        let cwd = if self.cwd.is_empty() { "/" } else { &self.cwd };
        let mut process = Map::new();
        process.insert("terminal".to_owned(), json!(self.terminal));
        process.insert("user".to_owned(), user);
        process.insert("args".to_owned(), json!(self.args));
        process.insert("env".to_owned(), json!(env));
        process.insert("cwd".to_owned(), json!(cwd));
        process.insert("capabilities".to_owned(), self.capabilities_in_form_of(bundle));
        process.insert("noNewPrivileges".to_owned(), json!(self.no_new_privileges));
        let mut optional = |key: &str, value: &str| {
            if !value.is_empty() {
                process.insert(key.to_owned(), json!(value));
            }
        };
        optional("apparmorProfile", &self.apparmor_profile);
        optional("selinuxLabel", &self.selinux_label);
        if !self.rlimits.is_empty() {
            let limit = |l: &Rlimit| json!({ "type": l.kind, "hard": l.hard, "soft": l.soft });
            process.insert("rlimits".to_owned(), self.rlimits.iter().map(limit).collect());
        }
        process
    }

    fn capabilities_in_form_of(&self, bundle: &Bundle) -> Value {
        if bundle.has_flat_capabilities() {
            return json!(self.capabilities);
        }
        if self.capabilities.is_empty() {
            return json!({});
        }
        let sets = ["bounding", "effective", "inheritable", "permitted"];
        sets.iter().map(|set| ((*set).to_owned(), json!(self.capabilities))).collect()
    }
}

impl Stdio {
    /// What 0.2 writes for an empty path.
    fn or_null(path: &str) -> String {
        if path.is_empty() { "/dev/null".to_owned() } else { path.to_owned() }
    }

    /// Puts the paths into a record.
    pub fn write_to(&self, record: &mut ProcessRecord) {
        record.stdin = Self::or_null(&self.stdin);
        record.stdout = Self::or_null(&self.stdout);
        record.stderr = Self::or_null(&self.stderr);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(process: &Value) -> Bundle {
        let config = json!({ "root": { "path": "/" }, "process": process });
        Bundle::from_config("/b".into(), config).unwrap()
    }

    fn exec() -> ExecSpec {
        ExecSpec {
            args: vec!["id".to_owned()],
            capabilities: vec!["CAP_KILL".to_owned()],
            ..Default::default()
        }
    }

    #[test]
    fn capabilities_take_the_bundles_form() {
        let new = exec().to_oci(&bundle(&json!({ "capabilities": { "bounding": [] } })));
        assert_eq!(new["capabilities"]["effective"], json!(["CAP_KILL"]));
        let old = exec().to_oci(&bundle(&json!({ "capabilities": ["CAP_CHOWN"] })));
        assert_eq!(old["capabilities"], json!(["CAP_KILL"]));
        let none = ExecSpec { capabilities: vec![], ..exec() }.to_oci(&bundle(&json!({})));
        assert_eq!(none["capabilities"], json!({}));
    }

    #[test]
    fn path_comes_from_the_container_when_the_exec_has_none() {
        let bundle = bundle(&json!({ "env": ["A=1", "PATH=/opt"] }));
        assert_eq!(exec().to_oci(&bundle)["env"], json!(["PATH=/opt"]));
        let own = ExecSpec { env: vec!["PATH=/x".to_owned()], ..exec() };
        assert_eq!(own.to_oci(&bundle)["env"], json!(["PATH=/x"]));
        assert_eq!(own.to_oci(&bundle)["cwd"], json!("/"));
    }
}
