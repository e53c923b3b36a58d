//! goose's own flags: those that we set, those that would set them otherwise, and whether goose takes the rest.

use super::{Error, attack};
use goose::GooseError;
use goose::config::GooseConfiguration;
use goose::goose::Scenario;

/// goose wants a URL; nothing is ever asked of this one.
const HOST: &str = "http://chat.invalid";
/// How many times a second goose could start all its users, which do nothing at first.
const STARTS_PER_SECOND: usize = 4;
/// Why a flag about who sends, and when, is refused.
const PLANNED: &str = "is the plan's business: loadgen has flags of its own for who sends, and when";
/// Why a flag that only shows something is refused.
const SHOWN: &str = "would end the run before it begins";

/// Checks goose's own flags without starting anything; not for tasks of a runtime. Errors: what goose says of them.
pub fn check(flags: &[String]) -> Result<(), Error> {
    let mut configuration = configuration(2, flags)?;
    // goose looks at most flags as it starts, and at the host last of all.
    configuration.host = None;
    let attack = attack(configuration, Scenario::new("nobody"))?;
    super::console::listen();
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(GooseError::Io)?;
    match runtime.block_on(attack.execute()) {
        Err(GooseError::InvalidOption { option, .. }) if option == "--host" => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// goose for so many users, who stay until they are stopped.
pub(super) fn configuration(users: usize, flags: &[String]) -> Result<GooseConfiguration, Error> {
    // Alone first: of flags given twice goose takes the last.
    let refused = refused(&GooseConfiguration::parse_args_default(flags)?).into_iter().find(|(given, ..)| *given);
    if let Some((_, flag, reason)) = refused {
        return Err(Error::Flag { flag, reason });
    }
    let (users, rate) = (users.to_string(), (users * STARTS_PER_SECOND).to_string());
    // Its tables would stand in our result, and its transactions, scenarios and status codes say nothing here.
    let ours = [
        "--host",
        HOST,
        "--users",
        &users,
        "--increase-rate",
        &rate,
        "--no-telnet",
        "--no-print-metrics",
        "--no-transaction-metrics",
        "--no-scenario-metrics",
        "--no-status-codes",
    ];
    let all: Vec<&str> = ours.into_iter().chain(flags.iter().map(String::as_str)).collect();
    Ok(GooseConfiguration::parse_args_default(&all)?)
}

/// Flags that do not go with a plan of ours: whether each is given, its name, and why not.
fn refused(given: &GooseConfiguration) -> [(bool, &'static str, &'static str); 22] {
    [
        (given.host.is_some(), "--host", PLANNED),
        (given.users.is_some(), "--users", PLANNED),
        (given.increase_rate.is_some(), "--increase-rate", PLANNED),
        (given.run_time.is_some(), "--run-time", PLANNED),
        (given.increase_time.is_some(), "--increase-time", PLANNED),
        (given.decrease_time.is_some(), "--decrease-time", PLANNED),
        (given.decrease_rate.is_some(), "--decrease-rate", PLANNED),
        (given.iterations.is_some(), "--iterations", PLANNED),
        (given.scenarios.is_some(), "--scenarios", PLANNED),
        (given.throttle_requests.is_some(), "--throttle-requests", PLANNED),
        (given.no_autostart, "--no-autostart", PLANNED),
        (given.dashboard_control, "--dashboard-control", PLANNED),
        (given.websocket, "--websocket", PLANNED),
        (
            given.co_mitigation.is_some(),
            "--co-mitigation",
            "has nothing to mend: latency counts from when a message was due",
        ),
        (
            given.running_metrics.is_some(),
            "--running-metrics",
            "would stand in the result: loadgen shows how a run goes",
        ),
        (given.goose_log.is_some(), "--goose-log", "is not for this program: what goose says goes to standard error"),
        (given.no_reset_metrics, "--no-reset-metrics", "has nothing to keep: all is shown after the reset"),
        (given.no_metrics, "--no-metrics", "leaves nothing of goose: use --driver native"),
        (given.version, "--version", SHOWN),
        (given.list, "--list", SHOWN),
        (given.scenarios_list, "--scenarios-list", SHOWN),
        (given.render_report.is_some(), "--render-report", SHOWN),
    ]
}
