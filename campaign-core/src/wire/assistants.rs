//! Assistants by configuration, inwards; what one in another language is told and what it answers; the telephone's relay.

use super::{Object, flat, read};
use crate::assistant::relay::Spoken;
use crate::assistant::{Answer, Assistant, Dialogue, Line, Piece, ScriptedAssistant, Tool, Turn};
use crate::contact::NewContact;
use crate::conversation::ToolCall;
use crate::engine::RelayCommand;
use crate::error::{Error, Kind, Result};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// An assistant from its description, an object with one member: `openai` (`model`, and when they differ from the defaults `base_url`,
/// `api_key`, `extra` and `timeout` in seconds) or `scripted` (`answers`, one after the other; `rules`, each with `contains` and `says`; and
/// `otherwise`). Any other description is the calling language's own, and `own` makes the assistant.
///
/// What a scripted assistant says is a text, or a list of texts and of objects with `tool` and `arguments`, or with `fails`, a message.
///
/// # Errors
/// [`Kind::Invalid`] with the field that is wrong, and never with its value; what `own` reports.
pub fn assistant(description: Value, own: &mut dyn FnMut(Object) -> Result<Arc<dyn Assistant>>) -> Result<Arc<dyn Assistant>> {
    let mut description: Object = read("assistant", description)?;
    if let Some(script) = description.remove("scripted") {
        return scripted(read("assistant", script)?);
    }
    match description.remove("openai") {
        Some(options) => openai(read("assistant", options)?),
        None => own(description),
    }
}

/// Says what is wrong with a description of [`assistant`], before there is anything to open.
///
/// # Errors
/// As [`assistant`].
pub fn check_assistant(description: Value) -> Result<()> {
    let mut own = |_| Ok(Arc::new(ScriptedAssistant::new()) as Arc<dyn Assistant>);
    assistant(description, &mut own).map(drop)
}

#[cfg(feature = "openai")]
fn openai(options: Object) -> Result<Arc<dyn Assistant>> {
    use crate::assistant::{OpenAiAssistant, OpenAiOptions};
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Form {
        base_url: String,
        api_key: Option<String>,
        model: String,
        extra: Object,
        timeout: f64,
    }
    impl Default for Form {
        fn default() -> Self {
            let OpenAiOptions { base_url, api_key, model, extra, timeout } = OpenAiOptions::default();
            Self { base_url, api_key, model, extra, timeout: timeout.as_secs_f64() }
        }
    }
    let Form { base_url, api_key, model, extra, timeout } = super::providers::settings(options)?;
    let timeout = super::dialing::seconds(timeout).filter(|time| !time.is_zero());
    let timeout = timeout.ok_or_else(|| Error::invalid("timeout", "must be a number of seconds above 0"))?;
    Ok(Arc::new(OpenAiAssistant::new(OpenAiOptions { base_url, api_key, model, extra, timeout })?))
}

