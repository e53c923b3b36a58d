//! Promise: the pages of `harness sim` and `harness chaos` show a run as it happens and can end it early, in order and
//! not in secret; they complain of nothing and ask nobody else for anything. They are opened in a browser; where none
//! is installed that is said aloud.

use harness::cluster::Setup;
use harness::live::{chaos, simulation};
use harness::processes::Processes;
use harness::program::{Program, built};
use harness::story::{Part, Step, Story, Watcher};
use harness::users::Record;
use judge::Verdict;
use judge::history::Event;
use loadgen::live::Ending;
use services::browser::checks::{
    PLOTS, check_alone, check_dark, check_drawn, check_phone, click, say_that_there_is_no_browser,
};
use services::browser::{self, Page};
use sim::campaign::{Failed, Tally};
use sim::{Failure, Lived, Schedule, Shape};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BADGE: &str = "document.getElementById('badge').textContent";

/// `harness` at work; it ends with this.
struct Running(Child);

impl Running {
    /// Where its page is. It goes on writing to standard error, which somebody reads.
    fn start(arguments: &[&str]) -> (Running, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_harness"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("harness starts");
        let stderr = child.stderr.take().expect("standard error was piped");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let url = lines.find_map(|line| line.strip_prefix("live: ").map(str::to_owned));
        std::thread::spawn(move || lines.for_each(drop));
        (Running(child), url.expect("an address"))
    }

