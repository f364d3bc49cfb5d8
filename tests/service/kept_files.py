"""Small blobs and results for the tests of what the service keeps on disk."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from text2ct.plain import to_plain
from text2ct.provenance import Provenance
from text2ct.service.blobs import Blobs
from text2ct.service.wire import CT_MEDIA, LABELS_MEDIA, PartView, ResultView

PLENTY = 1 << 40


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(blobs: Blobs, owner: str, data: bytes) -> str:
    """Send a blob in one piece; its name."""
    with blobs.receive(owner, sha(data), 0, len(data), PLENTY) as receiving:
        receiving.write(data)
    return sha(data)


def write_result(workspace: Path, ct: bytes, labels: bytes = b"labels") -> ResultView:
    """What a worker leaves behind: a CT, one layer of labels, and the JSON that lists them."""
    (workspace / "ct.nrrd").write_bytes(ct)
    (workspace / "labels-0.seg.nrrd").write_bytes(labels)
    parts = (PartView("ct", CT_MEDIA, len(ct), sha(ct)),
             PartView("labels-0", LABELS_MEDIA, len(labels), sha(labels), "organs"))
    view = ResultView(Provenance("phantom", "generate", 7), notes=("A note.",), parts=parts)
    (workspace / "result.json").write_text(json.dumps(to_plain(view)), "utf-8")
    return view
