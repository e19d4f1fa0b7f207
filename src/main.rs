//! The process boundary: parse, run, exit status. Nothing else.
fn main() {
    let a: Vec<_> = std::env::args_os().collect();
    eprintln!("{:?}", pushwrap::cli::parse(&a));
    if let Err(pushwrap::cli::Stop::Asked(s)) = pushwrap::cli::parse(&a) {
        eprint!("{s}")
    } else if let Err(pushwrap::cli::Stop::Wrong { message, .. }) = pushwrap::cli::parse(&a) {
        pushwrap::console::say(message)
    }
}
