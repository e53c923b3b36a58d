//! Two brokers that change their health at random: nothing comes twice or out of order, of whatever is missing the
//! receiver is told before what follows, and once all is well everything arrives.

use super::*;
use proptest::prelude::*;

const CASES: u32 = 64;
const MOST_STEPS: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Step {
    broker: usize,
    health: Health,
    cuts_off: bool,
    then: Duration,
}

fn step() -> impl Strategy<Value = Step> {
    let health = prop_oneof![Just(Health::Good), Just(Health::Down), Just(Health::Hanging), Just(Health::Deaf)];
    (0..2_usize, health, any::<bool>(), 0..5_000_u64).prop_map(|(broker, health, cuts_off, then)| Step {
        broker,
        health,
        cuts_off,
        then: Duration::from_millis(then),
    })
}

async fn live_through(steps: Vec<Step>) {
    let [a, b] = brokers();
    let (mut one, mut two) = pair(&[&a, &b], &[&a, &b]).await;
    for Step { broker, health, cuts_off, then } in steps {
        let broker = [&a, &b][broker];
        broker.set_health(health);
        if cuts_off {
            broker.cut_off("two");
        }
        chat(&mut one, &mut two, then).await;
    }
    a.set_health(Health::Good);
    b.set_health(Health::Good);
    chat(&mut one, &mut two, RECOVERY).await;
    let sent = one.sent;
    chat(&mut one, &mut two, NOTICED).await;

    assert_in_order(&two);
    for (place, neighbours) in two.received.windows(2).enumerate() {
        let is_told = two.told.contains(&(place + 1));
        assert!(neighbours[0] + 1 == neighbours[1] || is_told, "nobody told what is missing in {neighbours:?}");
    }
    assert!((sent + 1..=one.sent).all(|item| two.received.contains(&item)), "all is well, and items go astray");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn every_loss_is_told_and_nothing_comes_twice(steps in prop::collection::vec(step(), 0..MOST_STEPS)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(live_through(steps));
    }
}
