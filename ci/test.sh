#!/usr/bin/env bash
# Runs every check and ends with one line: `N passed, N failed`.
#   ci/test.sh                     everything
#   ci/test.sh rust e2e browser    parts
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. ci/prepare.sh

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
export CARGO_TERM_COLOR=never
LOGS="$PWD/artifacts/test"
mkdir -p "$LOGS"
PARTS=" ${*:-rust e2e browser} "
passed=0
failed=0
broken=()

wanted() { [[ "$PARTS" == *" $1 "* ]]; }

# step NAME COUNT SECONDS COMMAND…: runs a command with its output in a file. COUNT is `one` (the
# command is one check), `cargo` (sum of cargo's test results), `unittest` (what Python's says it ran) or `last` (the
# command's last line says). The command may be a function of prepare.sh. What has not ended after SECONDS is stopped, so
# that a check that hangs is named instead of taking the whole run with it.
step() {
  local name="$1" count="$2" limit="$3" log="$LOGS/$1.log" began=$SECONDS status=0 ok=0 bad=0
  shift 3
  echo "== $name"
  timeout --kill-after=10 "$limit" bash -c '. ci/prepare.sh; "$@"' step "$@" >"$log" 2>&1 || status=$?
  case "$count" in
    cargo)
      ok=$(sum 's/^test result: .* ([0-9]+) passed; .*/\1/p' "$log")
      bad=$(sum 's/^test result: .* ([0-9]+) failed; .*/\1/p' "$log") ;;
    unittest)
      bad=$(sum 's/^FAILED .*(failures|errors)=([0-9]+).*/\2/p' "$log")
      ok=$(($(sum 's/^Ran ([0-9]+) tests? in .*/\1/p' "$log") - $(sum 's/.*skipped=([0-9]+).*/\1/p' "$log") - bad)) ;;
    last)
      ok=$(sum '$s/^([0-9]+) passed, [0-9]+ failed$/\1/p' "$log")
      bad=$(sum '$s/^[0-9]+ passed, ([0-9]+) failed$/\1/p' "$log") ;;
    one)
      [ "$status" -eq 0 ] && ok=1 ;;
  esac
  # A command that fails without a failed check, or that checks nothing, is itself a failed check.
  if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ "$ok" -eq 0 ]; }; then
    bad=1
  fi
  passed=$((passed + ok))
  failed=$((failed + bad))
  if [ "$bad" -gt 0 ]; then
    broken+=("$name")
    tail -n 80 "$log"
    case "$status" in 124 | 137)
      echo "   $name: stopped because it did not end within $limit s" ;;
    esac
  fi
  echo "   $name: $ok passed, $bad failed, $((SECONDS - began)) s"
}

sum() { sed -nE "$1" "$2" | awk '{ n += $1 } END { print n + 0 }'; }

if wanted rust; then
  step format one 120 cargo fmt --all --check
  step lint one 1500 cargo clippy --release --workspace --all-targets -- -D warnings
  step tidy one 300 cargo xtask tidy
  step test cargo 2700 cargo test --release --workspace --no-fail-fast
fi
if wanted e2e || wanted browser; then
  # The same selection of packages as the tests: another one resolves other features and would
  # build the heavy dependencies a second time.
  step build one 1200 cargo test --release --workspace --no-run
  step packages one 900 install_packages
  export HEADROPE_BIN="$CARGO_TARGET_DIR/release/headrope"
fi
if wanted e2e; then
  step python one 600 prepare_python
  step scoring unittest 300 score_tests
  step node one 600 prepare_node agents/e2e/node
  step e2e last 900 "$(venv)/bin/python" -u agents/e2e/run.py
fi
if wanted browser; then
  step playwright one 600 prepare_node ui/browser
  step browser last 900 node ui/browser/run.mjs --out "$PWD/artifacts/browser"
fi

if [ "${#broken[@]}" -gt 0 ]; then
  echo "failed: ${broken[*]} (logs in $LOGS)"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
