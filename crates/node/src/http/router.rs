//! The router, made from the table of operations.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use fseg_api::{ApiError, ErrorCode, OPERATIONS, Operation, document};
use tokio::sync::Semaphore;

use super::auth::{Peer, caller};
use super::body::Failure;
use super::events::READERS;
use super::handlers::handler;
use super::serve::Shutdown;
use super::service::NodeService;

/// Requests being worked on at once; more wait, at most as long as a request may take.
const WORKING: usize = 64;
/// How long a request may take, reading its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What every handler shares.
pub(super) struct Shared {
    pub(super) service: Arc<dyn NodeService>,
    pub(super) document: Bytes,
    pub(super) readers: Arc<Semaphore>,
    pub(super) shutdown: Shutdown,
    working: Semaphore,
}

/// The API's router. Each request must carry a [`Peer`] as an extension; one without is treated as a caller without
/// credentials.
pub fn router(service: Arc<dyn NodeService>, shutdown: Shutdown) -> Router {
    let document = document().to_json().unwrap_or_else(|e| {
        tracing::error!(error = %e, "the OpenAPI document could not be written");
        "{}".to_owned()
    });
    let shared = Arc::new(Shared {
        service,
        document: document.into(),
        readers: Arc::new(Semaphore::new(READERS)),
        shutdown,
        working: Semaphore::new(WORKING),
    });
    let mut router = Router::new();
    for op in OPERATIONS {
        let shared = shared.clone();
        let guarded = handler(op.id)
            .layer(DefaultBodyLimit::max(op.limit))
            .layer(from_fn(move |request, next| guard(shared.clone(), op, request, next)));
        router = router.route(op.path, guarded);
    }
    let unknown = |request: Request| async move {
        let path: String = request.uri().path().chars().take(100).collect();
        Failure(
            ApiError::new(ErrorCode::NotFound, format!("there is no path `{path}`"))
                .help("GET /api/v1/openapi.json lists all paths"),
        )
    };
    let wrong_method = |request: Request| async move {
        Failure(ApiError::new(ErrorCode::MethodNotAllowed, format!("this path has no method {}", request.method())))
    };
    router.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(shared)
}

/// Everything that happens before a handler: a place to work in, who is calling, may they, and in time. Nothing of the
/// body has been read before the caller's role is known to suffice.
async fn guard(shared: Arc<Shared>, op: &'static Operation, mut request: Request, next: Next) -> Response {
    let work = async {
        let _working = shared.working.acquire().await.map_err(|_| ApiError::unavailable("the node is stopping"))?;
        if let Some(least) = op.role {
            let unknown = Peer::Remote(([0, 0, 0, 0], 0).into());
            let peer = request.extensions().get::<Peer>().copied().unwrap_or(unknown);
            let caller = caller(&*shared.service, peer, request.headers()).await?;
            if caller.role < least {
                return Err(Failure(
                    ApiError::new(
                        ErrorCode::Forbidden,
                        format!("`{}` is a {} and this needs the role {least}", caller.name, caller.role),
                    )
                    .help("ask an admin for a token with that role"),
                ));
            }
            request.extensions_mut().insert(caller);
        }
        Ok(next.run(request).await)
    };
    match tokio::time::timeout(REQUEST_TIMEOUT, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => failure.into_response(),
        Err(_) => Failure(ApiError::new(
            ErrorCode::Timeout,
            format!("no answer within {} seconds; what was asked may still happen", REQUEST_TIMEOUT.as_secs()),
        ))
        .into_response(),
    }
}

/// The router for one connection: every request on it has this peer.
pub(super) fn for_peer(router: &Router, peer: Peer) -> Router {
    router.clone().layer(Extension(peer))
}
