//! The published description of the API, held against every response that any test of the contract receives.

use std::{collections::HashMap, sync::LazyLock};

use bytes::Bytes;
use http::{Method, Response};
use jsonschema::Validator;
use serde_json::{Value, json};

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let text = include_str!("../../../edge/openapi.json");
    serde_json::from_str(text).expect("edge/openapi.json is JSON")
});

/// Compiled once for each response that the document describes.
static VALIDATORS: LazyLock<HashMap<String, Validator>> = LazyLock::new(|| {
    let mut validators = HashMap::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let schema = &resolved(response)["content"]["application/json"]["schema"];
                if !schema.is_null() {
                    validators.insert(format!("{method} {path} {status}"), compile(schema));
                }
            }
        }
    }
    validators
});

/// The response itself, where only a reference to it stands.
fn resolved(response: &'static Value) -> &'static Value {
    match response["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(path) => DOCUMENT.pointer(path).expect("what is referred to"),
        None => response,
    }
}

fn compile(schema: &Value) -> Validator {
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": DOCUMENT["components"],
        "allOf": [schema],
    });
    jsonschema::validator_for(&whole).expect("a valid schema")
}

/// Fails unless the document describes this response: its path, method, status, media type and, for JSON, every field.
pub(crate) fn check(method: &Method, path: &str, response: &Response<Bytes>) {
    let path = path.split('?').next().unwrap_or(path);
    let status = response.status().as_u16();
    if method == Method::OPTIONS || matches!(status, 404 | 405 | 429) && !described(path) {
        return; // what is said about paths that do not exist is not in the document
    }
    let template = template(path);
    if status == 405 {
        return;
    }
    let method = method.as_str().to_lowercase();
    let described = resolved(&DOCUMENT["paths"][template][&method]["responses"][status.to_string()]);
    assert!(described.is_object(), "{method} {template} answered {status}, which the document does not describe");
    let media_type = response.headers()["content-type"].to_str().unwrap();
    assert!(described["content"][media_type].is_object(), "{method} {template} {status} answered {media_type}");
    if media_type != "application/json" {
        return;
    }
    if let Some(validator) = VALIDATORS.get(&format!("{method} {template} {status}")) {
        let body: Value = serde_json::from_slice(response.body()).expect("JSON");
        if let Err(error) = validator.validate(&body) {
            panic!("{method} {template} {status}: {error} at {} in {body}", error.instance_path());
        }
    }
}

fn described(path: &str) -> bool {
    DOCUMENT["paths"][template(path)].is_object()
}

/// The document's name of a path; its query is not part of that.
fn template(path: &str) -> &str {
    match path.split('?').next().unwrap_or(path) {
        path if path.starts_with("/v1/t/") => "/v1/t/{token}",
        path if path.starts_with("/v1/c/") => "/v1/c/{token}",
        path if path.starts_with("/v1/viewers/") => "/v1/viewers/{viewer}",
        path => path,
    }
}

/// Whether the document's schema of a break request allows `body`.
pub(crate) fn allows_break_request(body: &Value) -> bool {
    static REQUEST: LazyLock<Validator> =
        LazyLock::new(|| compile(&json!({ "$ref": "#/components/schemas/BreakRequest" })));
    REQUEST.is_valid(body)
}
