//! What people call the columns of their contact files.

use super::mapping::{Field, slug};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Headers as people write them, in the languages seen most, with how sure each one is. They are compared as slugs without
/// underscores, so one spelling covers case, accents, spaces and punctuation.
const ALIASES: &[(Field, f32, &[&str])] = &[
    (
        Field::PhoneNumber,
        1.0,
        &["phone", "phone number", "phone no", "phone num", "phone e164", "e164", "msisdn", "customer phone", "contact phone", "phone primary"],
    ),
    (
        Field::PhoneNumber,
        0.95,
        &[
            "mobile", "mobile phone", "mobile number", "mobile no", "cell", "cell phone", "cell number", "cellular", "celular", "numero celular",
            "telefono celular", "movil", "telefono movil", "portable", "telephone portable", "handy", "handynummer", "mobil", "mobilnummer",
            "mobiltelefon", "cellulare", "gsm", "mobiel", "telemovel", "komorka", "手机", "手机号", "手机号码", "携帯電話", "휴대폰", "جوال",
            "мобильный",
        ],
    ),
    (
        Field::PhoneNumber,
        0.9,
        &[
            "tel", "tel no", "tel number", "telephone", "telephone number", "telefono", "numero de telefono", "numero telefono",
            "numero telefonico", "telefone", "numero de telefone", "numero de telephone", "numero telephone", "n telephone", "telefon", "telefonnummer", "rufnummer",
            "numero di telefono", "telefoon", "telefoonnummer", "puhelin", "puhelinnumero", "telefonszam", "whatsapp", "whatsapp number",
            "numero whatsapp", "sms", "sms number", "contact number", "contact no", "fono", "fon", "ph", "phone 1", "phone1", "telefon numarasi",
            "numer telefonu", "dialable number", "телефон", "номер телефона", "电话", "電話", "电话号码", "電話番号", "전화번호", "전화", "هاتف",
            "رقم الهاتف", "फ़ोन", "फोन", "טלפון", "τηλέφωνο", "โทรศัพท์",
        ],
    ),
    (
        Field::PhoneNumber,
        0.75,
        &["home phone", "work phone", "business phone", "office phone", "daytime phone", "evening phone", "landline", "telefono fijo", "telefono casa"],
    ),
    (Field::PhoneNumber, 0.6, &["number", "numero", "nummer", "to", "to number", "destination", "recipient"]),
    (
        Field::Name,
        1.0,
        &[
            "name", "full name", "contact name", "customer name", "client name", "lead name", "patient name", "person name", "display name", "nombre",
            "nombre completo", "nombre y apellido", "nombre y apellidos", "nombre cliente", "nombre del cliente", "nom complet", "nom et prenom",
            "vollstandiger name", "nome", "nome completo", "naam", "volledige naam", "namn", "navn", "nimi", "imie i nazwisko", "ad soyad", "имя",
            "фио", "姓名", "名前", "氏名", "이름", "성명", "الاسم", "नाम", "όνομα",
        ],
    ),
    (Field::Name, 0.6, &["customer", "client", "contact", "lead", "patient", "member", "subscriber", "cliente", "recipient name", "kunde"]),
    (
        Field::FirstName,
        1.0,
        &["first name", "firstname", "fname", "given name", "forename", "first", "primer nombre", "nombres", "prenom", "vorname", "voornaam", "fornamn", "fornavn", "etunimi", "primeiro nome"],
    ),
    (
        Field::LastName,
        1.0,
        &["last name", "lastname", "lname", "surname", "family name", "last", "apellido", "apellidos", "nom de famille", "nachname", "familienname", "cognome", "sobrenome", "achternaam", "efternamn", "etternavn", "sukunimi"],
    ),
    (
        Field::Email,
        1.0,
        &[
            "email", "e mail", "email address", "e mail address", "mail", "mail address", "correo", "correo electronico", "email id", "courriel",
            "adresse email", "adresse e mail", "adresse mail", "email adresse", "e mail adresse", "endereco de email", "indirizzo email", "emailadres",
            "sahkoposti", "почта", "邮箱", "电子邮件", "メール", "メールアドレス", "이메일", "البريد الإلكتروني", "ईमेल",
        ],
    ),
    (
        Field::Company,
        1.0,
        &[
            "company", "company name", "organization", "organisation", "organization name", "organisation name", "employer", "business",
            "business name", "account name", "empresa", "nombre empresa", "nombre de la empresa", "compania", "entreprise", "societe", "firma", "unternehmen", "azienda", "societa", "bedrijf",
            "bedrijfsnaam", "foretag", "yritys", "компания", "公司", "会社", "会社名", "회사", "شركة", "कंपनी",
        ],
    ),
    (
        Field::TimeZone,
        1.0,
        &["time zone", "timezone", "tz", "tz name", "iana time zone", "zona horaria", "huso horario", "fuseau horaire", "zeitzone", "fuso horario", "fuso orario", "tijdzone", "часовой пояс", "时区", "タイムゾーン"],
    ),
    (Field::ConsentAt, 1.0, &["consent at", "consent date", "consent given at", "consented at", "opt in at", "opt in date", "opted in at", "consent timestamp"]),
    (Field::Consent, 1.0, &["consent", "has consent", "consent given", "opt in", "opted in", "consentimiento"]),
    (Field::ConsentSource, 1.0, &["consent source", "opt in source", "consent proof"]),
];

/// Words that make a header a phone column when they stand in it with others, for example "Primary phone (customer)".
const PHONE_WORDS: &[&str] = &[
    "phone", "phones", "mobile", "cell", "cellphone", "tel", "telephone", "telefono", "telefone", "telefon", "celular", "movil", "msisdn", "whatsapp",
];

/// Words beside a phone word that say the column is about the phone, and does not hold it.
const NOT_A_PHONE: &[&str] = &[
    "type", "country", "code", "ext", "extension", "verified", "valid", "carrier", "fax", "opt", "consent", "time", "date", "status", "id", "notes",
    "comment", "model", "provider", "plan", "count", "preferred", "line",
];

/// Words beside a phone word that say it is not the main one.
const SECOND_CHOICE: &[&str] = &["alt", "alternate", "alternative", "secondary", "other", "second", "2", "3", "emergency", "backup", "parent", "spouse"];

static TABLE: LazyLock<HashMap<String, (Field, f32)>> = LazyLock::new(|| {
    let rows = ALIASES.iter().flat_map(|(field, sure, names)| names.iter().map(move |name| (squash(&slug(name)), (*field, *sure))));
    let mut table = HashMap::new();
    for (name, value) in rows.filter(|(name, _)| !name.is_empty()) {
        table.entry(name).or_insert(value);
    }
    table
});

fn squash(slug: &str) -> String {
    slug.chars().filter(|c| *c != '_').collect()
}

/// The field a header (as a slug) names, how sure that is from 0 to 1, and why.
pub(super) fn field_of(slug: &str) -> Option<(Field, f32, &'static str)> {
    if let Some((field, sure)) = TABLE.get(&squash(slug)) {
        return Some((*field, *sure, "the header is a known name of this field"));
    }
    let has = |words: &[&str]| slug.split('_').any(|word| words.contains(&word));
    if !has(PHONE_WORDS) || has(NOT_A_PHONE) {
        return None;
    }
    let sure = if has(SECOND_CHOICE) { 0.6 } else { 0.8 };
    Some((Field::PhoneNumber, sure, "the header contains a word for phone"))
}
