//! Whole networks in the lab: real switches, the real node, real clients. Told as stories by `fseg lab run`, and used
//! by tests.

pub mod node;
pub mod office;

use std::path::PathBuf;

use fseg_lab::LabError;
use thiserror::Error;

/// What can go wrong in a scene.
#[derive(Debug, Error)]
pub enum SceneError {
    /// The lab.
    #[error("{0}")]
    Lab(#[from] LabError),
    /// A file of the scene.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Something is not as it should be; a whole sentence.
    #[error("{0}")]
    Wrong(String),
}

impl SceneError {
    /// Something is not as it should be.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self::Wrong(text.into())
    }
}

/// A program of the project: in `FSEG_BIN_DIR`, beside this program, or one folder up (where tests find it).
pub fn program(name: &str) -> Result<PathBuf, SceneError> {
    let mut folders: Vec<PathBuf> = std::env::var_os("FSEG_BIN_DIR").into_iter().map(PathBuf::from).collect();
    if let Ok(me) = std::env::current_exe() {
        folders.extend(me.ancestors().skip(1).take(2).map(PathBuf::from));
    }
    let found = folders.iter().map(|f| f.join(name)).find(|p| p.is_file());
    found.ok_or_else(|| {
        let list: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
        SceneError::wrong(format!(
            "there is no program `{name}` in {}: run `cargo build --bins` first",
            list.join(" or ")
        ))
    })
}
