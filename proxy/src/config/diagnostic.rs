//! Errors of a configuration, each with its location in the file, rendered in the style of rustc.
//!
//! Does not depend on particular keys or types. The reader and [`Source`](super::Source) create the
//! errors.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// A configuration file: its name and its text.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
    /// Byte offset of the start of each line.
    lines: Vec<usize>,
}

impl File {
    pub(super) fn new(name: String, text: String) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        Self { name, text, lines }
    }

    /// Returns the line number of a byte offset, counted from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }
}

/// Range of bytes in a file's text.
pub(super) type Span = Range<usize>;

/// The basis of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// Something that is in the file.
    Present,
    /// Something that is missing from the file, possibly because of a syntax error.
    Absent,
}

/// An error of a configuration.
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

    /// Creates an error that concerns the file as a whole.
    pub(super) fn without_place(message: impl Into<String>) -> Self {
        Self {
            span: None,
            ..Self::new(0..0, message)
        }
    }

    /// Marks this as an error about something missing.
    pub(super) fn absent(mut self) -> Self {
        self.ground = Ground::Absent;
        self
    }

    /// Sets the text next to the underlined location.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a second location, which explains the error.
    pub(super) fn context(mut self, span: Span, label: impl Into<String>) -> Self {
        self.context = Some((span, label.into()));
        self
    }

    /// Sets the advice on how to correct the error.
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

    /// Passes to the renderer only the lines that it shows. It would otherwise index the whole file
    /// for each error.
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

/// Moves a span to character boundaries. A parser's span can point past the end of the text or, in
/// a broken file, into the middle of a character.
fn clamp(text: &str, span: &Span) -> Span {
    let start = text.floor_char_boundary(span.start);
    let end = text.ceil_char_boundary(span.end.max(start));
    start..end
}

/// All mistakes in a configuration: at least one.
///
/// `Display` renders each error with file, line, column, the underlined location and advice,
/// without colors. [`styled`](Self::styled) renders them for a terminal.
#[derive(Clone)]
pub struct Errors {
    diagnostics: Vec<(Arc<File>, Diagnostic)>,
}

impl Errors {
    /// Creates the list, sorted by location. If several errors have the same location and message,
    /// keeps one of them.
    pub(super) fn new(file: &Arc<File>, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| d.span.as_ref().map(|span| (span.start, span.end)));
        diagnostics.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        let diagnostics = diagnostics.into_iter().map(|d| (Arc::clone(file), d));
        Self {
            diagnostics: diagnostics.collect(),
        }
    }

    /// Returns the number of errors.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.diagnostics.len()
    }

    /// Adds the errors of `other`, which must concern the same file, and sorts all errors by
    /// location.
    pub fn merge(&mut self, other: Errors) {
        self.diagnostics.extend(other.diagnostics);
        let start = |d: &Diagnostic| d.span.as_ref().map(|span| span.start);
        self.diagnostics.sort_by_key(|(_, d)| start(d));
    }

    /// Adds these errors to those found before.
    pub fn add_to(self, all: &mut Option<Errors>) {
        match all {
            Some(errors) => errors.merge(self),
            None => *all = Some(self),
        }
    }

    /// Returns the message of each error, without its location.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.diagnostics.iter().map(|(_, d)| d.message.as_str())
    }

    /// Renders the errors like `Display`, with terminal colors.
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
