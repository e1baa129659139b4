//! The program. All of it is in the library; see `cli`.

fn main() -> std::process::ExitCode {
    pikit_updater::cli::main()
}
