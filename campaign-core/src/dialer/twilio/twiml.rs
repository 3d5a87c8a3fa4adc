//! Instructions for calls in Twilio's XML.

use std::fmt::Write as _;

/// The longest instructions that a request may carry, in characters.
pub(super) const LONGEST: usize = 4_000;

/// A document that is being written.
pub(super) struct Twiml {
    text: String,
    open: Vec<&'static str>,
}

/// Attributes of an element; those without a value are left out.
pub(super) type Attributes<'a> = [(&'a str, Option<&'a str>)];

impl Twiml {
    pub(super) fn new() -> Self {
        Self { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response>".to_owned(), open: vec!["Response"] }
    }

    /// An element without contents.
    pub(super) fn empty(&mut self, name: &str, attributes: &Attributes<'_>) -> &mut Self {
        self.tag(name, attributes, "/>")
    }

    /// An element with a text in it.
    pub(super) fn text(&mut self, name: &str, attributes: &Attributes<'_>, text: &str) -> &mut Self {
        self.tag(name, attributes, ">");
        escape(&mut self.text, text);
        // Writing to a String cannot fail.
        let _ = write!(self.text, "</{name}>");
        self
    }

    /// The beginning of an element; what follows is inside of it, up to [`Twiml::close`].
    pub(super) fn open(&mut self, name: &'static str, attributes: &Attributes<'_>) -> &mut Self {
        self.open.push(name);
        self.tag(name, attributes, ">")
    }

    /// The end of the element that was opened last.
    pub(super) fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            let _ = write!(self.text, "</{name}>");
        }
        self
    }

    /// The whole document.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn tag(&mut self, name: &str, attributes: &Attributes<'_>, end: &str) -> &mut Self {
        let _ = write!(self.text, "<{name}");
        for (key, value) in attributes {
            let Some(value) = value else { continue };
            let _ = write!(self.text, " {key}=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
        self.text.push_str(end);
        self
    }
}

/// Whether a text is a name that an attribute may have, so that options cannot break out of the document.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Appends a text so that it stands for itself, in contents and in attributes. Characters that XML 1.0 has no way to write are left out.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // As they are, they would be spaces inside of an attribute.
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_for_themselves() {
        let mut twiml = Twiml::new();
        twiml.open("Connect", &[("action", Some("https://a.example/?x=1&y=2")), ("method", None)]);
        twiml.empty("Parameter", &[("name", Some("\"><Hangup/>")), ("value", Some("a\nb"))]);
        twiml.close().text("Say", &[], "Tom & Ada <3 'you'\u{0}\u{b}\u{ffff}😀");
        assert_eq!(
            twiml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Connect action=\"https://a.example/?x=1&amp;y=2\">\
             <Parameter name=\"&quot;&gt;&lt;Hangup/&gt;\" value=\"a&#10;b\"/></Connect>\
             <Say>Tom &amp; Ada &lt;3 &apos;you&apos;😀</Say></Response>"
        );
        assert!(is_name("ttsProvider") && !is_name("a b") && !is_name("a=\"") && !is_name("") && !is_name("1a"));
    }
}
