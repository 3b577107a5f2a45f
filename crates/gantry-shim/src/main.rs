//! `gantry-shim`: see the library of this name.

fn main() -> std::process::ExitCode {
    gantry_shim::main()
}
