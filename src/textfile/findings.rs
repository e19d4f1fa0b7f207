//! Prints the findings in metrics files on standard error.

use crate::console::{Console, Volume};
use crate::exposition::{Diagnostic, Severity};

/// How many findings are printed; the rest is counted.
const FINDINGS: usize = 10;

/// Prints the problems, ten of `errors` at most; repairs only with `-v`.
pub fn say_findings(findings: &[Diagnostic], errors: u64, console: Console) {
    let is_printed = |finding: &&Diagnostic| finding.severity >= Severity::Dropped || console.0 >= Volume::Verbose;
    let printed: Vec<&Diagnostic> = findings.iter().filter(is_printed).collect();
    for finding in printed.iter().take(FINDINGS) {
        console.warn(finding);
    }
    let more = errors.max(printed.len() as u64).saturating_sub(FINDINGS as u64);
    if more > 0 {
        // A private file is gone by now.
        let is_kept = printed.iter().any(|finding| !finding.file.starts_with('$'));
        let hint = if is_kept { "; 'pushwrap check' shows them" } else { "" };
        console.warn(format!("and {more} more in the metrics{hint}"));
    }
}
