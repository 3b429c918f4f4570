//! How an entry of a matcher matches, for `questions` and for what answers them.

/// How an entry matches a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exact,
    Prefix,
    PathPrefix,
    Suffix,
    FirstSuffix,
    Domain,
    Network,
    Regex,
}

/// Whether ASCII case counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Counts,
    Ignored,
}
