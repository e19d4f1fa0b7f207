//! What is said about the metrics that were read, on standard error.

use crate::console::{Voice, Volume};
use crate::exposition::{Diagnostic, Severity};

/// How many findings are said; the rest is counted.
const FINDINGS: usize = 10;

/// Says what was left out; repairs only to who asked to be told.
pub fn say_findings(findings: &[Diagnostic], voice: Voice) {
    let is_shown = |finding: &&Diagnostic| finding.severity == Severity::Dropped || voice.0 >= Volume::Verbose;
    let shown: Vec<&Diagnostic> = findings.iter().filter(is_shown).collect();
    for finding in shown.iter().take(FINDINGS) {
        voice.trouble(finding);
    }
    if shown.len() > FINDINGS {
        voice
            .trouble(format!("and {} more in the metrics; 'pushwrap check' shows all of them", shown.len() - FINDINGS));
    }
}
