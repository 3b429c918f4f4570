//! Shares, places, and the errors of a configuration word for word. What canary decides is in
//! `cases.toml`, which is played against the component.

use pointsman_sdk::testing::{Instance, RequestBuilder};
use proptest::prelude::*;

use super::*;

/// How many of 100,000 clients, told apart by `key`, are within `percent`.
fn share(salt: &str, percent: f64, key: impl Fn(u32) -> String) -> usize {
    let seed = fnv(FNV_BASIS, salt.as_bytes());
    let within = |number: &u32| place(seed, key(*number).as_bytes()) < percent;
    (0..100_000).filter(within).count()
}

#[test]
fn shares_are_what_was_asked_for() {
    let address = |number: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).to_string();
    let session = |number: u32| format!("session-{number:08x}");
    for percent in [0.0, 0.1, 1.0, 10.0, 50.0, 99.0, 100.0] {
        for salt in ["", "a", "b"] {
            for found in [share(salt, percent, address), share(salt, percent, session)] {
                let found = f64::from(u32::try_from(found).unwrap_or_default());
                // Five standard deviations.
                let expected = percent * 1000.0;
                let slack = 5.0 * (expected * (1.0 - percent / 100.0)).sqrt();
                assert!((found - expected).abs() <= slack, "{percent} %: {found}");
            }
        }
    }
}

#[test]
fn another_salt_chooses_others() {
    let both = (0..10_000_u32).filter(|number| {
        let key = number.to_string();
        let within = |salt: &str| place(fnv(FNV_BASIS, salt.as_bytes()), key.as_bytes()) < 10.0;
        within("a") && within("b")
    });
    // A tenth of a tenth, were they independent: 100.
    let both = both.count();
    assert!((50..150).contains(&both), "{both}");
}

#[test]
fn a_higher_share_only_adds_clients() {
    let router = |percent: f64| {
        let config = format!(r#"{{"backend":"b","percent":{percent}}}"#);
        Instance::<Canary>::configure(&config, &["b"]).unwrap()
    };
    let routers = [0.0, 0.5, 5.0, 33.3, 100.0].map(router);
    for number in 0..1000_u32 {
        let address = std::net::Ipv4Addr::from_bits(number).to_string();
        let request = RequestBuilder::get("/").client(&address, 1).build();
        let chosen = routers
            .iter()
            .map(|router| router.route(&request) == Ok(Decision::backend("b")));
        let chosen: Vec<_> = chosen.collect();
        assert!(chosen.is_sorted(), "{address}: {chosen:?}");
        assert_eq!((chosen.first(), chosen.last()), (Some(&false), Some(&true)));
    }
}

/// Were a place to change, clients would move as a proxy is updated.
#[test]
fn places_are_for_ever() {
    for (salt, key, expected) in [
        ("", "192.0.2.1", 17.804_828),
        ("", "2001:db8::1", 71.833_006),
        ("next", "192.0.2.1", 11.483_476),
    ] {
        let place = place(fnv(FNV_BASIS, salt.as_bytes()), key.as_bytes());
        assert!((place - expected).abs() < 1e-5, "{salt} {key}: {place}");
    }
}

#[test]
fn a_bad_configuration_is_refused_at_its_key() {
    for (options, expected) in [
        (r#""percent":5"#, "missing field `backend`"),
        (r#""backend":"b""#, "missing field `percent`"),
        (
            r#""backend":"c","percent":5"#,
            r#"backend: there is no backend "c""#,
        ),
        (
            r#""backend":"b","percent":100.1"#,
            "percent: must be within 0 and 100",
        ),
        (
            r#""backend":"b","percent":"5%""#,
            r#"percent: invalid type: string "5%", expected f64"#,
        ),
        (
            r#""backend":"b","percent":5,"by":"cookie""#,
            r#"by: invalid value: string "cookie", expected "address", { cookie = "NAME" } or { header = "NAME" }"#,
        ),
        (
            r#""backend":"b","percent":5,"by":5"#,
            r#"by: invalid type: integer `5`, expected "address", { cookie = "NAME" } or { header = "NAME" }"#,
        ),
        (
            r#""backend":"b","percent":5,"by":{}"#,
            r#"by: invalid value: an empty table, expected "address", { cookie = "NAME" } or { header = "NAME" }"#,
        ),
        (
            r#""backend":"b","percent":5,"by":{"ip":"a"}"#,
            "by: unknown field `ip`, expected `cookie` or `header`",
        ),
        (
            r#""backend":"b","percent":5,"by":{"cookie":"a","header":"b"}"#,
            "by: give one of `cookie` and `header`",
        ),
        (
            r#""backend":"b","percent":5,"by":{"cookie":"a b"}"#,
            r#"by.cookie: "a b" is not a name"#,
        ),
        (
            r#""backend":"b","percent":5,"override_header":"""#,
            r#"override_header: "" is not a name"#,
        ),
    ] {
        let config = format!("{{{options}}}");
        let error = Instance::<Canary>::configure(&config, &["b"]).err();
        assert_eq!(error.as_deref(), Some(expected));
    }
}

proptest! {
    /// Whatever a client sends, there is a place for it, and a decision.
    #[test]
    fn any_octets_have_a_place(value in proptest::collection::vec(any::<u8>(), 0..20)) {
        prop_assert!((0.0..100.0).contains(&place(FNV_BASIS, &value)));
        let config = r#"{"backend":"b","percent":50,"by":{"cookie":"a"},"override_header":"x-a"}"#;
        let router = Instance::<Canary>::configure(config, &["b"]).unwrap();
        let request = RequestBuilder::get("/")
            .header("cookie", [b"a=", value.as_slice()].concat())
            .header("x-a", &value)
            .build();
        prop_assert!(router.route(&request).is_ok());
    }
}
