//! Text that the classic servers cut, garble, or build their SQL from.

use crate::support::classic::{Bare, Checked, unpack};
use crate::support::{Cluster, Value, json, texts};

fn awkward() -> Vec<String> {
    let mut all: Vec<String> = [
        "it's",
        "she said \"no\"",
        "two\nlines\r\nand\ttabs",
        "back\\slash",
        "你好，世界",
        "👍🏽 👨‍👩‍👧 🏳️‍🌈",
        "",
        " ",
        "nul \u{0} inside",
        "{\"msgid\":6}",
        "\u{7f}\u{80}\u{2028}\u{feff}",
        "%s %n",
        "'--",
    ]
    .map(str::to_owned)
    .into();
    for bytes in [199, 200, 201, 500, 501, 1_023, 1_024, 1_025, 4_096, 16_384] {
        all.push("x".repeat(bytes));
        all.push("é".repeat(bytes / 2));
    }
    all
}

#[tokio::test]
async fn an_apostrophe_quote_newline_chinese_emoji_or_length_in_an_offline_message_loses_or_garbles_it() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let said = awkward();
    for text in &said {
        ann.tell(bob, text).await;
    }

    let mut bob = cluster.connect().await;
    let ack = bob.login("bob").await;

    assert_eq!(ack["offline"], said.len());
    assert_eq!(texts(&bob.pushes(said.len()).await), said);
}

#[tokio::test]
async fn the_same_for_the_clients_that_get_them_in_their_login_ack() {
    let cluster = Cluster::one().await;
    let (mut ann, bob) = cluster.friend_offline().await;
    let cem = cluster.account("cem").await;
    ann.befriend(cem).await;
    let said = awkward();
    for text in &said {
        ann.tell(bob, text).await;
        ann.tell(cem, text).await;
    }

    let mut bare = Bare::connect(cluster.address(0)).await;
    let mut checked = Checked::connect(cluster.address(0)).await;
    let mut bares = unpack(&bare.login(bob).await["offlinemsg"]);
    let mut checkeds = unpack(&checked.login(cem).await["offlinemessage"]);

    // What does not fit into the answer follows it.
    while bares.len() < said.len() {
        bares.push(bare.next().await);
    }
    while checkeds.len() < said.len() {
        checkeds.push(checked.next().await);
    }
    assert_eq!((texts(&bares), texts(&checkeds)), (refs(&said), refs(&said)));
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn names_and_descriptions_are_kept_to_the_letter() {
    let cluster = Cluster::one().await;
    for name in ["it's", "\"quoted\"", "back\\slash", "你好", "👍🏽", "a b", &"é".repeat(50)] {
        let mut user = cluster.user(name).await;
        let description = "é".repeat(200);
        user.done(json!({"msgid": 8, "groupname": name, "groupdesc": description})).await;
        user.log_out().await;
        let ack: Value = user.login(name).await;
        assert_eq!((&ack["name"], &ack["groups"][0]["groupname"]), (&json!(name), &json!(name)));
        assert_eq!(ack["groups"][0]["groupdesc"], description);
    }
}
