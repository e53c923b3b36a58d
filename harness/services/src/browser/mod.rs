//! A browser without a window, driven over its debugging pipe: enough to open a page and to see what it does.

pub mod checks;

use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Names that a browser goes by; `CHROME` in the environment goes before them.
const NAMES: [&str; 5] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
/// For one answer, browser start included, on a busy machine.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The browser reads commands from this file descriptor, and answers on the next.
const COMMANDS: RawFd = 3;
const ANSWERS: RawFd = 4;

/// The browser that is installed, if any.
pub fn find() -> Option<PathBuf> {
    let given = std::env::var_os("CHROME").filter(|given| !given.is_empty()).map(PathBuf::from);
    let directories: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let on_path = |name: &&str| directories.iter().map(|directory| directory.join(name)).find(|path| path.is_file());
    given.or_else(|| NAMES.iter().find_map(on_path))
}

/// A page in a browser of its own; everything ends when it is dropped.
pub struct Page {
    browser: Child,
    commands: File,
    answers: Receiver<Value>,
    session: Option<String>,
    last_id: u64,
    /// Everything that the page did so far.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Page {
    /// Starts the browser with an empty page.
    pub fn start(binary: &Path) -> Page {
        let profile = tempfile::tempdir().expect("a directory for the profile");
        let (command_end, commands) = pipe();
        let (answers, answer_end) = pipe();
        let mut browser = Command::new(binary);
        browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        browser.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        browser.args(["--hide-scrollbars", "--window-size=1280,1600", "--remote-debugging-pipe"]);
        browser.arg(format!("--user-data-dir={}", profile.path().display()));
        browser.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let ends = [command_end.as_raw_fd(), answer_end.as_raw_fd()];
        // SAFETY: between fork and exec, calls that are safe there only.
        unsafe { browser.pre_exec(move || hand_over(ends)) };
        let browser = browser.spawn().expect("the browser starts");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for message in BufReader::new(File::from(answers)).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message).expect("the browser speaks JSON");
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let commands = File::from(commands);
        let (last_id, events) = (0, Vec::new());
        let mut page = Page { browser, commands, answers: receiver, session: None, last_id, events, _profile: profile };
        let target = page.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = page.ask("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        page.session = Some(attached["sessionId"].as_str().expect("a session").to_owned());
        for method in ["Runtime.enable", "Log.enable", "Network.enable", "Page.enable"] {
            page.ask(method, json!({}));
        }
        page
    }

    /// Opens an address and waits until it is loaded.
    pub fn open(&mut self, address: &str) {
        self.events.clear();
        self.ask("Page.navigate", json!({ "url": address }));
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.next(deadline);
            self.events.push(message);
        }
    }

    /// Sends a command, and returns its result.
    pub fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("the browser takes commands");
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let message = self.next(deadline);
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    /// The value of an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let result = self.ask("Runtime.evaluate", json!({ "expression": expression, "returnByValue": true }));
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression in the page is true.
    pub fn until(&mut self, expression: &str) {
        let look = format!(
            "new Promise(done => {{ const look = () => ({expression}) ? done(1) : setTimeout(look, 20); look(); }})"
        );
        let waiting = json!({ "expression": look, "awaitPromise": true });
        let result = self.ask("Runtime.evaluate", waiting);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
    }

    /// The addresses that the page asked for.
    pub fn requests(&self) -> Vec<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap_or("?").to_owned()).collect()
    }

    /// What the page complained of: on the console, in the browser's log, or as an exception.
    pub fn complaints(&self) -> Vec<String> {
        let complains = |event: &&Value| {
            let parameters = &event["params"];
            match event["method"].as_str() {
                Some("Runtime.exceptionThrown") => true,
                Some("Runtime.consoleAPICalled") => parameters["type"] == "error" || parameters["type"] == "warning",
                Some("Log.entryAdded") => {
                    parameters["entry"]["level"] == "error" || parameters["entry"]["level"] == "warning"
                }
                _ => false,
            }
        };
        self.events.iter().filter(complains).map(|event| event["params"].to_string()).collect()
    }

    fn next(&self, deadline: Instant) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        self.answers.recv_timeout(left).expect("the browser answers in time")
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

/// The reading end and the writing end.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (reader.into(), writer.into())
}

/// Gives the browser its ends under the numbers that it expects; by way of numbers that are neither.
fn hand_over(ends: [RawFd; 2]) -> std::io::Result<()> {
    // SAFETY: the calls take numbers and give one.
    unsafe {
        let [commands, answers] = ends.map(|end| libc::fcntl(end, libc::F_DUPFD_CLOEXEC, ANSWERS + 1));
        if commands < 0 || answers < 0 || libc::dup2(commands, COMMANDS) < 0 || libc::dup2(answers, ANSWERS) < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
