"""Thousands of requests that the OpenAPI allows, and as many that it forbids, to a real server.

Schemathesis makes the requests; about half of those that name a job, a part or a blob
name one that exists, so that the routes behind are reached. No answer may be a 5xx, hold
a traceback, or differ from what the OpenAPI says about status, type, headers and body;
every refusal has its one shape; the log has no defect; the HTTP process stays small.

    python tests/service/fuzz_http.py --cases 20000 --seed 1
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks as documented
from serving import SMALL, Served, in_process

_SCHEMA = documented.response_schema_conformance
CHECKS = [schemathesis.checks.not_a_server_error, documented.status_code_conformance,
          documented.content_type_conformance, documented.response_headers_conformance,
          _SCHEMA]
MOST_MEMORY_KB = 150 * 1024


class Known:
    """Things that exist, and the chance that a made-up request names one of them."""

    def __init__(self, server: Served, number: int) -> None:
        self._dice = random.Random(number)
        self.jobs = [server.done_job({**SMALL, "seed": n}) for n in range(2)]
        self.blob = hashlib.sha256(b"blob").hexdigest()
        assert server.ask("PUT", f"/v1/blobs/{self.blob}", data=b"blob").status_code == 201

    def named(self, case: Any) -> Any:
        given_names = case.path_parameters or {}
        for name, real in (("job_id", self.jobs), ("part", ["result", "ct", "labels-0", "preview"]),
                           ("sha256", [self.blob])):
            if name in given_names and self._dice.random() < 0.6:
                given_names[name] = self._dice.choice(real)
        sent = getattr(case.body, "data", None)
        if case.method == "PUT" and isinstance(sent, bytes) and self._dice.random() < 0.5:
            given_names["sha256"] = hashlib.sha256(sent).hexdigest()
            case.headers.pop("content-range", None)
        if "part" in given_names and self._dice.random() < 0.5:
            case.headers["Range"] = f"bytes={self._dice.choice(['', 0, 9, 10**7])}-{self._dice.choice(['', 5, 99])}"
        request = case.body.get("request") if isinstance(case.body, dict) else None
        if isinstance(request, dict):
            self._accepted(case.body, request)
        return case

    def _accepted(self, body: dict[str, Any], request: dict[str, Any]) -> None:
        """Make it likelier that a posted job is taken in, and quick."""
        if self._dice.random() < 0.2:
            return
        given_volumes = [v for v in request.values() if isinstance(v, dict) and isinstance(v.get("digest"), str)]
        for volume in given_volumes:
            volume.update(affine=[[9, 0, 0, 0], [0, 9, 0, 0], [0, 0, 9, 0], [0, 0, 0, 1]], shape=[40, 40, 32])
        if given_volumes and self._dice.random() < 0.8:
            body["volumes"] = {volume["digest"]: self.blob for volume in given_volumes}
        elif not given_volumes:
            body.pop("volumes", None)
        if request.get("weights"):
            request["weights"] = ""
        if request.get("engine") == "text2ct":
            request["engine"] = "phantom"
        if request.get("task") == "generate" and not request.get("base"):
            request.update(shape=[40, 40, 32], spacing=[9, 9, 10])


class Findings:
    """What came back."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def judge(self, case: Any, response: Any) -> None:
        where = f"{case.method} {case.operation.path}"
        self.statuses[f"{where} {response.status_code}"] += 1
        try:
            partial = response.status_code == 206  # a part of a JSON text is not JSON
            case.validate_response(response, checks=[c for c in CHECKS if not partial or c is not _SCHEMA])
        except (FailureGroup, Failure) as error:
            for failure in getattr(error, "exceptions", [error]):
                self.failures[f"{where} {response.status_code}: {type(failure).__name__} {failure}"[:600]] += 1
        if b"Traceback" in response.content:
            self.failures[f"{where}: a traceback"] += 1
        if response.status_code >= 400 and case.method != "HEAD" and not _is_refusal(response.content):
            self.failures[f"{where} {response.status_code}: not a refusal: {response.content[:200]!r}"] += 1


def _is_refusal(body: bytes) -> bool:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return False
    return set(error) == {"code", "message", "id"} and re.fullmatch("e-[0-9a-f]{10}", error["id"]) is not None \
        and bool(error["message"])


def fuzz(server: Served, cases: int, number: int) -> Findings:
    """So many requests, spread over all operations and both kinds."""
    found, known = Findings(), Known(server, number)
    headers = {"Authorization": f"Bearer {server.key}"}
    schema = schemathesis.openapi.from_url(f"{server.url}/v1/openapi.json", headers=headers)
    operations = [result.ok() for result in schema.get_all_operations()]
    heavy = [op for op in operations if op.path_parameters or op.body or op.query]
    light = [op for op in operations if op not in heavy]
    session = requests.Session()
    left = cases
    for group, share in ((light, max(4, cases // 100)), (heavy, None)):
        for n, operation in enumerate(group):
            each = share if share is not None else max(2, left // (len(group) - n))
            left -= _run(operation, each, number, known, found, session, headers)
    while left > 0:  # where there was less to try than its share, and where a share was rounded down
        left -= _run(heavy[-1], max(2, left), number + left, known, found, session, headers)
    return found


def _run(operation: Any, cases: int, number: int, known: Known, found: Findings, session: requests.Session,
         headers: dict[str, str]) -> int:
    modes = [GenerationMode.POSITIVE] + ([GenerationMode.NEGATIVE] if operation.path_parameters or operation.body
                                         or operation.query else [])
    before = sum(found.statuses.values())
    for mode in modes:
        @seed(number)
        @settings(max_examples=max(1, cases // len(modes)), deadline=None, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            found.judge(case, known.named(case).call(session=session, headers=headers, timeout=60))
        one()
    return sum(found.statuses.values()) - before


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place, in_process(Path(place) / "server") as server:
        found = fuzz(server, args.cases, args.seed)
        status = Path(f"/proc/{server.pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1])  # type: ignore[index]
        log = (server.folder / "logs" / "server.log").read_text()
    defects = re.findall(r"ERROR e-[0-9a-f]+ (?!job ).*(?:\n    .*)*", log)  # a job may fail, for want of weights say
    for line, count in sorted(found.statuses.items()):
        print(f"{count:7d}  {line}")
    for line, count in found.failures.most_common():
        print(f"FAILED {count} times: {line}")
    for defect in defects[:5]:
        print(defect)
    total = sum(found.statuses.values())
    print(f"{total} requests, {sum(found.failures.values())} failures, {len(defects)} defects in the log, "
          f"peak memory {peak // 1024} MB, {time.monotonic() - started:.0f} s")
    return 1 if found.failures or defects or peak > MOST_MEMORY_KB else 0


if __name__ == "__main__":
    sys.exit(main())
