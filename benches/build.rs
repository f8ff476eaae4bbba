//! Builds the floor: a C program on the very librdkafka that the engine is linked with, so that only the programs differ.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=floor/floor.c");
    let Some(root) = std::env::var_os("DEP_RDKAFKA_ROOT").map(PathBuf::from) else {
        println!("cargo:warning=librdkafka's folder is not known: the floor is not built");
        println!("cargo:rustc-env=FLOOR=");
        return;
    };
    let floor = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it")).join("floor");
    let mut command = cc_command();
    command.args(["-O3", "-march=x86-64-v3", "-Wall", "-Wextra", "-o"]).arg(&floor).arg("floor/floor.c");
    command.arg("-I").arg(root.join("include")).arg(library(&root));
    command.args(["-lssl", "-lcrypto", "-lz", "-lzstd", "-lm", "-ldl", "-lpthread"]);
    let status = command.status().expect("a C compiler is there");
    assert!(status.success(), "the floor does not build: {command:?}");
    println!("cargo:rustc-env=FLOOR={}", floor.display());
}

fn cc_command() -> Command {
    cc::Build::new().opt_level(3).get_compiler().to_command()
}

fn library(root: &std::path::Path) -> PathBuf {
    let places = ["lib/librdkafka.a", "lib64/librdkafka.a"];
    let found = places.iter().map(|place| root.join(place)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no librdkafka.a in {}", root.display()))
}
