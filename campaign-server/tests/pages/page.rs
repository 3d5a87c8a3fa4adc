//! One page: its front matter, components, fields and examples.

use campaign_tests::tree;
use std::collections::BTreeMap;

/// The components that pages use, with the attributes that pages give them.
const COMPONENTS: &[(&str, &[&str])] = &[
    ("Accordion", &["title"]),
    ("AccordionGroup", &[]),
    ("Card", &["title", "icon", "href"]),
    ("CodeGroup", &[]),
    ("Columns", &["cols"]),
    ("Expandable", &["title"]),
    ("Note", &[]),
    ("ParamField", &["path", "query", "body", "header", "type", "required", "default"]),
    ("RequestExample", &[]),
    ("ResponseExample", &[]),
    ("ResponseField", &["name", "type", "required"]),
    ("Step", &["title"]),
    ("Steps", &[]),
    ("Tip", &[]),
    ("Warning", &[]),
];

/// A fenced block.
#[derive(Debug, Clone)]
pub struct Block {
    /// The line of the opening fence, from 1.
    pub line: usize,
    pub language: String,
    pub title: String,
    pub text: String,
}

/// Where a documented field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Path,
    Query,
    Body,
    Header,
    Response,
}

/// A documented field.
#[derive(Debug, Clone)]
pub struct Field {
    pub line: usize,
    pub place: Place,
    /// The names of the fields around it, and its own.
    pub path: Vec<String>,
    pub kind: String,
    pub required: bool,
}

/// Operations that are described together, with their fields.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    pub line: usize,
    /// Method and path.
    pub operations: Vec<(String, String)>,
    pub fields: Vec<Field>,
}

/// What is to be done, in the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Block(usize),
    Wait(i64),
}

#[derive(Debug, Default)]
pub struct Page {
    /// Its path below `docs/`, without the extension.
    pub name: String,
    pub front: BTreeMap<String, String>,
    pub fixture: Vec<String>,
    pub blocks: Vec<Block>,
    pub steps: Vec<Step>,
    pub endpoints: Vec<Endpoints>,
    pub anchors: Vec<String>,
    /// Line and target.
    pub links: Vec<(usize, String)>,
}

/// A component's tag.
#[derive(Debug)]
struct Tag {
    name: String,
    attributes: BTreeMap<String, String>,
    closing: bool,
    closed: bool,
}

impl Page {
    /// Reads a page.
    pub fn read(name: &str) -> Self {
        Self::parse(name, &tree::read(format!("docs/{name}.mdx")))
    }

    /// Reads a page's text; panics with file and line at whatever is not understood.
    pub fn parse(name: &str, text: &str) -> Self {
        Reader { page: Self { name: name.to_owned(), ..Self::default() }, open: Vec::new(), fields: Vec::new() }.read(text)
    }

    /// Every page, by name.
    pub fn all() -> Vec<Self> {
        let files = tree::files("docs", "mdx");
        assert!(files.len() > 10, "the pages were not found");
        files.iter().map(|file| Self::read(file.trim_start_matches("docs/").trim_end_matches(".mdx"))).collect()
    }

    /// Where a line is, for messages.
    pub fn at(&self, line: usize) -> String {
        format!("docs/{}.mdx:{line}", self.name)
    }

    /// The block with this language and title.
    pub fn block(&self, language: &str, title: &str) -> Option<usize> {
        self.blocks.iter().position(|block| block.language == language && block.title == title)
    }
}

struct Reader {
    page: Page,
    /// Components that are open, with their lines.
    open: Vec<(usize, String)>,
    /// Fields that are open.
    fields: Vec<String>,
}

impl Reader {
    fn wrong(&self, line: usize, what: &str) -> ! {
        panic!("{}: {what}", self.page.at(line))
    }

    fn read(mut self, text: &str) -> Page {
        let lines: Vec<&str> = text.lines().collect();
        let mut number = self.front_matter(&lines);
        while number < lines.len() {
            let line = lines[number];
            if let Some(info) = line.strip_prefix("```") {
                number = self.block(&lines, number, info);
            } else {
                self.line(number + 1, line);
            }
            number += 1;
        }
        if let Some((line, name)) = self.open.last() {
            self.wrong(*line, &format!("<{name}> is not closed"));
        }
        self.page
    }

