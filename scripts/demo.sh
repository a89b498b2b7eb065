#!/bin/sh
# Serves examples/demo, and says where.
#
# At the first run makes .venv beside this script's folder, and js/dist, the client of the page;
# needs Python 3.11, Node 20, or newer, and npm.
#
#   PORT         the port; without it 8000, or the next that is free
#   HOST         the address to listen at; without it 127.0.0.1
#   DEMO_PYTHON  an interpreter that has all that is needed: nothing is installed or built

set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# --- A Python that is new enough

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
        if is_new_enough "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    say "The demo needs Python 3.11 or newer, and found none: python3 is" \
        "$(python3 --version 2>/dev/null || echo 'not installed')."
    say "Get one from https://www.python.org/downloads/ or your system's packages."
    return 1
}

# --- Its environment

make_environment() {
    base=$(find_python)
    say "Making .venv with $("$base" --version) ..."
    if ! "$base" -m venv .venv; then
        rm -rf .venv
        say "No virtual environment could be made. On Debian and Ubuntu: apt install python3-venv"
        return 1
    fi
}

# Newer than what it was installed from: nothing to do.
is_installed() {
    [ -n "$(find .venv/demo-is-installed -newer pyproject.toml \
        -newer examples/demo/requirements.txt 2>/dev/null)" ]
}

install() {
    say "Installing what the demo needs into .venv (the first time only) ..."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
        --editable . --requirement examples/demo/requirements.txt
    touch .venv/demo-is-installed
}

# --- The client of the page

# Newer than what it was built from: nothing to do.
is_built() {
    [ -e js/dist/index.mjs ] &&
        [ -z "$(find js/src js/package.json js/tsdown.config.ts -newer js/dist/index.mjs)" ]
}

has_tools() {
    [ -n "$(find node_modules/.package-lock.json -newer package-lock.json 2>/dev/null)" ]
}

quietly() {
    said=$("$@" 2>&1) || {
        say "$said"
        return 1
    }
}

build() {
    if ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null ||
        ! npm --version >/dev/null 2>&1; then
        say "The page's client is built with Node 20 or newer and npm: node is" \
            "$(node --version 2>/dev/null || echo 'not installed'), npm is" \
            "$(npm --version 2>/dev/null || echo 'not installed')."
        say "Get them from https://nodejs.org/ or your system's packages."
        return 1
    fi
    say "Building the client of the page (the first time only) ..."
    cd js
    has_tools || quietly npm ci --no-audit --no-fund
    quietly npm run build
    cd ..
}

if [ -n "${DEMO_PYTHON:-}" ]; then
    python=$DEMO_PYTHON
else
    python=.venv/bin/python
    if [ -e .venv ] && ! is_new_enough "$python"; then
        say ".venv holds no Python 3.11 or newer that works: remove it, and start again."
        exit 1
    fi
    [ -e .venv ] || make_environment
    is_installed || install
    is_built || build
fi

# --- Where to serve

host=${HOST:-127.0.0.1}
port=$("$python" - "$host" "${PORT:-}" <<'EOF'
import socket
import sys

host, wanted = sys.argv[1:]
for port in [wanted] if wanted else range(8000, 8100):
    try:
        # As the server will: a port that a connection has just left is free.
        socket.create_server((host, int(port))).close()
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
    else:
        print(port)
        break
else:
    sys.exit(f"{host}:{wanted or '8000 to 8099'}: {why}. Choose another: PORT=9000 make demo")
EOF
) || exit 1

[ -e js/dist/index.mjs ] ||
    say "The page will not work: its client is not built (npm ci && npm run build in js/)."

# --- Tells the address once the server answers, and is gone

"$python" - "$host" "$port" $$ <<'EOF' &
import os
import signal
import socket
import sys
import time

signal.signal(signal.SIGINT, signal.SIG_DFL)
host, port, server = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
while os.getppid() == server:
    try:
        socket.create_connection(("127.0.0.1" if host == "0.0.0.0" else host, port), 1).close()
    except OSError:
        time.sleep(0.1)
        continue
    print(f"\n  The newsroom is open: http://{host}:{port}\n  Ctrl-C closes it.\n", flush=True)
    break
EOF

exec "$python" -m fastapi_observable_socket serve app:app --app-dir examples/demo \
    --host "$host" --port "$port" --log-level warning --timeout-graceful-shutdown 3
