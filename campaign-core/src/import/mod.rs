//! Files of contacts: read, mapped, normalised, deduplicated, reported.
