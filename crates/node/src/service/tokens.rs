//! API tokens: only their hashes are kept, in the store and here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use fseg_api::{ApiError, Role, TokenNew, TokenView};
use fseg_model::{Name, Wall};
use fseg_store::{Change, Record, Table};
use serde::{Deserialize, Serialize};

use crate::core::Core;
use crate::http::{Caller, TokenHash};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    hash: String,
    role: Role,
    created: Wall,
    created_by: String,
    expires: Option<Wall>,
}

/// All tokens.
#[derive(Default)]
pub struct Tokens(Mutex<BTreeMap<Name, Stored>>);

const MOST: usize = 10_000;

impl Tokens {
    /// From the store's rows; rows that cannot be read are left out and named.
    pub fn load(rows: &[Record]) -> (Self, Vec<String>) {
        let (mut all, mut bad) = (BTreeMap::new(), Vec::new());
        for row in rows.iter().filter(|r| r.table == Table::Token) {
            match (Name::new(&row.key), serde_json::from_value::<Stored>(row.value.clone())) {
                (Ok(name), Ok(token)) => {
                    all.insert(name, token);
                }
                _ => bad.push(row.key.clone()),
            }
        }
        (Self(Mutex::new(all)), bad)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Stored>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token has this hash, if it is valid now.
    pub fn authenticate(&self, hash: TokenHash, now: Wall) -> Option<Caller> {
        // Hashes are of random tokens, so comparing them tells a guesser nothing.
        let wanted = hash.to_string();
        let all = self.lock();
        let (name, token) = all.iter().find(|(_, t)| t.hash == wanted)?;
        token.expires.is_none_or(|at| at > now).then(|| Caller { name: name.to_string(), role: token.role })
    }

    /// All tokens.
    pub fn list(&self) -> Vec<TokenView> {
        self.lock().iter().map(|(name, t)| view(name, t)).collect()
    }

    /// Keeps a new token; durable when it returns.
    pub async fn create(&self, core: &Core, by: String, new: TokenNew, hash: TokenHash) -> Result<TokenView, ApiError> {
        let name = Name::new(&new.name).map_err(|e| ApiError::bad_request(e.to_string()))?;
        let now = core.clock.now().wall;
        {
            let all = self.lock();
            if all.contains_key(&name) {
                return Err(ApiError::conflict(format!("there is already a token `{name}`; revoke it first")));
            }
            if all.len() >= MOST {
                return Err(ApiError::conflict(format!("there are already {MOST} tokens; revoke some")));
            }
        }
        let expires = new.valid_seconds.map(|s| now.plus(std::time::Duration::from_secs(s)));
        let token = Stored { hash: hash.to_string(), role: new.role, created: now, created_by: by.clone(), expires };
        let value = serde_json::to_value(&token).map_err(|e| ApiError::internal(e.to_string()))?;
        let put = Change::Put { table: Table::Token, key: name.to_string(), value };
        write(core, put, by, "token.create", &name).await?;
        let out = view(&name, &token);
        self.lock().insert(name, token);
        Ok(out)
    }

    /// Revokes a token at once.
    pub async fn revoke(&self, core: &Core, by: String, name: &Name) -> Result<(), ApiError> {
        if self.lock().remove(name).is_none() {
            return Err(ApiError::not_found("token", name));
        }
        let delete = Change::Delete { table: Table::Token, key: name.to_string() };
        write(core, delete, by, "token.revoke", name).await
    }
}

async fn write(core: &Core, change: Change, who: String, what: &str, name: &Name) -> Result<(), ApiError> {
    let audit = fseg_store::AuditEntry {
        at: core.clock.now().wall,
        who,
        what: what.into(),
        detail: serde_json::json!({ "name": name }),
    };
    core.store(move |store| store.commit(&[change, Change::Append(audit)]))
        .await
        .map_err(super::no_answer)?
        .map_err(|e| ApiError::unavailable(e.to_string()))
}

fn view(name: &Name, t: &Stored) -> TokenView {
    TokenView {
        name: name.to_string(),
        role: t.role,
        created: t.created.into(),
        created_by: t.created_by.clone(),
        expires: t.expires.map(Into::into),
    }
}
