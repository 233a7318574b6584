//! The command line's grammar.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fseg_api::{Role, Secret};

use crate::target::Target;

/// Segmentation by name: ask and steer an FSEG node.
#[derive(Debug, Parser)]
#[command(
    name = "fseg",
    version,
    disable_help_subcommand = true,
    after_help = "Exit codes: 0 yes or done; 1 no, denied, or a test failed; 2 wrong command line or input; \
                  3 the node cannot be reached."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The node: `unix:PATH` or `https://HOST:PORT`
    #[arg(long, global = true, env = "FSEG_NODE", default_value = "unix:/run/fseg/api.sock", value_name = "URL")]
    pub(crate) node: Target,
    /// The token to send (better from the environment or a file than on the command line)
    #[arg(long, global = true, env = "FSEG_TOKEN", hide_env_values = true, value_parser = secret)]
    pub(crate) token: Option<Secret>,
    /// A file that holds the token
    #[arg(long, global = true, env = "FSEG_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for the node
    #[arg(long, global = true, env = "FSEG_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// SHA-256 of the node's certificate, as fsegd prints it at start
    #[arg(long, global = true, env = "FSEG_FINGERPRINT", value_name = "HEX", conflicts_with = "ca")]
    pub(crate) fingerprint: Option<String>,
    /// How to print
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Print listings again every so many seconds
    #[arg(long, global = true, num_args = 0..=1, default_missing_value = "2", value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) watch: Option<u64>,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs
    Json,
}

fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::new(text))
}

