//! Combines the decisions of a router's plugins into one decision for the request, with the answers
//! to questions filled in.

use std::rc::Rc;

use super::backends::Backends;
use super::convert;
use super::decision::{Decision, Edits, Options, Route, Value};
use super::draft;
use super::request::{Answers, Request};
use crate::http::edit::Edit;
use crate::questions::{Answer, Questions, Subject};

/// Combines decisions, in the order of the plugins.
///
/// Usually there is only one decision, or all but one are a plain [`Route::Next`]. In both cases
/// the result is that one decision, shared rather than copied.
#[derive(Debug, Default)]
pub struct Resolver {
    so_far: Option<Rc<Decision>>,
}

impl Resolver {
    /// Adds the decision of the next plugin, whose questions are `questions`.
    pub fn add(
        &mut self,
        decision: &Rc<Decision>,
        questions: &Questions,
        request: &mut Request<'_>,
        backends: &dyn Backends,
    ) {
        let decision = if decision.has_questions() {
            Rc::new(resolved(decision, questions, request, backends))
        } else {
            Rc::clone(decision)
        };
        self.so_far = Some(match self.so_far.take() {
            None => decision,
            Some(earlier) if earlier.is_plain() => decision,
            Some(earlier) => merged(earlier, &decision),
        });
    }

    /// Takes the combined decision, with `route` as its route. Used when a plugin has failed and
    /// cannot choose one.
    pub fn end_by(&mut self, route: Route) -> Rc<Decision> {
        let earlier = self.end();
        let mut decision =
            earlier.map_or_else(|| Decision::plain(Route::Next), Rc::unwrap_or_clone);
        decision.route = route;
        Rc::new(decision)
    }

    /// Takes the combined decision; None if no plugin has decided.
    pub fn end(&mut self) -> Option<Rc<Decision>> {
        self.so_far.take()
    }
}

/// Merges `later` into `earlier`, whose route was [`Route::Next`].
fn merged(earlier: Rc<Decision>, later: &Rc<Decision>) -> Rc<Decision> {
    if later.is_plain() && later.route == earlier.route {
        return earlier;
    }
    let mut merged = Rc::unwrap_or_clone(earlier);
    merged.route = later.route.clone();
    merged
        .response_edits
        .extend_from_slice(&later.response_edits);
    merged.options.merge(&later.options);
    if matches!(later.route, Route::Respond(_)) {
        merged.edits = Edits::default();
        merged.options = Options {
            tags: merged.options.tags,
            ..Options::default()
        };
    } else {
        merged.edits.merge(&later.edits);
    }
    Rc::new(merged)
}

/// Returns the decision with the answers to its questions filled in.
fn resolved(
    decision: &Decision,
    questions: &Questions,
    request: &mut Request<'_>,
    backends: &dyn Backends,
) -> Decision {
    let mut answers = std::mem::take(request.answers);
    let subject = request.subject();
    let mut decision = decision.clone();
    for (at, question) in std::mem::take(&mut decision.edits.by) {
        let value = answer(&mut answers, questions, question, subject, backends);
        let edit = &mut decision.edits.fields[at];
        let value = value.as_deref().and_then(convert::field_value);
        if let Some(set) = value.and_then(|value| Edit::set(edit.name(), value).ok()) {
            *edit = set;
        }
    }
    let options = &mut decision.options;
    if let Some(Value::By(question)) = options.affinity {
        let key = answer(&mut answers, questions, question, subject, backends);
        options.affinity = key.map(|key| Value::Fixed(draft::cut_key(&key).into()));
    }
    options.tags.retain_mut(|tag| {
        let Value::By(question) = tag.value else {
            return true;
        };
        let Some(value) = answer(&mut answers, questions, question, subject, backends) else {
            return false;
        };
        tag.value = Value::Fixed(draft::cut(&value).into());
        true
    });
    *request.answers = answers;
    decision
}

fn answer(
    answers: &mut Answers,
    questions: &Questions,
    question: u32,
    subject: Subject<'_>,
    backends: &dyn Backends,
) -> Option<Vec<u8>> {
    match answers.answer(questions, question, subject, backends) {
        Answer::Value(value) => Some(value.into_owned()),
        Answer::None | Answer::Number(_) => None,
    }
}
