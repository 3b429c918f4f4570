//! Kinds of matchers, for `questions` and for the code that answers them.

/// The way in which an entry matches a part.
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

/// Case sensitivity, for ASCII letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    Counts,
    Ignored,
}