#[cfg(not(feature = "openai"))]
fn openai(_: Object) -> Result<Arc<dyn Assistant>> {
    Err(Error::new(Kind::Invalid, "this build has no assistant that speaks chat completions"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptForm {
    #[serde(default)]
    answers: Vec<Says>,
    #[serde(default)]
    rules: Vec<RuleForm>,
    otherwise: Option<Says>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    contains: String,
    says: Says,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Says {
    One(LineForm),
    Several(Vec<LineForm>),
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum LineForm {
    Text(String),
    Tool {
        tool: String,
        #[serde(default)]
        arguments: Object,
    },
    Fails {
        fails: String,
    },
}

impl Says {
    fn lines(self) -> Vec<Line> {
        let lines = match self {
            Self::One(line) => vec![line],
            Self::Several(lines) => lines,
        };
        lines
            .into_iter()
            .map(|line| match line {
                LineForm::Text(text) => Line::Says(text),
                LineForm::Tool { tool, arguments } => Line::Does(tool, Value::Object(arguments)),
                LineForm::Fails { fails } => Line::Fails(Error::new(Kind::User, fails)),
            })
            .collect()
    }
}

fn scripted(mut script: Object) -> Result<Arc<dyn Assistant>> {
    script.retain(|_, value| !value.is_null());
    let ScriptForm { answers, rules, otherwise } = read("assistant", Value::Object(script))?;
    let assistant = ScriptedAssistant::new().otherwise(otherwise.map(Says::lines).unwrap_or_default());
    for RuleForm { contains, says } in rules {
        let contains = contains.to_lowercase();
        assistant.on(move |dialogue| {
            let said = dialogue.turns.iter().rev().find_map(|turn| match turn {
                Turn::Person(text) => Some(text.to_lowercase()),
                _ => None,
            });
            // What was asked for in this turn has been done: a rule is about what the person said.
            let fresh = matches!(dialogue.turns.last(), Some(Turn::Person(_)));
            said.filter(|said| fresh && said.contains(&contains)).map(|_| says.clone().lines())
        });
    }
    for says in answers {
        assistant.next(says.lines());
    }
    Ok(Arc::new(assistant))
}

/// Everything an assistant needs for its next turn.
///
/// `turns` are objects with `role`: `person` and `assistant` with `text`, `tool` with `id`, `tool` (its name) and `arguments`, `result` with
/// `id` and `text`. `tools` have `name`, `description` and `parameters`, a JSON Schema. `instructions` is prompt, agenda and the rules of the
/// channel as one text.
pub fn dialogue(dialogue: &Dialogue) -> Value {
    let Dialogue { channel, campaign_id, campaign_name, contact_id, person, system_prompt, agenda, turns, tools, max_characters, options } =
        dialogue;
    let NewContact { phone, name, email, company, variables, .. } = &**person;
    let turns: Vec<Value> = turns
        .iter()
        .map(|turn| match turn {
            Turn::Person(text) => json!({ "role": "person", "text": text }),
            Turn::Assistant(text) => json!({ "role": "assistant", "text": text }),
            Turn::Tool(ToolCall { id, name, arguments }) => json!({ "role": "tool", "id": id, "tool": name, "arguments": arguments }),
            Turn::Result { id, text } => json!({ "role": "result", "id": id, "text": text }),
        })
        .collect();
    let tools: Vec<Value> = tools
        .iter()
        .map(|tool: &Tool| json!({ "name": tool.name(), "description": tool.description(), "parameters": tool.parameters() }))
        .collect();
    json!({
        "channel": channel,
        "campaign_id": campaign_id,
        "campaign_name": campaign_name,
        "contact_id": contact_id,
        "phone_number": phone,
        "contact_name": name,
        "email": email,
        "company": company,
        "variables": variables,
        "system_prompt": system_prompt,
        "agenda": agenda,
        "turns": turns,
        "tools": tools,
        "max_characters": max_characters,
        "instructions": dialogue.instructions(),
        "options": flat(options),
    })
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PieceForm {
    Text(String),
    Tool(ToolForm),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolForm {
    tool: String,
    arguments: Option<Object>,
    id: Option<String>,
}

/// A piece of an answer: a text, or an object with `tool`, `arguments` and, when the model named one, `id`; otherwise it is `call-` and
/// `number`, which must differ within an answer.
///
/// # Errors
/// [`Kind::User`] for anything else.
pub fn piece(value: Value, number: usize) -> Result<Piece> {
    // What is wrong with it is not repeated: it is what somebody said to a person.
    let misunderstood = |_| Error::new(Kind::User, "a piece of the assistant's answer is neither a text nor a tool with its arguments");
    Ok(match serde_json::from_value(value).map_err(misunderstood)? {
        PieceForm::Text(text) => Piece::Text(text),
        PieceForm::Tool(ToolForm { tool, arguments, id }) => Piece::Tool(ToolCall {
            id: id.unwrap_or_else(|| format!("call-{number}")),
            name: tool,
            arguments: Value::Object(arguments.unwrap_or_default()),
        }),
    })
}

/// An answer whose pieces are asked for one after the other, each as for [`piece`]; null is its end.
pub fn answer<F>(next: impl FnMut() -> F + Send + 'static) -> Answer
where
    F: Future<Output = Result<Value>> + Send + 'static,
{
    let mut number = 0;
    let pieces = futures_util::stream::repeat_with(next).then(|told| told).take_while(|told| {
        let goes_on = !matches!(told, Ok(Value::Null));
        async move { goes_on }
    });
    pieces
        .map(move |told| {
            number += 1;
            piece(told?, number)
        })
        .boxed()
}

/// What was said in a call: `author`, `at`, `text`, and `tool` with `name` and `arguments` when the assistant asked for something.
pub fn spoken(spoken: &Spoken) -> Value {
    let Spoken { author, at, text, tool } = spoken;
    let tool = tool.as_ref().map(|ToolCall { name, arguments, .. }| json!({ "name": name, "arguments": arguments }));
    json!({ "author": author, "at": at, "text": text, "tool": tool })
}

/// What is to happen in a relay: an object with one member, `receive` (a frame), `say` (a text), `play` (`source`, `times`), `send_digits`,
/// `language` (`spoken`, `understood`) or `end` (what the carrier's next instructions get).
///
/// # Errors
/// [`Kind::Invalid`] for anything else.
pub fn relay_command(value: Value) -> Result<RelayCommand> {
    // A frame holds what somebody said: it is not repeated.
    serde_json::from_value(value).map_err(|_| Error::invalid("command", "is none that a relay knows, or its arguments do not fit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::{ContactSource, Variables, ZoneKey};
    use crate::id::{CampaignId, ContactId};
    use crate::outcome::Channel;
    use crate::phone::PhoneNumber;

    fn asked(turns: Vec<Turn>) -> Dialogue {
        Dialogue {
            channel: Channel::Call,
            campaign_id: CampaignId(1),
            campaign_name: "Reminders".into(),
            contact_id: ContactId(2),
            person: Arc::new(NewContact {
                phone: PhoneNumber::from_e164("+12125550123").unwrap(),
                name: Some("Ana".to_owned()),
                email: None,
                company: None,
                zones: ZoneKey::unknown(),
                variables: Variables::new(),
                consent: None,
                source: ContactSource::Api,
            }),
            system_prompt: "You are Eva.".to_owned(),
            agenda: None,
            turns,
            tools: Tool::of(Channel::Call),
            max_characters: None,
            options: Arc::default(),
        }
    }

    async fn answer(assistant: &Arc<dyn Assistant>, turns: Vec<Turn>) -> String {
        let pieces: Vec<_> = assistant.answer(asked(turns)).await.unwrap().collect().await;
        pieces
            .into_iter()
            .map(|piece| match piece {
                Ok(Piece::Text(text)) => text,
                Ok(Piece::Tool(call)) => format!("[{} {}]", call.name, call.arguments),
                Err(error) => format!("<{}>", error.message()),
            })
            .collect()
    }

    #[tokio::test]
    async fn scripts_say_what_they_are_told() {
        let script = json!({ "scripted": {
            "answers": ["First.", ["I note it. ", { "tool": "book", "arguments": { "what": "a table" } }]],
            "rules": [{ "contains": "OPEN", "says": "At nine." }],
            "otherwise": { "fails": "no idea" },
        } });
        let made = assistant(script, &mut |_| panic!("it is described")).unwrap();
        let person = |text: &str| vec![Turn::Person(text.to_owned())];
        assert_eq!(answer(&made, person("When do you open?")).await, "At nine.");
        assert_eq!(answer(&made, person("Hi")).await, "First.");
        assert_eq!(answer(&made, person("Hi")).await, r#"I note it. [book {"what":"a table"}]"#);
        assert_eq!(answer(&made, person("Hi")).await, "<no idea>");
        assert_eq!(check_assistant(json!({ "scripted": { "answer": [] } })).unwrap_err().kind(), Kind::Invalid);
    }

    #[cfg(feature = "openai")]
    #[test]
    fn options_are_checked_and_keys_not_shown() {
        let field = |value: Value| {
            let error = check_assistant(json!({ "openai": value })).unwrap_err();
            assert!(!format!("{error:?}").contains("sk-"), "{error:?}");
            error.context().iter().find(|(name, _)| *name == "field").map(|(_, value)| value.clone()).unwrap_or_default()
        };
        assert_eq!(field(json!({})), "model");
        assert_eq!(field(json!({ "model": "m", "timeout": 0 })), "timeout");
        assert_eq!(field(json!({ "model": "m", "timeout": "sk-1" })), "timeout");
        assert_eq!(field(json!({ "model": "m", "api_kee": "sk-1" })), "api_kee");
        check_assistant(json!({ "openai": { "model": "m", "api_key": "sk-1", "extra": { "temperature": 0.2 } } })).unwrap();
    }

    #[test]
    fn what_is_told_and_answered_has_a_form() {
        let call = ToolCall { id: "1".to_owned(), name: "book".to_owned(), arguments: json!({ "what": "x" }) };
        let told = dialogue(&asked(vec![
            Turn::Assistant("Hi".to_owned()),
            Turn::Person("A table".to_owned()),
            Turn::Tool(call),
            Turn::Result { id: "1".to_owned(), text: "Noted".to_owned() },
        ]));
        let roles: Vec<&str> = told["turns"].as_array().unwrap().iter().filter_map(|turn| turn["role"].as_str()).collect();
        assert_eq!(roles, ["assistant", "person", "tool", "result"]);
        assert_eq!((told["contact_name"].as_str(), told["tools"].as_array().map(Vec::len)), (Some("Ana"), Some(4)));
        assert!(told["instructions"].as_str().unwrap().contains("You are Eva."));
        assert!(piece(json!("Hi "), 0).unwrap() == Piece::Text("Hi ".to_owned()));
        let Piece::Tool(call) = piece(json!({ "tool": "end_call" }), 3).unwrap() else { panic!("a tool") };
        assert_eq!((call.id.as_str(), call.name.as_str(), call.arguments), ("call-3", "end_call", json!({})));
        let error = piece(json!({ "text": "+12125550123" }), 0).unwrap_err();
        assert!(error.kind() == Kind::User && !format!("{error:?}").contains("555"), "{error:?}");
    }

    #[test]
    fn commands_of_a_relay_are_read() {
        for (value, good) in [
            (json!({ "receive": "{}" }), true),
            (json!({ "play": { "source": "https://a.example/x.mp3", "times": 2 } }), true),
            (json!({ "play": { "source": "https://a.example/x.mp3" } }), true),
            (json!({ "language": { "spoken": "es-ES" } }), true),
            (json!({ "end": { "transfer": "+12125550123" } }), true),
            (json!({ "sing": "+12125550123" }), false),
            (json!("receive"), false),
        ] {
            let read = relay_command(value.clone());
            assert_eq!(read.is_ok(), good, "{value}");
            assert!(!format!("{read:?}").contains("555"), "{read:?}");
        }
    }
}
