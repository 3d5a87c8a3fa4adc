//! Files as people have them, in every format: what goes in, what is rejected, and why.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use campaign_core::Error;
use campaign_core::contact::{ContactSource, NewContact};
use campaign_core::import::{Field, ImportOptions, ImportReport, ImportSource, Importer, suggest_mapping};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

fn us() -> ImportOptions {
    ImportOptions { default_region: Some("US".into()), ..ImportOptions::default() }
}

fn named(name: &str) -> ImportOptions {
    ImportOptions { file_name: Some(name.into()), ..us() }
}

fn import(source: impl Into<ImportSource>, options: ImportOptions) -> Result<(Vec<NewContact>, ImportReport), Error> {
    let mut importer = Importer::open(source.into(), options)?;
    let mut contacts = Vec::new();
    while let Some(batch) = importer.next_batch(2)? {
        assert!(batch.contacts.len() <= 2 && batch.contacts.len() == batch.lines.len());
        contacts.extend(batch.contacts);
    }
    Ok((contacts, importer.into_report()))
}

fn good(text: &str) -> (Vec<NewContact>, ImportReport) {
    import(text.as_bytes(), us()).unwrap()
}

fn errors(report: &ImportReport) -> Vec<(u64, &str, &str)> {
    report.errors.iter().map(|error| (error.line, error.column.as_deref().unwrap_or(""), error.code.as_str())).collect()
}

fn phones(contacts: &[NewContact]) -> Vec<&str> {
    contacts.iter().map(|contact| contact.phone.as_str()).collect()
}