    fn front_matter(&mut self, lines: &[&str]) -> usize {
        if lines.first() != Some(&"---") {
            self.wrong(1, "no front matter");
        }
        for (index, line) in lines.iter().enumerate().skip(1) {
            if *line == "---" {
                if let Some((method, path)) = self.page.front.get("api").and_then(|api| api.split_once(' ')) {
                    let operations = vec![(method.to_owned(), path.to_owned())];
                    self.page.endpoints.push(Endpoints { line: index, operations, fields: Vec::new() });
                }
                return index + 1;
            }
            let quoted = line.split_once(": ").and_then(|(key, value)| {
                Some((key, value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).filter(|value| !value.contains('"'))?))
            });
            match quoted {
                Some((key, value)) if ["title", "sidebarTitle", "description", "api"].contains(&key) => {
                    self.page.front.insert(key.to_owned(), value.to_owned());
                }
                _ => self.wrong(index + 1, "front matter is lines of the form: key: \"value\""),
            }
        }
        self.wrong(1, "the front matter has no end")
    }

    fn block(&mut self, lines: &[&str], start: usize, info: &str) -> usize {
        let (language, title) = info.split_once(' ').unwrap_or((info, ""));
        // Shown shortened, with a button that shows the rest.
        let title = title.strip_suffix(" expandable").unwrap_or(title);
        if language.is_empty() || title.is_empty() {
            self.wrong(start + 1, "a block needs a language and a title");
        }
        let Some(length) = lines[start + 1..].iter().position(|line| line.starts_with("```")) else {
            self.wrong(start + 1, "the block has no end")
        };
        let end = start + 1 + length;
        if lines[end] != "```" {
            self.wrong(end + 1, "a block begins inside of a block");
        }
        let inside = self.open.last().map(|(_, name)| name.clone());
        let fits = match inside.as_deref() {
            Some("RequestExample") => language == "bash",
            Some("ResponseExample") => language == "json",
            Some("CodeGroup" | "Step" | "Accordion") | None => true,
            Some(_) => false,
        };
        if !fits {
            self.wrong(start + 1, "a block of this language does not belong here");
        }
        if self.page.block(language, title).is_some() {
            self.wrong(start + 1, "there is a block with this language and title already");
        }
        self.page.steps.push(Step::Block(self.page.blocks.len()));
        self.page.blocks.push(Block {
            line: start + 1,
            language: language.to_owned(),
            title: title.to_owned(),
            text: lines[start + 1..end].join("\n"),
        });
        end
    }

    fn line(&mut self, number: usize, line: &str) {
        let trimmed = line.trim();
        if trimmed.contains("```") || trimmed.starts_with("~~~") {
            self.wrong(number, "a fence is three backticks at the start of its line");
        }
        if line.starts_with("    ") && self.open.is_empty() {
            self.wrong(number, "code by indentation has no language");
        }
        if let Some(comment) = trimmed.strip_prefix("{/*").and_then(|rest| rest.strip_suffix("*/}")) {
            return self.comment(number, comment.trim());
        }
        if let Some(operations) = operations(trimmed) {
            match self.page.endpoints.last_mut() {
                Some(last) if last.fields.is_empty() => last.operations.extend(operations),
                _ => self.page.endpoints.push(Endpoints { line: number, operations, fields: Vec::new() }),
            }
            return;
        }
        if let Some(heading) = trimmed.strip_prefix('#').map(|rest| rest.trim_start_matches('#').trim()) {
            self.page.anchors.push(anchor(heading));
        }
        let Some(prose) = without_code(trimmed) else { self.wrong(number, "a backtick is alone") };
        for target in prose.split("](").skip(1) {
            let Some((target, _)) = target.split_once(')') else { self.wrong(number, "a link has no end") };
            self.page.links.push((number, target.to_owned()));
        }
        if ["RequestExample", "ResponseExample", "CodeGroup"].iter().any(|name| self.open.last().is_some_and(|(_, open)| open == name))
            && !trimmed.is_empty()
            && !trimmed.starts_with("</")
        {
            self.wrong(number, "only blocks belong here");
        }
        self.tags(number, &prose);
    }

    fn comment(&mut self, number: usize, comment: &str) {
        match comment.split_once(": ") {
            Some(("fixture", names)) if self.page.fixture.is_empty() && self.page.blocks.is_empty() => {
                self.page.fixture = names.split(", ").map(str::to_owned).collect();
            }
            Some(("wait", id)) => match id.parse() {
                Ok(id) => self.page.steps.push(Step::Wait(id)),
                Err(_) => self.wrong(number, "wait for which campaign?"),
            },
            _ => self.wrong(number, "a comment that is not understood"),
        }
    }

    fn tags(&mut self, number: usize, prose: &str) {
        let mut rest = prose;
        while let Some(at) = rest.find(['<', '{', '}']) {
            if !rest[at..].starts_with('<') {
                self.wrong(number, "a brace is code in MDX; put it into backticks");
            }
            let Some((tag, after)) = tag(&rest[at + 1..]) else { self.wrong(number, "`<` begins a component in MDX; this is none") };
            rest = after;
            self.tag(number, tag);
        }
    }

    fn tag(&mut self, number: usize, tag: Tag) {
        let Some((_, known)) = COMPONENTS.iter().find(|(name, _)| *name == tag.name) else {
            self.wrong(number, &format!("the component <{}> is not known", tag.name))
        };
        if tag.closing {
            if self.open.pop().is_none_or(|(_, name)| name != tag.name) {
                self.wrong(number, &format!("</{}> closes something else", tag.name));
            }
            if ["ParamField", "ResponseField"].contains(&tag.name.as_str()) {
                self.fields.pop();
            }
            return;
        }
        if let Some(unknown) = tag.attributes.keys().find(|name| !known.contains(&name.as_str())) {
            self.wrong(number, &format!("<{}> has no attribute {unknown}", tag.name));
        }
        if let Some(target) = tag.attributes.get("href") {
            self.page.links.push((number, target.clone()));
        }
        if ["ParamField", "ResponseField"].contains(&tag.name.as_str()) {
            self.field(number, &tag);
        } else if ["Card", "Expandable", "Step", "Accordion"].contains(&tag.name.as_str()) && !tag.attributes.contains_key("title") {
            self.wrong(number, &format!("<{}> needs a title", tag.name));
        }
        if !tag.closed {
            self.open.push((number, tag.name));
        }
    }

    fn field(&mut self, number: usize, tag: &Tag) {
        const PLACES: [(&str, Place); 5] =
            [("path", Place::Path), ("query", Place::Query), ("body", Place::Body), ("header", Place::Header), ("name", Place::Response)];
        let places: Vec<(&String, Place)> =
            PLACES.iter().filter_map(|(name, place)| tag.attributes.get(*name).map(|value| (value, *place))).collect();
        let (&[(name, place)], Some(kind)) = (places.as_slice(), tag.attributes.get("type")) else {
            self.wrong(number, "a field has one name and a type")
        };
        if tag.closed {
            self.wrong(number, "a field needs a description");
        }
        self.fields.push(name.clone());
        let field =
            Field { line: number, place, path: self.fields.clone(), kind: kind.clone(), required: tag.attributes.contains_key("required") };
        match self.page.endpoints.last_mut() {
            Some(endpoints) => endpoints.fields.push(field),
            None => self.wrong(number, "a field of which endpoint?"),
        }
    }
}

