//! Tests of routing tenants by a table that changes.

use pointsman_sdk::testing::{Proxy, RequestBuilder, options};

use super::*;

#[test]
fn a_tenant_goes_where_the_table_says() {
    let proxy = Proxy::new(&["gold", "silver"]).table("tenants", &[("acme", "gold")]);
    let router = proxy.configure::<TenantRouter>("{}").unwrap();
    let request = |tenant| RequestBuilder::get("/").header("x-tenant", tenant).build();
    assert_eq!(
        router.route(&request("acme")),
        Ok(Decision::backend("gold"))
    );
    let other = request("other");
    assert_eq!(router.route(&other), Ok(Decision::Next));
    assert_eq!(
        options(&other).tags,
        [("tenant".to_owned(), b"other".to_vec())]
    );
    router.set_table("tenants", &[("other", "silver")]);
    assert_eq!(router.route(&request("acme")), Ok(Decision::Next));
    assert_eq!(
        router.route(&request("other")),
        Ok(Decision::backend("silver"))
    );
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (config, expected) in [
        (r#"{"table": "users"}"#, "table: "),
        (r#"{"tenant": "hosts"}"#, "tenant: "),
        (r#"{"tables": "users"}"#, "tables: unknown key"),
    ] {
        let proxy = Proxy::new(&[]).table("tenants", &[]);
        let error = proxy.configure::<TenantRouter>(config).err().unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
}
