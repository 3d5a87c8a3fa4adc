//! Answers of repeated calls, remembered while the process lives.

use crate::id::AttemptId;
use crate::policy::limits::LimitBlock;
use crate::store::Added;
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// How many answers of each kind are kept. A caller repeats its last call, and few callers wait at once.
const KEPT: usize = 256;

/// What a claim answered; the rows are read again when it is repeated.
#[derive(Clone)]
pub(super) struct ClaimMemo {
    pub(super) attempts: Vec<AttemptId>,
    pub(super) block: Option<LimitBlock>,
    pub(super) passed_over: u32,
    pub(super) more: bool,
    pub(super) now: jiff::Timestamp,
}

/// The newest answers by request id.
#[derive(Default)]
pub(super) struct Memo {
    claims: VecDeque<(Uuid, ClaimMemo)>,
    added: VecDeque<(Uuid, Arc<[Added]>)>,
    taken: VecDeque<(Uuid, Arc<[AttemptId]>)>,
}

impl Memo {
    pub(super) fn claim(&self, request: Uuid) -> Option<&ClaimMemo> {
        // Newest first: repeats follow soon.
        self.claims.iter().rev().find(|(id, _)| *id == request).map(|(_, memo)| memo)
    }

    pub(super) fn keep_claim(&mut self, request: Uuid, memo: ClaimMemo) {
        keep(&mut self.claims, request, memo);
    }

    pub(super) fn added(&self, request: Uuid) -> Option<&Arc<[Added]>> {
        self.added.iter().rev().find(|(id, _)| *id == request).map(|(_, memo)| memo)
    }

    pub(super) fn keep_added(&mut self, request: Uuid, memo: Arc<[Added]>) {
        keep(&mut self.added, request, memo);
    }

    pub(super) fn taken(&self, request: Uuid) -> Option<&Arc<[AttemptId]>> {
        self.taken.iter().rev().find(|(id, _)| *id == request).map(|(_, memo)| memo)
    }

    pub(super) fn keep_taken(&mut self, request: Uuid, memo: Arc<[AttemptId]>) {
        keep(&mut self.taken, request, memo);
    }

    /// Forgets everything: a transaction was lost, and answers of it may be among them.
    pub(super) fn clear(&mut self) {
        self.claims.clear();
        self.added.clear();
        self.taken.clear();
    }
}

fn keep<T>(memos: &mut VecDeque<(Uuid, T)>, request: Uuid, memo: T) {
    if memos.len() == KEPT {
        memos.pop_front();
    }
    memos.push_back((request, memo));
}
