//! Reads Rust as far as needed: tokens, `use` trees, paths, inline modules and `#[cfg(test)]`.

use super::rules::Source;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Ident(String),
    /// The inside of a string literal.
    Text(String),
    PathSeparator,
    Punctuation(char),
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

impl Token {
    fn ident(&self) -> Option<&str> {
        match &self.kind {
            Kind::Ident(name) => Some(name),
            _ => None,
        }
    }

    fn is(&self, punctuation: char) -> bool {
        self.kind == Kind::Punctuation(punctuation)
    }
}

/// The tokens that matter here: no comments, no numbers, no character literals, no lifetimes.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_name = |char: char| char.is_alphanumeric() || char == '_';
    let mut found = Vec::new();
    let mut line = 1;
    let mut i = 0;
    while i < chars.len() {
        let start = i;
        let mut kind = None;
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => (kind, i) = string(&chars, i + 1, None),
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            ':' if at(i + 1) == ':' => (kind, i) = (Some(Kind::PathSeparator), i + 2),
            char if char.is_ascii_digit() => {
                while is_name(at(i)) {
                    i += 1;
                }
            }
            char if is_name(char) => {
                while is_name(at(i)) {
                    i += 1;
                }
                let name: String = chars[start..i].iter().collect();
                let hashes = (i..).take_while(|at| chars.get(*at) == Some(&'#')).count();
                let prefix = matches!(name.as_str(), "r" | "b" | "br" | "c" | "cr");
                if prefix && at(i + hashes) == '"' {
                    let raw = name.contains('r').then_some(hashes);
                    (kind, i) = string(&chars, i + hashes + 1, raw);
                } else if name == "r" && hashes == 1 {
                    i += 1; // a raw identifier: its name comes next
                } else {
                    kind = Some(Kind::Ident(name));
                }
            }
            char if char.is_whitespace() || char == '\'' => i += 1,
            char => (kind, i) = (Some(Kind::Punctuation(char)), i + 1),
        }
        found.extend(kind.map(|kind| Token { kind, line }));
        line += chars[start..i.min(chars.len())]
            .iter()
            .filter(|char| **char == '\n')
            .count();
    }
    found
}

/// Reads a string literal up to its end; `raw` is the number of `#` of a raw one.
fn string(chars: &[char], start: usize, raw: Option<usize>) -> (Option<Kind>, usize) {
    let mut i = start;
    while i < chars.len() {
        let end = chars[i] == '"'
            && raw.is_none_or(|hashes| {
                chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes
            });
        if end {
            let text = chars[start..i].iter().collect();
            return (Some(Kind::Text(text)), i + 1 + raw.unwrap_or(0));
        }
        i += if chars[i] == '\\' && raw.is_none() {
            2
        } else {
            1
        };
    }
    (None, chars.len())
}

/// A path that is written in a source, resolved.
#[derive(Debug, PartialEq)]
pub(crate) struct Reference {
    pub(crate) line: usize,
    /// `crate` and the module path, or a crate's name and what is used of it.
    pub(crate) path: Vec<String>,
    /// Below `#[cfg(test)]`.
    pub(crate) test: bool,
}

/// Every path of a source that leads into our crate or into another one.
pub(crate) fn references(path: &str, text: &str) -> Vec<Reference> {
    let tokens = tokens(text);
    let mut module: Vec<String> = path
        .trim_end_matches(".rs")
        .split('/')
        .filter(|part| !matches!(*part, "mod" | "lib" | "main"))
        .map(str::to_owned)
        .collect();
    // Drivers of fuzz targets bring the time along, as tests do.
    let file_is_test = module
        .iter()
        .any(|name| name == "tests" || name == "fuzzing" || name.ends_with("_tests"));
    let mut found = Vec::new();
    let mut depth = 0_usize;
    let mut inline: Vec<usize> = Vec::new(); // depth of each `mod x {`
    let mut tests: Vec<usize> = Vec::new(); // depth of each item below #[cfg(test)]
    let mut pending_test = false;
    let mut i = 0;
    while i < tokens.len() {
        let token = &tokens[i];
        let next = tokens.get(i + 1);
        if let Some(end) = test_attribute(&tokens, i) {
            pending_test = true;
            i = end;
            continue;
        }
        let mut consumed = 1;
        if token.is('{') {
            depth += 1;
            if std::mem::take(&mut pending_test) {
                tests.push(depth);
            }
        } else if token.is('}') {
            while inline.last().is_some_and(|opened| *opened == depth) {
                inline.pop();
                module.pop();
            }
            tests.retain(|opened| *opened != depth);
            depth = depth.saturating_sub(1);
        } else if token.is(';') {
            pending_test = false;
        } else if token.ident() == Some("mod")
            && tokens.get(i + 2).is_some_and(|third| third.is('{'))
        {
            if let Some(name) = next.and_then(Token::ident) {
                module.push(name.to_owned());
                inline.push(depth + 1);
            }
        } else {
            let test = file_is_test || pending_test || !tests.is_empty();
            let mut paths = Vec::new();
            let tree = match (token.ident(), next.and_then(Token::ident)) {
                (Some("use"), _) => Some(i + 1),
                (Some("extern"), Some("crate")) => Some(i + 2),
                _ => None,
            };
            if let Some(begin) = tree {
                let leading = tokens
                    .get(begin)
                    .is_some_and(|token| token.kind == Kind::PathSeparator);
                let begin = begin + usize::from(leading);
                consumed = use_tree(&tokens, begin, &mut Vec::new(), &mut paths) - i;
            } else if token.ident().is_some() && begins_path(&tokens, i) {
                let mut parts = vec![token.ident().unwrap_or_default().to_owned()];
                while tokens
                    .get(i + consumed)
                    .is_some_and(|t| t.kind == Kind::PathSeparator)
                {
                    let Some(part) = tokens.get(i + consumed + 1).and_then(Token::ident) else {
                        break;
                    };
                    parts.push(part.to_owned());
                    consumed += 2;
                }
                paths.push(parts);
            }
            let resolved = paths.into_iter().map(|path| resolve(&module, path));
            found.extend(resolved.map(|path| Reference {
                line: token.line,
                path,
                test,
            }));
        }
        i += consumed.max(1);
    }
    found
}

