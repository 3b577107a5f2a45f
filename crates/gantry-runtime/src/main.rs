//! `gantry-runtime`: see the library of this package.

fn main() -> std::process::ExitCode {
    gantry_runtime::main()
}
