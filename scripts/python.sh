#!/usr/bin/env bash
# The Python package. `test` (the default) builds it and runs its tests, examples and documentation, with a private PostgreSQL; `lint`
# checks format, types and stubs; `wheel` builds a wheel and a source distribution into .build/dist and tries both in fresh environments.
# `wheel --quick` tries the source distribution alone, built in the development profile. `tools` only sets the environment up.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source scripts/python-env.sh

# A fresh environment with nothing but the given wheel runs the quickstart.
try_wheel() {
    local folder
    folder=$(mktemp -d)
    python3 -m venv "$folder/fresh"
    "$folder/fresh/bin/pip" install --quiet --disable-pip-version-check "$@"
    (cd "$folder" && fresh/bin/python "$ROOT/examples/python/quickstart.py")
    rm -rf "$folder"
}

case "${1:-test}" in
tools) ;;
test)
    say "Python: tests, documentation, examples"
    need_postgres
    build_python
    cargo build -q --locked --bin with_postgres --bin vendors
    CAMPAIGN_VENDORS=$(target_directory)/debug/vendors
    export CAMPAIGN_VENDORS
    server=(cargo run -q --locked --bin with_postgres --)
    "${server[@]}" bash -c 'cd campaign-py && exec python -m pytest tests python/campaign --doctest-modules -n 2 "$@"' pytest "${@:2}"
    ;;
lint)
    say "Python: format, types, stubs"
    build_python
    cd campaign-py
    sources=(python tests ../examples/python ../benches/python)
    ruff format --check --quiet "${sources[@]}"
    ruff check --quiet "${sources[@]}"
    mypy python/campaign tests/typed.py
    pyright
    # Every public type must be known; those of BlockingEngine are taken from Engine's and may be inferred.
    { pyright --verifytypes campaign --ignoreexternal --outputjson || true; } | python -c '
import json, sys
known = json.load(sys.stdin)["typeCompleteness"]
unknown = [symbol["name"] for symbol in known["symbols"] if symbol["isExported"] and not (symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])]
assert known["exportedSymbolCounts"]["withKnownType"] > 50, "the package was not found"
sys.exit("types not known: " + ", ".join(unknown) if unknown else 0)'
    python -m mypy.stubtest campaign._native
    ;;
wheel)
    say "Python: wheel and source distribution"
    rm -rf .build/dist .build/from-sdist
    if [ "${2:-}" = --quick ]; then
        (cd campaign-py && maturin sdist --out "$ROOT/.build/dist")
        export MATURIN_PEP517_ARGS="--profile dev"
    else
        (cd campaign-py && maturin build --quiet --release --locked --sdist --out "$ROOT/.build/dist")
        try_wheel .build/dist/*.whl
    fi
    # The environment of the tools has maturin, so nothing is fetched for the build.
    pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir .build/from-sdist .build/dist/*.tar.gz
    try_wheel .build/from-sdist/*.whl
    ls -l .build/dist .build/from-sdist
    ;;
*) die "say test, lint, wheel or tools" ;;
esac
