//! gantry-demo: a few commands in one static program, so that `gantry run` shows something on a machine
//! without busybox. The name that it is called by says which one it is; `gantry-demo NAME ...` works too.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The exit status for a command that is not one of ours, as a shell has it.
const NOT_FOUND: u8 = 127;

fn main() -> ExitCode {
    let mut args: Vec<String> = env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    if args.first().is_some_and(|name| base_name(name) == "gantry-demo") {
        args.remove(0);
    }
    let Some((name, args)) = args.split_first() else {
        eprintln!("usage: gantry-demo cat|echo|env|false|hello|id|sleep|true|uname [ARG...]");
        return ExitCode::FAILURE;
    };
    match applet(base_name(name), args, &mut io::stdout().lock()) {
        Ok(status) => ExitCode::from(status),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", base_name(name));
            ExitCode::FAILURE
        }
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn applet(name: &str, args: &[String], out: &mut impl Write) -> io::Result<u8> {
    match name {
        "true" => Ok(0),
        "false" => Ok(1),
        "hello" => hello(out),
        "echo" => echo(args, out),
        "cat" => cat(args, out),
        "sleep" => sleep(args),
        "env" => {
            for (key, value) in env::vars_os() {
                writeln!(out, "{}={}", key.display(), value.display())?;
            }
            Ok(0)
        }
        "id" => id(out),
        "uname" => {
            writeln!(out, "{} {} {}", kernel("ostype")?, kernel("hostname")?, kernel("osrelease")?)?;
            Ok(0)
        }
        _ => {
            eprintln!("gantry-demo: no command `{name}` in here");
            Ok(NOT_FOUND)
        }
    }
}

fn kernel(name: &str) -> io::Result<String> {
    Ok(fs::read_to_string(format!("/proc/sys/kernel/{name}"))?.trim_end().to_owned())
}

/// The same greeting as the script in `bundle/demo.rs`.
fn hello(out: &mut impl Write) -> io::Result<u8> {
    let init = fs::read("/proc/1/cmdline")?;
    let init = String::from_utf8_lossy(&init).replace('\0', " ");
    let (container, kernel) =
        (kernel("hostname")?, format!("{} {}", kernel("ostype")?, kernel("osrelease")?));
    writeln!(
        out,
        "Hello from a container that Gantry started.\n\n\
         \x20 container  {container}\n\
         \x20 kernel     {kernel}, shared with the host\n\
         \x20 process 1  {init}\n\n\
         What to try next:\n\
         \x20 gantry run -d --name one sleep 60  one in the background\n\
         \x20 gantry ps                          what runs\n\
         \x20 gantry exec one id                 a command in it\n\
         \x20 gantry rm -f one                   end it\n\n\
         With busybox-static installed on the host, `gantry run --rm -it` gives a shell."
    )?;
    Ok(0)
}

fn echo(args: &[String], out: &mut impl Write) -> io::Result<u8> {
    match args.split_first() {
        Some((flag, rest)) if flag == "-n" => write!(out, "{}", rest.join(" "))?,
        _ => writeln!(out, "{}", args.join(" "))?,
    }
    Ok(0)
}

fn cat(args: &[String], out: &mut impl Write) -> io::Result<u8> {
    if args.is_empty() {
        io::copy(&mut io::stdin().lock(), out)?;
    }
    for path in args {
        if path == "-" {
            io::copy(&mut io::stdin().lock(), out)?;
        } else {
            let mut file = fs::File::open(path)
                .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
            io::copy(&mut file, out)?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn sleep(args: &[String]) -> io::Result<u8> {
    let mut total = Duration::ZERO;
    for arg in args {
        let span = arg.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        total += span.ok_or_else(|| io::Error::other(format!("`{arg}` is no number of seconds")))?;
    }
    thread::sleep(total);
    Ok(0)
}

fn id(out: &mut impl Write) -> io::Result<u8> {
    let status = fs::read_to_string("/proc/self/status")?;
    // "Uid:  real  effective  saved  filesystem", proc_pid_status(5).
    let effective = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("?").to_owned()
    };
    writeln!(out, "uid={} gid={}", effective("Uid:"), effective("Gid:"))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, args: &[&str]) -> (u8, String) {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let mut out = Vec::new();
        let status = applet(name, &args, &mut out).unwrap();
        (status, String::from_utf8(out).unwrap())
    }

    #[test]
    fn commands() {
        assert_eq!(run("echo", &["a", "b"]), (0, "a b\n".into()));
        assert_eq!(run("echo", &["-n", "a"]), (0, "a".into()));
        assert_eq!(run("false", &[]).0, 1);
        assert_eq!(run("sleep", &["0.01"]).0, 0);
        assert_eq!(run("nonsense", &[]).0, NOT_FOUND);
        assert!(run("id", &[]).1.starts_with("uid="));
        assert!(run("uname", &[]).1.starts_with("Linux "));
        assert_eq!(base_name("/bin/echo"), "echo");
    }

    #[test]
    fn bad_numbers_are_errors() {
        assert!(sleep(&["x".into()]).is_err());
        assert!(sleep(&["-1".into()]).is_err());
    }
}
