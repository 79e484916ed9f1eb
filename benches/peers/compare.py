#!/usr/bin/env python3
"""// Which of two commands is faster, on a machine that is shared and noisy?

Runs pairs of the two commands in the order A B B A, so that a drift of the machine favours
neither, and takes the ratio A / B of a field within each pair: the median ratio with its
quartiles is the answer, the medians of the field itself are only context. Each command prints
one JSON line a run; where both lines have `outputs` or `checksum`, they must agree, unless the
two do work of different length (`--unequal-work`): then only rates can be compared.

    compare.py --pairs 15 -- ceiling tick-vwap --cores 2 --vs ceiling tick-vwap --cores 1
    compare.py --field p50_ns --field p99_ns -- A ... --vs B ...

Exit status: 0 when measured, 1 when a command failed or the two disagree, 2 for wrong usage.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import sys

# A run that takes longer than this hangs; the workloads take seconds.
RUN_SECONDS_MAX = 300
# Fields which show that the two sides did the same work.
AGREEING_FIELDS = ("outputs", "checksum")


class Failure(Exception):
    """A comparison that has no answer."""


class Usage(Exception):
    """A command line that cannot be read."""


def parse(words):
    """The options, and the two commands as lists of words."""
    split = words.index("--") if "--" in words else len(words)
    options = argparse.ArgumentParser(
        usage="%(prog)s [options] -- A-COMMAND ... --vs B-COMMAND ...",
        description=__doc__.splitlines()[0][3:],
    )
    options.add_argument("--pairs", type=int, default=15)
    options.add_argument("--field", action="append", help="default: events_per_s; repeatable")
    options.add_argument(
        "--unequal-work", action="store_true", help="outputs and checksums need not agree"
    )
    options.add_argument("--label", help="print one table row for each field, with this title")
    parsed = options.parse_args(words[:split])
    commands = words[split + 1 :]
    if commands.count("--vs") != 1 or parsed.pairs < 1:
        raise Usage("expected at least one pair, and -- A-COMMAND ... --vs B-COMMAND ...")
    middle = commands.index("--vs")
    sides = (commands[:middle], commands[middle + 1 :])
    if not all(sides):
        raise Usage("a command is empty")
    parsed.field = parsed.field or ["events_per_s"]
    return parsed, sides


def run(command):
    """The last JSON line that the command prints."""
    text = shlex.join(command)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{text}: {error}") from error
    if done.returncode != 0:
        raise Failure(f"{text}: exit status {done.returncode}\n{done.stderr.strip()}")
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        raise Failure(f"{text}: printed no JSON line")
    try:
        return json.loads(lines[-1])
    except json.JSONDecodeError as error:
        raise Failure(f"{text}: {error}: {lines[-1]}") from error


def check(pair, sides):
    """Both sides must have done the same work."""
    for field in AGREEING_FIELDS:
        values = [line.get(field) for line in pair]
        if None not in values and values[0] != values[1]:
            texts = [f"{shlex.join(side)}: {value}" for side, value in zip(sides, values)]
            raise Failure(f"the two disagree on {field}:\n  " + "\n  ".join(texts))


def measure(sides, options):
    """Pairs of lines (A, B); every second pair runs B first."""
    measured = []
    for number in range(options.pairs):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        pair = [None, None]
        for side in order:
            pair[side] = run(sides[side])
        if not options.unequal_work:
            check(pair, sides)
        measured.append(pair)
    return measured


def values_of(measured, field):
    """The field of all A runs and of all B runs."""
    try:
        return [[float(pair[side][field]) for pair in measured] for side in (0, 1)]
    except KeyError as error:
        raise Failure(f"a line has no field {field}") from error


def quartiles(values):
    """First quartile, median, third quartile; of one value, itself."""
    if len(values) == 1:
        return values * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def number(value):
    """Three digits or a whole number, with thousands apart."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def report(options, measured, field):
    """Prints the answer for one field."""
    a, b = values_of(measured, field)
    # A floor may be 0 in one run; then there is no ratio, and the medians have to do.
    ratios = [x / y for x, y in zip(a, b)] if min(b) > 0 else [float("nan")]
    low, middle, high = quartiles(ratios)
    medians = [number(statistics.median(side)) for side in (a, b)]
    if options.label:
        print(
            f"{options.label:<42} {field:<13} {middle:>6.3f}  {low:>6.3f} .. {high:<6.3f}"
            f" {medians[0]:>14} {medians[1]:>14}",
            flush=True,
        )
    else:
        print(f"{field}: A / B = {middle:.3f}  (quartiles {low:.3f} .. {high:.3f},")
        print(f"  {len(measured)} pairs; medians: A {medians[0]}, B {medians[1]})")


def main():
    """The command line."""
    options, sides = parse(sys.argv[1:])
    measured = measure(sides, options)
    for field in options.field:
        report(options, measured, field)


if __name__ == "__main__":
    try:
        main()
    except Usage as usage:
        print(f"compare.py: {usage}", file=sys.stderr)
        sys.exit(2)
    except Failure as failure:
        print(f"compare.py: {failure}", file=sys.stderr)
        sys.exit(1)
