//! `sim-failpoints SEED WORKLOAD`: lives through one seed with the bugs that `FAILPOINTS` switches on in the node, and
//! tells what came of it (JSON). The worker of [`sim::proof`].

use anyhow::Result;
use clap::Parser;
use sim::proof::Told;
use sim::{Schedule, Shape, Workload};

#[derive(Parser)]
struct Arguments {
    seed: u64,
    workload: Workload,
}

fn main() -> Result<()> {
    let Arguments { seed, workload } = Arguments::parse();
    chat::failpoint::set_from_environment()?;
    let outcome = sim::run(&Schedule::from_seed(seed, &Shape { workload, ..Shape::default() }), false)?;
    println!("{}", serde_json::to_string(&Told::of(&outcome))?);
    Ok(())
}
