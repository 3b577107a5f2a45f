//! Which devices the processes of a cgroup may use.
//!
//! Rules apply in order and a later one wins; after the configuration's come those for devices that every container
//! may use. Version 1 keeps the list itself (`devices.allow`, `devices.deny`). Version 2 has an eBPF program instead:
//! it gets the access (`1` mknod, `2` read, `4` write) in the upper half and the type (`1` block, `2` char) in the
//! lower half of its first word, then major and minor, and answers 1 for yes.

use std::os::fd::AsFd;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use crate::cgroup::{Cgroup, step, write};
use crate::error::Result;
use crate::sys;

/// A rule in the form that both versions are made from.
#[derive(Clone, Copy, Debug)]
struct Rule {
    allow: bool,
    /// `a`, `b` or `c`.
    kind: char,
    major: Option<i64>,
    minor: Option<i64>,
    read: bool,
    write: bool,
    mknod: bool,
}

/// Devices of every container: nodes may be made of any, and these few be used.
const DEFAULTS: [(char, Option<i64>, Option<i64>, &str); 11] = [
    ('c', None, None, "m"),
    ('b', None, None, "m"),
    ('c', Some(1), Some(3), "rwm"),    // null
    ('c', Some(1), Some(5), "rwm"),    // zero
    ('c', Some(1), Some(7), "rwm"),    // full
    ('c', Some(1), Some(8), "rwm"),    // random
    ('c', Some(1), Some(9), "rwm"),    // urandom
    ('c', Some(5), Some(0), "rwm"),    // tty
    ('c', Some(5), Some(2), "rwm"),    // ptmx
    ('c', Some(136), None, "rwm"),     // pts/*
    ('c', Some(10), Some(200), "rwm"), // net/tun, as runc does for those who rely on it
];

impl Rule {
    fn new(allow: bool, kind: char, major: Option<i64>, minor: Option<i64>, access: &str) -> Self {
        let has = |letter| access.contains(letter);
        let any = |number: Option<i64>| number.filter(|n| *n >= 0);
        Self {
            allow,
            kind,
            major: any(major),
            minor: any(minor),
            read: has('r'),
            write: has('w'),
            mknod: has('m'),
        }
    }

    fn of(rule: &LinuxDeviceCgroup) -> Self {
        let kind = match rule.typ() {
            Some(LinuxDeviceType::B) => 'b',
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => 'c',
            _ => 'a',
        };
        let access = rule.access().as_deref().filter(|a| !a.is_empty()).unwrap_or("rwm");
        Self::new(rule.allow(), kind, rule.major(), rule.minor(), access)
    }

    /// The line of version 1: `c 1:3 rwm`, with `*` for any number.
    fn line(&self) -> String {
        if self.kind == 'a' {
            return "a".to_owned();
        }
        let number = |n: Option<i64>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
        let mut line = format!("{} {}:{} ", self.kind, number(self.major), number(self.minor));
        line.extend(
            [(self.read, 'r'), (self.write, 'w'), (self.mknod, 'm')].iter().filter(|l| l.0).map(|l| l.1),
        );
        line
    }
}

fn all_rules(rules: &[LinuxDeviceCgroup]) -> Vec<Rule> {
    let defaults =
        DEFAULTS.iter().map(|(kind, major, minor, access)| Rule::new(true, *kind, *major, *minor, access));
    rules.iter().map(Rule::of).chain(defaults).collect()
}

impl Cgroup {
    /// Sets the rules of a configuration and, after them, those of every container.
    pub(crate) fn allow_devices(&self, rules: &[LinuxDeviceCgroup]) -> Result<()> {
        let rules = all_rules(rules);
        if let Some(cgroup) = self.open_v2()? {
            let dir = self.controller("devices").unwrap_or_default();
            let program =
                sys::load_device_program(&program(&rules)).map_err(step("load device rules of", &dir))?;
            return sys::attach_device_program(cgroup.as_fd(), program.as_fd())
                .map_err(step("set device rules of", dir));
        }
        let Some(dir) = self.controller("devices") else { return Ok(()) };
        for rule in rules {
            let file = dir.join(if rule.allow { "devices.allow" } else { "devices.deny" });
            write(&file, &rule.line()).map_err(step("set device rules of", file))?;
        }
        Ok(())
    }
}