#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// FROM TO SERVICE, as in `fseg explain`; or one packet
    #[arg(required = true, num_args = 1..=3, value_name = "PACKET")]
    pub(crate) question: Vec<String>,
    /// The switch a given packet comes to; where its sender is, when absent
    #[arg(long)]
    pub(crate) switch: Option<String>,
    /// The port it comes in by, by name or number
    #[arg(long)]
    pub(crate) port: Option<String>,
    /// A later packet of a connection that exists
    #[arg(long, conflicts_with = "reply")]
    pub(crate) established: bool,
    /// The answer, of a connection that exists
    #[arg(long)]
    pub(crate) reply: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a policy file and run its tests, without a node
    Check {
        /// The policy file
        file: PathBuf,
    },
    /// Say what applying a policy file would do: who gains and loses what, which rows change, who is cut off
    Plan {
        /// The policy file
        file: PathBuf,
        /// How many lines of gains and losses
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// How many of them to leave out at the beginning
        #[arg(long, default_value_t = 0)]
        offset: u64,
    },
    /// Put a policy file in force, on every switch or on none; on a terminal, after showing the plan and asking
    Apply {
        /// The policy file
        file: PathBuf,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        how: ApplyHow,
    },
    /// The policy in force and its versions
    Policy {
        #[command(subcommand)]
        command: Option<PolicyCommand>,
    },
    /// May this open a connection to that? Exits with 0 for yes and 1 for no
    Explain {
        /// An endpoint, MAC or IP address, subject (user:anna) or place
        from: String,
        /// The same, or any outside address
        to: String,
        /// A service of the policy, or for example tcp/443
        service: String,
    },
    /// What do the tables do with a packet? Exits with 0 when it is delivered and 1 when it is dropped
    ///
    /// Runs a packet through the rows that switches should hold, table by table and from switch to switch. The packet is the
    /// first one of a connection by names (fseg trace sales-1 crm-1 tcp/80), or given as fields
    /// (fseg trace in_port=1,tcp,nw_src=10.0.1.5,nw_dst=10.0.1.6,tp_dst=80), or as a frame in hexadecimal.
    Trace(TraceArgs),
    /// Prove that switches treat every packet as the policy says
    ///
    /// Reads the tables back from the switches and compares what they do with every possible packet with what the policy and
    /// the facts say. Exit code 0 when all are proved; 1 otherwise, with a packet that is treated otherwise for each
    /// difference, and the rows to blame.
    Verify {
        /// Only this switch
        switch: Option<String>,
    },
    /// Why do rows with this cookie exist?
    Why {
        /// The cookie, as ovs-ofctl prints it
        cookie: String,
    },
    /// List endpoints
    Endpoints,
    /// List admissions that hold now
    Sessions,
    /// List groups, with who is in them
    Groups,
    /// List permits, with their use
    Permits,
    /// List externals, with the addresses that were learned by their names
    Externals,
    /// List services that a policy can name
    Services,
    /// List multicast addresses that endpoints joined
    Streams,
    /// List switches and their ports
    Switches,
    /// Certificates of switches
    #[command(subcommand)]
    Switch(SwitchCommand),
    /// Accounts of people
    #[command(subcommand)]
    User(UserCommand),
    /// Devices that join without a person
    #[command(subcommand)]
    Device(DeviceCommand),
    /// What happened
    Logs {
        /// Go on with what happens
        #[arg(long, short)]
        follow: bool,
        /// How many entries
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
        /// Only entries of this kind, such as denied or observed; may be given several times
        #[arg(long = "kind", value_name = "KIND")]
        kinds: Vec<fseg_api::LogKind>,
        /// Only entries about this endpoint, or that mention this text
        #[arg(long, value_name = "TEXT")]
        about: Option<String>,
    },
    /// Who changed what
    Audit {
        /// How many entries
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// API tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// How the node is; exits with 1 when a part of it is down
    Health,
    /// Print OpenFlow messages, given as hexadecimal digits, as text
    Decode {
        /// Hexadecimal digits, spaces allowed; `-` reads them from standard input
        #[arg(required = true)]
        hex: Vec<String>,
    },
    /// Live through what `fsegd --record` wrote again; exits with 1 where the outcome is another one
    Replay(crate::replay::ReplayArgs),
    /// Virtual networks on this machine
    Lab(crate::lab::LabArgs),
    /// Print the version
    Version,
    /// Print a completion script
    Completion {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Where a password comes from.
#[derive(Debug, Args)]
pub(crate) struct PasswordFrom {
    /// Read the password from the first line of standard input instead of asking for it
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SwitchCommand {
    /// Issue a certificate for a switch, and print what to run there: a script with the key, or with --out the files
    Enroll {
        /// The switch, as node.yaml calls it
        name: String,
        /// Write key and certificates into this folder (which is made) instead of printing them
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// How long the certificate counts, for example 365d; two years when absent
        #[arg(long, value_name = "DURATION", value_parser = fseg_yaml::parse_duration)]
        valid: Option<std::time::Duration>,
    },
    /// Revoke every certificate of a switch, and end its connection
    Revoke {
        /// The switch
        name: String,
    },
    /// List switches with their certificates, and connections that were turned away
    List,
}

/// How a policy is applied.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyHow {
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// What to remember with this version
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
    /// Only if this version is in force, as `fseg plan` printed it
    #[arg(long, value_name = "VERSION")]
    pub(crate) if_version: Option<u64>,
    /// Go on without switches that refuse it, are silent or go away, instead of taking everything back
    #[arg(long)]
    pub(crate) partial: bool,
    /// Exit with 0 although a switch does not have it yet, since it is not connected
    #[arg(long)]
    pub(crate) allow_missing: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// List the versions that are kept
    Log {
        /// How many
        #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Print a version as it was written
    Show {
        /// Which; the one in force when absent
        version: Option<u64>,
    },
    /// What differs between two versions: permits, groups, and who gained and lost what; exits with 1 when something does
    Diff {
        /// The older; the one before the newer when absent
        from: Option<u64>,
        /// The newer; the one in force when absent
        to: Option<u64>,
        /// The lines of the files instead
        #[arg(long)]
        text: bool,
    },
    /// Put an earlier version in force again, as a new version
    Rollback {
        /// Which
        version: u64,
        #[command(flatten)]
        how: ApplyHow,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make an account
    Add {
        /// Its name
        name: String,
        /// A role; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// The person's name as people write it
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Set a new password
    Passwd {
        /// The account
        name: String,
        #[command(flatten)]
        password: PasswordFrom,
    },
    /// Set the roles of an account, in place of those it has; without any, it has none
    Roles {
        /// The account
        name: String,
        /// A role; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// Shut an account out and end its sessions
    Disable {
        /// The account
        name: String,
    },
    /// Let an account in again
    Enable {
        /// The account
        name: String,
    },
    /// Delete an account and end its sessions
    Delete {
        /// The account
        name: String,
    },
    /// List accounts
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Add a device, or replace the one of this name
    Add {
        /// Its name
        name: String,
        /// Its MAC address, or 52:54:00:* for all that begin so (they are numbered)
        mac: String,
        /// A role; may be given several times
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        /// The address that DHCP keeps for it
        #[arg(long, value_name = "ADDRESS")]
        address: Option<Ipv4Addr>,
        /// The device sets that address itself
        #[arg(long = "static", requires = "address")]
        is_static: bool,
    },
    /// Take a device off the list and end its sessions
    Remove {
        /// Its name
        name: String,
    },
    /// List devices
    List,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, this once
    Create {
        /// Its name, which the audit log shows
        name: String,
        /// What its bearer may do: viewer, operator or admin
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// How long it works, for example 90d or 12h; for ever when absent
        #[arg(long, value_name = "DURATION", value_parser = fseg_yaml::parse_duration)]
        valid: Option<std::time::Duration>,
    },
    /// Revoke a token at once
    Revoke {
        /// Its name
        name: String,
    },
    /// List tokens
    List,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_holds() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn watch_and_output_work_behind_the_command() {
        let parse = |line: &str| Arguments::try_parse_from(line.split_whitespace());
        let a = parse("fseg endpoints --watch -o json").unwrap();
        assert_eq!((a.global.watch, a.global.output), (Some(2), Output::Json));
        assert_eq!(parse("fseg endpoints --watch 10").unwrap().global.watch, Some(10));
        for bad in [
            "fseg",
            "fseg endpoints --watch 0",
            "fseg token create x --role king",
            "fseg device add x 02:00:00:00:00:01 --static",
            "fseg --node ftp://x endpoints",
            "fseg logs -n 0",
            "fseg decode",
        ] {
            assert_eq!(parse(bad).unwrap_err().exit_code(), 2, "{bad}");
        }
    }

    /// `user add` of `fseg user add NAME`.
    fn commands(of: &clap::Command, before: &str, out: &mut std::collections::BTreeSet<String>) {
        let inner: Vec<_> = of.get_subcommands().filter(|c| !c.is_hide_set()).collect();
        if inner.is_empty() || before == "lab" {
            out.insert(before.to_owned());
        } else {
            inner.iter().for_each(|c| commands(c, format!("{before} {}", c.get_name()).trim(), out));
        }
    }

    #[test]
    fn the_guide_lists_every_command_and_no_other() {
        let guide = include_str!("../../../docs/guide/commands.md");
        let mut real = std::collections::BTreeSet::new();
        commands(&Arguments::command(), "", &mut real);
        let listed = guide.lines().filter_map(|line| line.strip_prefix("| `fseg ")?.split_once('`')).map(|(c, _)| {
            let words: Vec<_> = c.split(' ').filter(|w| !w.chars().all(|c| c.is_ascii_uppercase())).collect();
            words.join(" ")
        });
        let mut listed: std::collections::BTreeSet<String> = listed.collect();
        // Told in the line of `user disable`.
        assert!(guide.contains("`enable` lets it in again"));
        listed.insert("user enable".to_owned());
        assert_eq!(listed, real);
    }

    #[test]
    fn tokens_are_not_shown() {
        let a = Arguments::try_parse_from(["fseg", "--token", "hunter2", "health"]).unwrap();
        assert!(!format!("{a:?}").contains("hunter2"));
    }
}
