//! The allow-list of the Jinja syntax, checked on what the parser of minijinja itself makes of a template.
//!
//! Two passes. The first counts tokens: the parser and the code generator recurse over chains (`a|b|c`, `elif`, `not not`)
//! without a limit of their own, so long ones are refused before they run. The second walks the tree: whatever is not named
//! here is refused, and so is whatever could make a value grow. Without `set`, macros, calls and repetition, a value is at most
//! as long as the values and literals in its own tag together.

use super::{Fault, Usage, check_source, closest, filters, limits};
use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, ForLoop, Stmt, UnaryOpKind};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

/// Checks a template and lists every use of a variable in the order of the source.
pub(super) fn check(source: &str) -> Result<Vec<Usage>, Fault> {
    check_source(source)?;
    check_tokens(source)?;
    let tree = parse(source, "", SyntaxConfig::default()).map_err(|error| fault_of(&error, source))?;
    let mut walk = Walk { source, scope: Vec::new(), usages: Vec::new() };
    walk.statement(&tree)?;
    Ok(walk.usages)
}

/// A parser's error: its words are about the template's own source, never about values.
pub(super) fn fault_of(error: &minijinja::Error, source: &str) -> Fault {
    Fault::new(offset_of(error, source), error.detail().unwrap_or("the template cannot be read").to_owned())
}

/// Where an error happened, as exactly as it says.
pub(super) fn offset_of(error: &minijinja::Error, source: &str) -> usize {
    let line = || source.split_inclusive('\n').take(error.line().unwrap_or(1).saturating_sub(1)).map(str::len).sum();
    error.range().map_or_else(line, |range| range.start)
}

fn check_tokens(source: &str) -> Result<(), Fault> {
    let (mut statements, mut tokens, mut joined) = (0, 0, 0);
    for token in tokenize(source, false, SyntaxConfig::default()) {
        let (token, span) = token.map_err(|error| fault_of(&error, source))?;
        match token {
            Token::BlockStart => {
                statements += 1;
                (tokens, joined) = (0, 0);
            }
            Token::VariableStart => (tokens, joined) = (0, 0),
            Token::Tilde => joined += 1,
            _ => {}
        }
        tokens += 1;
        let refuse = |message: String| Err(Fault::new(span.start_offset as usize, message));
        if statements > limits::STATEMENTS {
            return refuse(format!("more than {} statements in one template", limits::STATEMENTS));
        }
        if tokens > limits::TAG_TOKENS {
            return refuse(format!("this tag is too long: more than {} words and signs", limits::TAG_TOKENS));
        }
        if joined > limits::JOINED_TEXTS {
            return refuse(format!("more than {} `~` in one tag", limits::JOINED_TEXTS));
        }
    }
    Ok(())
}

struct Walk<'a> {
    source: &'a str,
    /// Names a surrounding `for` defines.
    scope: Vec<&'a str>,
    usages: Vec<Usage>,
}

