#!/bin/sh
# Runs rustc with libFuzzer's coverage instrumentation, using the flags of cargo-fuzz. As
# RUSTC_WORKSPACE_WRAPPER it applies only to the workspace's own crates, so fuzzing shares the
# dependencies that the tests have built.
exec "$@" \
    --cfg=fuzzing \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares
