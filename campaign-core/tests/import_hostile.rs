//! Hostile and damaged files end in clear errors, within bounded memory and time.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use campaign_core::Error;
use campaign_core::import::{ImportOptions, ImportReport, ImportSource, Importer};
use campaign_core::testkit::fuzz;
use proptest::prelude::*;
use std::io::Read;
use std::sync::Mutex;

/// One test at a time, so that the memory measured is its own.
static ALONE: Mutex<()> = Mutex::new(());

/// A value of this process in the kernel's books, in megabytes.
#[cfg(target_os = "linux")]
fn status(key: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() >> 10
}

/// Runs `work` and gives the peak of memory it added, in megabytes.
#[cfg(target_os = "linux")]
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    // Writing 5 sets the peak back to what is in use now.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS");
    let result = work();
    (result, status("VmHWM").saturating_sub(before))
}

/// Memory is only measured where the kernel tells it.
#[cfg(not(target_os = "linux"))]
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    (work(), 0)
}

/// Text made while it is read, so that a huge file takes no memory of its own.
struct Made {
    parts: Vec<(&'static [u8], usize)>,
    part: usize,
    round: usize,
    offset: usize,
}

/// Pieces of text, and how often each is repeated.
type Parts = &'static [(&'static str, usize)];

fn made(parts: &[(&'static str, usize)]) -> ImportSource {
    let parts = parts.iter().map(|(text, times)| (text.as_bytes(), *times)).collect();
    ImportSource::Reader(Box::new(Made { parts, part: 0, round: 0, offset: 0 }))
}

impl Read for Made {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            let Some((text, times)) = self.parts.get(self.part) else { break };
            if self.round == *times {
                (self.part, self.round) = (self.part + 1, 0);
                continue;
            }
            let taken = (text.len() - self.offset).min(buf.len() - filled);
            buf[filled..filled + taken].copy_from_slice(&text[self.offset..self.offset + taken]);
            filled += taken;
            self.offset += taken;
            if self.offset == text.len() {
                (self.offset, self.round) = (0, self.round + 1);
            }
        }
        Ok(filled)
    }
}

fn us() -> ImportOptions {
    ImportOptions { default_region: Some("US".into()), ..ImportOptions::default() }
}

/// Good rows, and the report or the error at the end.
fn import(source: ImportSource, options: ImportOptions) -> (usize, Result<ImportReport, Error>) {
    let mut good = 0;
    let mut importer = match Importer::open(source, options) {
        Ok(importer) => importer,
        Err(error) => return (0, Err(error)),
    };
    loop {
        match importer.next_batch(1000) {
            Ok(Some(batch)) => good += batch.contacts.len(),
            Ok(None) => return (good, Ok(importer.into_report())),
            Err(error) => return (good, Err(error)),
        }
    }
}

const GOOD: &str = "2125550101,Ada\n";

#[test]
fn rows_beyond_the_limits_are_rejected_and_the_rest_goes_in() {
    let _alone = ALONE.lock();
    type Rejected = &'static [(u64, &'static str)];
    let cases: &[(&str, Parts, usize, Rejected)] = &[
        ("a line of 10 MB", &[("phone,name\n", 1), (GOOD, 1), ("xxxxxxxxxx", 1 << 20), ("\n", 1), (GOOD, 2)], 3, &[(3, "row_too_long")]),
        ("100,000 cells", &[("phone,name\n", 1), (GOOD, 1), ("x,", 100_000), ("\n", 1), (GOOD, 2)], 3, &[(3, "too_many_columns")]),
        ("zero bytes", &[("phone,name\n", 1), (GOOD, 3), ("212\u{0}555,x\n", 1), (GOOD, 3)], 6, &[(5, "nul_byte")]),
        (
            "a quote that opens and never closes",
            &[("phone,name\n", 1), (GOOD, 2), ("2125550101,\"Bob\n", 1), (GOOD, 3)],
            5,
            &[(4, "unterminated_quote")],
        ),
        (
            "the same far from the end",
            &[("phone,name\n", 1), (GOOD, 1), ("2125550101,\"Bob\n", 1), (GOOD, 200_000)],
            200_001,
            &[(3, "unterminated_quote")],
        ),
        (
            "a quote closed by another row",
            &[("phone,name\n", 1), ("2125550101,\"Bob\n", 1), ("\"2125550102\",Eve\n", 1), (GOOD, 1)],
            2,
            &[(2, "unterminated_quote")],
        ),
        ("the last row", &[("phone,name\n", 1), (GOOD, 1), ("2125550101,\"Bob", 1)], 1, &[(3, "unterminated_quote")]),
        (
            "a deep JSON record",
            &[("[{\"phone\":\"2125550101\"},\n", 1), ("{\"a\":", 1000), ("1", 1), ("}", 1000), ("]", 1)],
            1,
            &[(2, "invalid_json")],
        ),
        (
            "a huge JSON record",
            &[("[{\"phone\":\"2125550101\",\"a\":\"", 1), ("0123456789", 1 << 20), ("\"},\n{\"phone\":\"2125550101\"}]", 1)],
            1,
            &[(1, "row_too_long")],
        ),
        (
            "a huge JSON line",
            &[("{\"phone\":\"2125550101\"}\n", 2), ("0123456789", 1 << 20), ("\n{\"phone\":\"2125550101\"}", 2)],
            4,
            &[(3, "row_too_long")],
        ),
        (
            "an escaped zero byte",
            &[("{\"phone\":\"2125550101\"}\n{\"phone\":\"2125550101\",\"a\":[{\"b\":\"\\u0000\"}]}\n", 1)],
            1,
            &[(2, "nul_byte")],
        ),
    ];
    for (name, parts, good, expected) in cases {
        let ((found, report), peak) = peak_of(|| import(made(parts), us()));
        let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
        let errors: Vec<_> = report.errors.iter().map(|error| (error.line, error.code.as_str())).collect();
        assert_eq!((found, errors.as_slice()), (*good, *expected), "{name}");
        assert!(peak < 32, "{name}: {peak} MB");
    }
}

