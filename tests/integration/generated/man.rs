//! What a man page is made of: the definitions of the command line, the tables of docs/, and sections of its own.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};
use pushwrap::config::variable;

/// How a subcommand is called; where it has verbs, a line for each.
pub(super) fn usage(subcommand: &Command) -> String {
    let verbs = subcommand.get_subcommands().filter(|verb| !verb.is_hide_set());
    let calls: Vec<String> = verbs
        .map(|verb| {
            let name = format!("pushwrap {} {}", subcommand.get_name(), verb.get_name());
            verb.clone().bin_name(name).render_usage().to_string()
        })
        .collect();
    let name = format!("pushwrap {}", subcommand.get_name());
    let alone = || subcommand.clone().bin_name(name).render_usage().to_string();
    let usage = if calls.is_empty() { alone() } else { calls.join("\n") };
    usage.replace("Usage: ", "")
}

/// The options of the verbs of a subcommand, each under its name.
fn verbs(subcommand: &Command) -> Vec<u8> {
    let mut out = Vec::new();
    for verb in subcommand.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let mut options = Vec::new();
        Man::new(verb.clone()).render_options_section(&mut options).unwrap();
        let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
        let heading = format!(".SH {}\n{about}\n", verb.get_name().to_uppercase());
        out.extend(String::from_utf8(options).unwrap().replace(".SH OPTIONS\n", &heading).into_bytes());
    }
    out
}

/// Which page it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PageOf {
    /// That of the program.
    Program,
    /// That of a subcommand.
    Subcommand,
}

/// The day of the text, as man pages tell it.
const DATE: &str = "2026-11-28";

pub(super) fn page(command: &Command, subject: PageOf) -> Vec<u8> {
    let title = command.get_display_name().unwrap_or(command.get_name()).to_uppercase();
    let source = format!("pushwrap {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone()).title(title).date(DATE).source(source).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    synopsis(command).to_writer(&mut page).unwrap();
    if subject == PageOf::Program {
        sections(DESCRIPTION).to_writer(&mut page).unwrap();
        subcommands(command).to_writer(&mut page).unwrap();
    } else {
        man.render_description_section(&mut page).unwrap();
    }
    man.render_options_section(&mut page).unwrap();
    if subject == PageOf::Program {
        environment(command).to_writer(&mut page).unwrap();
        page.extend(preformatted(&[METRICS_OPENING, &metrics(), &doc("man-sections.txt"), &json("`--summary=json`")]));
    } else {
        page.extend(verbs(command));
        page.extend(preformatted(&[
            &exit_status(command.get_name()),
            &json(&format!("`{} --json`", command.get_name())),
        ]));
    }
    page.extend(preformatted(&[&see_also(command, subject)]));
    tidy(&String::from_utf8(page).unwrap()).into_bytes()
}

/// The sections as roff, examples in .EX and .EE, so that they can be pasted.
fn preformatted(texts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        sections(text).to_writer(&mut out).unwrap();
    }
    out
}

/// A text file of this project.
fn doc(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = if name.contains('/') { root.join(name) } else { root.join("tests/integration").join(name) };
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).replace("\r\n", "\n")
}

/// The subcommands, each with its page.
fn subcommands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["SUBCOMMANDS"]);
    for subcommand in command.get_subcommands() {
        roff.control("TP", []);
        roff.text([bold(format!("pushwrap {}", subcommand.get_name()))]);
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        roff.text([roman(format!("{about}; see pushwrap-{}(1)", subcommand.get_name()))]);
    }
    roff
}

const METRICS_OPENING: &str = "\
= METRICS
All are gauges, except pushwrap_runs_total, which is a counter. 'final' means: in the push after the command has ended.
";

/// The table of docs/metrics.md: a paragraph a row.
fn metrics() -> String {
    let page = doc("docs/metrics.md");
    let table = page.split("<!-- metrics -->").nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    let rows = table.expect("docs/metrics.md has its table").lines().filter(|line| line.starts_with("| `"));
    let paragraph = |row: &str| {
        let cells: Vec<String> =
            row.replace("\\|", "\u{1}").split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect();
        let [_, name, when, meaning, _] = &cells[..] else { panic!("docs/metrics.md: {row}") };
        format!("- {}\n{} ({})\n", plain(name), meaning.trim_end_matches('.'), plain(when))
    };
    rows.map(paragraph).collect()
}

/// The keys of a JSON output, from the paragraph of docs/reference.md that begins with its name, or has it for a heading.
fn json(name: &str) -> String {
    let page = doc("docs/reference.md");
    let paragraphs: Vec<&str> = page.split("\n\n").collect();
    let heading = format!("## {name}");
    let found = paragraphs.iter().enumerate().find_map(|(at, paragraph)| {
        let is_heading = paragraph.trim() == heading;
        if is_heading {
            paragraphs.get(at + 1)
        } else {
            Some(paragraph).filter(|paragraph| paragraph.starts_with(name))
        }
    });
    found.map_or_else(String::new, |paragraph| format!("= JSON\n{}\n", plain(&paragraph.trim().replace('\n', " "))))
}

