//! What the engine itself says to people, in their language, and how a text is made to fit.

/// Languages with sentences of their own; English otherwise.
struct Sentences {
    language: &'static str,
    opted_out: &'static str,
    opted_in: &'static str,
    /// Follows the campaign's name.
    help: &'static str,
}

// One confirmation, without advertising: 47 CFR 64.1200(a)(12). Each also says how to come back.
const SENTENCES: &[Sentences] = &[
    Sentences {
        language: "en",
        opted_out: "You have been unsubscribed and will get no more messages. Reply START to subscribe again.",
        opted_in: "You have been subscribed again. Reply STOP to unsubscribe.",
        help: "Reply STOP to get no more messages.",
    },
    Sentences {
        language: "es",
        opted_out: "Se ha dado de baja y no recibirá más mensajes. Responda START para volver a recibirlos.",
        opted_in: "Vuelve a recibir nuestros mensajes. Responda STOP para darse de baja.",
        help: "Responda STOP para no recibir más mensajes.",
    },
    Sentences {
        language: "fr",
        opted_out: "Vous êtes désinscrit et ne recevrez plus de messages. Répondez START pour vous réinscrire.",
        opted_in: "Vous êtes de nouveau inscrit. Répondez STOP pour vous désinscrire.",
        help: "Répondez STOP pour ne plus recevoir de messages.",
    },
    Sentences {
        language: "de",
        opted_out: "Sie sind abgemeldet und erhalten keine Nachrichten mehr. Mit START melden Sie sich wieder an.",
        opted_in: "Sie sind wieder angemeldet. Mit STOP melden Sie sich ab.",
        help: "Mit STOP erhalten Sie keine Nachrichten mehr.",
    },
    Sentences {
        language: "pt",
        opted_out: "O seu número foi removido e não receberá mais mensagens. Responda START para voltar a receber.",
        opted_in: "Voltará a receber as nossas mensagens. Responda STOP para sair.",
        help: "Responda STOP para não receber mais mensagens.",
    },
    Sentences {
        language: "it",
        opted_out: "La sua iscrizione è cancellata: non riceverà altri messaggi. Risponda START per iscriversi di nuovo.",
        opted_in: "È di nuovo iscritto. Risponda STOP per cancellarsi.",
        help: "Risponda STOP per non ricevere altri messaggi.",
    },
    Sentences {
        language: "nl",
        opted_out: "U bent afgemeld en ontvangt geen berichten meer. Antwoord START om u weer aan te melden.",
        opted_in: "U bent weer aangemeld. Antwoord STOP om u af te melden.",
        help: "Antwoord STOP om geen berichten meer te ontvangen.",
    },
    Sentences {
        language: "pl",
        opted_out: "Numer został wypisany i nie otrzyma więcej wiadomości. Odpisz START, aby zapisać się ponownie.",
        opted_in: "Numer został ponownie zapisany. Odpisz STOP, aby się wypisać.",
        help: "Odpisz STOP, aby nie otrzymywać więcej wiadomości.",
    },
];

fn in_language(language: &str) -> &'static Sentences {
    SENTENCES.iter().find(|sentences| sentences.language == language).unwrap_or(&SENTENCES[0])
}

/// The confirmation of an opt-out.
pub(crate) fn opted_out(language: &str) -> String {
    in_language(language).opted_out.to_owned()
}

/// The confirmation of an opt-in.
pub(crate) fn opted_in(language: &str) -> String {
    in_language(language).opted_in.to_owned()
}

/// The answer to HELP.
pub(crate) fn help(language: &str, name: &str) -> String {
    format!("{name}: {}", in_language(language).help)
}

/// The language most people of a country read, of those the engine has sentences in, ISO 639-1; English where there is none.
pub fn language_of(region: Option<&str>) -> &'static str {
    match region.unwrap_or_default() {
        "ES" | "MX" | "AR" | "CO" | "CL" | "PE" | "VE" | "EC" | "GT" | "CU" | "BO" | "DO" | "HN" | "PY" | "SV" | "NI" | "CR" | "PA"
        | "UY" => "es",
        "FR" | "MC" | "SN" | "CI" | "RE" | "GP" | "MQ" | "GF" => "fr",
        "DE" | "AT" | "LI" => "de",
        "BR" | "PT" | "AO" | "MZ" => "pt",
        "IT" | "SM" | "VA" => "it",
        "NL" | "SR" => "nl",
        "PL" => "pl",
        _ => "en",
    }
}

/// At most so many characters of a text: whole sentences if more than half of the room is used that way, else whole words and three dots.
///
/// ```
/// use campaign_core::conversation::shorten;
///
/// assert_eq!(shorten("We open at nine. We close at five.", 20), "We open at nine.");
/// assert_eq!(shorten("We open at nine in the morning", 20), "We open at nine...");
/// ```
pub fn shorten(text: &str, most: usize) -> String {
    let text = text.trim();
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let end = text.char_indices().nth(most).map_or(text.len(), |(index, _)| index);
    let room = &text[..end];
    let sentence = room
        .char_indices()
        .filter(|(index, character)| {
            let after = *index + character.len_utf8();
            matches!(character, '.' | '!' | '?' | '\n') && text[after..].starts_with(char::is_whitespace)
        })
        .map(|(index, character)| index + character.len_utf8())
        .next_back();
    if let Some(sentence) = sentence
        && sentence * 2 > end
    {
        return room[..sentence].trim_end().to_owned();
    }
    let end = room.char_indices().nth(most.saturating_sub(3)).map_or(room.len(), |(index, _)| index);
    let room = &room[..end];
    let word = room.rfind(char::is_whitespace).filter(|word| word * 2 > end).unwrap_or(end);
    format!("{}...", room[..word].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit() {
        for text in ["", "short", "one two three four five six", &"x".repeat(500), &"né 😀 ".repeat(100), "A. B. C. D. E. F. G. H. I."] {
            for most in [3, 10, 17, 160] {
                let short = shorten(text, most);
                assert!(short.chars().count() <= most, "{short:?} has more than {most} characters");
                assert!(text.trim().is_empty() || !short.is_empty());
            }
        }
    }

    #[test]
    fn every_sentence_fits_and_says_how_to_come_back_or_go() {
        for sentences in SENTENCES {
            assert!(sentences.opted_out.contains("START") && sentences.opted_out.chars().count() <= 160);
            assert!(sentences.opted_in.contains("STOP") && sentences.help.contains("STOP"));
        }
        assert_eq!(language_of(Some("BR")), "pt");
        assert_eq!(language_of(None), "en");
    }
}
