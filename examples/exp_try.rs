//! try
#![allow(clippy::print_stdout, clippy::unwrap_used)]
use std::io::{Read, Write};
fn main() {
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes).unwrap();
    let cut = std::env::args().any(|a| a == "--cut");
    let mut s = pushwrap::exposition::Source::new("f.prom", bytes.clone());
    if cut {
        s = s.unfinished();
    }
    let sources = [s];
    let g = vec![("job".to_owned(), "corpus".to_owned())];
    let c = pushwrap::exposition::Context { grouping: &g, reserved: &[] };
    let r = pushwrap::exposition::read(&sources, &c);
    for d in &r.diagnostics {
        eprintln!("{}\n", d.long(pushwrap::exposition::Paint::Plain));
    }
    eprintln!("{:?}", pushwrap::exposition::judge(&bytes, &c));
    std::io::stdout().write_all(&pushwrap::exposition::encode(&r.families)).unwrap();
}
