//! Every documented request and answer of API 1, replayed against a real server on each store.
//!
//! The conversations are data, `tests/contract/*.json`; `support/replay.rs` says how they are written.

mod support;

use support::replay::replay;

macro_rules! contracts {
    ($($name:ident),*) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::replay("sqlite", include_str!(concat!("contract/", stringify!($name), ".json"))).await })*
        }
        mod postgres {
            $(#[tokio::test] async fn $name() { super::replay("postgres", include_str!(concat!("contract/", stringify!($name), ".json"))).await })*
        }
        #[test]
        fn every_conversation_is_replayed() {
            let known = [$(concat!(stringify!($name), ".json")),*];
            for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/contract")).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                assert!(known.contains(&name.as_str()), "{name} is not replayed");
            }
        }
    };
}

contracts!(campaigns, client, contacts, corners, dnc, imports, lifecycle, progress, re_execute, schedule, templates);
