//! Running tools: every command has a time limit, every output a size limit, every process is ended by who started it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::LabError;

/// How long a command may take where the caller does not say.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(15);

/// Output kept per stream, in bytes; beyond it the oldest half is dropped.
const KEPT: usize = 1 << 20;

/// How long the pipes of an ended command are drained (a daemon it left behind may hold them open for ever).
const DRAIN: Duration = Duration::from_millis(500);

/// What a finished command left.
#[derive(Debug, Clone)]
pub struct Output {
    /// The command line.
    pub command: String,
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output; invalid UTF-8 is replaced, and only the last MiB is kept.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

impl Output {
    /// Whether it exited with 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.status.success()
    }

    /// Itself if it exited with 0, else the error that says what it wrote.
    pub fn check(self) -> Result<Self, LabError> {
        if self.ok() {
            return Ok(self);
        }
        let written = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let stderr = tail(written.trim(), 2000).to_owned();
        Err(LabError::Failed { stderr, status: describe(self.status), command: self.command })
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".into(),
    }
}

/// The last `bytes` of `text`, cut at a character.
pub(crate) fn tail(text: &str, bytes: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

/// One output stream, filled by its own thread.
#[derive(Default)]
struct Stream {
    state: Mutex<StreamState>,
    changed: Condvar,
}

#[derive(Default)]
struct StreamState {
    bytes: Vec<u8>,
    ended: bool,
}

impl Stream {
    fn follow(source: Option<impl Read + Send + 'static>) -> Arc<Self> {
        let stream = Arc::new(Self::default());
        let Some(mut source) = source else {
            stream.lock().ended = true;
            return stream;
        };
        let filled = Arc::clone(&stream);
        thread::spawn(move || {
            let mut chunk = [0u8; 8192];
            loop {
                let read = match source.read(&mut chunk) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Ok(0) | Err(_) => break,
                    Ok(read) => read,
                };
                let mut state = filled.lock();
                if state.bytes.len() > KEPT {
                    state.bytes.drain(..KEPT / 2);
                }
                state.bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
                filled.changed.notify_all();
            }
            filled.lock().ended = true;
            filled.changed.notify_all();
        });
        stream
    }

    // A reader thread that panicked has left whole bytes behind, so the text is still usable.
    fn lock(&self) -> MutexGuard<'_, StreamState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    /// Waits until `done` holds or the stream ended; answers whether `done` held.
    fn wait(&self, until: Instant, done: impl Fn(&StreamState) -> bool) -> bool {
        let mut state = self.lock();
        loop {
            if done(&state) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running command in a process group of its own; the whole group is killed when this value is dropped.
pub struct Proc {
    command: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Stream>,
    stderr: Arc<Stream>,
    started: Instant,
    status: Option<ExitStatus>,
}

impl Proc {
    /// Starts `command` with its three streams piped.
    pub fn spawn(mut command: Command) -> Result<Self, LabError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start(command)
    }

    /// Starts `command` without input and with both outputs appended to the file `log`; [`Proc::stdout`] stays empty.
    pub fn spawn_logged(mut command: Command, log: &Path) -> Result<Self, LabError> {
        let open = || File::options().create(true).append(true).open(log).map_err(LabError::file(log));
        command.stdin(Stdio::null()).stdout(open()?).stderr(open()?);
        Self::start(command)
    }

    fn start(mut command: Command) -> Result<Self, LabError> {
        let line = line(&command);
        let mut child =
            command.process_group(0).spawn().map_err(|source| LabError::Start { command: line.clone(), source })?;
        let stdin = child.stdin.take();
        let (stdout, stderr) = (Stream::follow(child.stdout.take()), Stream::follow(child.stderr.take()));
        Ok(Self { command: line, child, stdin, stdout, stderr, started: Instant::now(), status: None })
    }

    /// Its process number inside the sandbox.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far (the last MiB).
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to standard error so far (the last MiB).
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Writes `text` to its standard input.
    pub fn write(&mut self, text: &str) -> Result<(), LabError> {
        let result = match &mut self.stdin {
            Some(stdin) => stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        result.map_err(|source| LabError::Start { command: format!("{} (writing to it)", self.command), source })
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until `text` appears on standard output.
    pub fn wait_for_stdout(&self, text: &str, limit: Duration) -> Result<(), LabError> {
        self.wait_for(&self.stdout, text, limit)
    }

    /// Waits until `text` appears on standard error.
    pub fn wait_for_stderr(&self, text: &str, limit: Duration) -> Result<(), LabError> {
        self.wait_for(&self.stderr, text, limit)
    }

    fn wait_for(&self, stream: &Stream, text: &str, limit: Duration) -> Result<(), LabError> {
        let wanted = text.as_bytes();
        let holds =
            |state: &StreamState| wanted.is_empty() || state.bytes.windows(wanted.len()).any(|window| window == wanted);
        if stream.wait(Instant::now() + limit, holds) {
            return Ok(());
        }
        let detail = format!("`{text}` did not appear; it wrote: {}", self.written());
        Err(LabError::NotReady { what: format!("`{}`", self.command), after: limit, detail })
    }

    /// Sends it a signal (to its whole process group).
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            // It may have ended a moment ago: then there is nothing left to signal.
            let _ = killpg(Pid::from_raw(self.child.id().cast_signed()), signal);
        }
    }

    /// Waits for its end; kills it at the limit.
    pub fn wait(mut self, limit: Duration) -> Result<Output, LabError> {
        let until = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.poll() {
                break status;
            }
            if Instant::now() >= until {
                self.kill();
                return Err(LabError::TimedOut {
                    written: self.written(),
                    command: self.command.clone(),
                    after: limit,
                });
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let elapsed = self.started.elapsed();
        let drained = Instant::now() + DRAIN;
        for stream in [&self.stdout, &self.stderr] {
            stream.wait(drained, |state| state.ended);
        }
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        Ok(Output { command: self.command.clone(), status, stdout, stderr, elapsed })
    }

    /// Kills it and its process group, and waits for the end.
    pub fn kill(&mut self) {
        if self.poll().is_none() {
            self.signal(Signal::SIGKILL);
            self.status = self.child.wait().ok();
        }
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().ok().flatten();
        }
        self.status
    }

    fn written(&self) -> String {
        let (out, err) = (self.stdout.text(), self.stderr.text());
        format!("{} {}", tail(out.trim(), 500), tail(err.trim(), 1500)).trim().to_owned()
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `command` with empty standard input to its end, killing it at the limit.
pub fn run(command: Command, limit: Duration) -> Result<Output, LabError> {
    let mut running = Proc::spawn(command)?;
    running.close_stdin();
    running.wait(limit)
}

/// A command from a program and its arguments.
pub(crate) fn command<S: AsRef<OsStr>>(args: &[S]) -> Result<Command, LabError> {
    let (program, rest) = args.split_first().ok_or_else(|| LabError::Usage("an empty command was given".into()))?;
    let mut command = Command::new(program);
    command.args(rest);
    Ok(command)
}

/// Runs `args` within [`DEFAULT_LIMIT`]; an exit code other than 0 is an error.
pub(crate) fn checked<S: AsRef<OsStr>>(args: &[S]) -> Result<Output, LabError> {
    run(command(args)?, DEFAULT_LIMIT)?.check()
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    // Scripts given with `sh -c` would drown the message.
    if line.len() > 300 { format!("{}…", line.chars().take(300).collect::<String>()) } else { line }
}

/// Asks `ready` again and again, with growing pauses, until it answers `Ok` or the limit passed.
///
/// `Err` carries what was last known, for the message.
pub fn until(what: &str, limit: Duration, mut ready: impl FnMut() -> Result<(), String>) -> Result<(), LabError> {
    let end = Instant::now() + limit;
    let mut pause = Duration::from_millis(2);
    loop {
        match ready() {
            Ok(()) => return Ok(()),
            Err(detail) if Instant::now() >= end => {
                return Err(LabError::NotReady { what: what.into(), after: limit, detail });
            }
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        command(&["sh", "-c", script]).unwrap()
    }

    #[test]
    fn output_status_and_errors_are_reported() {
        let output = run(sh("echo out; echo err >&2"), DEFAULT_LIMIT).unwrap();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.ok()), ("out\n", "err\n", true));
        let error = run(sh("echo broken >&2; exit 7"), DEFAULT_LIMIT).unwrap().check().unwrap_err().to_string();
        assert!(error.contains("exit code 7") && error.contains("broken"), "{error}");
        let error = run(command(&["/nonexistent/tool"]).unwrap(), DEFAULT_LIMIT).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/tool"), "{error}");
        assert!(matches!(command::<&str>(&[]), Err(LabError::Usage(_))));
    }

    #[test]
    fn a_command_beyond_its_limit_is_killed_with_its_children() {
        let script = "sleep 1000 & echo child $!; wait";
        let error = run(sh(script), Duration::from_millis(200)).unwrap_err();
        let LabError::TimedOut { written, .. } = &error else { panic!("{error}") };
        let child: i32 = written.strip_prefix("child ").expect("the child's number").trim().parse().unwrap();
        // The orphan is reaped by whoever is PID 1 at its own pace; a zombie counts as gone.
        until("the child's end", Duration::from_secs(10), || {
            match std::fs::read_to_string(format!("/proc/{child}/stat")) {
                Err(_) => Ok(()),
                Ok(stat) if stat.contains(") Z ") => Ok(()),
                Ok(stat) => Err(stat),
            }
        })
        .unwrap();
    }

    #[test]
    fn output_is_bounded_and_keeps_its_end() {
        let output = run(sh("head -c 3000000 /dev/zero | tr '\\0' x; echo end"), DEFAULT_LIMIT).unwrap();
        assert!(output.stdout.len() <= KEPT + 8192, "{} bytes were kept", output.stdout.len());
        assert!(output.stdout.ends_with("xend\n"));
    }

    #[test]
    fn a_process_can_be_talked_to() {
        let mut cat = Proc::spawn(command(&["cat"]).unwrap()).unwrap();
        cat.write("hello\n").unwrap();
        cat.wait_for_stdout("hello", DEFAULT_LIMIT).unwrap();
        assert!(cat.running());
        cat.close_stdin();
        assert!(cat.wait(DEFAULT_LIMIT).unwrap().ok());
        let brief = Proc::spawn(sh("echo no")).unwrap();
        let error = brief.wait_for_stdout("yes", DEFAULT_LIMIT).unwrap_err().to_string();
        assert!(error.contains("`yes` did not appear"), "{error}");
    }

    #[test]
    fn tail_cuts_at_characters() {
        assert_eq!(tail("añb", 2), "b");
        assert_eq!(tail("añb", 3), "ñb");
        assert_eq!(tail("ab", 9), "ab");
    }
}