impl<'a> Walk<'a> {
    fn statements(&mut self, statements: &[Stmt<'a>]) -> Result<(), Fault> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    fn statement(&mut self, statement: &Stmt<'a>) -> Result<(), Fault> {
        let refuse = |offset: u32, what: &str| {
            Err(Fault::new(offset as usize, format!("`{what}` is not available in templates; there are `if` and `for`")))
        };
        match statement {
            Stmt::Template(template) => self.statements(&template.children),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(emit) => self.expression(&emit.expr),
            Stmt::IfCond(condition) => {
                self.expression(&condition.expr)?;
                self.statements(&condition.true_body)?;
                self.statements(&condition.false_body)
            }
            Stmt::ForLoop(each) => self.for_loop(each, each.span().start_offset as usize),
            Stmt::WithBlock(at) => refuse(at.span().start_offset, "with"),
            Stmt::Set(at) => refuse(at.span().start_offset, "set"),
            Stmt::SetBlock(at) => refuse(at.span().start_offset, "set"),
            Stmt::AutoEscape(at) => refuse(at.span().start_offset, "autoescape"),
            Stmt::FilterBlock(at) => refuse(at.span().start_offset, "filter"),
            Stmt::Block(at) => refuse(at.span().start_offset, "block"),
            Stmt::Import(at) => refuse(at.span().start_offset, "import"),
            Stmt::FromImport(at) => refuse(at.span().start_offset, "from"),
            Stmt::Extends(at) => refuse(at.span().start_offset, "extends"),
            Stmt::Include(at) => refuse(at.span().start_offset, "include"),
            Stmt::Macro(at) => refuse(at.span().start_offset, "macro"),
            Stmt::CallBlock(at) => refuse(at.span().start_offset, "call"),
            Stmt::Do(at) => refuse(at.span().start_offset, "do"),
            // Another crate of the build may switch on more statements of minijinja.
            #[allow(unreachable_patterns)]
            _ => Err(Fault::new(0, "a statement that is not available in templates; there are `if` and `for`")),
        }
    }

    fn for_loop(&mut self, each: &ForLoop<'a>, offset: usize) -> Result<(), Fault> {
        if each.recursive {
            return Err(Fault::new(offset, "a `for` cannot be `recursive` in templates"));
        }
        if !is_path(&each.iter) {
            return Err(Fault::new(start(&each.iter), "`for` goes over a list of the contact, like `for item in items`"));
        }
        self.expression(&each.iter)?;
        let outer = self.scope.len();
        match &each.target {
            Expr::Tuple(names) => names.items.iter().try_for_each(|name| self.define(name))?,
            Expr::List(names) => names.items.iter().try_for_each(|name| self.define(name))?,
            name => self.define(name)?,
        }
        if let Some(filter) = &each.filter_expr {
            self.expression(filter)?;
        }
        self.scope.push("loop");
        self.statements(&each.body)?;
        self.scope.truncate(outer);
        self.statements(&each.else_body)
    }

    fn define(&mut self, target: &Expr<'a>) -> Result<(), Fault> {
        match target {
            Expr::Var(name) if name.id != "loop" => {
                self.scope.push(name.id);
                Ok(())
            }
            other => Err(Fault::new(start(other), "`for` needs a plain name other than `loop`, like `for item in items`")),
        }
    }

    fn expression(&mut self, expression: &Expr<'a>) -> Result<(), Fault> {
        match expression {
            Expr::Const(_) => Ok(()),
            Expr::Var(name) => {
                if !self.scope.contains(&name.id) {
                    self.usages.push(Usage { name: name.id.into(), offset: name.span().start_offset as usize });
                }
                Ok(())
            }
            Expr::UnaryOp(unary) => {
                if matches!(unary.op, UnaryOpKind::Neg) {
                    self.need_number(&unary.expr)?;
                }
                self.expression(&unary.expr)
            }
            Expr::BinOp(binary) => {
                match binary.op {
                    BinOpKind::Add | BinOpKind::Sub | BinOpKind::Mul | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem => {
                        self.need_number(&binary.left)?;
                        self.need_number(&binary.right)?;
                    }
                    BinOpKind::Pow => return Err(Fault::new(start(expression), "`**` is not available in templates")),
                    BinOpKind::Eq
                    | BinOpKind::Ne
                    | BinOpKind::Lt
                    | BinOpKind::Lte
                    | BinOpKind::Gt
                    | BinOpKind::Gte
                    | BinOpKind::ScAnd
                    | BinOpKind::ScOr
                    | BinOpKind::Concat
                    | BinOpKind::In => {}
                }
                self.expression(&binary.left)?;
                self.expression(&binary.right)
            }
            Expr::Compare(compare) => {
                self.expression(&compare.expr)?;
                compare.ops.iter().try_for_each(|operand| self.expression(&operand.expr))
            }
            Expr::IfExpr(choice) => {
                self.expression(&choice.true_expr)?;
                self.expression(&choice.test_expr)?;
                choice.false_expr.as_ref().map_or(Ok(()), |expr| self.expression(expr))
            }
            Expr::Filter(filter) => {
                if let Some(inner) = &filter.expr {
                    self.expression(inner)?;
                }
                self.known("filter", filter.name, filters::FILTERS, filter.span().start_offset as usize)?;
                self.arguments(&filter.args)
            }
            Expr::Test(test) => {
                self.expression(&test.expr)?;
                self.known("test", test.name, filters::TESTS, test.span().start_offset as usize)?;
                self.arguments(&test.args)
            }
            Expr::GetAttr(attribute) => self.expression(&attribute.expr),
            Expr::GetItem(item) => {
                self.expression(&item.expr)?;
                self.expression(&item.subscript_expr)
            }
            Expr::List(list) => list.items.iter().try_for_each(|item| self.expression(item)),
            Expr::Tuple(tuple) => tuple.items.iter().try_for_each(|item| self.expression(item)),
            Expr::Call(_) => {
                Err(Fault::new(start(expression), "functions are not available in templates; filters are, like `{{ name|upper }}`"))
            }
            Expr::Slice(_) => Err(Fault::new(start(expression), "slices are not available in templates; use the filter `truncate`")),
            Expr::Map(_) => Err(Fault::new(start(expression), "maps are not available in templates")),
        }
    }

    fn arguments(&mut self, arguments: &[CallArg<'a>]) -> Result<(), Fault> {
        arguments.iter().try_for_each(|argument| match argument {
            CallArg::Pos(value) | CallArg::Kwarg(_, value) => self.expression(value),
            CallArg::PosSplat(value) | CallArg::KwargSplat(value) => {
                Err(Fault::new(start(value), "`*` before an argument is not available in templates"))
            }
        })
    }

    fn known(&self, what: &str, name: &str, names: &[&str], offset: usize) -> Result<(), Fault> {
        if names.contains(&name) {
            return Ok(());
        }
        let hint = closest(name, names.iter().copied())
            .map_or_else(|| format!("there are {}", names.join(", ")), |candidate| format!("did you mean `{candidate}`?"));
        Err(Fault::new(offset, format!("there is no {what} `{name}`; {hint}")))
    }

    /// Arithmetic on texts either fails for some contact or repeats a text without end, so operands must be numbers by their form.
    fn need_number(&self, expression: &Expr<'a>) -> Result<(), Fault> {
        if self.is_number(expression) {
            return Ok(());
        }
        let offset = start(expression);
        let text: String =
            self.source.get(offset..).unwrap_or_default().chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.')).collect();
        let example = if text.is_empty() { "price" } else { &text };
        Err(Fault::new(offset, format!("arithmetic needs numbers: write `{example}|int` or `{example}|float`; texts are joined with `~`")))
    }

    /// Whether an expression is a number whatever the values are.
    fn is_number(&self, expression: &Expr<'_>) -> bool {
        match expression {
            Expr::Const(constant) => constant.value.is_number(),
            Expr::Filter(filter) => matches!(filter.name, "int" | "float" | "round" | "length"),
            Expr::UnaryOp(unary) => matches!(unary.op, UnaryOpKind::Neg) && self.is_number(&unary.expr),
            Expr::BinOp(binary) => matches!(
                binary.op,
                BinOpKind::Add | BinOpKind::Sub | BinOpKind::Mul | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem
            ),
            // Outside a `for`, `loop` is a variable like any other and may hold a text.
            Expr::GetAttr(attribute) => {
                matches!(&attribute.expr, Expr::Var(name) if name.id == "loop")
                    && self.scope.contains(&"loop")
                    && matches!(attribute.name, "index" | "index0" | "revindex" | "revindex0" | "length")
            }
            _ => false,
        }
    }
}

fn start(expression: &Expr<'_>) -> usize {
    // The span of a filter or test is that of its name; what a person looks for is where the expression begins.
    match expression {
        Expr::Filter(filter) => filter.expr.as_ref().map_or(filter.span().start_offset as usize, start),
        Expr::Test(test) => start(&test.expr),
        other => other.span().start_offset as usize,
    }
}

fn is_path(expression: &Expr<'_>) -> bool {
    match expression {
        Expr::Var(_) => true,
        Expr::GetAttr(attribute) => is_path(&attribute.expr),
        Expr::GetItem(item) => is_path(&item.expr),
        _ => false,
    }
}
