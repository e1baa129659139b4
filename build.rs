//! Release binaries end at a panic, so nothing ever reads the index of the unwinding tables: 60 kB less.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // packaging/build hands it to the linker
    println!("cargo:rerun-if-changed=packaging/no-unwinding.ld");
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        // a linker is asked directly or, more often, through a C compiler
        let direct = std::env::var("RUSTC_LINKER").is_ok_and(|linker| linker.ends_with("lld"));
        println!("cargo:rustc-link-arg-bins={}--no-eh-frame-hdr", if direct { "" } else { "-Wl," });
    }
}