/// What the rejects went into.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[test]
fn headers_are_found_whatever_they_look_like() {
    use Field::*;
    type Column = (Option<Field>, Option<&'static str>);
    let cases: &[(&str, &[Column])] = &[
        ("Phone Number,Customer Name,Appointment Date", &[(Some(PhoneNumber), None), (Some(Name), None), (None, Some("appointment_date"))]),
        (
            "TELÉFONO,Nombre,Correo electrónico,Empresa,Zona horaria",
            &[(Some(PhoneNumber), None), (Some(Name), None), (Some(Email), None), (Some(Company), None), (Some(TimeZone), None)],
        ),
        (
            "First Name,Last-Name,Mobile #",
            &[(Some(FirstName), Some("first_name")), (Some(LastName), Some("last_name")), (Some(PhoneNumber), None)],
        ),
        ("Home Phone,Mobile,Fax", &[(None, Some("home_phone")), (Some(PhoneNumber), None), (None, Some("fax"))]),
        ("msisdn,tz,organisation,E-Mail", &[(Some(PhoneNumber), None), (Some(TimeZone), None), (Some(Company), None), (Some(Email), None)]),
        ("Ｐｈｏｎｅ,City,city,CITY!", &[(Some(PhoneNumber), None), (None, Some("city")), (None, Some("city_2")), (None, Some("city_3"))]),
        ("电话,姓名", &[(Some(PhoneNumber), None), (Some(Name), None)]),
        ("Телефон,Имя", &[(Some(PhoneNumber), None), (Some(Name), None)]),
        (
            "phoneNumber,fullName,2nd choice,",
            &[(Some(PhoneNumber), None), (Some(Name), None), (None, Some("_2nd_choice")), (None, Some("column_4"))],
        ),
        ("phone type,phone,phone verified", &[(None, Some("phone_type")), (Some(PhoneNumber), None), (None, Some("phone_verified"))]),
        ("Primary phone (customer),Account Number", &[(Some(PhoneNumber), None), (None, Some("account_number"))]),
        (
            "Number,consent,consent_at,Name,Contact",
            &[(Some(PhoneNumber), None), (Some(Consent), None), (Some(ConsentAt), None), (Some(Name), None), (None, Some("contact"))],
        ),
        ("phone,rejected_line,rejected_reason", &[(Some(PhoneNumber), None), (None, None), (None, None)]),
    ];
    for (headers, expected) in cases {
        let headers: Vec<String> = headers.split(',').map(str::to_owned).collect();
        let mapping = suggest_mapping(&headers, &[]);
        let found: Vec<_> = mapping.columns.iter().map(|column| (column.field, column.variable.as_deref())).collect();
        assert_eq!(&found, expected, "{headers:?}");
        for (column, header) in mapping.columns.iter().zip(&headers) {
            assert_eq!(&column.header, header);
            assert!((0.0..=1.0).contains(&column.confidence) && !column.why.is_empty());
        }
    }
}

#[test]
fn the_sample_decides_between_phone_columns() {
    let headers = ["Phone", "Tel"].map(str::to_owned);
    let rows = [vec!["home".to_owned(), "212 555 0123".to_owned()], vec!["work".to_owned(), "(212) 555-0124".to_owned()]];
    let mapping = suggest_mapping(&headers, &rows);
    assert_eq!(mapping.column_of(Field::PhoneNumber).unwrap().header, "Tel");
    assert_eq!(mapping.variables().collect::<Vec<_>>(), ["phone"]);
}

#[test]
fn a_messy_csv_goes_in_row_by_row() {
    let text = "Phone,First Name,Last Name,Email,Company,Time Zone,Plan,Note\r\n\
                (212) 555-0101,Ada,Lovelace,ada@example.com,Acme,,gold,\"two\nlines\"\r\n\
                \r\n\
                '2125550102,Zoë,,,,Pacific,,\r\n\
                ,Nobody,,,,,,\r\n\
                ,,,,,,,\r\n\
                3.46E+10,Lost,,,,,,\r\n\
                212-555-0103 ext. 9,Ext,,,,,,\r\n\
                2125550104,Zone,,,,UTC-5,,\r\n\
                2125550105,Many,,,,,,,surplus\r\n\
                2125550106,Spare,,,,,,,,,\r\n\
                2125550107,Last";
    let (contacts, report) = good(text);
    assert_eq!(phones(&contacts), ["+12125550101", "+12125550102", "+12125550103", "+12125550106", "+12125550107"]);
    assert_eq!(
        errors(&report),
        [(6, "Phone", "missing_phone"), (8, "Phone", "digits_lost"), (10, "Time Zone", "unknown_time_zone"), (11, "", "extra_cells")]
    );
    assert_eq!((report.total, report.invalid, report.errors_truncated), (9, 4, false));
    assert_eq!((report.delimiter, report.encoding.as_deref()), (Some(','), Some("UTF-8")));
    let ada = &contacts[0];
    assert_eq!(
        (ada.name.as_deref(), ada.email.as_deref(), ada.company.as_deref()),
        (Some("Ada Lovelace"), Some("ada@example.com"), Some("Acme"))
    );
    assert_eq!(
        Value::Object(ada.variables.clone()),
        json!({"first_name": "Ada", "last_name": "Lovelace", "plan": "gold", "note": "two\nlines"})
    );
    assert_eq!(&*ada.zones.0, "America/New_York");
    assert_eq!((contacts[1].name.as_deref(), &*contacts[1].zones.0), (Some("Zoë"), "America/Los_Angeles"));
    assert_eq!(contacts[2].variables["extension"], "9");
    assert!(contacts.iter().all(|contact| contact.source == ContactSource::CsvImport));
}

#[test]
fn errors_are_capped_but_counted() {
    let text = format!("phone\n{}", "none\n".repeat(30));
    let (_, report) = import(text.as_bytes(), ImportOptions { max_errors: 7, ..us() }).unwrap();
    assert_eq!((report.invalid, report.total, report.errors.len(), report.errors_truncated), (30, 30, 7, true));
}

#[test]
fn encodings_and_separators_are_found() {
    let text = "Teléfono;Nombre;Importe\n2125550101;José Núñez;1,50\n2125550102;Zoë;2,50\n";
    let utf16 = |big: bool, bom: bool| -> Vec<u8> {
        let text = format!("{}{text}", if bom { "\u{feff}" } else { "" });
        text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("UTF-8", text.into()),
        ("UTF-8", format!("\u{feff}{text}").into()),
        ("UTF-8", format!("sep=;\r\n{text}").into()),
        ("UTF-8", format!("\u{feff}sep=;\r\n{text}").into()),
        ("UTF-16LE", utf16(false, true)),
        ("UTF-16LE", utf16(false, false)),
        ("UTF-16BE", utf16(true, true)),
        ("UTF-16BE", utf16(true, false)),
        ("windows-1252", encoding_rs::WINDOWS_1252.encode(text).0.into_owned()),
        ("UTF-8", text.replace('\n', "\r").into()),
        ("UTF-8", text.replace('\n', "\r\n").into()),
    ];
    for (encoding, bytes) in cases {
        let (contacts, report) = import(bytes, us()).unwrap();
        assert_eq!((report.encoding.as_deref(), report.delimiter), (Some(encoding), Some(';')));
        assert_eq!(contacts[0].name.as_deref(), Some("José Núñez"), "{encoding}");
        assert_eq!(contacts[1].variables["importe"], "2,50");
        assert_eq!(contacts.len(), 2);
    }
    for delimiter in ['\t', '|', ';', ','] {
        let (contacts, report) = good(&format!("name{delimiter}phone\nAda{delimiter}2125550101\n"));
        assert_eq!((report.delimiter, contacts.len()), (Some(delimiter), 1));
    }
}

#[test]
fn windows_1252_that_shows_late_is_still_read() {
    let mut bytes = b"phone,name\n".to_vec();
    for _ in 0..20_000 {
        bytes.extend_from_slice(b"2125550101,Ada\n");
    }
    bytes.extend_from_slice(b"2125550102,Jos\xE9\n");
    let (contacts, _) = import(bytes, us()).unwrap();
    assert_eq!(contacts.last().unwrap().name.as_deref(), Some("José"));
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    for end in ["\n", "\r\n", "\r"] {
        let text = ["phone,note", "x,1", "", "", "\"y\",\"a", "b\"", "z,2"].join(end);
        let (_, report) = good(&text);
        assert_eq!(report.errors.iter().map(|error| error.line).collect::<Vec<_>>(), [2, 5, 7], "{end:?}");
    }
}

#[test]
fn json_in_its_three_shapes() {
    let one = r#"{"phone": 2125550101, "name": "Ada", "vip": true, "tags": ["a"], "address": {"city": "Paris"}, "empty": null, "variables": {"Plan Name": "gold", "vip": false}}"#;
    let two = r#"{"phone":"+34912345678","amount":1.5,"late key":"x"}"#;
    for text in [
        format!("[{one},\n {two}]"),
        format!("{{\"version\": [1, {{\"contacts\": 0}}], \"contacts\": [{one}, {two},], \"more\": 1}}"),
        format!("{one}\n\n{two}"),
    ] {
        let (contacts, report) = good(&text);
        assert_eq!(phones(&contacts), ["+12125550101", "+34912345678"], "{text}");
        assert_eq!(
            Value::Object(contacts[0].variables.clone()),
            json!({"vip": true, "tags": ["a"], "address": {"city": "Paris"}, "plan_name": "gold"})
        );
        assert_eq!(Value::Object(contacts[1].variables.clone()), json!({"amount": 1.5, "late_key": "x"}));
        assert_eq!((report.total, report.invalid), (2, 0));
        assert_eq!(contacts[0].source, ContactSource::JsonImport);
    }
}

#[test]
fn bad_json_records_cost_only_themselves() {
    let text =
        "[{\"phone\":\"2125550101\"},\n{\"phone\": nope},\n[1],\n{\"phone\":[1]},\n{\"phone\":3.46e10},\n{\"phone\":2125550102.0}\n]";
    let (contacts, report) = good(text);
    assert_eq!(phones(&contacts), ["+12125550101", "+12125550102"]);
    assert_eq!(errors(&report), [(2, "", "invalid_json"), (3, "", "not_an_object"), (4, "phone", "not_text"), (5, "phone", "digits_lost")]);
    let (contacts, report) = good("{\"phone\":\"2125550101\"}\n{\"phone\"\n{\"phone\":\"2125550102\"}\n");
    assert_eq!((contacts.len(), errors(&report)), (2, vec![(2, "", "invalid_json")]));
}

#[test]
fn an_explicit_mapping_overrides_and_is_checked() {
    let mapping = |pairs: &[(&str, &str)]| ImportOptions {
        mapping: Some(pairs.iter().map(|(header, target)| ((*header).to_owned(), (*target).to_owned())).collect::<BTreeMap<_, _>>()),
        ..us()
    };
    let text = "Phone Number,Backup,Customer Name,Appt Date,Secret\n2125550101,2125550102,Ada,Monday,x\n";
    let options = mapping(&[("Backup", "phone_number"), ("customer name", "name"), ("Appt Date", "appointment_date"), ("Secret", "")]);
    let (contacts, report) = import(text.as_bytes(), options).unwrap();
    assert_eq!(phones(&contacts), ["+12125550102"]);
    assert_eq!(Value::Object(contacts[0].variables.clone()), json!({"phone_number": "2125550101", "appointment_date": "Monday"}));
    assert_eq!(contacts[0].name.as_deref(), Some("Ada"));
    assert_eq!(report.mapping.columns[3].header, "Appt Date");

    let error = import(text.as_bytes(), mapping(&[("Customer Nam", "name")])).unwrap_err();
    assert_eq!(error.message(), "the file has no column “Customer Nam”; did you mean “Customer Name”?");
    let error = import(text.as_bytes(), mapping(&[("Backup", "phone"), ("Phone Number", "phone_number")])).unwrap_err();
    assert_eq!(error.message(), "the mapping gives both “Backup” and “Phone Number” to phone_number; map one of them");
}

#[test]
fn files_that_cannot_be_imported_say_why() {
    for (name, text, expected) in [
        ("", "", "the file is empty"),
        ("", " \n\n", "the file is empty"),
        ("", "\u{feff}", "the file is empty"),
        ("", "Name,City\nAda,Paris\n", "no column is recognised as the phone number. The headers are “Name”, “City”."),
        ("", "Name,Ref\nAda,2125550101\n", "“Ref” looks like it."),
        ("a.json", "[]", "the file is empty"),
        ("a.json", "{\"people\":[]}", "no `contacts` array"),
        ("a.json", "garbage", "the file is not JSON"),
        ("a.xlsx", "phone\n1", "named xlsx but is no spreadsheet"),
        ("a.xls", "<html><table>", "web page"),
        ("a.pdf", "%PDF-1.7", "PDF"),
    ] {
        let error = import(text.as_bytes(), named(name)).unwrap_err();
        assert!(error.message().contains(expected), "{text:?}: {error}");
    }
    let error = Importer::open(ImportSource::Path("/nowhere/list.csv".into()), us()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (campaign_core::Kind::NotFound, "the file does not exist (file list.csv)"));
    let error = import("phone\n1".as_bytes(), ImportOptions { default_region: Some("Spain".into()), ..us() }).unwrap_err();
    assert!(error.to_string().contains("default_region"), "{error}");
    // No message shows what could be a number.
    let error = import("name,ask for 2125550101 in the morning\n,\n".as_bytes(), ImportOptions::default()).map(|_| ()).unwrap_err();
    assert!(!error.to_string().contains("2125550101"), "{error}");
}

#[test]
fn a_header_alone_is_a_list_of_nobody() {
    let (contacts, report) = good("phone,name\n");
    assert_eq!((contacts.len(), report.total, report.mapping.columns.len()), (0, 0, 2));
}

#[test]
fn files_without_a_header_and_with_a_title() {
    let (contacts, report) = good("2125550101\n2125550102\n");
    assert_eq!((phones(&contacts), report.total), (vec!["+12125550101", "+12125550102"], 2));
    let (contacts, _) = good("Ada,2125550101,gold\nBob,2125550102,\n");
    assert_eq!(Value::Object(contacts[0].variables.clone()), json!({"column_1": "Ada", "column_3": "gold"}));
    let (contacts, report) = good("Spring campaign,,\n,,\nName,Phone,City\nAda,2125550101,Paris\nBob,x,\n");
    assert_eq!((contacts.len(), contacts[0].variables["city"].as_str()), (1, Some("Paris")));
    assert_eq!(errors(&report), [(5, "Phone", "not_a_number")]);
}

#[test]
fn consent_columns() {
    let text = "phone,consent,consent_at,consent source\n2125550101,yes,2026-02-15,web form\n2125550102,no,2026-02-15,\n2125550103,yes,,\n\
                2125550104,,,\n2125550105,perhaps,,\n2125550106,2026-01-01T10:00:00Z,,\n2125550107,,yesterday,\n";
    let (contacts, report) = good(text);
    let given: Vec<_> = contacts.iter().map(|contact| contact.consent.as_ref().map(|consent| consent.given_at.to_string())).collect();
    let expected = [Some("2026-02-15T00:00:00Z"), None, None, None, Some("2026-01-01T10:00:00Z")];
    assert_eq!(given.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    assert_eq!(contacts[0].consent.as_ref().unwrap().source.as_deref(), Some("web form"));
    assert_eq!(errors(&report), [(6, "consent", "invalid_consent"), (8, "consent_at", "invalid_consent")]);
    let moment = "2026-03-01T00:00:00Z".parse().unwrap();
    let (contacts, _) = import(text.as_bytes(), ImportOptions { consent_moment: Some(moment), ..us() }).unwrap();
    assert_eq!(contacts[2].consent.as_ref().unwrap().given_at, moment);
}

#[test]
fn rows_added_by_a_call_take_the_same_path() {
    let row = |value: Value| value.as_object().unwrap().clone();
    let rows =
        vec![row(json!({"phone_number": "(212) 555-0101", "Plan": "gold"})), row(json!({"name": "Ada"})), row(json!({"mobile": "x"}))];
    let (contacts, report) = import(ImportSource::Rows(rows), us()).unwrap();
    assert_eq!(
        (phones(&contacts), contacts[0].variables["plan"].as_str(), contacts[0].source),
        (vec!["+12125550101"], Some("gold"), ContactSource::Api)
    );
    assert_eq!(errors(&report), [(2, "phone_number", "missing_phone"), (3, "mobile", "not_a_number")]);
    let (contacts, report) = import(ImportSource::Rows(Vec::new()), us()).unwrap();
    assert_eq!((contacts.len(), report.total, report.format), (0, 0, None));
}

#[test]
fn objects_of_one_file_may_name_the_same_thing_differently() {
    let many: Vec<Value> = (0..300).map(|n| json!({ "phone_number": format!("+1212{:07}", 5_550_000 + n), "name": "Ada" })).collect();
    let late = json!({ "mobile": "(212) 555-0901", "full_name": "Bob", "plan": "gold" });
    // Whether the other name comes early or late.
    for rows in [[many.clone(), vec![late.clone()]].concat(), [vec![late], many.clone()].concat()] {
        let (contacts, report) = good(&json!(rows).to_string());
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        let bob = contacts.iter().find(|contact| contact.phone.as_str() == "+12125550901").unwrap();
        assert_eq!((bob.name.as_deref(), bob.variables.len(), bob.variables["plan"].as_str()), (Some("Bob"), 1, Some("gold")));
        assert_eq!(contacts.iter().filter(|contact| contact.name.as_deref() == Some("Ada")).count(), 300);
    }
    // Both in one object: the surer is the number, the other is kept. An own key without a value is none that another may stand in for.
    let rows = json!([{ "phone_number": "+12125550101", "mobile": "+12125550102" }, { "phone_number": "", "mobile": "+12125550103" }]);
    let (contacts, report) = good(&rows.to_string());
    assert_eq!((phones(&contacts), contacts[0].variables["mobile"].as_str()), (vec!["+12125550101"], Some("+12125550102")));
    assert_eq!(errors(&report)[0].2, "missing_phone");
    // What the caller has decided stays decided.
    let mapping = BTreeMap::from([("home".to_owned(), "phone_number".to_owned())]);
    let rows = json!([{ "home": "+12125550101" }, { "mobile": "+12125550102" }]);
    let (contacts, report) = import(rows.to_string().as_bytes(), ImportOptions { mapping: Some(mapping), ..us() }).unwrap();
    assert_eq!((phones(&contacts), errors(&report)[0].2), (vec!["+12125550101"], "missing_phone"));
}

#[test]
fn confidence_is_written_in_hundredths() {
    let headers = ["Phone Number", "Customer Name", "Customer Mobile Phone", "E-Mail"].map(str::to_owned);
    // A column of numbers of which some are none is a little less sure.
    let rows: Vec<Vec<String>> = (0..7).map(|n| vec![if n < 5 { "212-555-0101" } else { "?" }.to_owned()]).collect();
    let mapping = suggest_mapping(&headers, &rows);
    assert!(mapping.columns.iter().any(|column| column.confidence < 1.0));
    for (column, written) in mapping.columns.iter().zip(serde_json::to_value(&mapping).unwrap()["columns"].as_array().unwrap()) {
        let text = written["confidence"].to_string();
        assert!(text.len() <= 4 && (text.parse::<f32>().unwrap() - column.confidence).abs() <= 0.005, "{}: {text}", column.header);
    }
}

#[test]
fn rejected_rows_are_written_repaired_and_imported() {
    for (text, wrong, right) in [
        ("Phone,Name,\"a \"\"b\"\"\"\n2125550101,Ada,\n555,\"Bob, Jr\",x\n", "555,", "2125550102,"),
        ("555,\"Bob, Jr\",x\n2125550101,Ada,\n", "555,", "2125550102,"),
        ("Phone;Name;City\n2125550101;Ada;\n2125550102;\"Bob, Jr\";x;y\n", ",y\n", "\n"),
        ("[{\"phone\":\"2125550101\"},{\"phone\":\"555\",\"name\":\"Bob, Jr\",\"tags\":[1]}]", "555,", "2125550102,"),
    ] {
        let sink = Sink::default();
        let headerless = text.starts_with("555");
        let text = if headerless { text.replacen("555,", "5550000,", 1) } else { text.to_owned() };
        let wrong = if headerless { "5550000," } else { wrong };
        let (contacts, report) = import(text.as_bytes(), ImportOptions { rejects: Some(Box::new(sink.clone())), ..us() }).unwrap();
        assert_eq!((contacts.len(), report.invalid), (1, 1), "{text}");
        let written = sink.text();
        assert!(written.contains(&report.errors[0].code) && written.contains("rejected_reason"), "{written}");
        assert!(written.contains(wrong), "{written}");
        let (contacts, report) = import(written.replace(wrong, right).as_bytes(), us()).unwrap();
        assert_eq!((phones(&contacts), report.invalid), (vec!["+12125550102"], 0), "{written}");
        let kept = contacts[0].name.as_deref().or(contacts[0].variables.get("column_2").and_then(Value::as_str));
        assert_eq!(kept, Some("Bob, Jr"), "{written}");
        assert!(contacts[0].variables.keys().all(|name| !name.starts_with("rejected")));
    }
    let sink = Sink::default();
    good("phone\n2125550101\n");
    import("phone\n2125550101\n".as_bytes(), ImportOptions { rejects: Some(Box::new(sink.clone())), ..us() }).unwrap();
    assert_eq!(sink.text(), "", "nothing is written when nothing is rejected");
}

#[test]
fn the_report_counts_what_the_store_answers_and_survives_the_wire() {
    use campaign_core::id::ContactId;
    use campaign_core::store::Added;
    let mut importer = Importer::open("phone\n2125550101\n2125550102\nx\n".as_bytes().into(), us()).unwrap();
    importer.next_batch(10).unwrap();
    let id = ContactId(1);
    importer.report().record(&[Added::New(id), Added::Duplicate(id), Added::Updated(id), Added::Suppressed(id)]);
    let progress = importer.progress();
    assert_eq!((progress.rows, progress.bytes_read, progress.total_bytes), (3, 30, Some(30)));
    let report = importer.into_report();
    assert_eq!((report.imported, report.duplicates, report.updated, report.suppressed, report.invalid), (1, 1, 1, 1, 1));
    let wire = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ImportReport>(&wire).unwrap(), report);
}
