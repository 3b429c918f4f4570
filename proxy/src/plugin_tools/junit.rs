//! Results of cases as `JUnit` XML, which CI systems display.
//!
//! Called by `pointsman plugin test --junit`.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

/// Result of one case.
#[derive(Debug)]
pub struct Played<'a> {
    /// Name of the case.
    pub name: &'a str,
    /// Time that the case took.
    pub time: Duration,
    /// Description of the differences; None if the case passes.
    pub failure: Option<&'a str>,
}

/// Returns the XML of one suite, named after the plugin.
///
/// # Errors
/// A string contains something that XML cannot represent.
pub fn report(plugin: &str, cases: &[Played<'_>]) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new(plugin);
    for case in cases {
        let status = match case.failure {
            None => TestCaseStatus::success(),
            Some(failure) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message("the result differs from the expected one");
                status.set_description(failure);
                status
            }
        };
        let mut junit = TestCase::new(case.name, status);
        junit.set_classname(plugin).set_time(case.time);
        suite.add_test_case(junit);
    }
    let mut report = Report::new("pointsman plugin test");
    report.add_test_suite(suite);
    report.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_and_texts_escaped() {
        let xml = report(
            "host-suffix",
            &[
                Played {
                    name: "holds",
                    time: Duration::from_millis(2),
                    failure: None,
                },
                Played {
                    name: "a < b",
                    time: Duration::ZERO,
                    failure: Some("expected \"x\"\nfound & y"),
                },
            ],
        )
        .unwrap();
        for part in [
            "tests=\"2\"",
            "failures=\"1\"",
            "name=\"a &lt; b\"",
            "found &amp; y",
            "time=\"0.002\"",
        ] {
            assert!(xml.contains(part), "{part}: {xml}");
        }
    }
}
