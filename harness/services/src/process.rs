//! A child process that ends with its value, and with this process whatever ends that.
//!
//! The kernel sends the death signal when the *thread* that started the child ends, so all children are started from
//! one thread that lives as long as this process.

use anyhow::{Context, Result, anyhow};
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// How long a process may take to end when asked to, before it is killed.
const END_WITHIN: Duration = Duration::from_secs(2);
/// Bytes of a log's end that go into an error.
const LOG_TAIL_BYTES: usize = 2_000;

pub struct Process {
    child: Child,
    log: PathBuf,
    end_signal: i32,
}

impl Process {
    /// Starts `command` with its output in the file `log`. `end_signal` ends it: at drop (followed by SIGKILL after 2
    /// s) and when this process dies. If the program is missing, the error says how to get it: `package` is Debian's.
    pub fn start(mut command: Command, package: &str, log: PathBuf, end_signal: i32) -> Result<Self> {
        let output = File::options().create(true).append(true).open(&log).with_context(|| log.display().to_string())?;
        command.stdin(std::process::Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // SAFETY: prctl(PR_SET_PDEATHSIG) is async-signal-safe and touches nothing of the parent.
        unsafe {
            command.pre_exec(move || match libc::prctl(libc::PR_SET_PDEATHSIG, end_signal as libc::c_ulong) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            })
        };
        let program = command.get_program().to_string_lossy().into_owned();
        let child = spawn(command).map_err(|error| explain(error, &program, package))?;
        Ok(Process { child, log, end_signal })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the log's end if the process is not running any more.
    pub fn check_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.obituary(status)),
        }
    }

    pub fn signal(&self, signal: i32) -> Result<()> {
        self.send(libc::pid_t::try_from(self.child.id())?, signal)
    }

    /// To the process and its children, of one that was started in a process group of its own.
    pub fn signal_group(&self, signal: i32) -> Result<()> {
        self.send(-libc::pid_t::try_from(self.child.id())?, signal)
    }

    fn send(&self, pid: libc::pid_t, signal: i32) -> Result<()> {
        // SAFETY: no memory is involved, and the child has not been waited for, so the id is still its own.
        match unsafe { libc::kill(pid, signal) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()).context("cannot signal the child process"),
        }
    }

    /// How it ended; `None` while it runs.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends it without giving it a chance to clean up.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn obituary(&self, status: ExitStatus) -> anyhow::Error {
        anyhow!("ended with {status}; its output ends with:\n{}", tail(&self.log))
    }

    fn has_ended_by(&mut self, deadline: Instant) -> bool {
        loop {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        let asked = self.end_signal != libc::SIGKILL && self.signal(self.end_signal).is_ok();
        if !asked || !self.has_ended_by(Instant::now() + END_WITHIN) {
            // It is gone already, or nothing more can be done from here.
            let _ = self.kill();
        }
    }
}

/// What to tell about a program that did not start.
pub fn explain(error: io::Error, program: &str, package: &str) -> anyhow::Error {
    if error.kind() == io::ErrorKind::NotFound {
        anyhow!("{program} is not installed: apt-get install {package} (or run ci/test)")
    } else {
        anyhow!(error).context(format!("cannot start {program}"))
    }
}

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The thread that starts all children.
static SPAWNER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, reply) in orders {
            // If nobody waits any more, the child is ended here.
            if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                let _ = child.kill().and_then(|()| child.wait());
            }
        }
    });
    Mutex::new(sender)
});

fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = mpsc::channel();
    let spawner = SPAWNER.lock().map_err(|_| io::Error::other("the spawning thread is gone"))?.clone();
    spawner.send((command, reply)).map_err(|_| io::Error::other("the spawning thread is gone"))?;
    answer.recv().map_err(|_| io::Error::other("the spawning thread is gone"))?
}

fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&text[text.len().saturating_sub(LOG_TAIL_BYTES)..]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_program_is_named_with_its_package() {
        let directory = tempfile::tempdir().expect("a directory");
        let command = Command::new("no-such-program");
        let started = Process::start(command, "some-package", directory.path().join("log"), libc::SIGKILL);
        let Err(error) = started else { panic!("a missing program was started") };
        assert!(error.to_string().contains("apt-get install some-package"), "{error}");
    }

    #[test]
    fn early_end_is_told_with_its_output() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 3"]);
        let mut process =
            Process::start(command, "dash", directory.path().join("log"), libc::SIGKILL).expect("sh starts");
        assert!(process.has_ended_by(Instant::now() + Duration::from_secs(10)));
        let error = process.check_running().expect_err("it has ended").to_string();
        assert!(error.contains("the reason") && error.contains('3'), "{error}");
    }
}
