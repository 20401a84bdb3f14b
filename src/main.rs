//! The `serin` program: leaves everything to the library.

fn main() -> std::process::ExitCode {
    serin::cli::main()
}
