//! The documentation under `docs/`, read strictly: what is not understood is an error, so that no example is skipped in silence.
//!
//! A page is Mintlify's MDX. Its fenced blocks are its examples, and each has a language and a title:
//!
//! | block | what happens to it |
//! |---|---|
//! | `bash Title` | a `curl` command, sent to a server of the page's own; or a `campaign` command, run |
//! | `json 200 Title` | the answer to the command with this title: its status, its keys, its values |
//! | `json Part of a campaign ...` | fields of a campaign: one is created with them, and gives them back |
//! | `csv name.csv`, `json name.json` | a file that a command uploads |
//! | `json Send: type`, `json Event: type` | what a client says on the WebSocket of the page's first campaign, and what it hears |
//! | `json Monitor send: type`, `json Monitor event: type` | the same on the WebSocket of all campaigns |
//! | `python Title`, `javascript Title` | a program, run while the page's first campaign is started |
//! | `text Output` | what each program of the page prints |
//!
//! The comment `fixture: draft, running` makes campaigns before the first example, with the ids 1, 2, ...; `wait: 1` lets a campaign
//! come to its end before the next one. With `UPDATE_DOCS=1` answers that differ are written into the page, to be looked at.

#![allow(unreachable_pub, reason = "a module of one test file")]

pub mod compare;
pub mod curl;
pub mod fields;
pub mod page;
pub mod program;
pub mod run;
pub mod site;
pub mod socket;
pub mod world;
