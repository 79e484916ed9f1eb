#!/usr/bin/env bash
# How near is the engine to a program without an engine, to timely and to state stores?
#
#     table.sh             the whole table
#     table.sh records     its rows on records alone
#     table.sh state       its rows on state alone: they compile RocksDB (README.md)
#
# Environment: TAILWATER         the engine's binary       (default ../../target/release/tailwater)
#              PAIRS             pairs for a row           (default 15)
#              LATENCY_PAIRS     pairs for a latency row   (default 5)
#              LATENCY_SECONDS   seconds of a latency run  (default 4)
#              STORE_PAIRS       pairs for a row on RocksDB, which takes a minute each (default 5)
#              STATE_DIR         where checkpoints and stores are made, in a folder state-figures that
#                                is removed before and after (default target)
set -uo pipefail
cd "$(dirname "$0")" || exit 1

engine=${TAILWATER:-../../target/release/tailwater}
pairs=${PAIRS:-15}
latency_pairs=${LATENCY_PAIRS:-5}
latency_seconds=${LATENCY_SECONDS:-4}
store_pairs=${STORE_PAIRS:-5}
state_dir=${STATE_DIR:-target}/state-figures
rows=${1:-all}
hand=target/release/ceiling
timely=target/release/timely-peer
stores=target/release/state-stores
# Long enough to leave start-up behind, short enough that a pair meets one state of the machine.
events=10000000
failures=0

if [[ ! -x $engine ]]; then
    echo "table.sh: no engine at $engine: build it, or name it in TAILWATER" >&2
    exit 1
fi
case $rows in
    records) features=() ;;
    state | all) features=(--features rocksdb) ;;
    *)
        echo "table.sh: $rows is not records, state or all" >&2
        exit 2
        ;;
esac
nice cargo build --release --locked --quiet "${features[@]}" || exit 1

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

records() {
    local vwap_1 vwap_2
    vwap_1=("$engine" bench tick-vwap --cores 1 --events "$events")
    vwap_2=("$engine" bench tick-vwap --cores 2 --events "$events")
    row 'tick-vwap 1 core / hand 1 core' -- "${vwap_1[@]}" \
        --vs "$hand" tick-vwap --cores 1 --events "$events"
    row 'tick-vwap 1 core / timely 1 worker' -- "${vwap_1[@]}" \
        --vs "$timely" tick-vwap --workers 1 --events "$events"
    # Siblings of one core may be slower together than one of them: the lower ratio is the answer.
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
}

keys=10000000
# Three records a key: fewer would measure how a table is filled, not how it is used.
count_events=30000000
# Long enough that several checkpoints fall into a run.
checkpoint_events=200000000
# The stores do a tenth of a million a second: a run of so many takes ten seconds after the load.
store_ops=1000000

# with_checkpoints TITLE [options of compare.py] -- COMMAND ...: with one a second / without.
with_checkpoints() {
    local title=$1 options=()
    shift
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    row "$title with / without checkpoints" "${options[@]}" \
        -- ./fresh.sh "$state_dir/checkpoints" "$@" --checkpoints "$state_dir/checkpoints" \
        --interval 1s \
        --vs "$@"
}

state() {
    local count update
    count=("$engine" bench keyed-count --keys "$keys" --cores 2 --events)
    update=("$engine" bench state-update --keys "$keys" --events)
    rm -rf "$state_dir"
    mkdir -p "$state_dir"
    # To reach: 0.60 and 2. A table for any keys is what an engine can have; one that is told that
    # keys are numbers without gaps shows what knowing that is worth. Timely has no state of its
    # own: its programs take a hash map, or write the flat table themselves.
    for table in flat-any flat; do
        row "keyed-count 10 M keys / $table" -- "${count[@]}" "$count_events" \
            --vs "$hand" keyed-count --keys "$keys" --cores 2 --events "$count_events" \
            --table "$table"
    done
    for table in hashbrown flat-any flat; do
        row "keyed-count 10 M keys / timely, $table" -- "${count[@]}" "$count_events" \
            --vs "$timely" keyed-count --keys "$keys" --workers 2 --events "$count_events" \
            --table "$table"
    done
    # To reach: 0.85, 0.95.
    with_checkpoints 'keyed-count' -- "${count[@]}" "$checkpoint_events"
    with_checkpoints 'tick-vwap' \
        -- "$engine" bench tick-vwap --cores 2 --events "$checkpoint_events"
    # To reach: at most 1.2. The flat table says what of it is the memory's.
    with_checkpoints 'service time' --pairs "$latency_pairs" \
        --field p50_ns --field p99_ns --field p999_ns \
        -- "$engine" bench service-time --keys "$keys" --rate 1000000 --seconds "$latency_seconds"
    row 'service time / flat table' --pairs "$latency_pairs" \
        --field p50_ns --field p99_ns --field p999_ns \
        -- "$engine" bench service-time --keys "$keys" --rate 1000000 --seconds "$latency_seconds" \
        --vs "$hand" service-time --keys "$keys" --rate 1000000 --seconds "$latency_seconds"
    # Checked at equal length here; RocksDB's run below is shorter, so only its rate compares.
    row 'state-update / flat table, checked' -- "${update[@]}" "$events" --cores 1 \
        --vs "$stores" flat --keys "$keys" --ops "$events" --dir "$state_dir"
    # To reach: 50.
    row 'state-update, checkpoints / RocksDB' --pairs "$store_pairs" --unequal-work \
        -- ./fresh.sh "$state_dir/checkpoints" "${update[@]}" "$checkpoint_events" --cores 1 \
        --checkpoints "$state_dir/checkpoints" --interval 1s \
        --vs "$stores" rocksdb --keys "$keys" --ops "$store_ops" --dir "$state_dir"
    restores
    rm -rf "$state_dir"
}

# The engine makes a checkpoint of all keys; then both read its files. The engine's runs find no
# record left to read, so that their time is that of the restore, and leave a checkpoint behind that
# holds no more than the one they read.
restores() {
    local dir=$state_dir/restore
    local restore=("$engine" bench state-update --keys "$keys" --cores 2
        --events "$checkpoint_events" --checkpoints "$dir" --restore latest)
    if ! "${restore[@]}" >/dev/null 2>&1; then
        echo "table.sh: the engine has made no checkpoint to restore" >&2
        failures=$((failures + 1))
        return
    fi
    # To reach: at most 2.5.
    row 'restore / bare loop' --unequal-work --field restore_ns -- "${restore[@]}" \
        --vs "$hand" restore --keys "$keys" --cores 2 --dir "$dir"
}

if [[ $rows != state ]]; then records; fi
if [[ $rows != records ]]; then state; fi

if ((failures > 0)); then
    echo "table.sh: $failures rows could not be measured" >&2
    exit 1
fi
