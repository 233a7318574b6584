//! Who may join: portal login, the device list, location rules; names for endpoints; how long a session lasts.
//!
//! Pure: nothing here reads a clock, a file or a random source. Time comes in as [`fseg_model::Mono`], salts as bytes, and
//! the one slow thing (argon2id) is a plain function that the shell runs on a worker thread between
//! [`Admission::login_start`] and [`Admission::login_finish`].
//!
//! A [`Grant`] is the proof that authentication took place: only this crate can make one, and only a grant makes a
//! session. Management is plan, commit, apply: [`Admission::put_account`] and its siblings change nothing, they return an
//! [`Update`] whose [`Change`] is applied once the store has it.

mod account;
mod admission;
mod config;
mod device;
mod error;
mod grant;
mod lockout;
mod login;
mod mac_matcher;
mod manage;
mod names;
mod password;
mod rule;
mod session;

pub use account::Account;
pub use admission::{Admission, Standing};
pub use config::{AdmissionConfig, Limits, Lockout};
pub use device::Device;
pub use error::{ManageError, MatcherError, NamesExhausted, PasswordError, TemplateError};
pub use grant::{Grant, NameWish};
pub use login::{Attempt, LoginRefused, LoginStart};
pub use mac_matcher::MacMatcher;
pub use manage::{Change, Recheck, Update};
pub use names::Names;
pub use password::{HashParams, PasswordHash, hash_password, verify_password};
pub use rule::{LocationRule, NameTemplate};
pub use session::{SessionClock, SessionEnd};
