//! `gantryd`: see the library of this package.

fn main() -> std::process::ExitCode {
    gantry_daemon::main()
}
