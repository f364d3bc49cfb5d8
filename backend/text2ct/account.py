"""The account beside a result: what was asked, what made it, what it shows, which files hold it.

A stamp in a header is short and free of patient data; the account is the whole story,
for the user's own folder: the request with its report, the findings as understood, the
ledger, and the stamps of the files. It carries a hash of itself, so a change is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import BadInput
from .formats.atomic import replacing
from .plain import to_plain
from .provenance import Stamp
from .requests import Request, Result

_SELF = "account_sha256"


def account_of(request: Request | Mapping[str, Any], result: Result,
               files: Mapping[str, Stamp | None]) -> dict[str, Any]:
    """The whole account as plain values; a request may be plain already, as a server keeps it."""
    asked = request if isinstance(request, Mapping) else {"task": request.task, **to_plain(request)}
    return {
        "notice": result.provenance.notice,
        "provenance": to_plain(result.provenance),
        "request": dict(asked),
        "ledger": to_plain(result.ledger),
        "score": result.score,
        "notes": list(result.notes),
        "files": {name: to_plain(stamp) for name, stamp in files.items()},
    }


def write_account(account: Mapping[str, Any], path: Path) -> None:
    """Write an account with the hash of itself."""
    with replacing(path) as temporary:
        whole = {**account, _SELF: _digest(account)}
        temporary.write_text(json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_account(path: Path) -> dict[str, Any] | None:
    """The account in a file, or None when the file is no account of ours."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) and {_SELF, "provenance", "files"} <= values.keys() else None


def account_is_unchanged(account: Mapping[str, Any]) -> bool:
    """Whether every word of it is as it was written."""
    return bool(account.get(_SELF) == _digest({k: v for k, v in account.items() if k != _SELF}))


def ledger_lines(result: Result) -> list[str]:
    """The ledger as lines for people: what was asked, what the CT shows, how it was measured."""
    if not result.ledger:
        return ["Nothing in the report could be measured."]
    return [_ledger_line(entry) for entry in result.ledger]


def _ledger_line(entry: Any) -> str:
    finding = entry.finding
    where = " ".join(filter(None, [finding.side or "", "/".join(finding.lobe)]))
    size = f" {finding.size_mm:g} mm" if finding.size_mm else ""
    asked = f"{finding.kind.replace('_', ' ')}{' ' + where if where else ''}{size}, {finding.certainty}"
    number = f" {entry.value:.3g} {entry.unit}".rstrip() if entry.value is not None else ""
    verdict = {True: "as asked", False: "NOT as asked", None: "-"}[entry.agrees]
    return f"{asked:<52} {entry.answer:<10} {verdict:<13}{number} ({entry.method})"


def _digest(account: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(account, sort_keys=True, ensure_ascii=True, allow_nan=False)
    except ValueError as error:
        raise BadInput(f"The account holds a value that JSON cannot: {error}.") from error
    return hashlib.sha256(text.encode()).hexdigest()
