//! Functions out of stack traces.

use super::mask;

/// Lines of a stack trace that are looked at.
const MOST_LINES: usize = 400;

/// The functions of a stack trace, the innermost first, without line numbers and addresses.
pub(super) fn frames(stack_trace: &str) -> Vec<String> {
    let lines: Vec<&str> = stack_trace.lines().take(MOST_LINES).collect();
    let found: Vec<(String, bool)> = (0..lines.len()).filter_map(|at| frame(&lines, at)).collect();
    let innermost_last = found.iter().any(|(_, last)| *last);
    let mut names: Vec<String> = found.into_iter().map(|(name, _)| mask(&name)).collect();
    if innermost_last {
        names.reverse();
    }
    names
}

/// The function of one line, and whether the language puts the innermost last.
fn frame(lines: &[&str], at: usize) -> Option<(String, bool)> {
    let raw = lines.get(at)?;
    let line = raw.trim();
    if let Some(rest) = line.strip_prefix("at ") {
        return at_function(rest).map(|f| (f, false));
    }
    if let Some(rest) = line.strip_prefix("File \"") {
        return python(rest).map(|f| (f, true));
    }
    if let Some(rest) = line.strip_prefix('#') {
        return php(rest).map(|f| (f, false));
    }
    let other = ruby(line).or_else(|| go(line, lines.get(at + 1)?)).or_else(|| rust(line));
    other.map(|f| (f, false))
}

/// Java `pkg.Class.method(File.java:12)`, .NET `Ns.Class.Method(String a) in /a/b.cs:line 12`, JavaScript
/// `method (/a/b.js:1:2)` and `/a/b.js:1:2`. The source line that follows a Rust frame looks like the last
/// and is left out.
fn at_function(rest: &str) -> Option<String> {
    let head = rest.split('(').next()?.trim();
    if head.contains(".rs:") {
        return None;
    }
    let name = if head.contains(['/', '\\']) && !rest.contains('(') { file_of(head) } else { head };
    // `app//pkg.Class` names a class loader or module first.
    let name = name.rsplit('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Python `a/b.py", line 12, in function`.
fn python(rest: &str) -> Option<String> {
    let (path, after) = rest.split_once('"')?;
    let function = after.split_once(", in ").map_or("", |(_, f)| f.trim());
    Some(format!("{}:{function}", file_of(path)))
}

/// PHP `0 /a/b.php(12): Class->method('x')`.
fn php(rest: &str) -> Option<String> {
    let (number, after) = rest.split_once(' ')?;
    number.parse::<u32>().ok()?;
    let function = after.split_once("): ").map_or(after, |(_, f)| f);
    let name = function.split('(').next()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Ruby ``a/b.rb:12:in `method'``.
fn ruby(line: &str) -> Option<String> {
    let (place, function) = line.split_once(":in ")?;
    let function = function.trim_matches(['`', '\'', '"']);
    let (path, number) = place.rsplit_once(':')?;
    number.parse::<u32>().ok()?;
    let path = path.strip_prefix("from ").unwrap_or(path);
    Some(format!("{}:{function}", file_of(path)))
}

/// Go `pkg.Type.method(0x1, …)`, followed by an indented `/a/b.go:12 +0x3`.
fn go(line: &str, next: &str) -> Option<String> {
    let is_place = next.starts_with(['\t', ' ']) && next.contains(".go:");
    if !is_place {
        return None;
    }
    let line = line.strip_prefix("created by ").unwrap_or(line);
    let name = line.split(" in goroutine ").next()?;
    // Methods have parentheses in their names: `pkg.(*Type).method(…)`.
    let end = if name.ends_with(')') { name.rfind('(')? } else { name.len() };
    name.get(..end).filter(|n| !n.is_empty()).map(str::to_owned)
}

/// Rust `12: module::function` or `12: 0x7f… - module::function::h0123456789abcdef`.
fn rust(line: &str) -> Option<String> {
    let (number, after) = line.split_once(": ")?;
    number.parse::<u32>().ok()?;
    let name = after.rsplit(" - ").next()?.trim();
    let hash = name.rsplit_once("::h").filter(|(_, h)| h.len() == 16);
    let name = hash.map_or(name, |(name, _)| name);
    (!name.is_empty()).then(|| name.to_owned())
}

/// The last part of a path, without line and column.
fn file_of(path: &str) -> &str {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.split(':').next().unwrap_or(file)
}
