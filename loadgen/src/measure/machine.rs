//! The machine that a result comes from, as far as the system tells: a figure without it means little.

use serde::{Deserialize, Serialize};
use std::fs;

/// What measured, and on what. Fields that the system does not tell are empty or 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// The name of the host.
    pub host: String,
    /// The operating system and its version.
    pub system: String,
    /// The model of the processor.
    pub processor: String,
    /// Processors that this process may use.
    pub cores: u32,
    /// Memory of the whole machine, in bytes.
    pub memory_bytes: u64,
    /// The version of loadgen.
    pub loadgen: String,
    /// Whether loadgen was built with optimisation; figures of a build without are not to be compared.
    pub optimised: bool,
}

impl Machine {
    /// The one that this process runs on.
    pub fn this() -> Machine {
        let first_line = |path| fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or("").to_owned();
        let kernel = first_line("/proc/sys/kernel/osrelease");
        let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Machine {
            host: first_line("/proc/sys/kernel/hostname"),
            system: format!("{} {} {kernel}", std::env::consts::OS, std::env::consts::ARCH).trim_end().to_owned(),
            processor: value(&processors, "model name").unwrap_or("").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            memory_bytes: value(&memory, "MemTotal").and_then(kibibytes).unwrap_or(0),
            loadgen: env!("CARGO_PKG_VERSION").to_owned(),
            optimised: !cfg!(debug_assertions),
        }
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let memory = match self.memory_bytes {
            0 => String::new(),
            bytes => format!("{} GB", bytes.div_ceil(1_000_000_000)),
        };
        let build = if self.optimised { "" } else { " (debug build)" };
        let parts = [
            self.host.clone(),
            self.processor.clone(),
            format!("{} cores", self.cores),
            memory,
            self.system.clone(),
            format!("loadgen {}{build}", self.loadgen),
        ];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// The command that started this process, as a shell takes it.
pub fn command_line() -> String {
    std::env::args().map(|argument| quote(&argument)).collect::<Vec<_>>().join(" ")
}

/// An argument as a shell takes it for one word.
pub fn quote(argument: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

/// The value behind `key:` in a file of such lines.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn kibibytes(value: &str) -> Option<u64> {
    let number: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_whole_and_memory_is_in_bytes() {
        let text = "MemTotalOther: 1 kB\nMemTotal:   2048 kB\nmodel name\t: A: B\n";
        assert_eq!(value(text, "MemTotal").and_then(kibibytes), Some(2_097_152));
        assert_eq!(value(text, "model name"), Some("A: B"));
        assert_eq!(value(text, "none"), None);
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        for (argument, quoted) in
            [("--users=4", "--users=4"), ("lost == 0", "'lost == 0'"), ("it's", "'it'\\''s'"), ("", "''")]
        {
            assert_eq!(quote(argument), quoted);
        }
    }

    #[test]
    fn this_machine_says_how_many_cores_it_has() {
        let machine = Machine::this();
        assert!(machine.cores > 0);
        assert!(machine.describe().contains("cores"), "{}", machine.describe());
    }
}
