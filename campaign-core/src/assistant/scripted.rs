//! An assistant that says what a test tells it.

use super::{Answer, Assistant, Dialogue, Piece};
use crate::conversation::ToolCall;
use crate::error::{Error, Result};
use async_trait::async_trait;
use futures_util::StreamExt;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One thing a [`ScriptedAssistant`] does.
#[derive(Clone)]
pub enum Line {
    /// Says this, word by word.
    Says(String),
    /// Asks for this.
    Does(String, Value),
    /// Fails.
    Fails(Error),
    /// Its code panics.
    Panics,
    /// Nothing more ever comes.
    Waits,
}

impl Line {
    /// Says this.
    pub fn says(text: &str) -> Self {
        Self::Says(text.to_owned())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Says(_) => "Says(..)",
            Self::Does(..) => "Does(..)",
            Self::Fails(_) => "Fails(..)",
            Self::Panics => "Panics",
            Self::Waits => "Waits",
        })
    }
}

type Rule = Arc<dyn Fn(&Dialogue) -> Option<Vec<Line>> + Send + Sync>;

/// An assistant for tests. An answer is the first of: a rule that has one, the queue, the default.
///
/// ```
/// use campaign_core::assistant::{Line, ScriptedAssistant};
///
/// let assistant = ScriptedAssistant::new().otherwise([Line::says("We open at nine.")]);
/// assistant.next([Line::Does("book".to_owned(), serde_json::json!({ "what": "a table" }))]);
/// assert!(assistant.dialogues().is_empty());
/// ```
#[derive(Default)]
pub struct ScriptedAssistant {
    state: Mutex<State>,
    dropped: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    default: Vec<Line>,
    rules: Vec<Rule>,
    queue: VecDeque<Vec<Line>>,
    dialogues: Vec<Dialogue>,
    calls: usize,
}

impl ScriptedAssistant {
    /// One that says nothing when nothing else is told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Does this when nothing else is told.
    #[must_use]
    pub fn otherwise(self, lines: impl IntoIterator<Item = Line>) -> Self {
        self.state.lock().default = lines.into_iter().collect();
        self
    }

    /// Queues the next answer.
    pub fn next(&self, lines: impl IntoIterator<Item = Line>) -> &Self {
        self.state.lock().queue.push_back(lines.into_iter().collect());
        self
    }

    /// Adds a rule: what it answers to the dialogues it has an answer for.
    pub fn on(&self, rule: impl Fn(&Dialogue) -> Option<Vec<Line>> + Send + Sync + 'static) -> &Self {
        self.state.lock().rules.push(Arc::new(rule));
        self
    }

    /// Everything it was asked, in order.
    pub fn dialogues(&self) -> Vec<Dialogue> {
        self.state.lock().dialogues.clone()
    }

    /// How many answers were dropped before their end.
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::Acquire)
    }
}

impl fmt::Debug for ScriptedAssistant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedAssistant").field("dialogues", &self.state.lock().dialogues.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Assistant for ScriptedAssistant {
    async fn answer(&self, dialogue: Dialogue) -> Result<Answer> {
        // Rules are user code: they run without the lock.
        let rules = self.state.lock().rules.clone();
        let ruled = rules.iter().find_map(|rule| rule(&dialogue));
        let mut state = self.state.lock();
        state.dialogues.push(dialogue);
        let lines = ruled.or_else(|| state.queue.pop_front()).unwrap_or_else(|| state.default.clone());
        let mut pieces = VecDeque::new();
        for line in lines {
            match line {
                Line::Says(text) => {
                    pieces.extend(text.split_inclusive(' ').map(|word| Line::Says(word.to_owned())));
                }
                other => pieces.push_back(other),
            }
        }
        let first_call = state.calls;
        state.calls += pieces.iter().filter(|line| matches!(line, Line::Does(..))).count();
        drop(state);
        let told = Told { rest: pieces, call: first_call, whole: false, dropped: Arc::clone(&self.dropped) };
        Ok(futures_util::stream::unfold(told, Told::next).boxed())
    }
}

struct Told {
    rest: VecDeque<Line>,
    call: usize,
    whole: bool,
    dropped: Arc<AtomicUsize>,
}

impl Told {
    async fn next(mut self) -> Option<(Result<Piece>, Self)> {
        match self.rest.pop_front() {
            None => {
                self.whole = true;
                None
            }
            Some(Line::Says(text)) => Some((Ok(Piece::Text(text)), self)),
            Some(Line::Does(name, arguments)) => {
                self.call += 1;
                let call = ToolCall { id: format!("call-{}", self.call), name, arguments };
                Some((Ok(Piece::Tool(call)), self))
            }
            Some(Line::Fails(error)) => {
                self.rest.clear();
                Some((Err(error), self))
            }
            Some(Line::Panics) => panic!("scripted panic"),
            Some(Line::Waits) => std::future::pending().await,
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.whole {
            self.dropped.fetch_add(1, Ordering::AcqRel);
        }
    }
}
