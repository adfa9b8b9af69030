# Sourced by test.sh: installs what the end-to-end and browser tests need, once.
# Root installs missing Debian packages; anybody else is told which.

CACHE="${HEADROPE_CACHE:-$HOME/.cache/headrope}"

have_postgres() { compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; }
have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

missing_packages() {
  have_postgres || echo postgresql
  command -v redis-server >/dev/null || echo redis-server
  command -v chromium >/dev/null || echo chromium
  command -v python3 >/dev/null || echo python3
  have_venv || echo python3-venv
  command -v node >/dev/null || echo nodejs
  command -v npm >/dev/null || echo npm
}

install_packages() {
  local packages
  packages="$(missing_packages | tr '\n' ' ')"
  [ -n "${packages// /}" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "missing packages: $packages; install them, for instance with: sudo apt-get install $packages" >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q || return 1
  # shellcheck disable=SC2086 # a list of words
  apt-get install -q -y --no-install-recommends $packages
}

# Where the virtual environment is: one per content of requirements.txt and Python version.
venv() {
  local key
  key="$( { python3 --version; cat agents/e2e/python/requirements.txt; } | sha256sum | cut -c1-12)"
  echo "$CACHE/venv-$key"
}

prepare_python() {
  local venv
  venv="$(venv)"
  [ -f "$venv/.complete" ] && return 0
  rm -rf "$venv" && mkdir -p "$CACHE" && python3 -m venv "$venv" &&
    "$venv/bin/pip" install -q --disable-pip-version-check -r agents/e2e/python/requirements.txt &&
    touch "$venv/.complete"
}

# `npm ci` unless what is installed is newer than the lock file.
prepare_node() {
  [ "$1/node_modules/.package-lock.json" -nt "$1/package-lock.json" ] && return 0
  (cd "$1" && npm ci --no-progress)
}

# The tests of what scores verdicts and converts labelled data.
score_tests() {
  local folder
  for folder in testdata/scenarios testdata/online-boutique; do
    (cd "$folder" && "$(cd "$OLDPWD" && venv)/bin/python" -m unittest) || return 1
  done
}
