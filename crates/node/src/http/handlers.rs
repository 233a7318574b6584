//! One handler per operation: read, ask the service, write.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use fseg_api::{ApiError, ErrorCode, OperationId as Id, PolicyApply, TokenCreated, TokenNew};

use super::auth::{Caller, new_token};
use super::body::{CookiePath, Failure, JsonBody, NamePath, PageOf, json};
use super::events::stream_of;
use super::router::Shared;
use super::service::{Answer, NodeService};

type Service = State<Arc<Shared>>;
type Who = Extension<Caller>;
type Reply = Result<Response, Failure>;

async fn reply<T: serde::Serialize>(answer: Answer<'_, T>) -> Reply {
    Ok(json(StatusCode::OK, &answer.await?))
}

async fn done(answer: Answer<'_, ()>) -> Reply {
    answer.await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn policy(service: &dyn NodeService, who: Caller, policy: PolicyApply, dry_run: bool) -> Reply {
    let result = service.policy_apply(who, policy, dry_run).await?;
    let status = if result.accepted { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    Ok(json(status, &result))
}

/// The version of an `If-Match` header (RFC 9110, 13.1.1), with quotes as entity tags have them, or without.
fn version_of(value: &HeaderValue) -> Result<u64, Failure> {
    let text = value.to_str().unwrap_or_default();
    let number = text.trim().trim_matches('"').parse();
    Ok(number.map_err(|_| ApiError::bad_request("`If-Match` must hold the number of a version of the policy"))?)
}

/// The handler of an operation. The match is exhaustive: an operation without a handler does not compile.
pub(super) fn handler(id: Id) -> MethodRouter<Arc<Shared>> {
    match id {
        Id::Healthz => get(|| async { "ok\n" }),
        Id::Readyz => get(|State(s): Service| async move {
            match s.service.health().await.ok {
                true => (StatusCode::OK, "ready\n"),
                false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
            }
        }),
        Id::Metrics => get(|State(s): Service, Extension(who): Who| async move {
            let text = s.service.metrics(who).await?;
            let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Ok::<_, Failure>(([(header::CONTENT_TYPE, media)], text).into_response())
        }),
        Id::Document => get(|State(s): Service| async move {
            ([(header::CONTENT_TYPE, "application/json")], s.document.clone()).into_response()
        }),
        Id::Health => get(|State(s): Service| async move { json(StatusCode::OK, &s.service.health().await) }),
        Id::Endpoints => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.endpoints(w)).await }),
        Id::Sessions => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.sessions(w)).await }),
        Id::Externals => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.externals(w)).await }),
        Id::Services => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.services(w)).await }),
        Id::Streams => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.streams(w)).await }),
        Id::Groups => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.groups(w)).await }),
        Id::Permits => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.permits(w)).await }),
        Id::Switches => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.switches(w)).await }),
        Id::SwitchProof => get(|State(s): Service, Extension(w): Who, NamePath(name)| async move {
            reply(s.service.switch_proof(w, name)).await
        }),
        Id::Enrolments => {
            get(|State(s): Service, Extension(w): Who| async move { reply(s.service.enrolments(w)).await })
        }
        Id::SwitchEnrol => post(|State(s): Service, Extension(w): Who, NamePath(name), JsonBody(enrol)| async move {
            reply(s.service.switch_enrol(w, name, enrol)).await
        }),
        Id::SwitchRevoke => delete(|State(s): Service, Extension(w): Who, NamePath(name)| async move {
            done(s.service.switch_revoke(w, name)).await
        }),
        Id::Trace => post(|State(s): Service, Extension(w): Who, JsonBody(question)| async move {
            reply(s.service.trace(w, question)).await
        }),
        Id::Explain => post(|State(s): Service, Extension(w): Who, JsonBody(question)| async move {
            reply(s.service.explain(w, question)).await
        }),
        Id::Why => get(|State(s): Service, Extension(w): Who, CookiePath(cookie)| async move {
            reply(s.service.why(w, cookie)).await
        }),
        Id::Policy => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.policy(w)).await }),
        Id::PolicyCheck => post(|State(s): Service, Extension(w): Who, JsonBody(text)| async move {
            policy(&*s.service, w, text, true).await
        }),
        Id::PolicyApply => {
            post(|State(s): Service, Extension(w): Who, headers: HeaderMap, JsonBody(text)| async move {
                let mut text: PolicyApply = text;
                if let Some(wanted) = headers.get(header::IF_MATCH) {
                    text.if_version = Some(version_of(wanted)?);
                }
                policy(&*s.service, w, text, false).await
            })
        }
        Id::PolicyPlan => post(|State(s): Service, Extension(w): Who, JsonBody(request)| async move {
            let plan = s.service.policy_plan(w, request).await?;
            let status = if plan.accepted { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            Ok::<_, Failure>(json(status, &plan))
        }),
        Id::PolicyVersions => get(|State(s): Service, Extension(w): Who, PageOf(page)| async move {
            reply(s.service.policy_versions(w, page)).await
        }),
        Id::PolicyVersion => get(|State(s): Service, Extension(w): Who, NamePath(name)| async move {
            let version = name.as_str().parse().map_err(|_| {
                ApiError::bad_request(format!("`{name}` is not a version")).help("`fseg policy log` lists them")
            })?;
            reply(s.service.policy_version(w, version)).await
        }),
        Id::PolicyDiff => post(|State(s): Service, Extension(w): Who, JsonBody(request)| async move {
            reply(s.service.policy_diff(w, request)).await
        }),
        Id::Accounts => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.accounts(w)).await }),
        Id::AccountCreate => post(|State(s): Service, Extension(w): Who, JsonBody(account)| async move {
            reply(s.service.account_create(w, account)).await
        }),
        Id::AccountChange => {
            patch(|State(s): Service, Extension(w): Who, NamePath(name), JsonBody(change)| async move {
                reply(s.service.account_change(w, name, change)).await
            })
        }
        Id::AccountDelete => delete(|State(s): Service, Extension(w): Who, NamePath(name)| async move {
            done(s.service.account_delete(w, name)).await
        }),
        Id::Devices => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.devices(w)).await }),
        Id::DevicePut => put(|State(s): Service, Extension(w): Who, NamePath(name), JsonBody(device)| async move {
            reply(s.service.device_put(w, name, device)).await
        }),
        Id::DeviceDelete => delete(|State(s): Service, Extension(w): Who, NamePath(name)| async move {
            done(s.service.device_delete(w, name)).await
        }),
        Id::Log => {
            get(|State(s): Service, Extension(w): Who, PageOf(page)| async move { reply(s.service.log(w, page)).await })
        }
        Id::Events => get(|State(s): Service, Extension(w): Who| async move {
            let permit = s.readers.clone().try_acquire_owned().map_err(|_| {
                ApiError::new(ErrorCode::TooMany, "every place for event readers is taken").help("read the log instead")
            })?;
            Ok::<_, Failure>(stream_of(s.service.events(w).await?, permit, s.shutdown.clone()).into_response())
        }),
        Id::Audit => {
            get(
                |State(s): Service, Extension(w): Who, PageOf(page)| async move { reply(s.service.audit(w, page)).await },
            )
        }
        Id::Tokens => get(|State(s): Service, Extension(w): Who| async move { reply(s.service.tokens(w)).await }),
        Id::TokenCreate => post(|State(s): Service, Extension(w): Who, JsonBody(new): JsonBody<TokenNew>| async move {
            let (token, hash) = new_token()?;
            let view = s.service.token_create(w, new, hash).await?;
            Ok::<_, Failure>(json(StatusCode::OK, &TokenCreated { view, token }))
        }),
        Id::TokenRevoke => delete(|State(s): Service, Extension(w): Who, NamePath(name)| async move {
            done(s.service.token_revoke(w, name)).await
        }),
    }
}
