//! `sim`: a worker of the simulator. People call `harness sim`, which builds it to run fast.

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::worker::serve()
}
