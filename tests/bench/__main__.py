"""`python -m tests.bench [CASE ...] [--runs N] [--json FILE] [--folder DIR]`: measures, prints, never judges."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import clusters, releases, transfers, workers
from tests.bench.measure import HEADER, Row


def main() -> None:
    known = [*transfers.CASES, *releases.CASES, *workers.CASES, *clusters.CASES]
    parser = argparse.ArgumentParser(prog="make bench", description="Slipway against `docker buildx build`.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"some of: {', '.join(known)} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs of each case")
    parser.add_argument("--folder", help="for the contexts and the engine's state, 3 GiB (default: the temporary one)")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the figures go, too")
    args = parser.parse_args()
    if unknown := set(args.cases) - set(known):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    chosen = args.cases or known
    if not os.environ.get("KUBECONFIG") and (on_clusters := set(chosen) & set(clusters.CASES)):
        print(f"KUBECONFIG names no cluster to measure on; left out: {', '.join(sorted(on_clusters))}")
        chosen = [case for case in chosen if case not in on_clusters]
    rows = []
    print(f"seconds, medians of {args.runs} pairs (cached and starts: three times as many)\n{HEADER}", flush=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=args.folder) as folder:
        for row in _rows(Path(folder), chosen, args.runs):
            print(row.text(), flush=True)
            rows.append(row.json())
    machine = {"machine": platform.platform(), "python": platform.python_version(), "buildx": _buildx()}
    args.json.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")
    print(f"all figures are in {args.json}")


def _rows(folder: Path, chosen: list[str], runs: int) -> Iterator[Row]:
    if wanted := [case for name, case in transfers.CASES.items() if name in chosen]:
        with transfers.transfers(folder, runs) as builds:
            for measure in wanted:
                yield measure(builds)
    if others := [case for name, case in releases.CASES.items() if name in chosen]:
        with releases.releases(folder, runs) as stack:
            for compare in others:
                yield compare(stack)
    if working := [case for name, case in workers.CASES.items() if name in chosen]:
        with workers.workers(folder, runs) as place:
            for watch in working:
                yield watch(place)
    if cases := [case for name, case in clusters.CASES.items() if name in chosen]:
        with clusters.clusters(folder, runs) as cluster:
            for case in cases:
                yield case(cluster)


def _buildx() -> str:
    return subprocess.run(["docker", "buildx", "version"], capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    main()
