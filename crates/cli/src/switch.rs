//! `fseg switch`: certificates of switches.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use fseg_api::{EnrolNew, Enrolled, OperationId};

use crate::args::SwitchCommand;
use crate::client::{At, Client};
use crate::failure::{Failure, Outcome};
use crate::listing;
use crate::output::{Screen, printable};

/// Where the printed script puts the files on a switch.
const FOLDER: &str = "/etc/openvswitch/fseg";

/// `fseg switch enroll|revoke|list`
pub(crate) async fn run(
    client: &Client,
    command: SwitchCommand,
    watch: Option<u64>,
    screen: &Screen,
) -> Result<Outcome, Failure> {
    match command {
        SwitchCommand::List => listing::enrolments(client, watch, screen).await,
        SwitchCommand::Revoke { name } => {
            let at = At { item: Some(&name), ..At::default() };
            client.done::<()>(OperationId::SwitchRevoke, at, None).await?;
            if screen.json {
                return screen.value(&serde_json::json!({ "revoked": name }), false);
            }
            screen.text(&format!(
                "The certificates of {} count no more, and its connection is closed.\n",
                printable(&name)
            ))
        }
        SwitchCommand::Enroll { name, out, valid } => {
            let new = EnrolNew { valid_seconds: valid.map(|d| d.as_secs()) };
            let at = At { item: Some(&name), ..At::default() };
            let enrolled: Enrolled = client.call(OperationId::SwitchEnrol, at, Some(&new)).await?;
            match out {
                Some(folder) => to_folder(&enrolled, &folder, screen),
                None if screen.json => screen.value(&enrolled, false),
                None => screen.text(&script(&enrolled)),
            }
        }
    }
}

/// The three files and their contents; `None` when the node has installed them itself.
fn files(e: &Enrolled) -> Option<[(&'static str, u32, &str); 3]> {
    Some([
        ("fseg.key", 0o600, e.key.as_ref()?.expose()),
        ("fseg.crt", 0o644, e.certificate.as_deref()?),
        ("node-ca.crt", 0o644, &e.authority),
    ])
}

fn installed(e: &Enrolled) -> String {
    format!(
        "# The node installs the certificate of {} itself (serial {}): there is nothing to run.\n",
        printable(&e.name),
        printable(&e.view.serial)
    )
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A script for the switch that holds everything, to be piped into a shell there.
fn script(e: &Enrolled) -> String {
    let Some(files) = files(e) else { return installed(e) };
    let mut out = format!(
        "# Run this as root on the switch {}: fseg switch enroll {} | ssh root@SWITCH sh\n\
         # It holds the switch's private key, which is shown this once. The certificate counts until {}.\n\
         set -e\numask 077\nmkdir -p {FOLDER}\n",
        printable(&e.name),
        quoted(&printable(&e.name)),
        e.view.expires,
    );
    for (name, _, text) in files {
        let _ = write!(out, "cat >{FOLDER}/{name} <<'END'\n{}\nEND\n", text.trim_end());
    }
    for command in &e.commands {
        let _ = writeln!(out, "{}", command.replace("DIR/", &format!("{FOLDER}/")));
    }
    out
}

/// Writes the files and prints the commands only.
fn to_folder(e: &Enrolled, folder: &Path, screen: &Screen) -> Result<Outcome, Failure> {
    let Some(files) = files(e) else { return screen.text(&installed(e)) };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|e| Failure::file(folder, e))?;
    for (name, mode, text) in files {
        let path = folder.join(name);
        let new = folder.join(format!("{name}.new"));
        // A leftover would keep its own permissions.
        let _ = std::fs::remove_file(&new);
        let attempt = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)
        };
        attempt().map_err(|e| Failure::file(&path, e))?;
    }
    if screen.json {
        return screen.value(&serde_json::json!({ "switch": e.name, "view": e.view, "commands": e.commands }), false);
    }
    let mut out = format!(
        "# {} holds fseg.key, fseg.crt and node-ca.crt of {}; the certificate counts until {}.\n\
         # Copy them to {FOLDER} of the switch (the key readable by root only), and run there:\n",
        folder.display(),
        printable(&e.name),
        e.view.expires,
    );
    for command in &e.commands {
        let _ = writeln!(out, "{}", command.replace("DIR/", &format!("{FOLDER}/")));
    }
    screen.text(&out)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use fseg_api::{CertificateState, CertificateView, Secret, Timestamp};
    use fseg_model::Wall;

    use super::*;
    use crate::args::Output;

    fn enrolled(key: Option<&str>) -> Enrolled {
        let at = Timestamp(Wall(1_795_167_000_000));
        Enrolled {
            name: "sw1".into(),
            view: CertificateView {
                serial: "4711".into(),
                fingerprint: "ab".into(),
                dpids: vec![],
                issued: at,
                issued_by: "anna".into(),
                expires: at,
                state: CertificateState::Valid,
                automatic: key.is_none(),
            },
            key: key.map(Secret::new),
            certificate: key.map(|_| "CERTIFICATE".into()),
            authority: "AUTHORITY\n".into(),
            commands: vec!["ovs-vsctl set-ssl DIR/fseg.key DIR/fseg.crt DIR/node-ca.crt".into()],
        }
    }

    #[test]
    fn the_script_holds_everything_and_keeps_the_key_to_root() {
        let text = script(&enrolled(Some("KEY")));
        for part in [
            "umask 077\n",
            "cat >/etc/openvswitch/fseg/fseg.key <<'END'\nKEY\nEND\n",
            "<<'END'\nAUTHORITY\nEND\n",
            "ovs-vsctl set-ssl /etc/openvswitch/fseg/fseg.key /etc/openvswitch/fseg/fseg.crt /etc/openvswitch/fseg/node-ca.crt\n",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        assert!(script(&enrolled(None)).starts_with("# The node installs the certificate of sw1 itself"));
    }

    #[test]
    fn files_are_written_with_the_key_private_and_again_over_old_ones() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("new/sw1");
        let screen = Screen::new(Output::Json);
        for key in ["ONE", "TWO"] {
            to_folder(&enrolled(Some(key)), &into, &screen).unwrap_or_else(|e| panic!("{}", e.message));
            assert_eq!(std::fs::read_to_string(into.join("fseg.key")).unwrap(), key);
            assert_eq!(std::fs::metadata(into.join("fseg.key")).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(std::fs::read_dir(&into).unwrap().count(), 3);
    }
}
