//! What operators order takes effect under the same lock as logins do: nobody slips through.

use crate::database::{Database, node, user};
use crate::on_every_database;
use crate::sessions::{call_gone, claim, start};
use chat::cluster::{EndReason, NodeKey};
use chat::storage::{Account, Claim, Claimed, EndAsked, Holder, Order, Ordered, Release, Storage};
use chat_protocol::conversation::UserId;
use chat_protocol::message::Who;
use std::sync::Arc;

on_every_database!(
    session_is_asked_to_end_and_its_node_reads_why,
    disabled_account_is_won_by_nobody_until_it_is_enabled,
    reset_password_ends_tokens_and_logins_under_way,
    ending_tokens_leaves_the_session_alone,
    session_of_a_node_that_is_gone_ends_when_that_comes_back,
    order_about_nobody_does_nothing,
    login_and_disabling_at_once_leave_no_session,
);

async fn order(storage: &Arc<dyn Storage>, user: UserId, order: &Order) -> Ordered {
    storage.order(user, order).await.expect("ordering works").expect("the user exists")
}

async fn asked(storage: &Arc<dyn Storage>, key: &NodeKey) -> Vec<EndAsked> {
    storage.renew_lease(key, false).await.expect("renewing works").asked
}

async fn account(storage: &Arc<dyn Storage>, user: UserId) -> Account {
    storage.account(&Who::Id(user)).await.expect("reading works").expect("it exists")
}

fn reset() -> Order {
    Order::ResetPassword { hash: "new".into() }
}

async fn session_is_asked_to_end_and_its_node_reads_why(database: Database) {
    let storage = database.open().await;
    let (one, other) = (node("one", 1), node("other", 1));
    start(&storage, &one).await;
    start(&storage, &other).await;
    let user = user(&storage, "user").await;
    let none = Ordered { ends: None, was_disabled: false };
    assert_eq!(order(&storage, user, &Order::Kick).await, none);

    for (epoch, given, reason) in [
        (1, Order::Kick, EndReason::Kicked),
        (2, reset(), EndReason::PasswordReset),
        (3, Order::Disable, EndReason::AccountDisabled),
    ] {
        assert_eq!(claim(&storage, &one, user, false).await, Claimed::Won { epoch });
        let holder = Holder { node: one.clone(), epoch };
        assert_eq!(storage.holder(user).await.expect("reading works"), Some(holder.clone()));

        assert_eq!(order(&storage, user, &given).await, Ordered { ends: Some(holder), was_disabled: false });

        let release = Release { user, epoch };
        assert_eq!(asked(&storage, &one).await, [EndAsked { release, reason }]);
        assert_eq!(asked(&storage, &other).await, []);
        storage.release_sessions(&one, &[release]).await.expect("releasing works");
        assert_eq!((asked(&storage, &one).await, storage.holder(user).await.expect("reading works")), (vec![], None));
    }
}

async fn disabled_account_is_won_by_nobody_until_it_is_enabled(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    let (user, other) = (user(&storage, "user").await, user(&storage, "other").await);

    for _ in 0..2 {
        order(&storage, user, &Order::Disable).await;
        assert!(account(&storage, user).await.is_disabled && !account(&storage, other).await.is_disabled);
        for takeover in [false, true] {
            assert_eq!(claim(&storage, &one, user, takeover).await, Claimed::Disabled);
        }
    }
    assert!(matches!(claim(&storage, &one, other, false).await, Claimed::Won { .. }));

    assert!(order(&storage, user, &Order::Enable).await.was_disabled);
    assert!(!account(&storage, user).await.is_disabled);
    assert_eq!(claim(&storage, &one, user, false).await, Claimed::Won { epoch: 1 });
}

async fn reset_password_ends_tokens_and_logins_under_way(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    let user = user(&storage, "user").await;
    let before = account(&storage, user).await;

    order(&storage, user, &reset()).await;

    let after = account(&storage, user).await;
    assert_eq!((&*after.password, after.token_generation), ("new", before.token_generation + 1));
    for (checked, expected) in [(before, Claimed::Outdated), (after, Claimed::Won { epoch: 1 })] {
        let claims = [Claim { user, takeover: None, token_generation: Some(checked.token_generation) }];
        assert_eq!(storage.claim_sessions(&one, &claims).await.expect("claiming works"), [expected]);
    }
}

async fn ending_tokens_leaves_the_session_alone(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;

    assert_eq!(order(&storage, user, &Order::EndTokens).await, Ordered { ends: None, was_disabled: false });

    let account = account(&storage, user).await;
    assert_eq!((&*account.password, account.token_generation), ("hash", 1));
    assert_eq!(asked(&storage, &one).await, []);
}

async fn session_of_a_node_that_is_gone_ends_when_that_comes_back(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    let user = user(&storage, "user").await;
    claim(&storage, &one, user, false).await;
    call_gone(&storage, &one).await;

    assert_eq!(order(&storage, user, &Order::Disable).await.ends, None, "it does not count any more");

    let reason = EndReason::AccountDisabled;
    assert_eq!(asked(&storage, &one).await, [EndAsked { release: Release { user, epoch: 1 }, reason }]);
}

async fn order_about_nobody_does_nothing(database: Database) {
    let storage = database.open().await;
    let user = user(&storage, "user").await;
    for given in [Order::Kick, Order::Disable, Order::Enable, reset(), Order::EndTokens] {
        assert_eq!(storage.order(user + 1, &given).await.expect("ordering works"), None);
    }
    assert_eq!(storage.holder(user + 1).await.expect("reading works"), None);
}

async fn login_and_disabling_at_once_leave_no_session(database: Database) {
    let storage = database.open().await;
    let one = node("one", 1);
    start(&storage, &one).await;
    for round in 0..10 {
        let user = user(&storage, &format!("user {round}")).await;
        let login = {
            let (storage, one) = (storage.clone(), one.clone());
            tokio::spawn(async move { claim(&storage, &one, user, false).await })
        };
        let ordered = order(&storage, user, &Order::Disable).await;
        match login.await.expect("no panic") {
            // It came first, and is asked to end.
            Claimed::Won { epoch } => {
                assert_eq!(ordered.ends, Some(Holder { node: one.clone(), epoch }));
                assert!(asked(&storage, &one).await.iter().any(|asked| asked.release == Release { user, epoch }));
                storage.release_sessions(&one, &[Release { user, epoch }]).await.expect("releasing works");
            }
            refused => assert_eq!((refused, ordered.ends), (Claimed::Disabled, None)),
        }
        assert_eq!(claim(&storage, &one, user, true).await, Claimed::Disabled);
    }
}