#[test]
fn files_beyond_the_limits_end_with_a_clear_error_after_their_good_rows() {
    let _alone = ALONE.lock();
    let cases: &[(&str, Parts, usize, &str)] = &[
        ("100,000 headers", &[("phone", 1), (",x", 100_000), ("\n2125550101\n", 1)], 0, "more than 10000 cells"),
        ("a header of 10 MB", &[("phone", 1), ("xxxxxxxxxx", 1 << 20)], 0, "longer than 1048576 bytes"),
        ("nothing but brackets", &[("[", 10 << 20)], 0, "cut off"),
        ("nothing but braces", &[("[{\"phone\":\"2125550101\"},", 1), ("{\"a\":", 2 << 20)], 1, "cut off"),
        ("a comma too many", &[("[{\"phone\":\"2125550101\"},\n,{}]", 1)], 1, "between two commas"),
        ("an object cut off", &[("[{\"phone\":\"2125550101\"},\n{\"phone\":\"21", 1)], 1, "middle of a contact"),
        ("an array without its end", &[("[{\"phone\":\"2125550101\"}\n", 1)], 1, "middle of the array"),
        ("zero bytes", &[("\0", 1 << 20)], 0, "not text"),
        ("quotes made to be read again and again", &[("phone,name\n", 1), ("a\"b,\"c\n", 1 << 20)], 0, "quotes"),
    ];
    for (name, parts, good, expected) in cases {
        let ((found, report), peak) = peak_of(|| import(made(parts), us()));
        let error = report.map(|report| format!("{:?}", report.errors)).expect_err(name);
        assert!(error.message().contains(expected), "{name}: {error}");
        assert_eq!(found, *good, "{name}");
        assert!(peak < 32, "{name}: {peak} MB");
    }
}

#[test]
fn a_long_stretch_of_rejected_rows_is_not_the_end() {
    let _alone = ALONE.lock();
    let (good, report) = import(made(&[("phone,name\n", 1), ("none,a name that fills the row\n", 400_000), (GOOD, 1)]), us());
    assert_eq!((good, report.map(|report| report.invalid).ok()), (1, Some(400_000)));
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let _alone = ALONE.lock();
    let csv = |rows| peak_of(|| import(made(&[("phone,name,note\n", 1), ("2125550101,Ada,some words to fill the row\n", rows)]), us()));
    let lines = |rows| peak_of(|| import(made(&[("{\"phone\":\"2125550101\",\"note\":\"some words to fill the row\"}\n", rows)]), us()));
    let array = |rows| peak_of(|| import(made(&[("[", 1), ("{\"phone\":\"2125550101\",\"note\":\"some words\"},", rows), ("]", 1)]), us()));
    for run in [&csv as &dyn Fn(usize) -> _, &lines, &array] {
        let ((small, _), few) = run(20_000);
        let ((large, _), many) = run(100_000);
        assert_eq!((small, large), (20_000, 100_000));
        assert!(many <= few + 1 && many < 8, "{few} MB, then {many} MB");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _alone = ALONE.lock();
        fuzz::import(&data);
    }

    #[test]
    fn bytes_that_look_like_files_never_panic(
        head in prop_oneof![Just("phone,name\n"), Just("phone;\"a"), Just("[{\"phone\":"), Just("{\"phone\":\"2125550101\"}\n"), Just("{\"contacts\":["), Just("\u{feff}sep=;\n"), Just("")],
        parts in proptest::collection::vec(prop_oneof![
            Just("2125550101".to_owned()), Just(",".to_owned()), Just("\"".to_owned()), Just("\n".to_owned()), Just("\r".to_owned()),
            Just("{".to_owned()), Just("}".to_owned()), Just("[".to_owned()), Just("]".to_owned()), Just(":".to_owned()), Just("\\".to_owned()),
            Just("\"phone\"".to_owned()), Just("é".to_owned()), Just("\0".to_owned()), Just(";".to_owned()), "[a-z0-9 ]{0,300}",
        ], 0..40),
        tail in proptest::collection::vec(any::<u8>(), 0..4),
    ) {
        let _alone = ALONE.lock();
        fuzz::import(&[head.as_bytes(), parts.concat().as_bytes(), &tail].concat());
    }
}

