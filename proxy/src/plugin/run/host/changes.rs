//! Functions that the guest calls to edit a request and to ask questions about it.

use wasmtime::component::Resource;

use super::{RequestHead, State};
use crate::plugin::run::draft::{Draft, EditResult, TimeoutKind};
use crate::plugin::run::fault::Refusal;
use crate::plugin::run::reads::Read;
use crate::questions::{Answer, Kind};

impl State {
    /// Applies an edit; returns an error to the guest if the request is not HTTP.
    pub(super) fn edit(
        &mut self,
        handle: &Resource<RequestHead>,
        edit: impl FnOnce(&mut Draft) -> EditResult,
    ) -> EditResult {
        let call = self.call(handle)?;
        if call.head.is_without_http() {
            return Ok(Err(
                "a connection without HTTP has nothing to edit".to_owned()
            ));
        }
        edit(&mut call.draft)
    }

    pub(super) fn set_timeout(
        &mut self,
        handle: &Resource<RequestHead>,
        kind: TimeoutKind,
        milliseconds: u32,
    ) -> wasmtime::Result<()> {
        self.call(handle)?.draft.set_timeout(kind, milliseconds)
    }

    /// Checks that a question is answered by a value, not by a number.
    pub(super) fn check_value_question(&self, question: u32) -> Result<(), Refusal> {
        match self.questions.kind(question) {
            Some(Kind::Value) => Ok(()),
            Some(Kind::Number) => Err(Refusal::NotAValue(question)),
            None => Err(Refusal::NoQuestion(question)),
        }
    }

    pub(super) fn ask_number(
        &mut self,
        handle: &Resource<RequestHead>,
        question: u32,
    ) -> wasmtime::Result<Option<u32>> {
        match self.questions.kind(question) {
            Some(Kind::Number) => {}
            Some(Kind::Value) => return Err(Refusal::NotANumber(question).into()),
            None => return Err(Refusal::NoQuestion(question).into()),
        }
        let answer = self.answer(handle, question, |answer| match answer {
            Answer::Number(number) => Some(number),
            Answer::None | Answer::Value(_) => None,
        })?;
        self.reads.record(Read::Question(question));
        Ok(answer)
    }

    pub(super) fn ask_octets(
        &mut self,
        handle: &Resource<RequestHead>,
        question: u32,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        self.check_value_question(question)?;
        let answer = self.answer(handle, question, |answer| match answer {
            Answer::Value(value) => Some(value.into_owned()),
            Answer::None | Answer::Number(_) => None,
        })?;
        self.reads.record(Read::Question(question));
        if let Some(value) = &answer
            && self.questions.is_look_up(question)
        {
            self.call(handle)?.from_tables.push(value.as_slice().into());
        }
        Ok(answer)
    }

    fn answer<T>(
        &mut self,
        handle: &Resource<RequestHead>,
        question: u32,
        take: impl FnOnce(Answer<'_>) -> T,
    ) -> wasmtime::Result<T> {
        self.call(handle)?;
        let Some(call) = &mut self.call else {
            return Err(Refusal::StaleHandle.into());
        };
        let mut answers = std::mem::take(&mut call.answers);
        let answer = answers.answer(&self.questions, question, call.subject(), &*self.backends);
        let taken = take(answer);
        call.answers = answers;
        Ok(taken)
    }
}
