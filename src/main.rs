//! The process boundary: parse, run, exit status. Nothing else.

fn main() {}
