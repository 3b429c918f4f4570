//! Tests the cache against generated policies, which make any reads and ask any questions in any
//! order.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;

use super::*;
use crate::http::edit::Edit;
use crate::http::field::FieldKind;
use crate::http::fields::Forwarding;
use crate::http::head::{CertificateFacts, Client, TlsFacts};
use crate::http::message::{RequestHead, Scheme, Version};
use crate::plugin::{Answers, BackendName, BackendState, Backends, ServerState};
use crate::questions::{Builder, Case, MatchKind, Questions, Subject, reads};

#[derive(Debug)]
struct NoBackends;

impl Backends for NoBackends {
    fn names(&self) -> Vec<BackendName> {
        Vec::new()
    }

    fn find(&self, _: &str) -> Option<BackendName> {
        None
    }

    fn is_usable(&self, _: &str) -> bool {
        false
    }

    fn state(&self, _: &str) -> Option<BackendState> {
        None
    }

    fn servers(&self, _: &str) -> Option<Vec<ServerState>> {
        None
    }

    fn configured(&self, _: &str) -> Option<Vec<ServerState>> {
        None
    }
}

/// A deterministic plugin: its next read depends only on the values that it has read before.
#[derive(Debug, Clone)]
enum Policy {
    Read(Read, Vec<Policy>),
    Decide(usize),
}

/// Result of a read, in the types of the contract.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Seen {
    Text(String),
    Octets(Option<Vec<u8>>),
    Values(Vec<Vec<u8>>),
    Lines(Vec<(Vec<u8>, Vec<u8>)>),
    Optional(Option<String>),
    Names(Vec<String>),
    Seconds(Option<u64>),
    Number(u32),
    Answer(Option<u32>, Option<Vec<u8>>),
}

/// One question of each kind whose answer depends only on the request.
static QUESTIONS: LazyLock<Arc<Questions>> = LazyLock::new(|| {
    let mut builder = Builder::new(1 << 20, Arc::default(), Box::new(|_| true));
    let mut matcher = builder.matcher(MatchKind::Suffix, "host", Case::Ignored);
    matcher.push("a", 1);
    matcher.push("ab", 2);
    matcher.finish().unwrap();
    let mut matcher = builder.matcher(MatchKind::Regex, "values:x-a", Case::Sensitive);
    matcher.push("^a$", 7);
    matcher.finish().unwrap();
    builder.share("client-address", "salt", 500_000).unwrap();
    builder.value("header:x-a").unwrap();
    builder.value("query:a").unwrap();
    builder.build().unwrap()
});

fn see(read: &Read, facts: &mut Facts<'_>) -> Seen {
    let (head, tls) = (facts.subject.head, facts.subject.tls);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let certificate = tls.and_then(|tls| tls.client_certificate.as_deref());
    let of_certificate = |part: fn(&CertificateFacts) -> &str| {
        Seen::Optional(certificate.map(|facts| part(facts).to_owned()))
    };
    match read {
        Read::Method => Seen::Text(text(head.method())),
        Read::Scheme => Seen::Text(head.scheme().as_str().to_owned()),
        Read::Version => Seen::Text(head.version_text().to_owned()),
        Read::Authority => Seen::Octets(Some(reads::authority(head).to_vec())),
        Read::Host => Seen::Text(reads::host(head).into_owned()),
        Read::PathWithQuery => Seen::Text(text(head.target())),
        Read::Path => Seen::Text(text(head.path())),
        Read::QueryParameter(name) => {
            let value = reads::query_parameter(head, name.as_bytes());
            Seen::Octets(value.map(std::borrow::Cow::into_owned))
        }
        Read::Header(name) => {
            let values = reads::header(head, name.as_bytes());
            Seen::Values(values.map(<[u8]>::to_vec).collect())
        }
        Read::Headers => {
            let lines = reads::headers(head);
            Seen::Lines(
                lines
                    .map(|(name, value)| (name.to_vec(), value.to_vec()))
                    .collect(),
            )
        }
        Read::Cookie(name) => {
            Seen::Octets(reads::cookie(head, name.as_bytes()).map(<[u8]>::to_vec))
        }
        Read::ClientAddress => Seen::Text(facts.subject.client.address.clone()),
        Read::ClientPort => Seen::Number(facts.subject.client.port.into()),
        Read::ServerName => {
            let name = tls.and_then(|tls| tls.server_name.as_deref());
            Seen::Optional(name.map(str::to_owned))
        }
        Read::Alpn => Seen::Octets(tls.and_then(|tls| tls.alpn.as_deref()).map(<[u8]>::to_vec)),
        Read::CertificateSubject => of_certificate(|facts| &facts.subject),
        Read::CertificateIssuer => of_certificate(|facts| &facts.issuer),
        Read::CertificateNames => Seen::Names(certificate.map_or_else(Vec::new, |facts| {
            facts.names.iter().map(ToString::to_string).collect()
        })),
        Read::CertificateSerial => of_certificate(|facts| &facts.serial),
        Read::CertificateSha256 => of_certificate(|facts| &facts.sha256),
        Read::CertificateNotAfter => Seen::Seconds(certificate.map(CertificateFacts::not_after)),
        Read::Attempt => Seen::Number(facts.attempt),
        Read::Question(number) => {
            let answer = facts
                .answers
                .answer(&QUESTIONS, *number, facts.subject, facts.backends);
            Seen::Answer(answer.number(), answer.value().map(<[u8]>::to_vec))
        }
    }
}

