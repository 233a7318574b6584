//! The node of a scene: the real `fsegd`, and the real `fseg` to ask it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fseg_lab::{Namespace, Output, Proc};
use serde_json::Value;

use crate::{SceneError, program};

/// A node in a namespace.
pub struct NodeProcess {
    namespace: Namespace,
    dir: PathBuf,
    fsegd: String,
    fseg: String,
    process: Mutex<Option<Proc>>,
    /// Arguments and environment of the next starts, besides the usual ones.
    extra: Mutex<Extra>,
}

#[derive(Debug, Clone, Default)]
struct Extra {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

impl NodeProcess {
    /// A node with this configuration, not yet started. `dir` is the lab's state folder.
    pub fn new(namespace: Namespace, dir: &Path, config: &str) -> Result<Self, SceneError> {
        let path = dir.join("node.yaml");
        std::fs::write(&path, config).map_err(|error| SceneError::File { path, error })?;
        Ok(Self {
            namespace,
            dir: dir.to_owned(),
            fsegd: text(&program("fsegd")?),
            fseg: text(&program("fseg")?),
            process: Mutex::default(),
            extra: Mutex::default(),
        })
    }

    /// Where it runs.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The API's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("api.sock")
    }

    /// The API's socket, as `fseg --node` takes it.
    pub fn url(&self) -> String {
        format!("unix:{}", text(&self.socket()))
    }

