//! Promise: the live page shows a run as it happens; what is done through it is done, and stands in the result; only
//! who has the address can do it, and nobody who looks holds up the run.

mod support;

use judge::Verdict;
use libc::SIGINT;
use loadgen::live::{About, Board, Hands, Live, Run};
use loadgen::measure::{Act, Intervention, Outcome};
use socket2::{Domain, Socket, Type};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use support::running::{BUDGET, LONG_RUN, Running};
use support::sse::Site;

/// A run with a page, which measures, and where the page is.
fn measuring(flags: &[&str]) -> (Running, Site) {
    let running = Running::start(&[&["run", "--live", "0"], &LONG_RUN[..], flags].concat());
    let site = Site::of(&running.says("live: "));
    running.says("measuring");
    (running, site)
}

#[test]
fn what_is_done_through_the_page_is_done_and_stands_in_the_result() {
    let directory = tempfile::tempdir().expect("a directory");
    let (json, html) = (directory.path().join("result.json"), directory.path().join("report.html"));
    let files = ["--json", json.to_str().expect("a name"), "--html", html.to_str().expect("a name")];
    let (running, site) = measuring(&files);
    let mut events = site.events();
    let all = events.wait("all", |_| true);
    let about = &all["about"];
    assert_eq!((&about["users"], &about["rate"], &about["nodes"]), (&8.into(), &200.0.into(), &2.into()));
    events.wait("moment", |moment| moment["delivered"].as_u64() > Some(0) && moment["online"] == 8);

    let act = |json: &str| {
        let answer = site.act(json);
        assert_eq!(answer.status, 200, "{json}: {}", answer.body);
    };
    act(r#"{"act":"rate","per_second":400}"#);
    events.wait("moment", |moment| moment["sent"].as_u64() > Some(300));
    act(r#"{"act":"pause"}"#);
    let marks = events.wait("marks", |marks| marks["spans"][0]["name"] == "paused");
    assert_eq!(marks["done"].as_array().map(Vec::len), Some(2), "{marks}");
    events.wait("moment", |moment| moment["sent"] == 0 && moment["asked_for"] == 0.0);
    let again = site.act(r#"{"act":"pause"}"#);
    assert_eq!((again.status, again.body.as_str()), (409, "it is paused already"));
    act(r#"{"act":"resume"}"#);
    events.wait("moment", |moment| moment["sent"].as_u64() > Some(300));
    act(r#"{"act":"storm","users":4}"#);
    let logins = Cell::new(0);
    events.wait("moment", |moment| {
        logins.set(logins.get() + moment["paths"]["login"]["count"].as_u64().unwrap_or(0));
        logins.get() == 4
    });
    act(r#"{"act":"stop"}"#);

    assert_eq!(events.wait("end", |_| true)["verdict"], "valid");
    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert!(shown.contains(": rate set to 400/s\n") && shown.contains("steered by hand 5 times"), "{shown}");
    let outcome = Outcome::load(&json).expect("a result");
    assert_eq!(outcome.verdict, Verdict::Valid);
    let done: Vec<Act> = outcome.interventions.iter().map(|done| done.act).collect();
    let storm = Act::Storm { users: 4 };
    assert_eq!(done, [Act::Rate { per_second: 400.0 }, Act::Pause, Act::Resume, storm, Act::Stop]);
    assert!(outcome.is_rate_kept(), "the rate that was asked for is that of each moment");
    let report = std::fs::read_to_string(html).expect("written");
    assert!(report.contains("What was done to this run") && report.contains("class=\"shade\""));
}

#[test]
fn a_node_that_is_stopped_takes_its_users_along_and_they_come_back_with_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("result.json");
    let (running, site) = measuring(&["--json", json.to_str().expect("a name")]);
    let mut events = site.events();
    events.wait("moment", |moment| moment["online"] == 8);

    assert_eq!(site.act(r#"{"act":"stop_node","node":2}"#).status, 200);
    events.wait("moment", |moment| moment["online"] == 4);
    let again = site.act(r#"{"act":"stop_node","node":2}"#);
    assert_eq!((again.status, again.body.as_str()), (409, "that node is down already"));
    assert_eq!(site.act(r#"{"act":"stop_node","node":3}"#).body, "there is no such node");
    assert_eq!(site.act(r#"{"act":"start_node","node":2}"#).status, 200);
    events.wait("moment", |moment| moment["online"] == 8);
    // One that is down when the measured time ends comes back by itself.
    assert_eq!(site.act(r#"{"act":"stop_node","node":1}"#).status, 200);
    events.wait("moment", |moment| moment["online"] == 4);
    assert_eq!(site.act(r#"{"act":"stop"}"#).status, 200);

    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    let outcome = Outcome::load(&json).expect("a result");
    assert_eq!((outcome.verdict, outcome.online), (Verdict::Valid, (8, 8)));
    assert_eq!(outcome.interventions[0].act, Act::StopNode { node: 2 });
}

#[test]
fn who_lacks_the_key_or_is_another_page_can_neither_look_nor_act() {
    let directory = tempfile::tempdir().expect("a directory");
    let json = directory.path().join("result.json");
    let (running, site) = measuring(&["--json", json.to_str().expect("a name")]);
    let (host, act) = (format!("Host: {}\r\n", site.host), format!("{}act", site.path));
    let kind = "Content-Type: application/json\r\n";
    let pause = r#"{"act":"pause"}"#;
    for (headers, path, status) in [
        (format!("{host}{kind}"), "/act", 404),
        (format!("{host}{kind}"), "/00000000000000000000000000000000/act", 404),
        (format!("{host}{kind}Origin: http://outside.example\r\n"), &act, 403),
        (format!("{host}{kind}Sec-Fetch-Site: cross-site\r\n"), &act, 403),
        (format!("Host: outside.example\r\n{kind}"), &act, 403),
        (format!("{host}Content-Type: text/plain\r\n"), &act, 415),
    ] {
        assert_eq!(site.ask("POST", path, &headers, pause).status, status, "{path} {headers}");
    }
    let foreign = format!("{host}Origin: http://outside.example\r\n");
    assert_eq!(site.ask("GET", &format!("{}events", site.path), &foreign, "").status, 403);
    assert_eq!(site.act(&" ".repeat(5_000)).status, 413);
    assert_eq!(site.act(r#"{"act":"explode"}"#).status, 409);
    assert_eq!(site.ask("DELETE", &site.path, &host, "").status, 405);
    let page = site.get("");
    assert!(page.status == 200 && page.body.starts_with("<!doctype html>"), "{}", page.head);
    assert!(page.head.contains("frame-ancestors 'none'") && page.head.contains("referrer-policy: no-referrer"));

    site.events().wait("moment", |moment| moment["delivered"].as_u64() > Some(0) && moment["online"] == 8);
    running.signal(SIGINT);
    let (status, shown) = running.ends();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert_eq!(Outcome::load(&json).expect("a result").interventions, []);
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let running = Running::start(&["run", "--live", &port]);
    let line = running.says("loadgen: ");
    let told = format!("cannot show the live page at 127.0.0.1:{port}: ");
    assert!(line.contains(&told) && line.contains("choose another port"), "{line}");
    assert_eq!(running.ends().0.code(), Some(3));
}

struct NoHands;

impl Hands for NoHands {
    fn act(&self, _json: &[u8]) -> Result<String, String> {
        Err("nothing can be done".into())
    }
}

fn served() -> (Arc<Board<Run>>, Live, Site) {
    let board = Arc::new(Board::new(Run::new(About::default())));
    let address = "0".parse().expect("an address");
    let live = Live::open(&address, Run::page(), board.clone(), Arc::new(NoHands)).expect("a page");
    let site = Site::of(live.url());
    (board, live, site)
}

/// Asks for the events and reads none of them, with as little room for them as the system gives.
fn view_without_reading(site: &Site) -> TcpStream {
    let address: SocketAddr = site.host.parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(1).expect("a small buffer");
    socket.connect(&address.into()).expect("the page is served");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(BUDGET)).expect("a time-out");
    write!(stream, "GET {}events HTTP/1.0\r\nHost: {}\r\n\r\n", site.path, site.host).expect("a request is sent");
    stream
}

#[test]
fn a_viewer_that_does_not_read_is_dropped_and_others_miss_nothing() {
    /// Each event has all that was done before: far more than the system keeps for anybody.
    const ENOUGH: u64 = 3_000;
    let (board, _live, site) = served();
    let mut quick = site.events();
    quick.wait("all", |_| true);
    let mut slow = view_without_reading(&site);
    let mut number = 0;
    let mut tell = || {
        number += 1;
        board.done(Intervention { at_ms: number, act: Act::Storm { users: 1_000_000 } });
        let marks = quick.wait("marks", |_| true);
        assert_eq!(marks["done"].as_array().map(Vec::len), Some(number as usize), "nothing is left out");
        number
    };
    while board.viewers() < 2 {
        tell();
    }

    while board.viewers() == 2 {
        assert!(tell() < ENOUGH, "a viewer that does not read is kept");
    }

    tell();
    let mut rest = Vec::new();
    // What the system had taken still arrives; then the connection ends, in whichever way.
    let _ = slow.read_to_end(&mut rest);
    assert!(rest.len() < 64 * 1024 * 1024);
}

#[test]
fn too_many_viewers_are_refused_and_the_end_reaches_those_who_look() {
    let (board, live, site) = served();
    let mut viewers: Vec<_> = (0..16).map(|_| site.events()).collect();
    viewers.iter_mut().for_each(|viewer| drop(viewer.wait("all", |_| true)));
    assert_eq!(site.get("events").status, 503);

    board.end(loadgen::live::Ending { verdict: "valid", ..Default::default() });
    drop(live);

    for viewer in &mut viewers {
        assert_eq!(viewer.wait("end", |_| true)["verdict"], "valid");
        assert!(viewer.next().is_none());
    }
    assert!(TcpStream::connect(&site.host).is_err(), "nothing is served any more");
}
