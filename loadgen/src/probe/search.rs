//! The first answer: which framing, which key, and by the numbers of registering, which layout.

use super::line::{Heard, Line, NoLine, Strange};
use super::words::{is_the_servers_own, register, result_of, type_of};
use super::{Nothing, PREFIX, Probe};
use crate::dialect::profile::Framing;
use crate::link::Dialer;
use crate::plan::Plan;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Framings in the order of trying, and the numbers that registering has in them, the most frequent first.
const TRIES: [(Framing, &[u64]); 5] = [
    (Framing::BareNul, &[4, 3, 2]),
    (Framing::Bare, &[4, 3, 2]),
    (Framing::LengthBig, &[4, 3, 2]),
    (Framing::LengthLittle, &[4, 3, 2]),
    (Framing::Checked, &[4]),
];
/// A server that speaks first, or closes without having been asked, does so this soon.
const GREETING: Duration = Duration::from_millis(300);

/// A server that answered, on a connection that is still open.
pub(super) struct Answered {
    pub line: Line,
    pub framing: Framing,
    /// The number of the request to register.
    pub number: u64,
    /// The name that was registered.
    pub name: String,
    pub answer: Value,
}

/// What the tries of one framing came to.
#[derive(Default)]
struct Results {
    silent: bool,
    closed: bool,
    tls: bool,
}

pub(super) async fn search(probe: &mut Probe<'_>) -> Result<Answered, Nothing> {
    listen(probe).await?;
    let run = fastrand::u32(..);
    let mut all = Results::default();
    for (framing, numbers) in TRIES {
        // Whoever closed on an object closes on one without a NUL behind it as well.
        if framing == Framing::Bare && !all.silent {
            continue;
        }
        for number in numbers {
            let name = format!("{PREFIX}-{run:08x}-{number}");
            match ask(probe, framing, *number, name).await? {
                Ok(answered) => return Ok(answered),
                Err(Heard::Strange(Strange::Tls)) => return Err(speaks_tls()),
                Err(Heard::Strange(Strange::Http)) => return Err(nothing("the server speaks HTTP", None)),
                Err(Heard::Silence) => all.silent = true,
                Err(Heard::Closed | Heard::Broken(_)) => all.closed = true,
                Err(_) => {}
            }
        }
    }
    all.tls = all.closed && !probe.settings.tls && accepts_tls(probe).await;
    Err(conclude(&all))
}

/// Hears what a server says without having been asked.
async fn listen(probe: &mut Probe<'_>) -> Result<(), Nothing> {
    let begun = Instant::now();
    let target = probe.settings.target.clone();
    let mut line = match probe.open(Framing::Bare).await {
        Ok(line) => line,
        Err(error) => {
            probe.note("connect".into(), error.to_string(), begun);
            return Err(unreachable(&target, &error));
        }
    };
    let heard = line.hear_for(GREETING.min(probe.settings.patience)).await;
    let told = if heard == Heard::Silence { "connected".to_owned() } else { heard.to_string() };
    probe.note("connect".into(), told, begun);
    match heard {
        Heard::Closed | Heard::Broken(_) => Err(nothing(
            "the server closes each connection at once, before anything is said",
            Some("it may be full, refuse this address, or expect a PROXY protocol header first"),
        )),
        Heard::Strange(Strange::Tls) => Err(speaks_tls()),
        Heard::Strange(strange) => {
            let shown = Heard::Strange(strange).to_string();
            Err(nothing(&format!("the server speaks first, and no language of the family: {shown}"), None))
        }
        Heard::Object(_) | Heard::Silence => Ok(()),
    }
}

fn unreachable(target: &str, error: &NoLine) -> Nothing {
    match error {
        NoLine::Refused => nothing(&format!("nothing listens on {target}: connection refused"), None),
        NoLine::TimedOut => {
            nothing(&format!("{target} does not answer to connecting"), Some("check the address, and firewalls"))
        }
        NoLine::Failed(why) => nothing(&format!("cannot connect to {target}: {why}"), None),
    }
}

/// One try. The outer error ends the search.
async fn ask(
    probe: &mut Probe<'_>,
    framing: Framing,
    number: u64,
    name: String,
) -> Result<Result<Answered, Heard>, Nothing> {
    let begun = Instant::now();
    let what = format!("{}: register as {number}", name_of(framing));
    let mut line = match probe.open(framing).await {
        Ok(line) => line,
        Err(error) => {
            probe.note(what, error.to_string(), begun);
            let before = probe.report.tries.iter().rev().nth(1).map_or(String::new(), |tried| tried.what.clone());
            let failure = format!("the server stopped listening after the try {before:?}: {error}");
            return Err(nothing(
                &failure,
                Some("it may have died of it: start it again, and name its profile by hand"),
            ));
        }
    };
    let is_answer = |object: &Value| !is_the_servers_own(object) && type_of(object).is_some() && is_result(object);
    let heard = line.ask(&register(number, &name), is_answer).await;
    probe.note(what, heard.to_string(), begun);
    Ok(match heard {
        Heard::Object(answer) => Ok(Answered { line, framing, number, name, answer }),
        other => Err(other),
    })
}

fn is_result(object: &Value) -> bool {
    result_of(object).is_some() || object.get("id").is_some_and(Value::is_u64)
}

/// Whether a TLS handshake succeeds: tried only where plain text was answered by closing.
async fn accepts_tls(probe: &mut Probe<'_>) -> bool {
    let begun = Instant::now();
    let plan = Plan { tls: true, ..Plan::default() };
    let Ok(dialer) = Dialer::new(&plan, std::slice::from_ref(&probe.settings.target)).await else { return false };
    let opened = Line::open(&dialer, Framing::Bare, probe.settings.patience).await;
    let result = opened.as_ref().map_or_else(ToString::to_string, |_| "accepted".to_owned());
    probe.note("TLS handshake".into(), result, begun);
    opened.is_ok()
}

fn conclude(all: &Results) -> Nothing {
    match (all.tls, all.silent, all.closed) {
        (true, ..) => speaks_tls(),
        (_, true, false) => nothing(
            "the server takes connections and never answers",
            Some("it may be stuck, or speak a dialect that needs a profile file: see loadgen/profiles/README.md"),
        ),
        (_, false, true) => {
            nothing("the server closes the connection on every request, in all framings", Some(WRITE_A_PROFILE))
        }
        _ => nothing("nothing that was tried got an answer that could be understood", Some(WRITE_A_PROFILE)),
    }
}

const WRITE_A_PROFILE: &str = "if it is of the family, describe it in a profile file: see loadgen/profiles/README.md";

fn speaks_tls() -> Nothing {
    nothing("the server speaks TLS", Some("try again with --tls"))
}

fn nothing(failure: &str, advice: Option<&str>) -> Nothing {
    Nothing { failure: failure.to_owned(), advice: advice.map(str::to_owned) }
}

/// As in profile files.
pub(super) fn name_of(framing: Framing) -> &'static str {
    match framing {
        Framing::Bare => "bare",
        Framing::BareNul => "bare_nul",
        Framing::LengthBig => "length_big",
        Framing::LengthLittle => "length_little",
        Framing::Checked => "checked",
    }
}
