//! Runs one credential helper: with a time limit, and a limit to what it may say. No word of what it says is ever shown
//! when it succeeds.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::super::keychain::helpers::{Question, is_not_found, read_answer};
use crate::secret::Credential;

/// A helper may ask its user something, but not for ever.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// What a helper may say.
const OUTPUT_BYTES: u64 = 64 << 10;

/// What is shown of a helper's complaint.
const SHOWN_CHARS: usize = 300;

/// Why a helper gave no answer.
#[derive(Debug, thiserror::Error)]
#[error("credential helper {program} ({named_in}) for {server}: {cause}")]
pub struct Unanswered {
    program: String,
    named_in: &'static str,
    server: String,
    cause: String,
}

/// Asks a helper that is looked for in the directories of `path`.
pub(super) async fn ask(
    question: &Question,
    path: &OsStr,
) -> Result<Option<Credential>, Unanswered> {
    ask_within(question, path, TIME_LIMIT).await
}

pub(super) async fn ask_within(
    question: &Question,
    path: &OsStr,
    limit: Duration,
) -> Result<Option<Credential>, Unanswered> {
    let Question {
        helper,
        named_in,
        server,
    } = question;
    let program = format!("docker-credential-{helper}");
    let answer = async {
        let found = find(&program, path).ok_or("it is not on PATH")?;
        match tokio::time::timeout(limit, run(&found, server)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "it gave no answer within {} seconds",
                limit.as_secs_f32()
            )),
        }
    };
    answer.await.map_err(|cause: String| Unanswered {
        program: program.clone(),
        named_in,
        server: server.clone(),
        cause,
    })
}

async fn run(program: &Path, server: &str) -> Result<Option<Credential>, String> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it cannot be run: {error}"))?;
    let input = child.stdin.take();
    let write = async {
        // One that does not read has what it needs.
        if let Some(mut input) = input
            && input.write_all(server.as_bytes()).await.is_ok()
        {
            drop(input.shutdown().await);
        }
    };
    let (output, complaint) = (child.stdout.take(), child.stderr.take());
    let ((), output, complaint) = tokio::join!(write, read(output), read(complaint));
    let output = output?;
    let status = child
        .wait()
        .await
        .map_err(|error| format!("it cannot be waited for: {error}"))?;
    if status.success() {
        return read_answer(&output);
    }
    if is_not_found(&output) {
        return Ok(None);
    }
    // By the protocol the complaint is on standard output; some write it elsewhere.
    let complaint = complaint.unwrap_or_default();
    let said = [output, complaint]
        .iter()
        .map(|text| shown(text))
        .find(|text| !text.is_empty());
    Err(match said {
        Some(said) => format!("it failed ({status}): {said}"),
        None => format!("it failed ({status}), and said nothing"),
    })
}

async fn read(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let read = stream.take(OUTPUT_BYTES + 1).read_to_end(&mut bytes).await;
        read.map_err(|error| format!("its output cannot be read: {error}"))?;
    }
    if u64::try_from(bytes.len()).is_ok_and(|length| length > OUTPUT_BYTES) {
        return Err(format!("it says more than {OUTPUT_BYTES} bytes"));
    }
    Ok(bytes)
}

/// The program in the first directory that has it. Only absolute directories count: what lies where somebody happens to
/// stand is not to be trusted with passwords.
fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// The first line of a complaint, as it may be shown.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    let line = line.unwrap_or_default().chars();
    line.filter(|char| !char.is_control())
        .take(SHOWN_CHARS)
        .collect()
}
