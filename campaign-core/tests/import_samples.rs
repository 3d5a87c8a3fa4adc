//! The sample lists that the demo imports.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use campaign_core::import::{ImportOptions, Importer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[test]
fn the_sample_lists_are_messy_in_known_ways() {
    for (file, region, good, different, expected) in [
        (
            "appointments.csv",
            "US",
            949,
            911,
            &[
                ("digits_lost", 6),
                ("extra_cells", 5),
                ("missing_phone", 3),
                ("not_a_number", 15),
                ("several_numbers", 3),
                ("too_long", 3),
                ("too_short", 9),
                ("unknown_country_code", 3),
                ("unknown_time_zone", 4),
            ][..],
        ),
        ("clientes.csv", "ES", 44, 44, &[("digits_lost", 16)][..]),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data").join(file);
        let options = ImportOptions { default_region: Some(region.into()), ..ImportOptions::default() };
        let mut importer = Importer::open(path.into(), options).unwrap();
        let mut contacts = Vec::new();
        while let Some(batch) = importer.next_batch(500).unwrap() {
            contacts.extend(batch.contacts);
        }
        let report = importer.into_report();
        let mut codes = BTreeMap::<&str, u64>::new();
        for error in &report.errors {
            *codes.entry(&error.code).or_default() += 1;
        }
        let numbers: BTreeSet<_> = contacts.iter().map(|contact| &contact.phone).collect();
        assert_eq!(codes.into_iter().collect::<Vec<_>>(), expected, "{file}");
        assert_eq!((contacts.len(), numbers.len()), (good, different), "{file}");
        assert!(!report.errors_truncated);
    }
}