#[cfg(feature = "spreadsheet")]
mod spreadsheets {
    use super::*;
    use rust_xlsxwriter::{ExcelDateTime, Format, Workbook};
    use serde_json::{Value, json};
    use std::io::{Cursor, Write};
    use zip::write::SimpleFileOptions;

    fn workbook() -> Vec<u8> {
        let mut book = Workbook::new();
        let hidden = book.add_worksheet();
        hidden.set_name("Hidden").unwrap().set_hidden(true).write_string(0, 0, "nothing").unwrap();
        let sheet = book.add_worksheet();
        sheet.set_name("People").unwrap().set_active(true);
        sheet.write_string(0, 0, "Spring list").unwrap();
        for (column, header) in ["Name", "Phone", "Visit", "At", "VIP", "Amount", "Broken"].iter().enumerate() {
            sheet.write_string(2, column as u16, *header).unwrap();
        }
        let day = Format::new().set_num_format("yyyy-mm-dd");
        let minute = Format::new().set_num_format("yyyy-mm-dd hh:mm");
        sheet.write_string(3, 0, "Ada").unwrap();
        sheet.write_number(3, 1, 2_125_550_101.0).unwrap();
        sheet.write_datetime_with_format(3, 2, ExcelDateTime::parse_from_str("2026-02-15").unwrap(), &day).unwrap();
        sheet.write_datetime_with_format(3, 3, ExcelDateTime::parse_from_str("2026-02-15T14:30").unwrap(), &minute).unwrap();
        sheet.write_boolean(3, 4, true).unwrap();
        sheet.write_number(3, 5, 1.5).unwrap();
        sheet.write_string(5, 0, "Eve").unwrap();
        sheet.write_string(6, 1, "+34 631 02 16 22").unwrap();
        sheet.write_number(7, 1, 34_631_021_622.0).unwrap();
        book.save_to_buffer().unwrap()
    }

