//! Tests of a table that changes, and of the exact wording of configuration errors. Other decisions
//! of table-route are tested by `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, Proxy, RequestBuilder};

use super::*;

fn router(options: &str) -> Result<Instance<TableRoute>, String> {
    let proxy = Proxy::new(&["gold", "www"]).table("tenants", &[("acme", "gold")]);
    proxy.configure(&format!("{{{options}}}"))
}

#[test]
fn a_decision_follows_the_table() {
    let router = router(r#""table":"tenants","key":"header:x-tenant","otherwise":"www""#).unwrap();
    let route = |tenant| {
        let request = RequestBuilder::get("/").header("x-tenant", tenant);
        router.route(&request.build())
    };
    assert_eq!(route("acme"), Ok(Decision::backend("gold")));
    assert_eq!(route("other"), Ok(Decision::backend("www")));
    router.set_table("tenants", &[("other", "gold")]);
    assert_eq!(route("acme"), Ok(Decision::backend("www")));
    assert_eq!(route("other"), Ok(Decision::backend("gold")));
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        (r#""table":"tenants""#, "missing field `key`"),
        (
            r#""table":"tenant","key":"host""#,
            r#"table: there is no table "tenant""#,
        ),
        (
            r#""table":"tenants","key":"hosts""#,
            r#"key: "hosts" is not a part of a request"#,
        ),
        (
            r#""table":"tenants","key":"host","otherwise":"a""#,
            r#"otherwise: there is no backend "a""#,
        ),
    ] {
        assert_eq!(router(options).err().as_deref(), Some(expected));
    }
}
