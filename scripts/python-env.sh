# Sourced by the scripts of the Python package: its virtual environment in the project's own folder, set up when it is first needed.
need python3 python3
PYTHON_VENV=$ROOT/.build/py
if [ ! -e "$PYTHON_VENV/ready" ] || ! cmp -s campaign-py/requirements.txt "$PYTHON_VENV/ready"; then
    say "tools for Python, into .build/py"
    rm -rf "$PYTHON_VENV"
    python3 -m venv "$PYTHON_VENV" || die "python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"
    "$PYTHON_VENV/bin/pip" install --quiet --disable-pip-version-check -r campaign-py/requirements.txt
    cp campaign-py/requirements.txt "$PYTHON_VENV/ready"
fi
export VIRTUAL_ENV=$PYTHON_VENV
export PATH=$PYTHON_VENV/bin:$PATH

# Builds the native half into the package; `--release` for measuring.
build_python() { (cd campaign-py && maturin develop --quiet --locked "$@" 2>&1 | { grep -E "error|warning|failed" || true; }); }
