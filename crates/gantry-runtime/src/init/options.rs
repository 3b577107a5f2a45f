//! The options of a mount, as the specification and mount(8) name them.

use oci_spec::runtime::Mount;

use crate::sys::MountChange;

/// Options by what they are for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether the source is a tree that exists, and whether what is mounted below it comes along.
    pub(crate) bind: bool,
    pub(crate) bind_recursive: bool,
    /// For the mount itself.
    pub(crate) own: MountChange,
    /// For the mount and all below it.
    pub(crate) recursive: MountChange,
    /// How it propagates, and whether that holds for all below it.
    pub(crate) propagation: Option<(u64, bool)>,
    /// For the file system.
    pub(crate) data: Vec<String>,
    /// Whether a tmpfs begins with what it covers.
    pub(crate) copy_up: bool,
    /// Not supported.
    pub(crate) remount: bool,
}

enum Attribute {
    Set(u64),
    Clear(u64),
    AccessTime(u64),
}

impl Options {
    /// Sorts the options of a mount. The last of contradictory ones counts.
    pub(crate) fn of(mount: &Mount) -> Self {
        let mut options = Self { bind: mount.typ().as_deref() == Some("bind"), ..Self::default() };
        for option in mount.options().iter().flatten() {
            options.add(option);
        }
        options
    }

    fn add(&mut self, option: &str) {
        match option {
            "bind" => self.bind = true,
            "rbind" => (self.bind, self.bind_recursive) = (true, true),
            "tmpcopyup" => self.copy_up = true,
            "remount" => self.remount = true,
            // What is so anyway, or what no file system heeds any more.
            "" | "defaults" | "async" | "nomand" | "mand" | "norelatime" | "silent" | "loud" => {}
            _ => {
                if let Some(attribute) = attribute(option) {
                    apply(&mut self.own, &attribute);
                } else if let Some(propagation) = propagation(option) {
                    self.propagation = Some((propagation, false));
                } else if let Some(name) = option.strip_prefix('r')
                    && let Some(attribute) = attribute(name)
                {
                    apply(&mut self.recursive, &attribute);
                } else if let Some(name) = option.strip_prefix('r')
                    && let Some(propagation) = propagation(name)
                {
                    self.propagation = Some((propagation, true));
                } else {
                    self.data.push(option.to_owned());
                }
            }
        }
    }
}

fn apply(change: &mut MountChange, attribute: &Attribute) {
    match *attribute {
        Attribute::Set(bits) => (change.set, change.clear) = (change.set | bits, change.clear & !bits),
        Attribute::Clear(bits) => (change.set, change.clear) = (change.set & !bits, change.clear | bits),
        Attribute::AccessTime(value) => {
            // One value in several bits, which are cleared as a whole (mount_setattr(2)).
            change.clear |= libc::MOUNT_ATTR__ATIME;
            change.set = change.set & !libc::MOUNT_ATTR__ATIME | value;
        }
    }
}

fn attribute(name: &str) -> Option<Attribute> {
    use Attribute::{AccessTime, Clear, Set};
    Some(match name {
        "ro" => Set(libc::MOUNT_ATTR_RDONLY),
        "rw" => Clear(libc::MOUNT_ATTR_RDONLY),
        "nosuid" => Set(libc::MOUNT_ATTR_NOSUID),
        "suid" => Clear(libc::MOUNT_ATTR_NOSUID),
        "nodev" => Set(libc::MOUNT_ATTR_NODEV),
        "dev" => Clear(libc::MOUNT_ATTR_NODEV),
        "noexec" => Set(libc::MOUNT_ATTR_NOEXEC),
        "exec" => Clear(libc::MOUNT_ATTR_NOEXEC),
        "nodiratime" => Set(libc::MOUNT_ATTR_NODIRATIME),
        "diratime" => Clear(libc::MOUNT_ATTR_NODIRATIME),
        "nosymfollow" => Set(libc::MOUNT_ATTR_NOSYMFOLLOW),
        "symfollow" => Clear(libc::MOUNT_ATTR_NOSYMFOLLOW),
        "noatime" => AccessTime(libc::MOUNT_ATTR_NOATIME),
        "strictatime" => AccessTime(libc::MOUNT_ATTR_STRICTATIME),
        "relatime" | "atime" | "nostrictatime" => AccessTime(libc::MOUNT_ATTR_RELATIME),
        _ => return None,
    })
}

fn propagation(name: &str) -> Option<u64> {
    match name {
        "shared" => Some(libc::MS_SHARED),
        "slave" => Some(libc::MS_SLAVE),
        "private" => Some(libc::MS_PRIVATE),
        "unbindable" => Some(libc::MS_UNBINDABLE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(list: &[&str]) -> Options {
        let mount = serde_json::json!({"destination": "/x", "type": "tmpfs", "options": list});
        Options::of(&serde_json::from_value(mount).unwrap())
    }

    #[test]
    fn options_are_told_apart() {
        let parsed = options(&["rbind", "ro", "rnosuid", "rslave", "size=1k", "relatime", "nosuid", "suid"]);
        assert!(parsed.bind && parsed.bind_recursive);
        let own = libc::MOUNT_ATTR_RDONLY;
        assert_eq!(parsed.own.set, own);
        assert_eq!(parsed.own.clear, libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NOSUID);
        assert_eq!(parsed.recursive.set, libc::MOUNT_ATTR_NOSUID);
        assert_eq!(parsed.propagation, Some((libc::MS_SLAVE, true)));
        assert_eq!(parsed.data, ["size=1k"]);
    }

    #[test]
    fn the_last_word_counts() {
        let parsed = options(&["ro", "rw", "noatime", "strictatime", "private", "shared", "tmpcopyup"]);
        assert!(parsed.copy_up && parsed.data.is_empty());
        assert_eq!(parsed.own.set, libc::MOUNT_ATTR_STRICTATIME);
        assert_eq!(parsed.propagation, Some((libc::MS_SHARED, false)));
    }
}
