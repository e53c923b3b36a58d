//! Users, passwords and tokens.

use crate::database::{Database, user};
use crate::on_every_database;
use chat::storage::Account;
use chat_protocol::message::Who;

on_every_database!(
    registered_user_is_found_by_id_and_name,
    many_are_found_at_once_each_as_it_is_called,
    names_are_unique_and_compared_exactly,
    one_of_many_who_want_a_name_gets_it,
    password_changes_only_from_the_one_that_was_checked,
    revoking_tokens_counts_up,
    token_key_is_the_same_for_everyone_forever,
);

async fn registered_user_is_found_by_id_and_name(database: Database) {
    let storage = database.open().await;
    let id = user(&storage, "张三 \"; DROP TABLE user; -- 😀").await;
    let expected = Account {
        id,
        name: "张三 \"; DROP TABLE user; -- 😀".into(),
        password: "hash".into(),
        token_generation: 0,
        is_disabled: false,
    };
    let by_id = storage.account(&Who::Id(id)).await.expect("reading works");
    let by_name = storage.account(&Who::Name(expected.name.clone())).await.expect("reading works");
    assert_eq!((by_id.as_ref(), by_name.as_ref()), (Some(&expected), Some(&expected)));
    for nobody in [Who::Id(id + 1), Who::Id((1 << 53) - 1), Who::Name("nobody".into()), Who::Name("%".into())] {
        assert_eq!(storage.account(&nobody).await.expect("reading works"), None, "{nobody:?}");
    }
}

async fn many_are_found_at_once_each_as_it_is_called(database: Database) {
    let storage = database.open().await;
    let (ann, bob) = (user(&storage, "ann").await, user(&storage, "bob").await);
    let id = |id| Who::Id(id);
    let name = |name: &str| Who::Name(name.into());
    let asked = [name("bob"), id(ann), name("nobody"), id(bob + 1), name("ann"), name("ann "), name("Ann"), id(bob)];

    let accounts = storage.accounts(&asked).await.expect("reading works");

    let found: Vec<_> = accounts.iter().map(|account| account.as_ref().map(|account| account.id)).collect();
    assert_eq!(found, [Some(bob), Some(ann), None, None, Some(ann), None, None, Some(bob)]);
    assert_eq!(storage.accounts(&[]).await.expect("reading works"), []);
}

async fn names_are_unique_and_compared_exactly(database: Database) {
    let storage = database.open().await;
    for name in ["name", "Name", "näme", "nàme", "名", &"世".repeat(50)] {
        user(&storage, name).await;
        assert_eq!(storage.register(name, "other").await.expect("registering works"), None, "{name}");
    }
}

async fn one_of_many_who_want_a_name_gets_it(database: Database) {
    let storage = database.open().await;
    let tries = (0..8).map(|_| {
        let storage = storage.clone();
        tokio::spawn(async move { storage.register("wanted", "hash").await.expect("registering works") })
    });
    let mut ids = Vec::new();
    for registered in tries.collect::<Vec<_>>() {
        ids.extend(registered.await.expect("no panic"));
    }
    assert_eq!(ids.len(), 1);
}

async fn password_changes_only_from_the_one_that_was_checked(database: Database) {
    let storage = database.open().await;
    let id = user(&storage, "user").await;
    assert_eq!(storage.change_password(&id.into(), "hash", "new").await.expect("changing works"), Some(1));
    assert_eq!(storage.change_password(&id.into(), "hash", "newer").await.expect("changing works"), None);
    assert_eq!(storage.change_password(&(id + 1).into(), "hash", "newer").await.expect("changing works"), None);
    let account = storage.account(&Who::Id(id)).await.expect("reading works").expect("it exists");
    assert_eq!((&*account.password, account.token_generation), ("new", 1));
}

async fn revoking_tokens_counts_up(database: Database) {
    let storage = database.open().await;
    let id = user(&storage, "user").await;
    assert_eq!(storage.revoke_tokens(&id.into()).await.expect("revoking works"), 1);
    assert_eq!(storage.revoke_tokens(&id.into()).await.expect("revoking works"), 2);
    let account = storage.account(&Who::Id(id)).await.expect("reading works").expect("it exists");
    assert_eq!(account.token_generation, 2);
}

async fn token_key_is_the_same_for_everyone_forever(database: Database) {
    let storage = database.open().await;
    let (one, other) = tokio::join!(storage.token_key(), storage.token_key());
    let key = one.expect("a key");
    assert_eq!(other.expect("a key"), key);
    assert_ne!(key, [0; 32]);
    drop(storage);
    assert_eq!(database.open().await.token_key().await.expect("a key"), key);
}
