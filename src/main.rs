//! The binary; the command line is in [`pushctl::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pushctl::cli::main()
}
