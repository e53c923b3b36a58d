//! `sim-failpoints`: the same worker, with the bugs that `FAILPOINTS` switches on in the node. For [`sim::proof`].

use std::process::ExitCode;

fn main() -> ExitCode {
    sim::worker::serve()
}
