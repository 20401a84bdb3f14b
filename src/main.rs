//! The `serin` program: parses the command line and leaves the rest to the library.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
