//! The image of a node: the freshly built `chat-server` and the few libraries that it is linked to, and nothing else.
//!
//! The libraries are this machine's, so whatever the program was built against fits. A static program would need none,
//! but also a second build of every crate. Importing takes a second; an image of the same program is used again.

use super::{archive, disk, is_there};
use crate::program::{Program, built};
use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt;
use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::process::Command;
use testcontainers::bollard::query_parameters::{CreateImageOptionsBuilder, PruneImagesOptionsBuilder};
use testcontainers::bollard::{Docker, body_full};

const REPOSITORY: &str = "chat-harness/node";
/// On an image: where its program was built.
const BUILT_FROM: &str = "chat.harness.program";

/// The name of the image of the server as it is now (or the one that `CHAT_NODE_IMAGE` names); builds what is missing.
///
/// # Errors
/// If the server does not build, or the engine does not take the image.
pub async fn node(docker: &Docker, program: Program) -> Result<String> {
    let program = match std::env::var("CHAT_NODE_IMAGE") {
        Ok(image) if !image.is_empty() && program == Program::Server => return Ok(image),
        _ => tokio::task::spawn_blocking(move || built(program)).await??,
    };
    let tag = tag(&program)?;
    let image = format!("{REPOSITORY}:{tag}");
    if is_there(docker, &image).await? {
        return Ok(image);
    }
    // Clusters that start side by side want the same image: one makes it.
    let _lock = tokio::task::spawn_blocking(lock).await??;
    if is_there(docker, &image).await? {
        return Ok(image);
    }
    // Those of earlier builds; if that fails, there is only less room.
    let _ = prune(docker, format!("{BUILT_FROM}={}", program.display())).await;
    let made = match disk::check_room(docker).await {
        Ok(()) => import(docker, &program, &tag).await,
        lacking => lacking,
    };
    match made {
        Ok(()) => Ok(image),
        Err(error) => Err(disk::explain(docker, error).await.context(format!("cannot make the image {image}"))),
    }
}

/// Removes all images of nodes that no container is made of; returns how many.
///
/// # Errors
/// If the engine does not answer.
pub async fn remove_all(docker: &Docker) -> Result<usize> {
    prune(docker, BUILT_FROM.to_owned()).await
}

/// Held until the file is closed, across processes.
fn lock() -> Result<File> {
    let path = std::env::temp_dir().join("chat-harness-node.lock");
    let file = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
    file.lock()?;
    Ok(file)
}

/// A new build has another time, and another place another program.
fn tag(program: &Path) -> Result<String> {
    let metadata = fs::metadata(program).with_context(|| program.display().to_string())?;
    let mut hasher = DefaultHasher::new();
    (program, metadata.len(), metadata.modified()?).hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

async fn import(docker: &Docker, program: &Path, tag: &str) -> Result<()> {
    let mut files = vec![("chat-server".to_owned(), fs::read(program)?)];
    for library in libraries(program)? {
        let content = fs::read(&library).with_context(|| library.clone())?;
        files.push((library.trim_start_matches('/').to_owned(), content));
    }
    let files: Vec<_> = files.iter().map(|(path, content)| (path.as_str(), content.as_slice(), 0o755)).collect();
    let archive = archive(&files).await?;
    let changes = ["ENTRYPOINT [\"/chat-server\"]".to_owned(), format!("LABEL {BUILT_FROM}={}", program.display())];
    let options =
        CreateImageOptionsBuilder::default().from_src("-").repo(REPOSITORY).tag(tag).changes(changes.to_vec()).build();
    let body = body_full(archive.into());
    docker.create_image(Some(options), Some(body), None).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

/// What the program is linked to, the loader among it, as absolute paths.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).output().context("cannot run ldd, which comes with the C library")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(format!("{said}{error}").contains("not a dynamic executable"), "ldd: {said}{error}");
        return Ok(Vec::new());
    }
    // "libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)", "/lib64/ld-linux-x86-64.so.2 (0x…)", "linux-vdso.so.1
    // (0x…)"
    let paths = said.lines().filter_map(|line| {
        let (_, path) = line.rsplit_once("=>").unwrap_or(("", line));
        path.split_whitespace().next().filter(|path| path.starts_with('/'))
    });
    Ok(paths.map(str::to_owned).collect())
}

/// Removes the images with this label that no container is made of. An image costs some 80 MB, and each build makes
/// one. The engine's own clean-up does it, since listing images fails on those that were imported: they have no
/// digests.
async fn prune(docker: &Docker, label: String) -> Result<usize> {
    let filters = HashMap::from([("dangling".to_owned(), vec!["false".to_owned()]), ("label".to_owned(), vec![label])]);
    let options = PruneImagesOptionsBuilder::default().filters(&filters).build();
    let pruned = docker.prune_images(Some(options)).await?;
    Ok(pruned.images_deleted.unwrap_or_default().iter().filter(|image| image.deleted.is_some()).count())
}