impl Policy {
    /// Returns the decision of the policy and its distinct reads.
    fn route(&self, facts: &mut Facts<'_>) -> (Rc<Decision>, Vec<Read>) {
        let mut reads = Vec::new();
        let mut policy = self;
        loop {
            match policy {
                Policy::Read(read, branches) => {
                    if !reads.contains(read) {
                        reads.push(read.clone());
                    }
                    let mut hasher = DefaultHasher::new();
                    see(read, facts).hash(&mut hasher);
                    let branch = hasher.finish() % branches.len() as u64;
                    policy = &branches[usize::try_from(branch).unwrap()];
                }
                Policy::Decide(index) => return (decision(*index), reads),
            }
        }
    }
}

fn decision(index: usize) -> Rc<Decision> {
    Rc::new(Decision {
        edits: Edits {
            fields: vec![Edit::remove(b"x-a").unwrap(); index % 3],
            ..Edits::default()
        },
        ..Decision::plain(Route::Backend(index.to_string().into()))
    })
}

fn some_reads() -> impl Strategy<Value = Read> {
    prop_oneof![
        Just(Read::Method),
        Just(Read::Scheme),
        Just(Read::PathWithQuery),
        Just(Read::Headers),
        Just(Read::Authority),
        Just(Read::Host),
        Just(Read::Path),
        Just(Read::QueryParameter("a".into())),
        Just(Read::Cookie("a".into())),
        Just(Read::ClientAddress),
        Just(Read::ClientPort),
        Just(Read::Version),
        Just(Read::ServerName),
        Just(Read::Alpn),
        (0..5_u32).prop_map(Read::Question),
        Just(Read::CertificateSubject),
        Just(Read::CertificateIssuer),
        Just(Read::CertificateNames),
        Just(Read::CertificateSerial),
        Just(Read::CertificateSha256),
        Just(Read::CertificateNotAfter),
        Just(Read::Attempt),
        prop::sample::select(vec!["host", "x-a", "x-b"]).prop_map(|name| Read::Header(name.into())),
    ]
}

fn policies() -> impl Strategy<Value = Policy> {
    let leaf = (0..1000_usize).prop_map(Policy::Decide);
    leaf.prop_recursive(5, 60, 3, |inner| {
        (some_reads(), prop::collection::vec(inner, 1..4))
            .prop_map(|(read, branches)| Policy::Read(read, branches))
    })
}

/// Every part of a request that a plugin can read.
#[derive(Debug)]
struct Asked {
    head: RequestHead,
    client: Client,
    tls: Option<TlsFacts>,
    attempt: u32,
}

