//! Parse, run, exit status: all of it in [`pushctl::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pushctl::cli::main()
}