/// The program of version 2: tests the rules from the last to the first and answers by the first that matches; what
/// none matches is allowed, as in a cgroup without rules.
fn program(rules: &[Rule]) -> Vec<u64> {
    const TYPE: u8 = 2;
    const ACCESS: u8 = 3;
    const MAJOR: u8 = 4;
    const MINOR: u8 = 5;
    const SCRATCH: u8 = 1;
    let mut code = vec![
        load_word(TYPE, 0),
        alu_imm(AND, TYPE, 0xffff),
        load_word(ACCESS, 0),
        alu_imm(SHIFT_RIGHT, ACCESS, 16),
        load_word(MAJOR, 4),
        load_word(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let mut tests: Vec<u64> = Vec::new();
        // Jumps to the next rule are filled in once its place is known.
        if let Some(kind) = match rule.kind {
            'b' => Some(1),
            'c' => Some(2),
            _ => None,
        } {
            tests.push(jump_unless_equal_imm(TYPE, kind));
        }
        let bits = i32::from(rule.mknod) | i32::from(rule.read) << 1 | i32::from(rule.write) << 2;
        if bits != 7 {
            tests.push(move_register(SCRATCH, ACCESS));
            tests.push(alu_imm(AND, SCRATCH, bits));
            // What a rule allows must cover all that is asked; what it denies need only touch it.
            tests.push(if rule.allow { jump_unless_equal(SCRATCH, ACCESS) } else { jump_if_zero(SCRATCH) });
        }
        for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
            if let Some(number) = number.and_then(|n| i32::try_from(n).ok()) {
                tests.push(jump_unless_equal_imm(register, number));
            }
        }
        let length = tests.len() + 2;
        for (place, instruction) in tests.iter_mut().enumerate() {
            if is_jump(*instruction) {
                // Relative to the instruction after the jump; a rule is a few instructions long.
                *instruction |= ((length - place - 1) as u64 & 0xffff) << 16;
            }
        }
        let always = tests.is_empty();
        code.extend(tests);
        code.extend([move_imm(0, i32::from(rule.allow)), EXIT]);
        if always {
            // The kernel refuses a program with instructions that are never reached.
            return code;
        }
    }
    code.extend([move_imm(0, 1), EXIT]);
    code
}

// Instructions, as in linux/bpf.h: the opcode in byte 0, destination and source in the halves of byte 1, a jump's
// distance in bytes 2 and 3, a constant in the last four.
const EXIT: u64 = 0x95;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;

fn instruction(opcode: u8, to: u8, from: u8, offset: u16, constant: i32) -> u64 {
    u64::from(opcode)
        | u64::from(to) << 8
        | u64::from(from) << 12
        | u64::from(offset) << 16
        | u64::from(u32::from_ne_bytes(constant.to_ne_bytes())) << 32
}
fn load_word(to: u8, offset: u16) -> u64 {
    instruction(0x61, to, 1, offset, 0)
}
fn alu_imm(operation: u8, to: u8, constant: i32) -> u64 {
    instruction(operation, to, 0, 0, constant)
}
fn move_register(to: u8, from: u8) -> u64 {
    instruction(0xbf, to, from, 0, 0)
}
fn move_imm(to: u8, constant: i32) -> u64 {
    instruction(0xb7, to, 0, 0, constant)
}
fn jump_unless_equal_imm(register: u8, constant: i32) -> u64 {
    instruction(0x55, register, 0, 0, constant)
}
fn jump_unless_equal(register: u8, other: u8) -> u64 {
    instruction(0x5d, register, other, 0, 0)
}
fn jump_if_zero(register: u8) -> u64 {
    instruction(0x15, register, 0, 0, 0)
}
fn is_jump(instruction: u64) -> bool {
    matches!(instruction & 0xff, 0x55 | 0x5d | 0x15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_version_1() {
        assert_eq!(Rule::new(true, 'c', Some(1), None, "rw").line(), "c 1:* rw");
        assert_eq!(Rule::new(true, 'b', Some(-1), Some(7), "m").line(), "b *:7 m");
        assert_eq!(Rule::new(false, 'a', None, None, "rwm").line(), "a");
    }

    /// A cgroup of version 2 that is removed at the end; none without root or where none is mounted.
    struct Throwaway(std::path::PathBuf);
    impl Throwaway {
        fn new() -> Option<Self> {
            let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(std::path::Path::new);
            let root = roots.iter().find(|root| root.join("cgroup.controllers").exists());
            if !rustix::process::geteuid().is_root() || root.is_none() {
                println!("skipped: needs root and a cgroup hierarchy of version 2");
                return None;
            }
            let dir = root?.join(format!("gantry-devices-{}", std::process::id()));
            std::fs::create_dir(&dir).unwrap();
            Some(Self(dir))
        }
    }
    impl Drop for Throwaway {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir(&self.0);
        }
    }

    #[test]
    fn the_program_filters_as_version_1_does() {
        let Some(cgroup) = Throwaway::new() else { return };
        let rules = all_rules(&[serde_json::from_str(r#"{"allow": false, "access": "rwm"}"#).unwrap()]);
        let program = sys::load_device_program(&program(&rules)).unwrap();
        let dir = std::fs::File::open(&cgroup.0).unwrap();
        sys::attach_device_program(dir.as_fd(), program.as_fd()).unwrap();
        let can = |command: &str| {
            let join = format!("echo 0 > {}/cgroup.procs && {command}", cgroup.0.display());
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &join]).stderr(std::process::Stdio::null());
            shell.stdout(std::process::Stdio::null()).status().unwrap().success()
        };
        assert!(can("head -c 1 /dev/zero && echo x > /dev/null"));
        assert!(!can("head -c 1 /dev/kmsg"));
        let node = tempfile::tempdir().unwrap().path().join("node");
        assert!(can(&format!("mkdir -p {0} && mknod {0}/n c 1 11", node.display())));
        let _ = std::fs::remove_dir_all(node);
    }

    #[test]
    fn jumps_lead_behind_their_rule() {
        let code = program(&[Rule::new(true, 'c', Some(1), Some(3), "r")]);
        // Six to load, then: type, move, and, access, major, minor, answer, exit; then the default.
        assert_eq!(code.len(), 6 + 8 + 2);
        assert_eq!(code[6] >> 16 & 0xffff, 7);
        assert_eq!(code[11] >> 16 & 0xffff, 2);
        assert_eq!(code[15], EXIT);
    }
}
