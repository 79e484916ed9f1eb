#!/usr/bin/env python3
"""Times Python's json on a Binance capture: the baseline of `cargo bench -p tailwater-connectors`.

usage: decode_python.py binance-usdm-btcusdt-20240808.jsonl.gz

Both decode every line of the same unpacked bytes from memory on one thread. Python is given the
least work that yields the fields: json.loads of each line, decimals left as strings.
"""

import gzip
import json
import sys
import time

RUNS = 7


def main():
    with gzip.open(sys.argv[1], "rb") as file:
        text = file.read()
    best = float("inf")
    for _ in range(RUNS):
        start = time.perf_counter()
        messages = 0
        for line in text.splitlines():
            received, _, message = line.partition(b" ")
            int(received)
            json.loads(message)
            messages += 1
        best = min(best, time.perf_counter() - start)
    rate = len(text) / best
    print(json.dumps({
        "messages": messages,
        "bytes": len(text),
        "secs": round(best, 4),
        "mb_per_s": round(rate / 1e6, 1),
        "mib_per_s": round(rate / 2**20, 1),
    }))


main()
