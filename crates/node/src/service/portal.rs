//! The portal's questions, answered.

use std::net::IpAddr;

use fseg_admission::{LoginRefused, LoginStart, verify_password};
use fseg_api::Secret;
use fseg_control::{Answer, Input, Standing};
use fseg_model::Subject;
use futures::future::BoxFuture;

use super::Node;
use crate::portal::{Admitted, LoginError, PortalService, PortalState};

impl PortalService for Node {
    fn whoami(&self, address: IpAddr) -> BoxFuture<'_, PortalState> {
        Box::pin(async move {
            let found = self.core.ask(move |c, now| {
                let (e, standing) = c.endpoint_by_address(address)?;
                Some(match (&e.session, standing) {
                    (Some(s), Standing::Admitted) => PortalState::Admitted(Admitted {
                        name: e.name.as_ref().map(ToString::to_string).unwrap_or_default(),
                        account: match &s.identity.subject {
                            Subject::User(name) => Some(name.to_string()),
                            _ => None,
                        },
                        remaining: s.until.map(|until| until.since(now.wall)),
                    }),
                    _ => PortalState::Stranger { mac: e.mac },
                })
            });
            found.await.ok().flatten().unwrap_or(PortalState::Unknown)
        })
    }

    fn login(&self, address: IpAddr, account: String, password: Secret) -> BoxFuture<'_, Result<Admitted, LoginError>> {
        Box::pin(async move {
            let IpAddr::V4(v4) = address else { return Err(LoginError::NotHere) };
            let typed = account.clone();
            let start = self.core.login_start(v4, typed).await;
            let (hash, attempt) = match start {
                Ok(Some(LoginStart::Check { hash, attempt })) => (hash, attempt),
                Ok(Some(LoginStart::Locked { retry_after })) => return Err(LoginError::Locked { retry_after }),
                Ok(None) => return Err(LoginError::NotHere),
                Ok(Some(LoginStart::Busy)) | Err(_) => return Err(LoginError::Unavailable),
            };
            // Tens of milliseconds of one core, on purpose: kept off the threads that serve everybody.
            let check = tokio::task::spawn_blocking(move || verify_password(&hash, password.expose()));
            let verified = check.await.map_err(|_| LoginError::Unavailable)?;
            let answer = self
                .core
                .submit(|ticket| Input::LoginFinished { ticket, address: v4, attempt, verified })
                .await
                .map_err(|_| LoginError::Unavailable)?;
            match answer {
                Answer::LoggedIn { name, until } => Ok(Admitted {
                    name: name.to_string(),
                    account: Some(account),
                    remaining: until.map(|u| u.since(self.core.clock.now().wall)),
                }),
                Answer::LoginRefused(LoginRefused::WrongPassword { left }) => Err(LoginError::Wrong { left }),
                Answer::LoginRefused(LoginRefused::Locked { retry_after }) => Err(LoginError::Locked { retry_after }),
                Answer::LoginRefused(LoginRefused::Disabled) => Err(LoginError::Disabled),
                Answer::Refused(_) => Err(LoginError::NotHere),
                _ => Err(LoginError::Unavailable),
            }
        })
    }

    fn logout(&self, address: IpAddr) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if let IpAddr::V4(address) = address {
                // Nothing to do when nobody was logged in there.
                let _ = self.core.submit(|ticket| Input::Logout { ticket, address }).await;
            }
        })
    }
}
