//! `Debug` without personal data: logs, panics and error reports are written with it.

/// Writes `Debug` for a struct and leaves out the fields after `hides`, which it may not show.
///
/// Every field is named on one of the two sides, so that a new one does not compile before somebody has decided about it.
macro_rules! debug_without {
    ($name:ident { $($shown:ident),+ $(,)? } hides { $($hidden:ident),+ $(,)? }) => {
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let Self { $($shown,)+ $($hidden: _),+ } = self;
                f.debug_struct(stringify!($name))$(.field(stringify!($shown), $shown))+.finish_non_exhaustive()
            }
        }
    };
}

pub(crate) use debug_without;
