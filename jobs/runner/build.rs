//! For the binary that ./dev dist ships (feature `portable`): links OpenSSL, zlib and libstdc++ into it, and takes the C
//! library's symbols as glibc 2.31 has them (`portable/old_glibc.c`). Without the feature it does nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What other distributions have in other versions, or not at all.
const LINKED_IN: &[&str] = &["libssl.a", "libcrypto.a", "libz.a", "libstdc++.a"];
/// Wrapped by code of their own in `old_glibc.c`; all else stands in `old_glibc.h`.
const WRITTEN_OUT: &[&str] = &[
    "stat",
    "lstat",
    "fstat",
    "fstatat",
    "stat64",
    "lstat64",
    "fstat64",
    "fstatat64",
    "arc4random",
    "__libc_single_threaded",
    "__libc_start_main",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=portable");
    if std::env::var_os("CARGO_FEATURE_PORTABLE").is_none() {
        return;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    link_in(&out.join("libraries"));
    take_old_symbols(&out.join("old_glibc.o"));
}

/// A folder that holds these archives and no shared library of the same name comes before the system's.
fn link_in(folder: &Path) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).expect("OUT_DIR can be written");
    for name in LINKED_IN {
        let said = Command::new("cc").arg(format!("-print-file-name={name}")).output().expect("a C compiler is there");
        let place = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
        assert!(place.is_absolute(), "{name} is missing: install libssl-dev, zlib1g-dev and libstdc++-dev (or g++)");
        std::os::unix::fs::symlink(&place, folder.join(name)).expect("OUT_DIR can be written");
    }
    println!("cargo:rustc-link-search=native={}", folder.display());
}

fn take_old_symbols(object: &Path) {
    let mut command = Command::new("cc");
    command.args(["-c", "-O2", "-fPIC", "-fno-lto", "-Wall", "-Wextra", "-o"]).arg(object).arg("portable/old_glibc.c");
    assert!(command.status().expect("a C compiler is there").success(), "it does not compile: {command:?}");
    println!("cargo:rustc-link-arg-bins={}", object.display());
    let table = std::fs::read_to_string("portable/old_glibc.h").expect("the table of symbols lies beside build.rs");
    let listed = table.lines().filter_map(|line| line.strip_prefix("OLD(")?.split(',').next());
    for name in listed.chain(WRITTEN_OUT.iter().copied()) {
        println!("cargo:rustc-link-arg-bins=-Wl,--wrap={name}");
    }
    // Where 2.31 has the threads and the loader; newer ones keep empty libraries of these names.
    println!("cargo:rustc-link-arg-bins=-Wl,--push-state,--no-as-needed,-l:libpthread.so.0,-l:libdl.so.2,--pop-state");
}
