//! Linker flags for addons where a platform needs them.

fn main() {
    napi_build::setup();
}
