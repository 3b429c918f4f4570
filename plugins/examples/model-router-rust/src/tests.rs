//! Tests of model names in complete and incomplete bodies.

use pointsman_sdk::testing::{Instance, RequestBuilder};

use super::*;

#[test]
fn a_model_goes_to_its_backend() {
    let config = r#"{"models": {"large": "gpu", "small": "cpu", "tiny": "cpu"}}"#;
    let router = Instance::<ModelRouter>::configure(config, &["gpu", "cpu"]).unwrap();
    // Two cached decisions serve three models.
    assert_eq!(router.router().backend.values(), ["gpu", "cpu"]);
    let request = || RequestBuilder::new("POST", "/");
    for (request, expected) in [
        (
            request().body(r#"{"model": "large"}"#),
            Decision::backend("gpu"),
        ),
        (
            request().body(r#"{"model": "tiny"}"#),
            Decision::backend("cpu"),
        ),
        (request().body(r#"{"model": "other"}"#), Decision::Next),
        (
            request().body(r#"{"model": "large", "model": "tiny"}"#),
            Decision::Next,
        ),
        (
            request().body_prefix(r#"{"model": "large"}"#),
            Decision::Next,
        ),
        (request(), Decision::Next),
    ] {
        assert_eq!(router.route(&request.build()), Ok(expected));
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (config, expected) in [
        (
            r#"{"models": {"large": "tpu"}}"#,
            "models.large: there is no backend \"tpu\"",
        ),
        (r#"{"models": {}, "member": "model"}"#, "member: "),
        ("{}", "missing field `models`"),
    ] {
        let error = Instance::<ModelRouter>::configure(config, &["gpu"])
            .err()
            .unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
}
