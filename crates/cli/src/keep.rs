//! Keeping accounts, devices and tokens.

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use fseg_api::{
    AccountChange, AccountNew, AccountView, DevicePut, DeviceView, OperationId, Secret, TokenCreated, TokenNew,
};
use serde::Serialize;

use crate::args::{DeviceCommand, PasswordFrom, TokenCommand, UserCommand};
use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::output::{Screen, printable};

/// The longest password, in bytes.
const PASSWORD: u64 = 1024;

fn item(name: &str) -> At<'_> {
    At { item: Some(name), ..At::default() }
}

fn said<T: Serialize>(screen: &Screen, view: &T, text: &str) -> Result<Outcome, Failure> {
    if screen.json { screen.value(view, false) } else { screen.text(&format!("{}\n", printable(text))) }
}

/// From the terminal, twice; or from standard input, once.
fn password(from: &PasswordFrom) -> Result<Secret, Failure> {
    let text = if from.password_stdin {
        let mut line = String::new();
        let mut input = io::BufReader::new(io::stdin().lock().take(PASSWORD + 2));
        input.read_line(&mut line).map_err(|e| Failure::usage(format!("standard input: {e}")))?;
        line.trim_end_matches(['\n', '\r']).to_owned()
    } else if io::stdin().is_terminal() {
        let ask = |what| rpassword::prompt_password(what).map_err(|e| Failure::usage(format!("the terminal: {e}")));
        let first = ask("Password: ")?;
        if first != ask("Once more: ")? {
            return Err(Failure::usage("the two passwords differ"));
        }
        first
    } else {
        return Err(Failure::usage("there is no terminal to ask for the password")
            .help("give it on standard input with --password-stdin"));
    };
    match text.len() as u64 {
        0 => Err(Failure::usage("the password is empty")),
        length if length > PASSWORD => Err(Failure::usage(format!("the password is longer than {PASSWORD} bytes"))),
        _ => Ok(Secret::new(text)),
    }
}

/// `fseg user add|passwd|disable|enable|delete`
pub(crate) async fn user(client: &Client, command: UserCommand, screen: &Screen) -> Result<Outcome, Failure> {
    let (name, change, text) = match command {
        UserCommand::Add { name, roles, display_name, password: from } => {
            let new = AccountNew { name, password: password(&from)?, roles, display_name };
            let view: AccountView = client.call(OperationId::AccountCreate, At::default(), Some(&new)).await?;
            return said(screen, &view, &format!("The account {} exists now.", view.name));
        }
        UserCommand::Delete { name } => {
            client.done::<()>(OperationId::AccountDelete, item(&name), None).await?;
            return said(screen, &serde_json::json!({ "deleted": name }), &format!("The account {name} is gone."));
        }
        UserCommand::Passwd { name, password: from } => {
            let change = AccountChange { password: Some(password(&from)?), ..AccountChange::default() };
            (name, change, "has a new password")
        }
        UserCommand::Roles { name, roles } => {
            (name, AccountChange { roles: Some(roles), ..AccountChange::default() }, "has these roles now")
        }
        UserCommand::Disable { name } => {
            (name, AccountChange { disabled: Some(true), ..AccountChange::default() }, "is shut out")
        }
        UserCommand::Enable { name } => {
            (name, AccountChange { disabled: Some(false), ..AccountChange::default() }, "may sign in")
        }
        UserCommand::List => return Err(Failure::usage("`fseg user list` is a listing")),
    };
    let view: AccountView = client.call(OperationId::AccountChange, item(&name), Some(&change)).await?;
    said(screen, &view, &format!("The account {} {text}.", view.name))
}

/// `fseg device add|remove`
pub(crate) async fn device(client: &Client, command: DeviceCommand, screen: &Screen) -> Result<Outcome, Failure> {
    match command {
        DeviceCommand::Add { name, mac, roles, address, is_static } => {
            let put = DevicePut { mac, roles, address, is_static, disabled: false };
            let view: DeviceView = client.call(OperationId::DevicePut, item(&name), Some(&put)).await?;
            said(screen, &view, &format!("The device {} ({}) is on the list.", view.name, view.mac))
        }
        DeviceCommand::Remove { name } => {
            client.done::<()>(OperationId::DeviceDelete, item(&name), None).await?;
            said(screen, &serde_json::json!({ "removed": name }), &format!("The device {name} is off the list."))
        }
        DeviceCommand::List => Err(Failure::usage("`fseg device list` is a listing")),
    }
}

/// `fseg token create|revoke`. The token alone goes to standard output, so that it can be piped into a file.
pub(crate) async fn token(client: &Client, command: TokenCommand, screen: &Screen) -> Result<Outcome, Failure> {
    match command {
        TokenCommand::Create { name, role, valid } => {
            let new = TokenNew { name, role, valid_seconds: valid.map(|d| d.as_secs()) };
            let created: TokenCreated = client.call(OperationId::TokenCreate, At::default(), Some(&new)).await?;
            said(screen, &created, created.token.expose())
        }
        TokenCommand::Revoke { name } => {
            client.done::<()>(OperationId::TokenRevoke, item(&name), None).await?;
            said(screen, &serde_json::json!({ "revoked": name }), &format!("The token {name} works no more."))
        }
        TokenCommand::List => Err(Failure::usage("`fseg token list` is a listing")),
    }
}
