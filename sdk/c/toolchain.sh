#!/bin/sh
# Prints the command of a compiler that builds for WebAssembly with WASI's libraries.
#
#   toolchain.sh c|c++ [ORIGIN COMMAND]
#
# COMMAND is the value of make's CC or CXX, and ORIGIN says where it comes from. A command from the
# environment is only tried first, since it can be meant for other programs. Any other command that
# the caller has set must work. Make's own default is ignored. After that, the wasi-sdk in
# $WASI_SDK_PATH and the compilers in the PATH are tried.
set -u

language=$1
origin=${2:-default}
command=${3:-}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

if [ "$language" = c ]; then
    cat >"$scratch/try.c" <<'END'
#include <stdlib.h>
#include <string.h>
char *try(const char *text) { return strcpy(malloc(strlen(text) + 1), text); }
END
    source=$scratch/try.c
    name=clang
else
    cat >"$scratch/try.cpp" <<'END'
#include <cstddef>
char *try_it(std::size_t size) { return new char[size]; }
END
    source=$scratch/try.cpp
    name=clang++
fi

# Tries a command with and without link-time optimization, which needs a linker as new as the
# compiler, and with both names of the target. The older name comes last, since its error message
# says more.
works() {
    for lto in -flto ""; do
        for target in wasm32-wasip1 wasm32-wasi; do
            flags="--target=$target${WASI_SYSROOT:+ --sysroot=$WASI_SYSROOT}${lto:+ $lto}"
            # A command can be several words, such as `zig cc`.
            # shellcheck disable=SC2086
            if $1 $flags -mexec-model=reactor -fno-exceptions -Wno-deprecated "$source" \
                -o "$scratch/try.wasm" 2>"$scratch/errors"; then
                echo "$1 $flags"
                return 0
            fi
        done
    done
    if command -v "${1%% *}" >/dev/null 2>&1; then
        reason=$(grep -m 1 error "$scratch/errors" | sed "s|$scratch/||")
        echo "$1: ${reason:-does not work}" >>"$scratch/tried"
    fi
    return 1
}

touch "$scratch/tried"
case $origin in
default | undefined) ;;
environment)
    works "$command" && exit 0
    ;;
*)
    works "$command" && exit 0
    echo "$command does not build for WebAssembly:" >&2
    sed "s|$scratch/||" "$scratch/errors" >&2
    exit 1
    ;;
esac
if [ -n "${WASI_SDK_PATH:-}" ] && works "$WASI_SDK_PATH/bin/$name"; then
    exit 0
fi
# The version that an error message refers to: the newest that is installed, or the one called
# clang.
version=
for suffix in "" -22 -21 -20 -19 -18 -17 -16 -15 -14; do
    if command -v "$name$suffix" >/dev/null; then
        works "$name$suffix" && exit 0
        version=${version:-$suffix}
    fi
done
packages="clang$version lld$version wasi-libc libclang-rt$version-dev-wasm32"
if [ "$language" = c++ ]; then
    packages="$packages libc++$version-dev-wasm32"
fi
{
    echo "No compiler for WebAssembly is here, or its libraries are not. Get one of:"
    echo "  Debian, Ubuntu:"
    echo "    apt-get install --no-install-recommends $packages"
    echo "  anywhere:"
    echo "    a wasi-sdk (github.com/WebAssembly/wasi-sdk): make WASI_SDK_PATH=/its/folder"
    echo "    Zig: make CC='zig cc' CXX='zig c++' LDFLAGS=-s"
    if [ -s "$scratch/tried" ]; then
        echo "Tried:"
        sed 's/^/  /' "$scratch/tried"
    fi
} >&2
exit 1
