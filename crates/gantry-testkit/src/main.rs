//! The command `gantry-testkit`: long runs that no test suite has the time for.

use std::process::ExitCode;

fn main() -> ExitCode {
    gantry_testkit::stress::main()
}