/// The end of `#[cfg(test)]` or `#[cfg(all(test, …))]` when it begins here.
fn test_attribute(tokens: &[Token], start: usize) -> Option<usize> {
    if !(tokens[start].is('#') && tokens.get(start + 1)?.is('[')) {
        return None;
    }
    if tokens.get(start + 2)?.ident() != Some("cfg") {
        return None;
    }
    let length = tokens[start..].iter().position(|token| token.is(']'))?;
    let names: Vec<&str> = tokens[start..start + length]
        .iter()
        .filter_map(Token::ident)
        .collect();
    let test = names.contains(&"test") && !names.contains(&"not") && !names.contains(&"any");
    test.then_some(start + length + 1)
}

/// True when a path begins at this name: something follows it by `::`, nothing leads to it.
fn begins_path(tokens: &[Token], at: usize) -> bool {
    let follows = tokens
        .get(at + 1)
        .is_some_and(|token| token.kind == Kind::PathSeparator);
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let continues = match before {
        Some(token) if token.kind == Kind::PathSeparator => {
            at.checked_sub(2).is_some_and(|before| {
                let arrow = before
                    .checked_sub(1)
                    .is_some_and(|i| tokens[i].is('-') || tokens[i].is('='));
                tokens[before].is('>') && !arrow
                    || tokens[before].ident().is_some_and(|name| !is_keyword(name))
            })
        }
        Some(token) => token.is('.'),
        None => false,
    };
    follows && !continues
}

fn is_keyword(name: &str) -> bool {
    matches!(
        name,
        "as" | "dyn" | "else" | "for" | "if" | "impl" | "in" | "let" | "match" | "mut" | "return"
    )
}

/// Reads one tree of a `use`, adds its leaves, and returns the place behind it.
fn use_tree(
    tokens: &[Token],
    start: usize,
    prefix: &mut Vec<String>,
    leaves: &mut Vec<Vec<String>>,
) -> usize {
    let own = prefix.len();
    let mut i = start;
    loop {
        match tokens.get(i) {
            Some(token) if token.is('{') => {
                i += 1;
                while tokens.get(i).is_some_and(|token| !token.is('}')) {
                    i = use_tree(tokens, i, prefix, leaves);
                    i += usize::from(tokens.get(i).is_some_and(|token| token.is(',')));
                }
                i += 1;
                break;
            }
            Some(token) if token.is('*') => {
                leaves.push([prefix.as_slice(), &["*".to_owned()]].concat());
                i += 1;
                break;
            }
            Some(Token {
                kind: Kind::Ident(name),
                ..
            }) => {
                if name != "self" || prefix.is_empty() {
                    prefix.push(name.clone());
                }
                i += 1;
                if tokens
                    .get(i)
                    .is_some_and(|token| token.kind == Kind::PathSeparator)
                {
                    i += 1;
                    continue;
                }
                leaves.push(prefix.clone());
                if tokens.get(i).and_then(Token::ident) == Some("as") {
                    i += 2;
                }
                break;
            }
            _ => {
                i += 1;
                break;
            }
        }
    }
    prefix.truncate(own);
    i
}

/// `self` and `super` written out; `crate` stays the first part.
fn resolve(module: &[String], path: Vec<String>) -> Vec<String> {
    let inside = |base: &[String], rest: &[String]| [&["crate".to_owned()], base, rest].concat();
    match path.first().map(String::as_str) {
        Some("self") => inside(module, &path[1..]),
        Some("super") => {
            let up = path.iter().take_while(|part| *part == "super").count();
            inside(&module[..module.len().saturating_sub(up)], &path[up..])
        }
        _ => path,
    }
}

/// The metrics that a source registers: `register("name"`, `register_with_unit("name"`, behind the
/// prefix of `sub_registry_with_prefix("…")` where there is one.
pub(crate) fn metrics(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.text);
    let mut prefix = String::new();
    let mut names = Vec::new();
    for call in tokens.windows(3) {
        let [
            Token {
                kind: Kind::Ident(function),
                ..
            },
            open,
            Token {
                kind: Kind::Text(name),
                ..
            },
        ] = call
        else {
            continue;
        };
        match function.as_str() {
            "sub_registry_with_prefix" if open.is('(') => prefix = format!("{name}_"),
            "register" | "register_with_unit" if open.is('(') => {
                names.push(format!("{prefix}{name}"))
            }
            _ => {}
        }
    }
    names
}
