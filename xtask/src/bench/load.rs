//! The clients: the load of each workload on a proxy.
//!
//! Owns the requests that are sent and the timing of responses. Must not depend on which proxy it
//! talks to, and must not measure it. Called by `session`.

pub(crate) mod bodies;
pub(crate) mod constant;
pub(crate) mod hostile;
pub(crate) mod start;
pub(crate) mod swaps;
pub(crate) mod tunnels;
pub(crate) mod wrk;

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

/// A browser's request without its first line: a dozen fields, including Host.
pub(crate) const FIELDS: &[(&str, &str)] = &[
    ("Host", HOST),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    ),
    (
        "Accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://www.io.test.tld/"),
    (
        "Cookie",
        "session=0123456789abcdef0123456789abcdef; theme=dark",
    ),
    ("DNT", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Cache-Control", "no-cache"),
];

/// Host of the requests, for which every proxy has to apply the rule.
pub(crate) const HOST: &str = "www.io.test.tld";

/// Returns a whole request with [`FIELDS`].
fn request() -> String {
    let mut request = String::from("GET / HTTP/1.1\r\n");
    for (name, value) in FIELDS {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    request.push_str("\r\n");
    request
}

/// The result of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Load {
    /// Number of requests or messages that got a response.
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Bytes of bodies that reached the server, per request, if they are counted.
    pub(crate) upstream: Option<u64>,
    /// Errors, in words.
    pub(crate) errors: Vec<String>,
    /// Notes for the reader that are not errors.
    pub(crate) notes: Vec<String>,
}

/// Response times, in microseconds up to a minute, to three digits.
struct Times(Histogram<u64>);

impl Times {
    /// Highest response time that is recorded; longer ones count as this.
    const LATEST: u64 = 60_000_000;

    fn new() -> anyhow::Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, Self::LATEST, 3)?))
    }

    fn record(&mut self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(Self::LATEST);
        self.0.saturating_record(time);
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// Returns the whole run's result.
    fn load(&self, took: Duration, errors: Vec<String>) -> Load {
        let at = |quantile| super::measure::count(self.0.value_at_quantile(quantile));
        Load {
            answered: self.0.len(),
            seconds: took.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
            upstream: None,
            errors,
            notes: Vec::new(),
        }
    }
}

/// Merges equal errors, each with its number.
fn counted(mut errors: Vec<String>) -> Vec<String> {
    errors.sort();
    let mut counted: Vec<(usize, String)> = Vec::new();
    for error in errors {
        match counted.last_mut() {
            Some((times, last)) if *last == error => *times += 1,
            _ => counted.push((1, error)),
        }
    }
    counted
        .into_iter()
        .map(|(times, error)| format!("{times} × {error}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut times = Times::new().unwrap();
        for time in 1..=100 {
            times.record(Duration::from_micros(time));
        }
        let mut late = Times::new().unwrap();
        late.record(Duration::from_secs(100));
        times.add(&late).unwrap();
        let load = times.load(Duration::from_secs(2), Vec::new());
        assert_eq!(
            (load.answered, load.p50_us, load.p99_us),
            (101, 51.0, 100.0)
        );
        assert!(times.0.max() >= Times::LATEST);
    }

    #[test]
    fn errors_are_counted() {
        let errors = ["b", "a", "b"].map(ToOwned::to_owned).to_vec();
        assert_eq!(counted(errors), ["1 × a", "2 × b"]);
    }
}
