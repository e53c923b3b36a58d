//! The program `chat-client` as scripts and shells see it: what it prints, and how it exits.

#[allow(dead_code, reason = "the tests of the client use more of it")]
#[path = "../../tests/client/scripted_node.rs"]
mod scripted_node;

use scripted_node::{Peer, ScriptedNode, login_ack, push};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

struct Outcome {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Outcome {
    /// The JSON objects printed, those that are results or those that are events.
    fn objects(&self, kind: &str) -> Vec<Value> {
        let lines = self.stdout.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|object| object.get(kind).is_some()).collect()
    }
}

/// Runs the program with these arguments and this input.
async fn chat_client(address: &str, arguments: &[&str], input: &str) -> Outcome {
    let (host, port) = address.rsplit_once(':').expect("host:port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-client"));
    command.args([host, port]).args(arguments).env("CHAT_PASSWORD", "secret").env("TZ", "UTC");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let run = move || {
        let mut child = command.spawn().expect("the program starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        // A program that ends early does not read all of it.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("it does not panic");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// Accepts the program's connection and answers its first question.
async fn greeted(node: &ScriptedNode) -> Peer {
    let mut peer = node.accept().await;
    let ping = peer.expect(19).await;
    peer.reply(&ping, json!({"msgid": 20, "errno": 0, "time": 1})).await;
    peer
}

async fn greeted_and_logged_in(node: &ScriptedNode) -> Peer {
    let mut peer = greeted(node).await;
    let login = peer.expect(1).await;
    assert_eq!((&login["name"], &login["password"]), (&json!("ann"), &json!("secret")));
    peer.reply(&login, login_ack(1, "ann")).await;
    peer
}

#[tokio::test]
async fn json_commands_get_results_and_events() {
    let node = ScriptedNode::start().await;
    let input = concat!(
        r#"{"do":"register","name":"ann","password":"secret"}"#,
        "\n",
        r#"{"do":"login","name":"ann","password":"secret"}"#,
        "\n",
        r#"{"do":"send","to":2,"text":"hi","tag":7}"#,
        "\n",
        r#"{"do":"wait","for":"message"}"#,
        "\n",
    );
    let script = async {
        let mut peer = greeted(&node).await;
        let request = peer.expect(4).await;
        peer.reply(&request, json!({"msgid": 5, "errno": 0, "id": 1})).await;
        let login = peer.expect(1).await;
        peer.reply(&login, login_ack(1, "ann")).await;
        let chat = peer.expect(6).await;
        peer.ack(&chat, 1).await;
        peer.send(push(2, "hello")).await;
        assert_eq!(peer.expect(16).await["seq"], 2);
        assert_eq!(peer.next().await, None);
    };
    let address = node.address();
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--json"], input), script);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
    let results = outcome.objects("result");
    assert_eq!(results.len(), 4);
    assert!(results.iter().all(|result| result["ok"] == true));
    assert_eq!((&results[2]["seq"], &results[2]["tag"]), (&json!(1), &json!(7)));
    assert_eq!(outcome.objects("event")[0]["text"], "hello");
}

#[tokio::test]
async fn json_failures_show_in_the_exit_code() {
    let node = ScriptedNode::start().await;
    let script = async {
        let mut peer = greeted(&node).await;
        let request = peer.expect(9).await;
        peer.refuse(&request, 15, 6, None).await;
        assert_eq!(peer.next().await, None);
    };
    let (address, input) = (node.address(), "{\"do\":\"join_group\",\"id\":3}\nnonsense\n{\"do\":\"fly\"}\n");
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--json"], input), script);
    assert_eq!(outcome.code, Some(1));
    let results = outcome.objects("result");
    assert_eq!((&results[0]["errno"], &results[0]["ok"]), (&json!(6), &json!(false)));
    assert_eq!(results.len(), 3);
}

#[tokio::test]
async fn lines_work_without_a_terminal() {
    let node = ScriptedNode::start().await;
    let script = async {
        let mut peer = greeted_and_logged_in(&node).await;
        let mut chats = Vec::new();
        for text in ["hello", "classic"] {
            let chat = peer.expect(6).await;
            assert_eq!((&chat["toid"], &chat["msg"]), (&json!(2), &json!(text)));
            chats.push(chat);
        }
        chats.push(peer.expect(10).await);
        assert_eq!(chats[2]["groupid"], 5);
        peer.send(push(1, "look \x1b[2J here")).await;
        for (chat, seq) in chats.iter().zip(2..) {
            peer.ack(chat, seq).await;
        }
        assert_eq!(peer.expect(16).await["seq"], 1);
        assert_eq!(peer.next().await, None);
    };
    let address = node.address();
    let input = "/to bob\nhello\nchat:2:classic\n/msg #tea a cup\n";
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--user", "ann"], input), script);
    assert_eq!(outcome.code, Some(0), "{} {}", outcome.stdout, outcome.stderr);
    assert!(outcome.stdout.contains("logged in as ann (id 1) on n1"), "{}", outcome.stdout);
    assert!(outcome.stdout.contains("2023-11-14 22:13 bob: look ␛[2J here"), "{}", outcome.stdout);
    assert!(!outcome.stdout.contains('\x1b'), "{}", outcome.stdout);
}

#[tokio::test]
async fn friends_are_added_by_name_and_groups_found_without_their_mark() {
    let node = ScriptedNode::start().await;
    let script = async {
        let mut peer = greeted_and_logged_in(&node).await;
        let add = peer.expect(7).await;
        assert_eq!((&add["name"], &add["friendid"]), (&json!("Cem Kaya"), &Value::Null));
        peer.reply(&add, json!({"msgid": 13, "errno": 0, "id": 3, "name": "Cem Kaya", "state": "online"})).await;
        let roster = peer.expect(26).await;
        peer.reply(&roster, json!({"msgid": 27, "errno": 0, "friends": [], "groups": []})).await;
        assert_eq!(peer.next().await, None);
    };
    let address = node.address();
    let input = "/to tea\n/to bbo\n/add Cem Kaya\n";
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--user", "ann"], input), script);
    assert_eq!(outcome.code, Some(1), "{} {}", outcome.stdout, outcome.stderr);
    for said in ["now talking to #tea", "nobody known is called bbo; did you mean bob?", "Cem Kaya is your friend now"]
    {
        assert!(outcome.stdout.contains(said), "{said}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn history_of_another_conversation_is_loaded_and_searched() {
    let node = ScriptedNode::start().await;
    let script = async {
        let mut peer = greeted_and_logged_in(&node).await;
        let history = peer.expect(17).await;
        assert_eq!((&history["toid"], &history["limit"]), (&json!(2), &json!(2)));
        let messages = [push(1, "Shall we have TEA?"), push(2, "no")];
        let page = json!({"msgid": 18, "errno": 0, "conv": "d1-2", "messages": messages, "more": false});
        peer.reply(&history, page).await;
        assert_eq!(peer.next().await, None);
    };
    let address = node.address();
    let input = "/history bob 2\n/search have tea\n/search coffee\n";
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--user", "ann"], input), script);
    assert_eq!(outcome.code, Some(0), "{} {}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.stdout.matches("bob: Shall we have TEA?").count(), 2, "{}", outcome.stdout);
    assert_eq!(outcome.stdout.matches("bob: no").count(), 1, "{}", outcome.stdout);
    assert!(outcome.stdout.contains("nothing that was received or shown says so"), "{}", outcome.stdout);
}

#[tokio::test]
async fn a_server_that_is_still_starting_is_waited_for() {
    let gone = ScriptedNode::start().await.address();
    let (host, port) = gone.rsplit_once(':').expect("host:port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-client"));
    command.args([host, port, "--json"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let stderr = child.stderr.take().expect("it is piped");
    let first_words = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        BufReader::new(stderr).read_line(&mut line).expect("it is read");
        line
    });
    assert!(first_words.await.expect("no panic").starts_with("nobody listens at"));

    let node = ScriptedNode::at(&gone).await;
    let mut peer = greeted(&node).await;

    assert_eq!(peer.next().await, None);
    let status = tokio::task::spawn_blocking(move || child.wait()).await.expect("no panic").expect("it ends");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn generate_writes_the_man_page_and_completions() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_chat-client")).arg("--generate").arg(directory.path()).output();
    assert!(output.unwrap().status.success());
    for name in ["chat-client.1", "chat-client.bash", "_chat-client", "chat-client.fish"] {
        assert!(directory.path().join(name).exists(), "{name} is missing");
    }
}

#[tokio::test]
async fn a_refused_line_shows_in_the_exit_code() {
    let node = ScriptedNode::start().await;
    let script = async {
        let mut peer = greeted(&node).await;
        let login = peer.expect(1).await;
        peer.refuse(&login, 2, 1, None).await;
        assert_eq!(peer.next().await, None);
    };
    let address = node.address();
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--user", "ann"], "hello\n/fly\n"), script);
    assert_eq!(outcome.code, Some(1));
    for said in ["no\n", "not logged in: `/login NAME`", "no command /fly"] {
        assert!(outcome.stdout.contains(said), "{said}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_again() {
    let node = ScriptedNode::start().await;
    let script = async {
        let mut peer = greeted_and_logged_in(&node).await;
        peer.expect(6).await;
        drop(peer);
        let (mut peer, login) = node.accept_login(1, "ann").await;
        assert_eq!(login["token"], "token of ann");
        let chat = peer.expect(6).await;
        peer.ack(&chat, 1).await;
        assert_eq!(peer.next().await, None);
    };
    let address = node.address();
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--user", "ann"], "/msg bob hi\n"), script);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stdout);
    for said in ["connection lost", "connected again"] {
        assert!(outcome.stdout.contains(said), "{said}: {}", outcome.stdout);
    }
}

#[tokio::test]
async fn connections_that_cannot_be_say_why() {
    let gone = ScriptedNode::start().await.address();
    let outcome = chat_client(&gone, &["--wait", "0"], "").await;
    assert_eq!((outcome.code, outcome.stderr.contains("nobody listens")), (Some(2), true), "{}", outcome.stderr);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 64];
        let count = stream.read(&mut request).await.unwrap();
        assert!(count > 0);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await.unwrap();
    };
    let (outcome, ()) = tokio::join!(chat_client(&address, &["--json"], ""), web);
    assert_eq!((outcome.code, outcome.stderr.contains("not a chat server")), (Some(2), true), "{}", outcome.stderr);
}

#[tokio::test]
async fn certificates_are_checked() {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certified.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();

    let (stranger, own) = (tempfile::NamedTempFile::new().unwrap(), file.path().to_str().unwrap());
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(stranger.path(), other.cert.pem()).unwrap();
    let refused = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(acceptor.accept(stream).await.is_err());
    };
    let stranger = stranger.path().to_str().unwrap();
    let arguments = ["--json", "--tls", "--ca", stranger];
    let (outcome, ()) = tokio::join!(chat_client(&address, &arguments, ""), refused);
    assert_eq!((outcome.code, outcome.stderr.contains("not trusted")), (Some(2), true), "{}", outcome.stderr);

    let served = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut header = [0; 4];
        stream.read_exact(&mut header).await.unwrap();
        let mut frame = vec![0; u32::from_be_bytes(header) as usize];
        stream.read_exact(&mut frame).await.unwrap();
        let ping: Value = serde_json::from_slice(&frame).unwrap();
        let pong = json!({"msgid": 20, "errno": 0, "time": 1, "mid": ping["mid"]}).to_string();
        stream.write_all(&u32::try_from(pong.len()).unwrap().to_be_bytes()).await.unwrap();
        stream.write_all(pong.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(stream.read(&mut header).await.unwrap(), 0);
    };
    let arguments = ["--json", "--tls", "--ca", own];
    let (outcome, ()) = tokio::join!(chat_client(&address, &arguments, ""), served);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}