/// Markdown as text.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn see_also(command: &Command, subject: PageOf) -> String {
    if subject == PageOf::Subcommand {
        return "= SEE ALSO\npushwrap(1)\n".to_owned();
    }
    let pages: Vec<String> = command.get_subcommands().map(|sub| format!("pushwrap-{}(1)", sub.get_name())).collect();
    format!(
        "= SEE ALSO\n{}, timeout(1), curl(1), cron(8), https://github.com/prometheus/pushgateway\n",
        pages.join(", ")
    )
}

/// The longest line of a page's source, by custom.
const WIDTH: usize = 79;

/// A page without what mandoc warns of: one preamble, no break at the end of a section, and no long line but in an example.
fn tidy(page: &str) -> String {
    let mut out: Vec<String> = Vec::new();
    let (mut is_tag, mut is_example) = (false, false);
    for (number, line) in page.lines().enumerate() {
        let is_preamble = line.starts_with(".ie ") || line.starts_with(".el ");
        if is_preamble && number > 1 {
            continue;
        }
        is_example = line == ".EX" || (is_example && line != ".EE");
        let ends_section = line.starts_with(".SH") || line == ".PP" || line == ".TP" || line == ".EX";
        while ends_section && out.last().is_some_and(|last| last == ".br" || (line.starts_with(".SH") && last == ".PP"))
        {
            out.pop();
        }
        // .PP before an example in its own paragraph is one break too many.
        if line.starts_with('.') || is_tag || is_example {
            out.push(line.to_owned());
        } else {
            out.extend(wrapped(line));
        }
        is_tag = line == ".TP";
    }
    while out.last().is_some_and(|last| last == ".br" || last == ".PP") {
        out.pop();
    }
    out.join("\n") + "\n"
}

/// A line of text in lines that are not too long. None begins with what roff takes for a request.
fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let last = lines.last_mut().expect("there is a line");
        if !last.is_empty() && last.len() + 1 + word.len() > WIDTH && !word.starts_with(['.', '\'']) {
            lines.push(word.to_owned());
        } else {
            last.push_str(if last.is_empty() { "" } else { " " });
            last.push_str(word);
        }
    }
    lines
}

/// The section of a subcommand, from the list of them in docs/reference.md.
fn exit_status(subcommand: &str) -> String {
    let page = doc("docs/reference.md");
    let opening = format!("| `{subcommand}` | ");
    let row = page.lines().find_map(|line| line.strip_prefix(&opening)?.strip_suffix(" |"));
    let row = row.unwrap_or_else(|| panic!("docs/reference.md has no exit status of '{subcommand}'"));
    let [good, failed] = row.split(" | ").collect::<Vec<_>>()[..] else { panic!("docs/reference.md: {row}") };
    plain(&format!("= EXIT STATUS\n- 0\n{good}.\n- 1\n{failed}.\n- 2\nbad usage.\n"))
}

/// clap's usage knows the two forms and the place of `--`; its man page would not.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for line in usage.trim_start_matches("Usage: ").lines() {
        roff.text([roman(line.trim())]);
        roff.control("br", []);
    }
    roff
}

const DESCRIPTION: &str = "\
= DESCRIPTION
Runs COMMAND, measures it, collects the metrics that it wrote, and pushes everything to a Prometheus Pushgateway when it ends. \
The command's streams, terminal, signals and exit status are its own.
";

fn environment(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(
        "A variable counts where the option is not given; an empty one is unset. Lists are separated by commas, but \
         PUSHWRAP_HEADER holds one header a line. --textfile has none.",
    )]);
    for argument in command.get_arguments() {
        let Some(long) = argument.get_long().filter(|long| !["help", "version", "textfile"].contains(long)) else {
            continue;
        };
        roff.control("TP", []);
        roff.text([bold(variable(long))]);
        roff.text([roman("as "), italic(format!("--{long}"))]);
    }
    roff.control("TP", []);
    roff.text([bold("PUSHWRAP_TEXTFILE")]);
    roff.text([roman("is set for the command: the file to which it writes metrics of its own")]);
    roff
}

/// Paragraphs under `= HEADINGS`; `- TAG` begins a paragraph that the next lines tell about; lines that begin with blanks are an
/// example, which stands as it is.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_example = false;
    for line in text.lines() {
        let code = line.strip_prefix("  ");
        if is_example != code.is_some() {
            roff.control(if is_example { "EE" } else { "EX" }, []);
        }
        is_example = code.is_some();
        match (line.strip_prefix("= "), line.strip_prefix("- "), code) {
            (Some(heading), ..) => drop(roff.control("SH", [heading])),
            (_, Some(tag), _) => drop(roff.control("TP", []).text([bold(tag)])),
            (.., Some(code)) => drop(roff.text([roman(code)])),
            _ if line.is_empty() => drop(roff.control("PP", [])),
            _ => drop(roff.text([roman(line)])),
        }
    }
    if is_example {
        roff.control("EE", []);
    }
    roff
}
