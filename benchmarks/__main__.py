"""`python -m benchmarks [names…] [--quick] [--write]`: measures, and writes the tables of what has been measured."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks import impact, latency, plan, send, steady, webhook
from benchmarks.bench import open_bench

BENCHMARKS = {
    "send": send.run,
    "steady": steady.run,
    "webhook": webhook.run,
    "latency": latency.run,
    "impact": impact.run,
    "plan": plan.run,  # the longest last
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all, if none is given")
    parser.add_argument("--quick", action="store_true", help="small sizes: seconds, and figures that mean nothing")
    parser.add_argument("--write", action="store_true", help="write the tables of the named ones, too")
    parser.add_argument("--folder", type=Path, help="where databases are put for the run (default: the system's)")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers stop and files go
    names = [name for name in BENCHMARKS if name in chosen.names or not chosen.names]
    with open_bench(quick=chosen.quick, folder=chosen.folder) as bench:
        for name in names:
            bench.report.figures.clear()
            BENCHMARKS[name](bench)
            if chosen.write or not (chosen.names or chosen.quick):
                bench.report.write(name)


if __name__ == "__main__":
    main()
