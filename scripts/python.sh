#!/usr/bin/env bash
# The Python package. `test` (the default) builds it and runs its tests, examples and documentation; `lint` checks format, types and
# stubs; `wheel` builds a wheel and a source distribution into .build/dist and tries both in a fresh environment.
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
source scripts/python-env.sh

case "${1:-test}" in
test)
    say "Python: tests, documentation, examples"
    build_python
    cd campaign-py
    python -m pytest tests python/campaign --doctest-modules -n 2
    ;;
lint)
    say "Python: format, types, stubs"
    build_python
    cd campaign-py
    sources=(python tests ../examples/python ../benches/python)
    ruff format --check --quiet "${sources[@]}"
    ruff check --quiet "${sources[@]}"
    mypy python/campaign
    pyright
    python -m mypy.stubtest campaign._native
    ;;
wheel)
    say "Python: wheel and source distribution"
    rm -rf .build/dist .build/fresh
    (cd campaign-py && maturin build --quiet --release --locked --sdist --out "$ROOT/.build/dist")
    ls -l .build/dist
    python3 -m venv .build/fresh
    .build/fresh/bin/pip install --quiet --disable-pip-version-check .build/dist/*.whl
    folder=$(mktemp -d)
    (cd "$folder" && "$ROOT/.build/fresh/bin/python" "$ROOT/examples/python/quickstart.py")
    rm -rf "$folder"
    ;;
*) die "say test, lint or wheel" ;;
esac
