//! The OpenAPI document, made from [`OPERATIONS`] and the schemas of the types.

use utoipa::OpenApi as _;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod as Method, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ArrayBuilder, Components, ObjectBuilder, Ref, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{OpenApi, Required};

use crate::{
    AccountChange, AccountNew, AccountView, ApiError, AuditEntry, Body, DevicePut, DeviceView, DiffRequest, DiffView,
    EndpointView, EnrolNew, Enrolled, Enrolments, ErrorCode, ExplainRequest, Explanation, ExternalView, GroupView,
    Health, HttpMethod, LearnedName, LearnedView, LogEntry, OPERATIONS, Operation, PacketAge, PermitView, PlanRequest,
    PlanView, PolicyApply, PolicyResult, PolicyView, ProofView, ServiceView, SessionView, StreamView, SwitchView,
    TokenCreated, TokenNew, TokenView, TraceHop, TraceRequest, TraceStep, TraceView, VersionView, WhyView,
};

/// The schemas; the derive follows every type they mention.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    AccountChange,
    AccountNew,
    AccountView,
    ApiError,
    AuditEntry,
    DiffRequest,
    DiffView,
    DevicePut,
    DeviceView,
    EnrolNew,
    Enrolled,
    Enrolments,
    EndpointView,
    ExplainRequest,
    Explanation,
    PacketAge,
    TraceHop,
    TraceRequest,
    TraceStep,
    TraceView,
    GroupView,
    ExternalView,
    LearnedName,
    LearnedView,
    ServiceView,
    StreamView,
    Health,
    LogEntry,
    PermitView,
    PlanRequest,
    PlanView,
    VersionView,
    PolicyApply,
    PolicyResult,
    PolicyView,
    ProofView,
    SessionView,
    SwitchView,
    TokenCreated,
    TokenNew,
    TokenView,
    WhyView
)))]
struct Schemas;

const BEARER: &str = "token";

/// The OpenAPI document of every operation.
pub fn document() -> OpenApi {
    let mut document = Schemas::openapi();
    document.info.title = "FSEG node".to_owned();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.info.description = Some(
        "Segmentation by name. Send a token as `Authorization: Bearer TOKEN`; on the node's own socket, root and the \
         user the node runs as need none."
            .to_owned(),
    );
    document.info.license = None;
    document.info.contact = None;
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("64 hexadecimal digits").build();
    document.components.get_or_insert_with(Components::new).add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    for op in OPERATIONS {
        let method = match op.method {
            HttpMethod::Get => Method::Get,
            HttpMethod::Post => Method::Post,
            HttpMethod::Put => Method::Put,
            HttpMethod::Patch => Method::Patch,
            HttpMethod::Delete => Method::Delete,
        };
        let item = PathItem::new(method, describe(op));
        match document.paths.paths.get_mut(op.path) {
            Some(existing) => existing.merge_operations(item),
            None => {
                document.paths.paths.insert(op.path.to_owned(), item);
            }
        }
    }
    document
}

fn describe(op: &Operation) -> OperationBuilder {
    let mut out = OperationBuilder::new()
        .operation_id(Some(format!("{:?}", op.id)))
        .summary(Some(op.summary))
        .response("default", failure("Anything else"));
    if let Some(role) = op.role {
        out = out
            .description(Some(format!("Needs the role `{role}` or more.")))
            .security(SecurityRequirement::new::<_, [&str; 0], &str>(BEARER, []))
            .response("401", failure(&format!("{:?}", ErrorCode::Unauthenticated)))
            .response("403", failure(&format!("{:?}", ErrorCode::Forbidden)));
    } else {
        out = out.description(Some("Needs no token."));
    }
    for name in op.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        out = out.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(ObjectBuilder::new().schema_type(Type::String))),
        );
    }
    if op.paged {
        for (name, what) in [("before", "Only entries with a smaller number"), ("limit", "At most this many (1000)")] {
            out = out.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Query)
                    .required(Required::False)
                    .description(Some(what))
                    .schema(Some(ObjectBuilder::new().schema_type(Type::Integer))),
            );
        }
    }
    if let Some((media, content)) = content(op.request) {
        let body = RequestBodyBuilder::new().content(media, content.build()).required(Some(Required::True)).build();
        out = out.request_body(Some(body)).response("400", failure("The body cannot be read"));
    }
    match content(op.response) {
        None => out.response("204", ResponseBuilder::new().description("Done").build()),
        Some((media, content)) => {
            let content = content.build();
            let result = |text: &str| ResponseBuilder::new().description(text).content(media, content.clone()).build();
            if op.response == Body::Json("PolicyResult") {
                out = out.response("422", result("Not acceptable: nothing was changed"));
            }
            out.response("200", result("Done"))
        }
    }
}

fn content(body: Body) -> Option<(&'static str, ContentBuilder)> {
    let reference = |name| Ref::from_schema_name(name);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let new = ContentBuilder::new;
    Some(match body {
        Body::Empty => return None,
        Body::Json(name) => ("application/json", new().schema(Some(reference(name)))),
        Body::List(name) => ("application/json", new().schema(Some(ArrayBuilder::new().items(reference(name))))),
        Body::Text => ("text/plain", new().schema(Some(text()))),
        Body::Events(name) => {
            let what = format!("Events whose data is one `{name}` each");
            ("text/event-stream", new().schema(Some(text().description(Some(what)))))
        }
        Body::Document => ("application/json", new().schema(Some(ObjectBuilder::new()))),
    })
}

fn failure(text: &str) -> utoipa::openapi::response::Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("ApiError"))).build();
    ResponseBuilder::new().description(text).content("application/json", content).build()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn references(value: &Value, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(r)) = map.get("$ref") {
                    out.insert(r.clone());
                }
                map.values().for_each(|v| references(v, out));
            }
            Value::Array(list) => list.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }

    #[test]
    fn every_operation_is_in_the_document_and_nothing_else() {
        let json = serde_json::to_value(document()).unwrap();
        let mut found = BTreeSet::new();
        for (path, item) in json["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                found.insert((method.to_uppercase(), path.clone()));
            }
        }
        let declared: BTreeSet<_> =
            OPERATIONS.iter().map(|o| (o.method.as_str().to_owned(), o.path.to_owned())).collect();
        assert_eq!(found, declared);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let json = serde_json::to_value(document()).unwrap();
        let mut wanted = BTreeSet::new();
        references(&json, &mut wanted);
        assert!(wanted.len() > 25, "only {} references", wanted.len());
        for reference in wanted {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(json.pointer(pointer).is_some(), "{reference} leads nowhere");
        }
    }

    #[test]
    fn parameters_are_declared_and_passwords_are_marked() {
        let json = serde_json::to_value(document()).unwrap();
        let change = &json["paths"]["/api/v1/accounts/{name}"]["patch"];
        assert_eq!(change["parameters"][0]["name"], "name");
        assert_eq!(change["security"][0]["token"], serde_json::json!([]));
        assert_eq!(json["components"]["schemas"]["Secret"]["format"], "password");
        assert_eq!(json["components"]["schemas"]["Timestamp"]["format"], "date-time");
    }
}
