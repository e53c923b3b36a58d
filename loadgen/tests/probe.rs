//! Promise: an unknown server is found out without harm to it, in a bounded time, and what cannot be is told clearly.

mod support;

use loadgen::cluster::Cluster;
use loadgen::dialect::profile::Profile;
use loadgen::probe::{Report, Settings, Sureness, probe};
use std::process::{Command, Output};
use std::time::Duration;
use support::fault::Fault;
use support::server::Server;
use support::tongue::{Frame, Tongue};
use support::{assert_nothing_lost, classic, friends, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Far more than any probe here takes.
const BUDGET: Duration = Duration::from_secs(60);

async fn probe_at(target: &str) -> Report {
    let settings = Settings { target: target.to_owned(), patience: Duration::from_millis(400), tls: false };
    tokio::time::timeout(BUDGET, probe(&settings, &mut |_| {})).await.expect("a probe ends by itself")
}

#[track_caller]
fn assert_fails(report: &Report, why: &str) {
    assert!(report.found.is_none(), "{report:?}");
    let failure = report.failure.as_deref().expect("a reason");
    assert!(failure.contains(why), "{why:?}: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_layout_is_found_by_the_name_of_its_profile_and_without_harm() {
    let layouts = [
        ("course", Tongue::course()),
        ("course_to", Tongue::course().with_to()),
        ("logout_last", Tongue::logout_last()),
        ("logout_last_to", Tongue::logout_last().with_to()),
        ("register_second", Tongue::register_second()),
        ("register_second_to", Tongue::register_second().with_to()),
        ("camel", Tongue::camel()),
        ("camel_logout_last", Tongue::camel_logout_last()),
    ];
    for (name, tongue) in layouts {
        let server = Server::start(tongue, Fault::None).await;
        let report = probe_at(&server.targets()[0]).await;
        let found = report.found.as_ref().unwrap_or_else(|| panic!("{name}: {report:?}"));
        assert_eq!((found.profile, found.sureness), (Some(name), Sureness::Sure), "{report:?}");
        assert!(found.steps.iter().filter(|step| step.what != "lists friends").all(|step| step.seen), "{report:?}");
        assert!(found.command.ends_with(&format!("--profile {name}")), "{report:?}");
        assert!(report.users.iter().all(|user| user.starts_with("lgprobe-")) && report.users.len() == 4, "{report:?}");
        assert_eq!(server.thrown().await, 0, "{name}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_that_is_not_shipped_becomes_a_file_that_measures_it() {
    let base = Tongue { frame: Frame::LengthBig, ..Tongue::logout_last() };
    let tongue = Tongue { password: "pwd", result: "code", done: 200.into(), ..base };
    let server = Server::start(tongue, Fault::None).await;

    let report = probe_at(&server.targets()[0]).await;

    let found = report.found.as_ref().expect("found");
    assert_eq!((found.profile, found.sureness), (Some("logout_last"), Sureness::Likely), "{report:?}");
    assert!(found.differs.iter().any(|line| line == "framing = \"length_big\""), "{report:?}");
    let file = found.file.as_deref().expect("a file");
    Profile::parse(file).unwrap_or_else(|error| panic!("{error}: {file}"));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("found.toml");
    std::fs::write(&path, file).expect("written");
    let plan = classic(path.to_str().expect("a plain path"), friends(4, 100.0, 0.5));
    assert_nothing_lost(&run(plan, &server.targets()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_who_log_in_by_name_are_found_to() {
    let server = Server::start(Tongue { by_name: true, ..Tongue::course() }, Fault::None).await;
    let report = probe_at(&server.targets()[0]).await;
    let found = report.found.as_ref().expect("found");
    assert!(found.steps.iter().any(|step| step.what == "logs in" && step.seen), "{report:?}");
}

#[test]
fn our_own_node_is_found_to_speak_the_framed_dialect() {
    let cluster = Cluster::start(1).expect("a node starts");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let report = runtime.block_on(probe_at(&cluster.targets()[0]));
    let found = report.found.as_ref().expect("found");
    let known = (found.dialect, found.profile, found.sureness);
    assert_eq!(known, ("framed", None, Sureness::Sure), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_delivers_nothing_is_not_sure() {
    let server = Server::start(Tongue::course(), Fault::Swallow).await;
    let report = probe_at(&server.targets()[0]).await;
    let found = report.found.as_ref().expect("found");
    assert_eq!((found.profile, found.sureness), (Some("course"), Sureness::Likely), "{report:?}");
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = listener.local_addr().expect("bound").to_string();
    (listener, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_listens_is_told() {
    let (listener, target) = listen().await;
    drop(listener);
    assert_fails(&probe_at(&target).await, "nothing listens on 127.0.0.1:");
    assert_fails(&probe_at("no-such-host.invalid:1").await, "no-such-host.invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_answers_is_told() {
    let server = Server::start(Tongue::course(), Fault::Silent).await;
    assert_fails(&probe_at(&server.targets()[0]).await, "never answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_at_once_is_told() {
    let (listener, target) = listen().await;
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    assert_fails(&probe_at(&target).await, "closes each connection at once");
}

/// Answers the first bytes of each connection with `answer`, and closes.
async fn answering(answer: &'static [u8]) -> String {
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4_096]).await;
                let _ = socket.write_all(answer).await;
            });
        }
    });
    target
}

#[tokio::test(flavor = "multi_thread")]
async fn other_protocols_are_told_by_name() {
    let http = answering(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    assert_fails(&probe_at(&http).await, "HTTP");
    // A TLS alert: what was said is no handshake.
    let tls = answering(&[0x15, 3, 3, 0, 2, 2, 10]).await;
    let report = probe_at(&tls).await;
    assert_fails(&report, "speaks TLS");
    assert!(report.advice.is_some_and(|advice| advice.contains("--tls")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_closes_on_plain_text_is_asked_for_tls() {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        Some(path)
    };
    let (certificate, key) = (write("cert.pem", pair.cert.pem()), write("key.pem", pair.signing_key.serialize_pem()));
    let acceptor = chat::tls::acceptor(&chat::config::Tls { certificate, key, required: false });
    let acceptor = acceptor.expect("lawful").expect("configured");
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(handshake_or_close(acceptor.clone(), socket));
        }
    });
    assert_fails(&probe_at(&target).await, "speaks TLS");
}

async fn handshake_or_close(acceptor: tokio_rustls::TlsAcceptor, socket: TcpStream) {
    let mut first = [0];
    if socket.peek(&mut first).await.is_ok() && first[0] == 0x16 {
        let _ = acceptor.accept(socket).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_speaks_first_is_told() {
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
            tokio::spawn(async move { socket.read(&mut [0; 64]).await });
        }
    });
    assert_fails(&probe_at(&target).await, "SSH-2.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_of_a_try_is_tried_no_further() {
    let (listener, target) = listen().await;
    tokio::spawn(async move {
        // The greeting's connection, and the first that says something.
        for _ in 0..2 {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let _ = socket.read(&mut [0; 4_096]).await;
        }
    });
    let report = probe_at(&target).await;
    assert_fails(&report, "stopped listening after the try \"bare_nul: register as 4\"");
    assert_eq!(report.tries.len(), 3, "{report:?}");
}

fn loadgen(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadgen")).args(arguments).output().expect("loadgen runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_it_in_text_in_json_and_by_its_exit_code() {
    let server = Server::start(Tongue::course(), Fault::None).await;
    let target = server.targets().remove(0);
    let probing = |flags: &[&str]| {
        let arguments = [&["probe", &target, "--patience", "0.5"], flags].concat().into_iter().map(str::to_owned);
        let arguments: Vec<String> = arguments.collect();
        tokio::task::spawn_blocking(move || loadgen(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    let shown = probing(&[]).await.expect("no panic");
    let told = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{told}");
    assert!(told.contains("profile course, sure") && told.contains("--profile course"), "{told}");
    assert!(told.contains("users made, and left there: lgprobe-"), "{told}");
    assert!(text(&shown.stderr).contains("register as 4"), "{}", text(&shown.stderr));

    let shown = probing(&["--format", "json", "--quiet"]).await.expect("no panic");
    let report: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    assert_eq!((&report["found"]["profile"], &report["found"]["sureness"]), (&"course".into(), &"sure".into()));
    assert!(shown.stderr.is_empty(), "{}", text(&shown.stderr));
}

#[test]
fn failures_and_help_of_the_command_are_clear() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let shown = loadgen(&["probe", &target, "--quiet"]);
    assert_eq!(shown.status.code(), Some(1));
    assert!(text(&shown.stdout).contains("nothing listens on"), "{}", text(&shown.stdout));
    let wrong = loadgen(&["probe", "localhost"]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(text(&wrong.stderr).contains("HOST:PORT"), "{}", text(&wrong.stderr));
    let help = text(&loadgen(&["probe", "--help"]).stdout);
    assert!(help.contains("$ loadgen probe 127.0.0.1:6000") && help.contains("Exit codes"), "{help}");
}
