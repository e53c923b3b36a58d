//! Nodes whose clocks run at different rates, whose renewals are slow, lost or refused, who are paused and killed; and
//! a database that is out of reach or fails over to an older copy. Lease, watch and standing are the real ones; around
//! them stands what `lease_keeper` does with their answers.

mod cluster;
mod database;

use crate::membership::lease::LEASE;
use cluster::{Cluster, NODES, USERS, Weather};
use proptest::prelude::*;

/// How much faster or slower a clock runs than it should, at most.
const MOST_DRIFT: f64 = 0.05;
const MOST_STEPS: usize = 40;
const CASES: u32 = 60;
/// Until every node has renewed, compared what it must, and seen who is gone.
const CALM_MS: u64 = 2_000 + LEASE.as_millis() as u64;

fn drift() -> impl Strategy<Value = f64> {
    prop_oneof![Just(-MOST_DRIFT), -MOST_DRIFT..MOST_DRIFT, Just(MOST_DRIFT)]
}

#[derive(Clone, Debug)]
enum Step {
    Run {
        ms: u64,
    },
    Weather {
        node: usize,
        weather: Weather,
    },
    Login {
        node: usize,
        user: u64,
    },
    Logout {
        node: usize,
        user: u64,
    },
    /// It comes back as soon as its earlier run is called gone.
    Kill {
        node: usize,
    },
    Database {
        is_there: bool,
    },
    /// A copy is as new as the database.
    Copy,
    /// The copy takes the database's place.
    FailOver {
        breaks: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (node, user) = (|| 0..NODES, || 0..USERS);
    let weather = prop_oneof![
        4 => Just(Weather::Fair),
        2 => (0..3_000_u64, 0..3_000_u64).prop_map(|(there, back)| Weather::Slow { there, back }),
        2 => Just(Weather::Refused),
        2 => Just(Weather::AnswersLost),
        3 => Just(Weather::Paused),
    ];
    prop_oneof![
        10 => (50..2_000_u64).prop_map(|ms| Step::Run { ms }),
        6 => (5_000..9_000_u64).prop_map(|ms| Step::Run { ms }),
        10 => (node(), weather).prop_map(|(node, weather)| Step::Weather { node, weather }),
        12 => (node(), user()).prop_map(|(node, user)| Step::Login { node, user }),
        3 => (node(), user()).prop_map(|(node, user)| Step::Logout { node, user }),
        1 => node().prop_map(|node| Step::Kill { node }),
        1 => prop::bool::weighted(0.8).prop_map(|is_there| Step::Database { is_there }),
        3 => Just(Step::Copy),
        2 => any::<bool>().prop_map(|breaks| Step::FailOver { breaks }),
    ]
}

fn take(cluster: &mut Cluster, step: &Step) {
    match *step {
        Step::Run { ms } => cluster.run(ms),
        Step::Weather { node, weather } => cluster.nodes[node].weather = weather,
        Step::Login { node, user } => cluster.login(node, user),
        Step::Logout { node, user } => cluster.logout(node, user),
        Step::Kill { node } => cluster.kill(node),
        Step::Database { is_there } => cluster.set_database(is_there),
        Step::Copy => cluster.copy(),
        Step::FailOver { breaks } => cluster.fail_over(breaks),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, max_shrink_iters: 5_000, ..ProptestConfig::default() })]

    /// Two nodes never act for one user at once, except that after a failover one may that has not had an answer since.
    /// Nobody is called gone only because the database was out of reach. In the end all nodes act again, each for the
    /// sessions that are its own; and within the lease those of a dead node are free.
    #[test]
    fn one_node_acts_for_a_user(
        drifts in prop::collection::vec(drift(), NODES),
        steps in prop::collection::vec(step(), 1..MOST_STEPS),
    ) {
        let mut cluster = Cluster::new(&drifts);
        cluster.run(CALM_MS);
        steps.iter().for_each(|step| take(&mut cluster, step));
        cluster.calm_down();
        cluster.run(2 * CALM_MS);
        cluster.check_all_act();

        cluster.kill_for_good(0);
        cluster.run((LEASE.as_millis() as f64 / (1.0 - MOST_DRIFT)) as u64 + cluster::ROUND_TRIP_MS);
        assert!(cluster.is_gone(0), "the sessions of a dead node are not free within the lease");
    }
}
