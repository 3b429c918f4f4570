//! Tests of long lists, and of the exact wording of configuration errors. The decisions of
//! address-list are tested by `cases.toml`, which runs against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder};
use proptest::prelude::*;

use super::*;

fn router(options: &str) -> Result<Instance<AddressList>, String> {
    Instance::configure(&format!("{{{options}}}"), &["a"])
}

fn is_denied(router: &Instance<AddressList>, address: &str) -> bool {
    let request = RequestBuilder::get("/").client(address, 1).build();
    matches!(router.route(&request), Ok(Decision::Respond(_)))
}

/// Looks up addresses in a thousand networks with two prefix lengths, as in a list of a country's
/// networks.
#[test]
fn a_long_list_is_looked_up() {
    let networks: Vec<String> = (0..500_u32)
        .flat_map(|number| {
            let (high, low) = (number / 25, number % 25);
            [
                format!("\"{}.{low}.0.0/18\"", 1 + high),
                format!("\"2001:db8:{high:x}:{low:x}::/64\""),
            ]
        })
        .collect();
    let router = router(&format!(
        r#""default":"allow","deny":[{}]"#,
        networks.join(",")
    ))
    .unwrap();
    for (address, expected) in [
        ("1.0.0.0", true),
        ("20.24.63.255", true),
        ("20.24.64.0", false),
        ("21.0.0.0", false),
        ("0.255.255.255", false),
        ("2001:db8:13:18:ffff::1", true),
        ("2001:db8:13:19::", false),
    ] {
        assert_eq!(is_denied(&router, address), expected, "{address}");
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        ("", "missing field `default`"),
        (
            r#""default":"maybe""#,
            "default: unknown variant `maybe`, expected `allow` or `deny`",
        ),
        (
            r#""default":"deny","allow":["10.0.0.0/8"],"deny":["::1","::ffff:10.0.0.0/104"]"#,
            "deny[1]: 10.0.0.0/8 is already listed as allow[0]: list each network only once; the \
             most specific one wins",
        ),
        (
            r#""default":"deny","allow":["::1","10.0.0.1","::1","10.0.0.2"]"#,
            "allow[2]: ::1/128 is already listed as allow[0]: list each network only once; the \
             most specific one wins",
        ),
        (
            r#""default":"deny","allow":["10.0.0.1/8"]"#,
            r#"allow[0]: "10.0.0.1/8" has bits beyond its prefix: the network is 10.0.0.0/8"#,
        ),
        (
            r#""default":"deny","deny":["10.0.0.0/8","all"]"#,
            r#"deny[1]: "all" is not a network: write an address, or an address with a prefix length, as in 192.0.2.0/24"#,
        ),
        (
            r#""default":"deny","backend":"b""#,
            r#"backend: there is no backend "b""#,
        ),
        (
            r#""default":"deny","denied":{"backend":"b"}"#,
            r#"denied.backend: there is no backend "b""#,
        ),
        (
            r#""default":"deny","denied":{"backend":"a","body":"no"}"#,
            "denied.backend: the backend sends the response: leave out `status` and `body`",
        ),
        (
            r#""default":"deny","denied":{"status":204}"#,
            "denied.status: must be a status between 200 and 599 that can have a body",
        ),
    ] {
        assert_eq!(router(options).err().as_deref(), Some(expected));
    }
}

proptest! {
    /// Any client address is either admitted or denied.
    #[test]
    fn any_address_gets_a_decision(address in ".{0,20}") {
        let router = router(r#""default":"deny","allow":["0.0.0.0/0","::/0"]"#).unwrap();
        let is_address = address.parse::<std::net::IpAddr>().is_ok();
        prop_assert_eq!(is_denied(&router, &address), !is_address);
    }
}
