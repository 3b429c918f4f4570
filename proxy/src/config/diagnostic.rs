//! Errors of a configuration, each with its place in the file, rendered as rustc does.
//!
//! Knows nothing about keys or types. Made by the reader and by [`Source`](super::Source).

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// A configuration file: its name and its text.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
    /// Where each line starts.
    lines: Vec<usize>,
}

impl File {
    pub(super) fn new(name: String, text: String) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { name, text, lines }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }
}

/// Bytes of a file's text.
pub(super) type Span = Range<usize>;

/// What a diagnostic rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// On what stands in the file.
    Present,
    /// On what is not in the file, and might only have been lost to a syntax error.
    Absent,
}

/// One error.
#[derive(Debug, Clone)]
pub(super) struct Diagnostic {
    pub(super) message: String,
    pub(super) ground: Ground,
    pub(super) span: Option<Span>,
    label: String,
    context: Option<(Span, String)>,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn new(span: Span, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ground: Ground::Present,
            span: Some(span),
            label: String::new(),
            context: None,
            help: None,
        }
    }

    /// An error of the file as a whole.
    pub(super) fn without_place(message: impl Into<String>) -> Self {
        Self {
            span: None,
            ..Self::new(0..0, message)
        }
    }

    /// Marks that the error is that something is not there.
    pub(super) fn absent(mut self) -> Self {
        self.ground = Ground::Absent;
        self
    }

    /// Text beside the underlined place.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// A second place that explains the first.
    pub(super) fn context(mut self, span: Span, label: impl Into<String>) -> Self {
        self.context = Some((span, label.into()));
        self
    }

    /// What would be right.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn render(&self, file: &File, renderer: &Renderer) -> String {
        let mut group = Group::with_title(Level::ERROR.primary_title(&self.message));
        match &self.span {
            Some(span) => group = group.element(self.snippet(file, span)),
            None => group = group.element(Origin::path(&file.name)),
        }
        if let Some(help) = &self.help {
            let help = annotate_snippets::normalize_untrusted_str(help);
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    /// Only the lines that are shown go to the renderer, which otherwise would index the
    /// whole file once for each error.
    fn snippet<'a>(
        &'a self,
        file: &'a File,
        span: &Span,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let text = &file.text;
        let span = clamp(text, span);
        let context = self.context.as_ref().map(|(at, l)| (clamp(text, at), l));
        let (mut first, mut last) = (span.start, span.end);
        if let Some((at, _)) = &context {
            first = first.min(at.start);
            last = last.max(at.end);
        }
        let from = text[..first].rfind('\n').map_or(0, |at| at + 1);
        let to = text[last..].find('\n').map_or(text.len(), |at| last + at);
        let shift = |span: Span| span.start - from..span.end - from;

        let mut primary = AnnotationKind::Primary.span(shift(span));
        if !self.label.is_empty() {
            primary = primary.label(&self.label);
        }
        let mut snippet = Snippet::source(&text[from..to])
            .path(&file.name)
            .line_start(file.line(from))
            .annotation(primary);
        if let Some((at, label)) = context {
            snippet = snippet.annotation(AnnotationKind::Context.span(shift(at)).label(label));
        }
        snippet
    }
}

/// A parser's span may point past the end or, in a broken file, into a character.
fn clamp(text: &str, span: &Span) -> Span {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end.max(start));
    start..end
}

/// All that is wrong with a configuration: at least one error.
///
/// `Display` renders every one with file, line, column, the place underlined and what
/// would be right, without colours; [`styled`](Self::styled) does for a terminal.
#[derive(Clone)]
pub struct Errors {
    diagnostics: Vec<(Arc<File>, Diagnostic)>,
}

impl Errors {
    /// In the order of the file, each place and message once.
    pub(super) fn new(file: &Arc<File>, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| d.span.as_ref().map(|span| (span.start, span.end)));
        diagnostics.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        let diagnostics = diagnostics.into_iter().map(|d| (Arc::clone(file), d));
        Self {
            diagnostics: diagnostics.collect(),
        }
    }

    /// How many errors there are.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// Adds the errors of `other`, which are of the same file, in the order of the file.
    pub fn merge(&mut self, other: Errors) {
        self.diagnostics.extend(other.diagnostics);
        let start = |d: &Diagnostic| d.span.as_ref().map(|span| span.start);
        self.diagnostics.sort_by_key(|(_, d)| start(d));
    }

    /// Adds these to those that were found before.
    pub fn add_to(self, all: &mut Option<Errors>) {
        match all {
            Some(errors) => errors.merge(self),
            None => *all = Some(self),
        }
    }

    /// Each error in one line, without its place.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.diagnostics.iter().map(|(_, d)| d.message.as_str())
    }

    /// As `Display`, with the colours that a terminal shows.
    pub fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let rendered = self.diagnostics.iter().map(|(f, d)| d.render(f, renderer));
        rendered.collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl fmt::Debug for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Errors {}
