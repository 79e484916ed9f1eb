#!/usr/bin/env python3
"""Checks bars of `tailwater run bars` against bars computed here, with exact decimals and no code in common.

    tailwater run bars --input CAPTURE.jsonl.gz --window 1s --out-of-orderness 110ms --output bars.jsonl
    tests/check_bars.py bars.jsonl CAPTURE.jsonl.gz [CAPTURE.jsonl.gz ..] [--window-ms 1000]

Reads the Binance USD-M captures with the standard library's gzip, json and decimal: trades of kind MARKET,
windows aligned to 1970, open and close by (event time, trade id), VWAP rounded half to even at 8 decimals.
Exit status 0 when every bar agrees.
"""

import argparse
import gzip
import json
import sys
from decimal import ROUND_HALF_EVEN, Decimal, getcontext

getcontext().prec = 60


def plain(number):
    """A decimal without exponent and trailing zeros."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def expected_bars(captures, window_ns):
    trades = {}
    for capture in captures:
        with gzip.open(capture, "rt") as lines:
            for line in lines:
                data = json.loads(line.split(" ", 1)[1]).get("data", {})
                if data.get("e") == "trade" and data.get("X") == "MARKET":
                    at = data["T"] * 1_000_000
                    key = (at // window_ns * window_ns, data["s"])
                    trade = (at, data["t"], Decimal(data["p"]), Decimal(data["q"]))
                    trades.setdefault(key, []).append(trade)
    for (start, symbol), of_bar in sorted(trades.items()):
        prices = [price for _, _, price, _ in of_bar]
        volume = sum(size for *_, size in of_bar)
        notional = sum(price * size for _, _, price, size in of_bar)
        vwap = (notional / volume).quantize(Decimal("1e-8"), rounding=ROUND_HALF_EVEN)
        yield {
            "symbol": symbol,
            "start": start,
            "end": start + window_ns,
            "open": plain(min(of_bar)[2]),
            "high": plain(max(prices)),
            "low": plain(min(prices)),
            "close": plain(max(of_bar)[2]),
            "volume": plain(volume),
            "notional": plain(notional),
            "vwap": plain(vwap),
            "trades": len(of_bar),
        }


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("bars")
    options.add_argument("captures", nargs="+")
    options.add_argument("--window-ms", type=int, default=1000)
    options = options.parse_args()
    expected = list(expected_bars(options.captures, options.window_ms * 1_000_000))
    with open(options.bars) as lines:
        found = [json.loads(line) for line in lines]
    for number, (want, have) in enumerate(zip(expected, found), 1):
        if want != have or list(want) != list(have):
            sys.exit(f"bar {number} differs:\n  expected {want}\n  found    {have}")
    if len(expected) != len(found):
        sys.exit(f"{len(expected)} bars expected, {len(found)} found")
    print(f"{len(found)} bars agree")


if __name__ == "__main__":
    main()
