//! What must hold for every file that is imported.

use crate::import::{Format, ImportOptions, ImportSource, Importer, Limits};

/// Imports bytes as every format, and checks what must hold for any input: no panic, bounded batches, counts that add up, and an
/// end. Rejected rows are written too.
///
/// # Panics
/// When something does not hold.
pub fn import(data: &[u8]) {
    let formats = [None, Some(Format::Csv), Some(Format::Tsv), Some(Format::Json), Some(Format::JsonLines), Some(Format::Xlsx)];
    for format in formats {
        // Small limits let short inputs reach them.
        let limits = Limits { max_columns: 20, max_record_bytes: 256, max_batch_bytes: 512, ..Limits::default() };
        let options = ImportOptions {
            format,
            default_region: Some("US".to_owned()),
            max_errors: 3,
            rejects: Some(Box::new(std::io::sink())),
            limits,
            ..ImportOptions::default()
        };
        let Ok(mut importer) = Importer::open(ImportSource::from(data), options) else { continue };
        let mut good = 0;
        while let Ok(Some(batch)) = importer.next_batch(7) {
            assert!(!batch.contacts.is_empty() && batch.contacts.len() <= 7);
            assert_eq!(batch.contacts.len(), batch.lines.len());
            good += batch.contacts.len() as u64;
        }
        assert!(matches!(importer.next_batch(7), Ok(None)), "an import that has ended stays ended");
        let report = importer.into_report();
        assert_eq!(report.total, good + report.invalid);
        assert!(report.total <= data.len() as u64 + 1, "a row takes at least a byte");
        assert_eq!(report.errors.len() as u64, report.invalid.min(3));
    }
}