    fn archive(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in parts {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn a_workbook_is_read_as_a_person_sees_it() {
        let _alone = ALONE.lock();
        let mut importer = Importer::open(workbook().into(), us()).unwrap();
        let batch = importer.next_batch(10).unwrap().unwrap();
        let phones: Vec<_> = batch.contacts.iter().map(|contact| contact.phone.as_str().to_owned()).collect();
        assert_eq!(phones, ["+12125550101", "+34631021622", "+34631021622"]);
        assert_eq!(batch.lines, [4, 7, 8]);
        assert_eq!(
            Value::Object(batch.contacts[0].variables.clone()),
            json!({"visit": "2026-02-15", "at": "2026-02-15T14:30:00", "vip": true, "amount": 1.5})
        );
        assert!(importer.next_batch(10).unwrap().is_none());
        let report = importer.into_report();
        assert_eq!((report.sheet.as_deref(), report.total, report.errors[0].line), (Some("People"), 4, 6));
        let error = Importer::open(workbook().into(), ImportOptions { sheet: Some("Peoples".into()), ..us() }).unwrap_err();
        assert!(error.message().contains("“Hidden”, “People”"), "{error}");
    }

    #[test]
    fn an_open_document_sheet() {
        let _alone = ALONE.lock();
        let cell = |text: &str| format!("<table:table-cell office:value-type=\"string\"><text:p>{text}</text:p></table:table-cell>");
        let content = |rows: &str| {
            format!(
                "<?xml version=\"1.0\"?><office:document-content xmlns:office=\"o\" xmlns:table=\"t\" xmlns:text=\"x\"><office:body><office:spreadsheet>\
                 <table:table table:name=\"People\">{rows}</table:table></office:spreadsheet></office:body></office:document-content>"
            )
        };
        let file = |rows: &str| {
            archive(&[
                ("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"),
                ("META-INF/manifest.xml", b"<manifest/>"),
                ("content.xml", content(rows).as_bytes()),
            ])
        };
        let row =
            |cells: &[&str]| format!("<table:table-row>{}</table:table-row>", cells.iter().map(|text| cell(text)).collect::<String>());
        let trailing = "<table:table-row table:number-rows-repeated=\"1048574\"><table:table-cell table:number-columns-repeated=\"16384\"/></table:table-row>";
        let good = file(&format!("{}{}{trailing}", row(&["Phone", "City"]), row(&["2125550101", "Paris"])));
        let (found, report) = import(good.into(), us());
        assert_eq!((found, report.unwrap().total), (1, 1));
        let bomb = file(
            "<table:table-row table:number-rows-repeated=\"1000000\"><table:table-cell table:number-columns-repeated=\"16000\" \
             office:value-type=\"string\"><text:p>x</text:p></table:table-cell></table:table-row>",
        );
        let ((_, result), peak) = peak_of(|| import(bomb.into(), us()));
        assert!(result.unwrap_err().message().contains("unpacks"));
        assert!(peak < 32, "{peak} MB");
    }

    /// An XLS file of one sheet, as small as it may be: cells of text, and one number at the end.
    fn old_workbook(cells: &[(u16, u16, &str)], number: (u16, u16, f64)) -> Vec<u8> {
        let record = |kind: u16, data: &[u8]| [&kind.to_le_bytes()[..], &(data.len() as u16).to_le_bytes(), data].concat();
        let words = |words: &[u16]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let begin = |kind: u16| record(0x0809, &words(&[0x0600, kind, 0, 0, 0, 0, 0, 0]));
        let end = record(0x000A, &[]);
        let bound = |at: u32| record(0x0085, &[&at.to_le_bytes()[..], &[0, 0, 6, 0], b"People"].concat());
        let globals = begin(0x0005).len() + bound(0).len() + end.len();
        let mut stream = [begin(0x0005), bound(globals as u32), end.clone(), begin(0x0010)].concat();
        for (row, column, text) in cells {
            stream.extend(record(0x0204, &[words(&[*row, *column, 0, text.len() as u16]), vec![0], text.as_bytes().to_vec()].concat()));
        }
        stream.extend(record(0x0203, &[words(&[number.0, number.1, 0]), number.2.to_le_bytes().to_vec()].concat()));
        stream.extend(end);
        // Streams below 4,096 bytes are stored in another way, which is not the usual one.
        stream.resize(stream.len().max(5000), 0);
        let mut file = cfb::CompoundFile::create_with_version(cfb::Version::V3, Cursor::new(Vec::new())).unwrap();
        file.create_stream("/Workbook").unwrap().write_all(&stream).unwrap();
        file.flush().unwrap();
        file.into_inner().into_inner()
    }

    #[test]
    fn an_old_workbook() {
        let _alone = ALONE.lock();
        let header = [(0, 0, "Name"), (0, 1, "Phone"), (1, 0, "Ada")];
        let (found, report) = import(old_workbook(&header, (1, 1, 2_125_550_101.0)).into(), us());
        let report = report.unwrap();
        assert_eq!((found, report.total, report.sheet.as_deref()), (1, 1, Some("People")));
        let ((_, result), peak) = peak_of(|| import(old_workbook(&header, (65_535, 65_535, 1.0)).into(), us()));
        assert!(result.unwrap_err().message().contains("span more than"));
        assert!(peak < 32, "{peak} MB");
    }

    #[test]
    fn hostile_workbooks() {
        let _alone = ALONE.lock();
        let good = workbook();
        let zeros = vec![b' '; 64 << 20];
        let strings = b"<?xml version=\"1.0\"?><sst uniqueCount=\"99999999999\"><si/></sst>";
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("cut off", good[..good.len() / 2].to_vec(), "damaged"),
            ("a zip bomb", archive(&[("xl/worksheets/sheet1.xml", &zeros)]), "unpacks"),
            ("strings it does not have", archive(&[("xl/worksheets/sheet1.xml", b"<x/>"), ("xl/sharedStrings.xml", strings)]), "unpacks"),
            ("no workbook", archive(&[("xl/worksheets/sheet1.xml", b"<x/>")]), "damaged"),
            ("some other archive", archive(&[("a.txt", b"x")]), "not a spreadsheet"),
            ("no compound file", b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1garbage".to_vec(), "damaged"),
            ("no end of archive", b"PK\x03\x04garbage".to_vec(), "damaged"),
        ];
        drop(zeros);
        for (name, bytes, expected) in cases {
            let ((found, result), peak) = peak_of(|| import(bytes.into(), us()));
            let error = result.map(|_| ()).expect_err(name);
            assert!(found == 0 && error.message().contains(expected), "{name}: {error}");
            assert!(peak < 32, "{name}: {peak} MB");
        }
    }

    #[test]
    fn damaged_workbooks_never_panic() {
        let _alone = ALONE.lock();
        let good = workbook();
        for at in (0..good.len()).step_by(good.len() / 60) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            import(bad.into(), us()).1.ok();
        }
    }
}
