//! `gantry`: see the library of this package.

fn main() -> std::process::ExitCode {
    gantry_cli::main()
}
