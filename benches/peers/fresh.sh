#!/usr/bin/env bash
# Runs a command for which a directory must not exist, and removes what it made there.
#
#     fresh.sh DIR COMMAND ...
set -uo pipefail
dir=$1
shift
rm -rf -- "$dir"
"$@"
status=$?
rm -rf -- "$dir"
exit "$status"