impl Asked {
    fn with<T>(&self, run: impl FnOnce(&mut Facts<'_>) -> T) -> T {
        run(&mut Facts {
            subject: Subject {
                head: &self.head,
                client: &self.client,
                tls: self.tls.as_ref(),
                body: None,
            },
            attempt: self.attempt,
            questions: &QUESTIONS,
            answers: &mut Answers::default(),
            backends: &NoBackends,
        })
    }

    fn insert(
        &self,
        cache: &mut Cache,
        reads: &[Read],
        decision: &Rc<Decision>,
    ) -> Result<(), Inconsistent> {
        self.with(|facts| cache.insert(reads, facts, decision))
    }

    fn find(&self, cache: &mut Cache) -> Option<Rc<Decision>> {
        self.with(|facts| cache.find(facts).cloned())
    }
}

/// Generates a few similar strings, so that the values built from them are similar as well.
fn texts() -> impl Strategy<Value = Box<str>> {
    prop::sample::select(vec!["", "a", "b", "ab"]).prop_map(Box::from)
}

prop_compose! {
    fn certificates()(
        (subject, issuer) in (texts(), texts()),
        names in prop::collection::vec(texts(), 0..3),
        (serial, sha256) in (texts(), texts()),
        not_after in -1..2_i64,
    ) -> CertificateFacts {
        CertificateFacts { subject, issuer, names, serial, sha256, not_before: 0, not_after }
    }
}

prop_compose! {
    fn sessions()(
        server_name in prop::option::of(texts()),
        alpn in prop::option::of(texts()),
        certificate in prop::option::of(certificates()),
    ) -> TlsFacts {
        TlsFacts {
            server_name,
            alpn: alpn.map(Box::from),
            client_certificate: certificate.map(Box::new),
            ..TlsFacts::default()
        }
    }
}

prop_compose! {
    /// Generates requests from few parts, so that they share values or have similar ones.
    fn requests()(
        method in prop::sample::select(vec!["GET", "POST", ""]),
        scheme in prop::sample::select(vec![Scheme::Http, Scheme::Https]),
        target in prop::sample::select(vec!["/", "/a", "/a?b", "/?a=b", "/?a="]),
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["host", "Host", "x-a", "X-a", "X-A", "x-b", "cookie", "TE"]),
                prop::sample::select(vec!["", "a", "b", "ab", "a,b", "a=", "a=b", "\u{fffd}"]),
            ),
            0..4,
        ),
        dropped in prop::sample::select(vec!["", "x-a"]),
        te in prop::sample::select(vec![Forwarding::Forward, Forwarding::Drop]),
        address in prop::sample::select(vec!["1", "11"]),
        port in 1..3_u16,
        tls in prop::option::of(sessions()),
        version in prop::sample::select(vec![Version::Http10, Version::Http11, Version::Http2]),
        attempt in 0..2_u32,
    ) -> Asked {
        let mut head = RequestHead::default();
        head.set_scheme(scheme);
        head.start(method.as_bytes(), target.as_bytes(), version);
        for (name, value) in lines {
            head.fields_mut().push(name.as_bytes(), value.as_bytes());
        }
        head.fields_mut().drop_named(dropped.as_bytes());
        head.fields_mut().set_forwarding(FieldKind::Te, te);
        let client = Client { address: address.to_owned(), port };
        Asked { head, client, tls, attempt }
    }
}

/// Checks the invariants of the tree that must be true between two calls.
fn check(cache: &Cache) {
    let nodes: Vec<&Node> = cache.nodes.iter().flatten().collect();
    let bytes: usize = nodes.iter().map(|node| node.cost()).sum();
    assert_eq!(cache.bytes, bytes);
    assert!(cache.bytes <= cache.limits.bytes);
    assert!(cache.leaves.len() <= cache.limits.entries);
    assert_eq!(nodes.len() + cache.free.len(), cache.nodes.len());
    assert_eq!(cache.root.is_none(), nodes.is_empty());
    let mut below = 0;
    let mut leaves = 0;
    for node in &nodes {
        match &node.content {
            Content::Read { branches, .. } => {
                assert!(!branches.is_empty(), "nothing leads nowhere");
                below += branches.len();
            }
            Content::Leaf { place, .. } => {
                let id = cache.leaves[*place] as usize;
                assert!(std::ptr::eq(cache.nodes[id].as_ref().unwrap(), *node));
                leaves += 1;
            }
        }
    }
    assert_eq!(leaves, cache.leaves.len());
    assert_eq!(below + usize::from(cache.root.is_some()), nodes.len());
}

fn limits() -> impl Strategy<Value = Limits> {
    (0..20_usize, 0..8000_usize, 0..4000_usize).prop_map(|(entries, bytes, entry_bytes)| Limits {
        entries,
        bytes,
        entry_bytes,
    })
}

