//! Room for images: looked at before one is made, and told where the engine ran out of it.

use anyhow::{Context, Error, Result, anyhow};
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::path::Path;
use testcontainers::bollard::Docker;

/// What the image of a node takes while it is made: the program with its symbols, as an archive and unpacked.
const NEEDED_MIB: u64 = 512;

/// An error if the engine has too little room for an image.
pub(super) async fn check_room(docker: &Docker) -> Result<()> {
    match place(docker).await? {
        Some((directory, free_mib)) if free_mib < NEEDED_MIB => Err(full(&directory, free_mib)),
        _ => Ok(()),
    }
}

/// What to tell about an error in making an image: `error`, unless it comes of a full disk.
pub(super) async fn explain(docker: &Docker, error: Error) -> Error {
    if !format!("{error:#}").to_lowercase().contains("no space left on device") {
        return error;
    }
    match place(docker).await {
        Ok(Some((directory, free_mib))) => full(&directory, free_mib),
        _ => error.context(ADVICE),
    }
}

const ADVICE: &str = "the engine's disk is full: docker system df shows what takes room, harness down --images removes \
                      the images of nodes";

fn full(directory: &str, free_mib: u64) -> Error {
    anyhow!("{free_mib} MiB are free in {directory}, and an image of a node needs {NEEDED_MIB}: {ADVICE}")
}

/// Where the engine keeps images, and how much is free there; `None` where that is not on this machine.
async fn place(docker: &Docker) -> Result<Option<(String, u64)>> {
    let info = docker.info().await.context("the engine does not tell where it keeps images")?;
    let Some(directory) = info.docker_root_dir.filter(|directory| Path::new(directory).exists()) else {
        return Ok(None);
    };
    let free_mib = free_mib(&directory)?;
    Ok(Some((directory, free_mib)))
}

fn free_mib(directory: &str) -> Result<u64> {
    let path = CString::new(directory)?;
    let mut statistics = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends in a NUL, and the call fills in all of the structure where it returns 0.
    let statistics = unsafe {
        match libc::statvfs(path.as_ptr(), statistics.as_mut_ptr()) {
            0 => statistics.assume_init(),
            _ => return Err(std::io::Error::last_os_error()).with_context(|| directory.to_owned()),
        }
    };
    Ok(statistics.f_bavail * statistics.f_frsize / (1024 * 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_says_how_much_is_free_and_needed_and_what_to_do() {
        let text = full("/var/lib/docker", 12).to_string();
        for words in ["12 MiB are free in /var/lib/docker", "needs 512", "docker system df", "harness down --images"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn free_room_is_measured() {
        assert!(free_mib("/").is_ok());
        assert!(free_mib("/nowhere").is_err());
    }
}
