#!/usr/bin/env python3
"""How soon a killed job goes on: kill -9 to its first new output, against a start with no state.

Each pair starts `tailwater bench keyed-count` with checkpoints, lets it fill its keys and complete
some checkpoints, kills it with SIGKILL, starts it again at once with `--restore latest`, and takes the
time from the kill to the first output. Beside it, in the same pair, the time from the start of the
same job without state to its first output. Prints a line a pair and the medians.

    cargo build --release && benches/recovery.py --keys 1000000
"""

import argparse
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TAILWATER = Path(__file__).resolve().parent.parent / "target" / "release" / "tailwater"


def start(options):
    """The bench with these options; far more events than it will get through."""
    command = [TAILWATER, "bench", "keyed-count", "--events", "100000000000", "--first-output", *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def first_output(process):
    """Waits for the line that tells of the first output."""
    for line in process.stderr:
        if line.startswith("first output"):
            return time.monotonic()
    sys.exit("the job ended before its first output: see its message by running it by hand")


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def fresh(options):
    began = time.monotonic()
    process = start(options)
    took = first_output(process) - began
    kill(process)
    return took


def recovery(options, directory, seconds):
    shutil.rmtree(directory, ignore_errors=True)
    checkpoints = ["--checkpoints", str(directory), "--interval", "500ms"]
    process = start([*options, *checkpoints])
    first_output(process)
    time.sleep(seconds)
    began = time.monotonic()
    kill(process)
    process = start([*options, *checkpoints, "--restore", "latest"])
    took = first_output(process) - began
    kill(process)
    return took


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4, help="how long a job runs before it is killed")
    arguments = parser.parse_args()
    options = ["--keys", str(arguments.keys), "--cores", str(arguments.cores)]
    rows = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        for pair in range(arguments.pairs):
            without = fresh(options)
            after = recovery(options, Path(directory) / "checkpoints", arguments.seconds)
            rows.append((without * 1e3, after * 1e3, after / without))
            print(f"pair {pair + 1}: fresh {rows[-1][0]:.1f} ms, after kill -9 {rows[-1][1]:.1f} ms, "
                  f"ratio {rows[-1][2]:.2f}", flush=True)
    medians = [statistics.median(column) for column in zip(*rows)]
    print(f"median: fresh {medians[0]:.1f} ms, after kill -9 {medians[1]:.1f} ms, ratio {medians[2]:.2f}")


if __name__ == "__main__":
    main()
