//! The command line.
mod bench;
use clap::Parser;
#[derive(Parser)]
enum Command {
    Bench(bench::BenchArgs),
}
fn main() {
    match Command::parse() {
        Command::Bench(a) => bench::run(&a).unwrap(),
    }
}
