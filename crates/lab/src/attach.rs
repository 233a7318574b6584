//! Entering a running lab from another terminal.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::LabError;
use crate::sandbox::Handle;

/// A command that runs `args` in the lab whose state folder is `dir`: in the endpoint `namespace`, or in the lab's own
/// ("root") namespace. Without arguments it is an interactive shell. The caller spawns it with the streams it wants.
pub fn command(dir: &Path, namespace: Option<&str>, args: &[String]) -> Result<Command, LabError> {
    let path = Handle::path(dir);
    let text = fs::read_to_string(&path).map_err(LabError::file(&path))?;
    let handle: Handle = serde_json::from_str(&text)
        .map_err(|error| LabError::Usage(format!("{} is not the handle of a lab: {error}", path.display())))?;
    let mut command = Command::new("nsenter");
    command.args(["-t", &handle.pid.to_string(), "-m", "-n", "-p", "--"]);
    if let Some(name) = namespace {
        crate::namespace::check_name(name)?;
        command.args(["ip", "netns", "exec", name]);
    }
    match args {
        [] => command.args(["bash", "--norc"]).env("PS1", format!("[{}] \\w# ", namespace.unwrap_or("lab"))),
        args => command.args(args),
    };
    command.env("PATH", crate::requirements::SEARCH);
    Ok(command)
}
