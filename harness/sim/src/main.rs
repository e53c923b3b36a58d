//! `sim`: a worker of the simulator, for the tests of this package. People call `harness sim`.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::worker::serve()
}
