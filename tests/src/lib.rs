//! Tests across crates. The documents whose Rust blocks are compiled as doctests are listed here.