proptest! {
    #[test]
    fn a_cached_decision_equals_the_plugins(
        policy in policies(),
        requests in prop::collection::vec(requests(), 1..100),
        limits in limits(),
    ) {
        let mut cache = Cache::new(limits);
        for request in &requests {
            let (expected, reads) = request.with(|facts| policy.route(facts));
            if let Some(found) = request.find(&mut cache) {
                prop_assert_eq!(&found, &expected);
            } else {
                prop_assert_eq!(request.insert(&mut cache, &reads, &expected), Ok(()));
            }
            check(&cache);
        }
        cache.clear();
        check(&cache);
    }

    #[test]
    fn kept_decisions_are_found_while_there_is_room(
        policy in policies(),
        requests in prop::collection::vec(requests(), 1..50),
    ) {
        let mut cache = Cache::default();
        for request in &requests {
            let (decision, reads) = request.with(|facts| policy.route(facts));
            prop_assert_eq!(request.insert(&mut cache, &reads, &decision), Ok(()));
        }
        for request in &requests {
            prop_assert!(request.find(&mut cache).is_some());
        }
        let (forgotten, kept) = requests.split_first().unwrap();
        forgotten.with(|facts| cache.forget(facts));
        prop_assert!(forgotten.find(&mut cache).is_none());
        check(&cache);
        for request in kept {
            let is_like = request.with(|facts| policy.route(facts)).1
                == forgotten.with(|facts| policy.route(facts)).1;
            prop_assert!(is_like || request.find(&mut cache).is_some());
        }
    }

    /// Checks the invariant on which the tree depends.
    #[test]
    fn values_are_equal_exactly_if_a_plugin_sees_the_same(
        read in some_reads(),
        one in requests(),
        other in requests(),
    ) {
        let value = |request: &Asked| {
            let mut value = b"before".to_vec();
            request.with(|facts| facts.value_of(&read, &mut value));
            value
        };
        let seen = |request: &Asked| request.with(|facts| see(&read, facts));
        let is_same = seen(&one) == seen(&other);
        prop_assert_eq!(value(&one) == value(&other), is_same);
    }

    /// A plugin that is not deterministic is simulated by alternating between two policies.
    #[test]
    fn a_plugin_that_is_not_deterministic_breaks_nothing(
        policies in [policies(), policies()],
        requests in prop::collection::vec((requests(), 0..2_usize), 1..100),
        limits in limits(),
    ) {
        let mut cache = Cache::new(limits);
        for (request, which) in &requests {
            let (decision, reads) = request.with(|facts| policies[*which].route(facts));
            if request.insert(&mut cache, &reads, &decision).is_err() {
                check(&cache);
                cache.clear();
            }
            check(&cache);
            request.find(&mut cache);
        }
    }
}

fn request_for(host: &str) -> Asked {
    let mut head = RequestHead::default();
    head.start(b"GET", b"/", Version::Http11);
    head.fields_mut().push(b"Host", host.as_bytes());
    Asked {
        head,
        client: Client {
            address: String::new(),
            port: 0,
        },
        tls: None,
        attempt: 0,
    }
}

fn certificate(asked: &mut Asked) -> &mut CertificateFacts {
    let facts = asked.tls.as_mut().unwrap();
    facts.client_certificate.as_mut().unwrap()
}