    /// The number of its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process().as_mut().and_then(|p| p.running().then(|| p.id()))
    }

    /// What it has logged so far, in all its starts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("logs/fsegd.log")).unwrap_or_default()
    }

    // A holder that panicked has failed its test already.
    fn process(&self) -> MutexGuard<'_, Option<Proc>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next starts get these arguments too.
    pub fn with_arguments(&self, arguments: &[&str]) {
        let mut extra = self.extra.lock().unwrap_or_else(PoisonError::into_inner);
        extra.arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
    }

    /// The next starts get these variables too.
    pub fn with_environment(&self, environment: &[(&str, &str)]) {
        let mut extra = self.extra.lock().unwrap_or_else(PoisonError::into_inner);
        extra.environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    }

    /// Starts the process and does not wait for anything.
    pub fn launch(&self) -> Result<(), SceneError> {
        let extra = self.extra.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let config = text(&self.dir.join("node.yaml"));
        let mut all = vec![self.fsegd.as_str(), "--config", &config];
        all.extend(extra.arguments.iter().map(String::as_str));
        let process = self.namespace.daemon("fsegd", &all, |c| {
            c.env("FSEG_LOG", std::env::var("FSEG_LOG").unwrap_or_else(|_| "info,fseg_node=debug".into()));
            c.envs(extra.environment);
        })?;
        *self.process() = Some(process);
        Ok(())
    }

    /// Starts the process and waits until its API answers.
    pub fn start(&self) -> Result<(), SceneError> {
        self.launch()?;
        let begun = Instant::now();
        loop {
            let health = self.fseg(&["health", "--output", "json"])?;
            if health.status.code().is_some_and(|c| c < 3) {
                return Ok(());
            }
            if self.id().is_none() || begun.elapsed() > Duration::from_secs(20) {
                let log = self.log();
                let tail: Vec<&str> = log.lines().rev().take(12).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(SceneError::wrong(format!("the node does not answer; its log ends:\n{}", tail.join("\n"))));
            }
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Stops it in the orderly way.
    pub fn stop(&self) -> Result<(), SceneError> {
        let process = self.process().take();
        if let Some(process) = process {
            process.signal(fseg_lab::Signal::SIGTERM);
            process.wait(Duration::from_secs(15))?;
        }
        Ok(())
    }

    /// Kills it without warning.
    pub fn kill(&self) -> Result<(), SceneError> {
        let process = self.process().take();
        if let Some(mut process) = process {
            process.kill();
        }
        Ok(())
    }

    /// Runs `fseg` with these arguments.
    pub fn fseg(&self, args: &[&str]) -> Result<Output, SceneError> {
        let url = self.url();
        let mut all = vec![self.fseg.as_str(), "--node", &url];
        all.extend(args);
        Ok(self.namespace.exec(&all)?)
    }

    /// Runs `fseg` and expects success.
    pub fn run(&self, args: &[&str]) -> Result<String, SceneError> {
        Ok(self.fseg(args)?.check()?.stdout)
    }

    /// A listing of `fseg` as JSON.
    pub fn json(&self, args: &[&str]) -> Result<Value, SceneError> {
        let mut all = args.to_vec();
        all.extend(["--output", "json"]);
        let out = self.run(&all)?;
        serde_json::from_str(&out).map_err(|e| SceneError::wrong(format!("fseg {}: {e}: {out}", args.join(" "))))
    }

    /// Adds an account.
    pub fn add_user(&self, name: &str, password: &str, roles: &[&str]) -> Result<(), SceneError> {
        let mut args = vec![self.fseg.clone(), "--node".into(), self.url(), "user".into(), "add".into(), name.into()];
        for role in roles {
            args.extend(["--role".into(), (*role).to_owned()]);
        }
        args.push("--password-stdin".into());
        let line: Vec<String> = args.iter().map(|a| format!("'{a}'")).collect();
        let script = format!("printf '%s\\n' \"$1\" | {}", line.join(" "));
        self.namespace.exec(&["sh", "-c", &script, "sh", password])?.check()?;
        Ok(())
    }

    /// Waits until every switch is connected and confirmed.
    pub fn wait_for_switches(&self, count: usize) -> Result<(), SceneError> {
        let begun = Instant::now();
        loop {
            let list = self.json(&["switches"])?;
            let ready = |s: &Value| s["ready"] == true && s["pending"] == 0;
            let ready = list.as_array().map_or(0, |l| l.iter().filter(|s| ready(s)).count());
            if ready == count {
                return Ok(());
            }
            if begun.elapsed() > Duration::from_secs(30) {
                return Err(SceneError::wrong(format!("{ready} of {count} switches are ready: {list}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The endpoint of that name, as `fseg endpoints` shows it.
    pub fn endpoint(&self, name: &str) -> Result<Value, SceneError> {
        let list = self.json(&["endpoints"])?;
        let found = list.as_array().and_then(|l| l.iter().find(|e| e["name"] == name));
        found.cloned().ok_or_else(|| SceneError::wrong(format!("`fseg endpoints` knows no {name}")))
    }

    /// The newest log entries of a kind that mention all of these words.
    pub fn log_with(&self, kind: &str, words: &[&str]) -> Result<Option<String>, SceneError> {
        let list = self.json(&["logs"])?;
        let fits = |e: &&Value| {
            let text = e["message"].as_str().unwrap_or_default();
            e["kind"] == kind && words.iter().all(|w| text.contains(w))
        };
        let found = list.as_array().and_then(|l| l.iter().find(fits));
        Ok(found.and_then(|e| e["message"].as_str()).map(ToOwned::to_owned))
    }

    /// The same, waiting a while for it.
    pub fn wait_for_log(&self, kind: &str, words: &[&str]) -> Result<String, SceneError> {
        let begun = Instant::now();
        loop {
            if let Some(text) = self.log_with(kind, words)? {
                return Ok(text);
            }
            if begun.elapsed() > Duration::from_secs(5) {
                return Err(SceneError::wrong(format!("`fseg logs` has no `{kind}` that mentions {words:?}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What logging in at the portal led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// In.
    Admitted,
    /// The page said no.
    Refused(u16),
}

/// Logs in at the portal with a real client, as a browser would: any address first, then the form that came up.
pub fn portal_login(at: &Namespace, portal: Ipv4Addr, account: &str, password: &str) -> Result<Login, SceneError> {
    let page = at.curl(&["-sL", "http://www.example.com/"])?.check()?.stdout;
    let token = page
        .split("name=\"token\" value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .ok_or_else(|| SceneError::wrong(format!("the portal did not come up; instead: {page}")))?;
    let form =
        [format!("token={token}"), "lang=en".into(), format!("account={account}"), format!("password={password}")];
    let url = format!("http://{portal}/login");
    let mut args = vec!["-s", "-o", "/dev/null", "-w", "%{http_code}"];
    for field in &form {
        args.extend(["--data-urlencode", field.as_str()]);
    }
    args.push(&url);
    let code = at.curl(&args)?.check()?.stdout;
    match code.trim().parse::<u16>() {
        Ok(200..=399) => Ok(Login::Admitted),
        Ok(code) => Ok(Login::Refused(code)),
        Err(_) => Err(SceneError::wrong(format!("curl answered `{code}`"))),
    }
}