/// A line that holds nothing but operations: `GET /path` in backticks, joined by "and".
fn operations(line: &str) -> Option<Vec<(String, String)>> {
    line.split(" and ")
        .map(|part| {
            let (method, path) = part.strip_prefix('`')?.strip_suffix('`')?.split_once(' ')?;
            let known = ["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method) && path.starts_with('/');
            known.then(|| (method.to_owned(), path.to_owned()))
        })
        .collect()
}

/// The text without inline code; `None` when a backtick is left over.
fn without_code(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split('`').collect();
    (parts.len() % 2 == 1).then(|| parts.iter().step_by(2).copied().collect::<Vec<_>>().join("code"))
}

/// A tag and what follows it, after its `<`.
fn tag(text: &str) -> Option<(Tag, &str)> {
    let (closing, mut rest) = match text.strip_prefix('/') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let name = word(&mut rest)?;
    name.chars().next()?.is_ascii_uppercase().then_some(())?;
    let mut attributes = BTreeMap::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return (!closing).then_some((Tag { name, attributes, closing, closed: true }, after));
        }
        if let Some(after) = rest.strip_prefix('>') {
            let whole = !closing || attributes.is_empty();
            return whole.then_some((Tag { name, attributes, closing, closed: false }, after));
        }
        let attribute = word(&mut rest)?;
        let value = match rest.strip_prefix('=') {
            None => String::new(),
            Some(value) => {
                let end = match value.chars().next()? {
                    '"' => '"',
                    '{' => '}',
                    _ => return None,
                };
                let (value, after) = value[1..].split_once(end)?;
                rest = after;
                value.to_owned()
            }
        };
        attributes.insert(attribute, value);
    }
}

fn word(rest: &mut &str) -> Option<String> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    (!word.is_empty()).then(|| word.to_owned())
}

/// The anchor of a heading.
pub fn anchor(heading: &str) -> String {
    let kept: String = heading.to_lowercase().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).collect();
    kept.replace(' ', "-")
}
