#!/usr/bin/env bash
# How near is the engine to a program without an engine, and to timely? Prints the whole table.
#
# Environment: TAILWATER         the engine's binary       (default ../../target/release/tailwater)
#              PAIRS             pairs for a row           (default 15)
#              LATENCY_PAIRS     pairs for a latency row   (default 5)
#              LATENCY_SECONDS   seconds of a latency run  (default 4)
set -uo pipefail
cd "$(dirname "$0")" || exit 1

engine=${TAILWATER:-../../target/release/tailwater}
pairs=${PAIRS:-15}
latency_pairs=${LATENCY_PAIRS:-5}
latency_seconds=${LATENCY_SECONDS:-4}
hand=target/release/ceiling
timely=target/release/timely-peer
# Long enough to leave start-up behind, short enough that a pair meets one state of the machine.
events=10000000
failures=0

if [[ ! -x $engine ]]; then
    echo "table.sh: no engine at $engine: build it, or name it in TAILWATER" >&2
    exit 1
fi
nice cargo build --release --locked --quiet || exit 1

# row TITLE [options of compare.py] -- A-COMMAND ... --vs B-COMMAND ...
row() {
    local title=$1
    shift
    ./compare.py --pairs "$pairs" --label "$title" "$@" || failures=$((failures + 1))
}

latency() {
    local rate=$1
    row "latency at $rate/s, / hand" --pairs "$latency_pairs" \
        --field p50_ns --field p99_ns --field p999_ns \
        --field floor_p99_ns --field floor_p999_ns \
        -- "$engine" bench latency --rate "$rate" --seconds "$latency_seconds" \
        --vs "$hand" latency --rate "$rate" --seconds "$latency_seconds"
}

printf '%-42s %-13s %6s  %-16s %14s %14s\n' 'engine / other' field ratio quartiles engine other

vwap_1=("$engine" bench tick-vwap --cores 1 --events "$events")
vwap_2=("$engine" bench tick-vwap --cores 2 --events "$events")
row 'tick-vwap 1 core / hand 1 core' -- "${vwap_1[@]}" \
    --vs "$hand" tick-vwap --cores 1 --events "$events"
row 'tick-vwap 1 core / timely 1 worker' -- "${vwap_1[@]}" \
    --vs "$timely" tick-vwap --workers 1 --events "$events"
# Where two cores are siblings of one, two may be slower than one: the lower ratio is the answer.
row 'tick-vwap 2 cores / hand 1 core' -- "${vwap_2[@]}" \
    --vs "$hand" tick-vwap --cores 1 --events "$events"
row 'tick-vwap 2 cores / hand 2 cores' -- "${vwap_2[@]}" \
    --vs "$hand" tick-vwap --cores 2 --events "$events"
row 'tick-vwap 2 cores / timely 1 worker' -- "${vwap_2[@]}" \
    --vs "$timely" tick-vwap --workers 1 --events "$events"
row 'tick-vwap 2 cores / timely 2 workers' -- "${vwap_2[@]}" \
    --vs "$timely" tick-vwap --workers 2 --events "$events"
latency 100000
latency 1000000
row 'exchange / bare ring' -- "$engine" bench exchange --events 50000000 \
    --vs "$hand" ring-throughput --events 50000000
row 'chain / iterator' -- "$engine" bench chain --events 100000000 \
    --vs "$hand" iterator --events 100000000

if ((failures > 0)); then
    echo "table.sh: $failures rows could not be measured" >&2
    exit 1
fi