    /// What it printed, and its exit code.
    fn ends(mut self) -> (String, Option<i32>) {
        let mut shown = String::new();
        self.0.stdout.take().expect("standard output was piped").read_to_string(&mut shown).expect("UTF-8");
        (shown, self.0.wait().expect("it ends").code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two plots of some length, in any light and at any width.
fn check_looks(page: &mut Page) {
    page.until("document.querySelectorAll('#plots svg').length === 2 && state.moments.length > 3");
    let drawn = page.evaluate(PLOTS);
    check_drawn(&drawn, 2);
    assert_eq!(page.evaluate("document.querySelectorAll('.tile').length"), 6);
    check_dark(page);
    check_phone(page);
}

fn stop(page: &mut Page) {
    click(page, "#stop");
    assert_eq!(page.evaluate("document.getElementById('stop').textContent"), "Really stop?");
    click(page, "#stop");
    page.until("state.is_stopped && document.querySelector('#notes li').textContent.startsWith('Stopped by hand')");
}

#[test]
fn the_page_of_the_simulator_shows_seeds_and_ends_them_in_order() {
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    // Here, so that the browser does not wait for it.
    built(Program::Simulator).expect("the simulator is built");
    let (running, url) = Running::start(&["sim", "--live", "0", "--seeds", "1000000"]);
    let mut page = Page::start(&binary);

    page.open(&url);
    check_looks(&mut page);
    assert_eq!(page.evaluate(BADGE), "living through seeds");
    page.until("document.querySelectorAll('.names li').length === state.standing.missing.length");
    stop(&mut page);
    page.until(&format!("{BADGE} === 'valid'"));

    check_alone(&page, &url);
    let (shown, code) = running.ends();
    assert!(shown.contains("stopped by hand: ") && shown.contains(", 1,000,000 were asked for\n"), "{shown}");
    assert_eq!(code, Some(0), "{shown}");
}

#[test]
fn a_page_that_cannot_be_had_costs_no_run() {
    let output = Command::new(env!("CARGO_BIN_EXE_harness")).args(["sim", "--live", "256.0.0.1:0"]).output();
    let output = output.expect("it is built");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("cannot show the live page at 256.0.0.1:0"), "{told}");
    assert_eq!(output.status.code(), Some(3), "{told}");
}

/// Would be seen as a request and on the console, if it were more than text.
const HOSTILE: &str = "<img src='http://outside.example/x' onerror='console.error(1)'>";

/// The texts of the rows below the heading.
fn until_listed(page: &mut Page, heading: &str, rows: &[&str]) {
    let of = format!("[...document.querySelectorAll('section')].find(one => one.textContent.startsWith('{heading}'))");
    page.until(&format!("{of}?.querySelectorAll('tbody tr').length === {}", rows.len()));
    let list = format!("[...{of}.querySelectorAll('tbody tr')].map(row => row.textContent)");
    assert_eq!(page.evaluate(&list), serde_json::json!(rows));
}

#[test]
fn what_failed_and_the_search_for_less_are_listed_as_text() {
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    let address = "0".parse().expect("an address");
    let about = simulation::About { seeds: Some(10), ..simulation::About::default() };
    let page = simulation::Page::open(&address, about).expect("a page");
    let mut viewer = Page::start(&binary);
    viewer.open(page.url());
    let whole = Schedule::from_seed(7, &Shape::default());
    let left = Schedule { faults: Vec::new(), steps: Vec::new(), users: 4, nodes: 3, ..whole };
    let failed = vec![Failed { schedule: left.clone(), failure: Failure::Hung, lived: Lived::Hung }; 2];
    let tally = Tally { failed, ..Tally::default() };
    page.failed(&tally, 7, HOSTILE.into(), "harness sim --from 7 --seeds 1".into());
    page.searches(7, 20, &left);
    until_listed(&mut viewer, "Looking for a smaller schedule", &["208000 faults, 0 steps, 4 users, 3 nodes"]);
    page.found(7, HOSTILE.into(), &left, "harness sim --replay FILE".into());
    let size = "0 faults, 0 steps, 4 users, 3 nodes";
    viewer.until("state.search === null");
    until_listed(&mut viewer, "What failed 1 of 2 are shown", &[&format!("7{HOSTILE}{size}harness sim --replay FILE")]);
    page.end(Some(&tally), Ending { verdict: "invalid", ..Ending::default() });
    viewer.until(&format!("{BADGE} === 'invalid'"));
    check_alone(&viewer, page.url());

    let about = chaos::About { title: HOSTILE.into(), search_runs: 16, ..chaos::About::default() };
    let page = chaos::Page::open(&address, about, (1..).zip(&steps())).expect("a page");
    viewer.open(page.url());
    page.told(&Err(anyhow::anyhow!(HOSTILE)));
    page.searches("1,2".into());
    page.found("are valid".into());
    page.searches("3,4".into());
    until_listed(&mut viewer, "Looking for the fewest steps", &["11,2are valid", "23,4under way"]);
    page.end(Some(HOSTILE.into()));
    viewer.until(&format!("{BADGE} === 'no end'"));
    check_alone(&viewer, page.url());
}

/// More than a viewer's queue has room for.
const MANY: usize = 1_000;

#[test]
fn a_long_schedule_that_is_over_drops_nobody() {
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    let mut step = steps().remove(0);
    step.faults = vec![step.faults[0].clone(); MANY];
    let address = "0".parse().expect("an address");
    let page = chaos::Page::open(&address, chaos::About::default(), [(1, &step)]).expect("a page");
    let mut viewer = Page::start(&binary);
    viewer.open(page.url());
    viewer.until(&format!("state?.faults.length === {MANY}"));

    page.told(&Err(anyhow::anyhow!("no cluster")));
    page.end(None);

    viewer.until(&format!("{BADGE} === 'no end'"));
    assert_eq!(viewer.evaluate("state.faults.filter(fault => fault.state === 'left_out').length"), MANY);
}

/// Has had enough as soon as anything has healed.
#[derive(Default)]
struct Impatient {
    record: Mutex<Option<Arc<Record>>>,
    parts: Mutex<Vec<Part>>,
    steps: Mutex<Vec<usize>>,
}

impl Watcher for Impatient {
    fn begins(&self, record: &Arc<Record>) {
        *self.record.lock().expect("not poisoned") = Some(record.clone());
    }

    fn comes_to(&self, part: Part) {
        self.parts.lock().expect("not poisoned").push(part);
    }

    fn wants(&self, step: usize) -> bool {
        let mut is_enough = false;
        if let Some(record) = &*self.record.lock().expect("not poisoned") {
            record.show_from(0, |entry| is_enough |= matches!(entry.event, Event::Fault { healed: true, .. }));
        }
        if !is_enough {
            self.steps.lock().expect("not poisoned").push(step);
        }
        !is_enough
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_that_is_stopped_while_faults_heal_tells_no_further_step() {
    let cluster = Processes::start(Setup::nodes(2)).await.expect("a cluster");
    let watcher = Impatient::default();

    let told = Story::on(&cluster).users(10).watched_by(&watcher).tell_steps(&steps()[..2]).await;

    assert_eq!(told.expect("an end").verdict(), Verdict::Valid);
    let parts = watcher.parts.into_inner().expect("not poisoned");
    assert_eq!(watcher.steps.into_inner().expect("not poisoned"), [0]);
    assert_eq!(parts, [Part::Recovery, Part::Arrivals, Part::Judgement]);
}

/// More than are told before a viewer has seen enough.
const STEPS: usize = 12;

fn steps() -> Vec<Step> {
    let step = |fault: &str| Step {
        pause: Duration::from_millis(500),
        faults: vec![fault.parse().expect("a fault")],
        lasting: Duration::from_secs(3),
    };
    ["pause node-2", "kill redis"].iter().cycle().take(STEPS).map(|fault| step(fault)).collect()
}

/// Looks at the first steps, and wants no more.
fn look(mut page: Page) -> Page {
    page.until("state?.faults.some(fault => fault.state === 'active')");
    page.until("document.querySelectorAll('rect.shade').length >= 2");
    check_looks(&mut page);
    page.until("document.querySelectorAll('tr.healed').length > 0");
    assert_eq!(page.evaluate("document.querySelectorAll('#lists tbody tr').length"), STEPS);
    stop(&mut page);
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_chaos_shows_faults_and_a_story_that_was_stopped_is_judged_as_ever() {
    let Some(binary) = browser::find() else { return say_that_there_is_no_browser() };
    let cluster = Processes::start(Setup::nodes(2)).await.expect("a cluster");
    let (steps, users) = (steps(), 10);
    let about = chaos::About { title: "faults".into(), users, ..chaos::About::default() };
    let address = "0".parse().expect("an address");
    let page = Arc::new(chaos::Page::open(&address, about, (1..).zip(&steps)).expect("a page"));
    let url = page.url().to_owned();
    // Before the story begins, whose steps do not wait for a browser.
    let mut viewer = Page::start(&binary);
    viewer.open(&url);

    let looking = tokio::task::spawn_blocking(move || look(viewer));
    let told = Story::on(&cluster).users(users).watched_by(&*page).tell_steps(&steps).await;
    page.told(&told);
    let mut viewer = looking.await.expect("a viewer sees it all");
    let begun = page.stopped_after().expect("steps were left out");
    viewer.until("document.querySelectorAll('tr.left_out').length > 0 && state.judged.verdict === 'valid'");
    page.end(None);
    viewer.until(&format!("{BADGE} === 'valid'"));

    let healed = viewer.evaluate("state.faults.filter(fault => fault.state === 'healed').length");
    assert_eq!(healed, begun, "no other was inflicted, and none was left");
    check_alone(&viewer, &url);
    assert_eq!(told.expect("an end").verdict(), Verdict::Valid);
}
