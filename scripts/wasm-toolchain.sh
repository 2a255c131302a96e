# Chooses the compilers for WebAssembly. To be sourced by scripts that build for it:
#
#     . scripts/wasm-toolchain.sh
#     wasm_cargo build --release --package beaufort-web
#
# Compiles with rustup's wasm32-unknown-unknown where it is installed, otherwise with Debian's
# compiler, which builds the standard library from its sources. Packages with C sources need
# wasm_cargo_with_c instead, and Clang.

wasm_target=wasm32-unknown-unknown

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

# Runs cargo for WebAssembly: wasm_cargo COMMAND [ARGUMENT...]
wasm_cargo() {
    if [ -d "$(rustc --print sysroot)/lib/rustlib/$wasm_target/lib" ]; then
        cargo "$@" --target "$wasm_target"
        return
    fi
    wasm_install "Rust cannot compile for WebAssembly here. Install its target:
    rustup target add $wasm_target" rustc-web rust-web-src lld-22
    # The bootstrap variable permits -Zbuild-std, which no stable compiler does by itself.
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22 \
        cargo "$@" --target "$wasm_target" -Zbuild-std=std,panic_abort
}

# The same for packages with C sources, such as blst. Inlining its multiplication, which Clang thinks
# too large for that, makes all of it a fifth faster.
wasm_cargo_with_c() {
    export CFLAGS_wasm32_unknown_unknown="-mllvm -inline-threshold=450"
    if command -v clang-22 > /dev/null || ! clang --print-targets 2> /dev/null | grep -q wasm32; then
        wasm_install "Clang cannot compile for WebAssembly here. Install it, with LLVM's tools." clang-22 llvm-22
        export CC_wasm32_unknown_unknown=clang-22 AR_wasm32_unknown_unknown=llvm-ar-22
    else
        export CC_wasm32_unknown_unknown=clang AR_wasm32_unknown_unknown=llvm-ar
    fi
    wasm_cargo "$@"
}

# Installs Debian's packages, or dies with what to install otherwise: wasm_install OTHERWISE PACKAGE...
wasm_install() {
    local otherwise=$1
    shift
    if dpkg --status "$@" > /dev/null 2>&1; then
        return
    fi
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
        die "$otherwise" "or, on Debian, as root:" "    apt-get install $*"
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}
