#!/bin/sh
# What the browser tests need and pip cannot bring: Debian's Chromium, and axe-core from npm.
# Never fails: a test whose tool is missing skips and says so.
venv=$1
if ! command -v chromium >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing Chromium for the browser tests."
    { apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1
fi
command -v chromium >/dev/null || echo "No chromium: the browser tests will be skipped."
if command -v npm >/dev/null; then
    npm install --silent --no-audit --no-fund --prefix "$venv/axe" axe-core@4 >/dev/null 2>&1
fi
[ -e "$venv/axe/node_modules/axe-core/axe.min.js" ] || echo "No axe-core: its tests will be skipped."
touch "$venv/.browser"
