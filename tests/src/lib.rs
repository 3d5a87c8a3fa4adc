//! What the tests across rooms share. The documents whose Rust blocks are compiled as doctests are listed here.

pub mod tree;