/// Requests share a decision if and only if they agree in everything that was read for it.
#[test]
fn a_decision_depends_on_the_session_and_the_version_only_if_they_were_read() {
    let asked = |change: fn(&mut Asked)| {
        let mut asked = request_for("a.test");
        asked.tls = Some(TlsFacts {
            client_certificate: Some(Box::default()),
            ..TlsFacts::default()
        });
        change(&mut asked);
        asked
    };
    let check = |read: Read, change: fn(&mut Asked)| {
        let (one, other) = (asked(|_| {}), asked(change));
        for (read, is_shared) in [(read, false), (Read::Method, true)] {
            let mut cache = Cache::default();
            one.insert(&mut cache, std::slice::from_ref(&read), &decision(1))
                .unwrap();
            assert!(one.find(&mut cache).is_some());
            assert_eq!(other.find(&mut cache).is_some(), is_shared, "{read}");
        }
    };
    check(Read::Version, |asked| {
        asked.head.set_version(Version::Http2);
    });
    check(Read::ServerName, |asked| {
        asked.tls.as_mut().unwrap().server_name = Some("a.test".into());
    });
    check(Read::Alpn, |asked| {
        asked.tls.as_mut().unwrap().alpn = Some((*b"h2").into());
    });
    check(Read::CertificateSubject, |asked| {
        asked.tls.as_mut().unwrap().client_certificate = None;
    });
    check(Read::CertificateSubject, |asked| {
        certificate(asked).subject = "CN=a".into();
    });
    check(Read::CertificateIssuer, |asked| {
        certificate(asked).issuer = "CN=a".into();
    });
    check(Read::CertificateNames, |asked| {
        certificate(asked).names = vec!["a".into()];
    });
    check(Read::CertificateSerial, |asked| {
        certificate(asked).serial = "1".into();
    });
    check(Read::CertificateSha256, |asked| {
        certificate(asked).sha256 = "1".into();
    });
    check(Read::CertificateNotAfter, |asked| {
        certificate(asked).not_after = 1;
    });
}

#[test]
fn a_flood_of_hosts_stays_within_bounds_and_spares_the_regulars() {
    let reads = [Read::Header("host".into())];
    let mut cache = Cache::default();
    let regular = request_for("regular.test");
    regular.insert(&mut cache, &reads, &decision(1)).unwrap();
    for number in 0..3 * LIMITS.entries {
        let request = request_for(&format!("{number}.test"));
        assert!(request.find(&mut cache).is_none());
        request.insert(&mut cache, &reads, &decision(0)).unwrap();
        if number % 100 == 0 {
            assert_eq!(regular.find(&mut cache), Some(decision(1)), "{number}");
        }
    }
    check(&cache);
    assert_eq!(cache.leaves.len(), LIMITS.entries);
}

#[test]
fn a_table_shrinks_with_its_entries() {
    let reads = [Read::Header("host".into())];
    let limits = Limits {
        entries: 10_000,
        bytes: 1 << 20,
        entry_bytes: 1 << 20,
    };
    let mut cache = Cache::new(limits);
    let mut insert = |host: String| {
        let request = request_for(&host);
        request.insert(&mut cache, &reads, &decision(0)).unwrap();
    };
    for number in 0..2000 {
        insert(format!("{number}.test"));
    }
    // This entry is so large that it evicts all others.
    insert("a".repeat(limits.bytes - 1000));
    check(&cache);
    let root = cache.root.map(|root| &node(&cache.nodes, root).content);
    let Some(Content::Read { branches, .. }) = root else {
        panic!("the root is a read");
    };
    assert!(branches.len() < 10, "{}", branches.len());
    assert!(branches.capacity() < 200, "{}", branches.capacity());
}

#[test]
fn a_decision_that_is_too_large_is_not_kept() {
    let mut cache = Cache::default();
    let request = request_for("a.test");
    let answer = crate::plugin::Response {
        status: 200,
        fields: Vec::new(),
        body: vec![0; LIMITS.entry_bytes].into(),
    };
    let decision = Rc::new(Decision::plain(Route::Respond(answer)));
    request.insert(&mut cache, &[], &decision).unwrap();
    assert!(request.find(&mut cache).is_none());
    check(&cache);
}

#[test]
fn another_read_after_the_same_values_is_inconsistent() {
    let request = request_for("a.test");
    let kept = [Read::Header("host".into()), Read::Method];
    for (reads, expected) in [
        (&kept[..], Ok(())),
        (&kept[..1], Err(Inconsistent)),
        (&[][..], Err(Inconsistent)),
        (&[Read::Method][..], Err(Inconsistent)),
        (
            &[kept[0].clone(), kept[1].clone(), Read::Alpn][..],
            Err(Inconsistent),
        ),
    ] {
        let mut cache = Cache::default();
        request.insert(&mut cache, &kept, &decision(0)).unwrap();
        assert_eq!(request.insert(&mut cache, reads, &decision(0)), expected);
        check(&cache);
        assert_eq!(request.find(&mut cache), Some(decision(0)));
        assert_eq!(
            request.insert(&mut cache, &kept, &decision(2)),
            Err(Inconsistent),
            "the same reads, another decision"
        );
    }
}
