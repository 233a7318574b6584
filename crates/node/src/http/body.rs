//! JSON in and out: bodies, path names, pages and failures.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fseg_api::{ApiError, ErrorCode};
use fseg_model::Name;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::service::Page;

/// A failure on its way out.
#[derive(Debug)]
pub(super) struct Failure(pub(super) ApiError);

impl From<ApiError> for Failure {
    fn from(e: ApiError) -> Self {
        Self(e)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = json(status, &self.0);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON response.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
            (status, headers, bytes).into_response()
        }
        Err(e) => {
            tracing::error!(error = %e, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A request body as JSON. Failures say line and column.
#[derive(Debug)]
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let media = request.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if !media.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(ApiError::bad_request("the body is not marked as JSON")
                .help("send `Content-Type: application/json`")
                .into());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unread)?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| {
            let text = if bytes.is_empty() { "the body is empty".to_owned() } else { format!("the body: {e}") };
            ApiError::bad_request(text).help("GET /api/v1/openapi.json describes what each path takes").into()
        })
    }
}

fn unread(rejection: BytesRejection) -> Failure {
    let code = match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
        _ => ErrorCode::BadRequest,
    };
    ApiError::new(code, format!("the body cannot be read: {}", rejection.body_text())).into()
}

/// The `{name}` of a path, checked.
#[derive(Debug)]
pub(super) struct NamePath(pub(super) Name);

impl<S: Send + Sync> FromRequestParts<S> for NamePath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let text = path_text(parts, state).await?;
        Name::new(&text).map(Self).map_err(|e| ApiError::bad_request(e.to_string()).into())
    }
}

/// The `{cookie}` of a path: `0x` and hexadecimal digits, or a decimal number.
#[derive(Debug)]
pub(super) struct CookiePath(pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for CookiePath {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let text = path_text(parts, state).await?;
        let (digits, radix) = text.strip_prefix("0x").map_or((text.as_str(), 10), |hex| (hex, 16));
        let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
        plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten().map(Self).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            ApiError::bad_request(format!("`{shown}` is not a cookie (expected 0x and up to 16 hexadecimal digits)"))
                .into()
        })
    }
}

async fn path_text<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Failure> {
    let Path(text) = Path::<String>::from_request_parts(parts, state)
        .await
        .map_err(|e| Failure(ApiError::bad_request(format!("the path: {}", e.body_text()))))?;
    Ok(text)
}

#[derive(Deserialize)]
struct PageQuery {
    before: Option<u64>,
    limit: Option<usize>,
}

/// `?before=SEQ&limit=COUNT`.
#[derive(Debug)]
pub(super) struct PageOf(pub(super) Page);

impl<S: Send + Sync> FromRequestParts<S> for PageOf {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(query) = Query::<PageQuery>::from_request_parts(parts, state)
            .await
            .map_err(|e| Failure(ApiError::bad_request(format!("the query: {}", e.body_text()))))?;
        Ok(Self(Page { before: query.before, limit: query.limit.unwrap_or(100).clamp(1, Page::MAX) }))
    }
}
