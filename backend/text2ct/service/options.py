"""How a server is run: where it listens, where it keeps things, and what it lets people ask of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadInput

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Limits:
    """What one request, one key and the whole server may take; each is checked before memory or disk is."""

    json_bytes: int = 1 << 20
    blob_bytes: int = 1 << 30
    piece_bytes: int = 64 << 20
    voxels: int = 1024 * 1024 * 1024
    queued_jobs: int = 2000
    queued_jobs_a_key: int = 500
    blob_bytes_a_key: int = 20 << 30
    wrong_keys_a_minute: int = 10
    event_streams_a_key: int = 32


@dataclass(frozen=True)
class Retention:
    """How long results stay: at most so many days, at most so many bytes, the oldest go first."""

    days: float = 30.0
    bytes: int = 50 << 30
    unused_blob_hours: float = 24.0


@dataclass(frozen=True)
class Patience:
    """How long a worker may be silent. Seconds on a clock that cannot be set."""

    start: float = 120.0
    beat: float = 60.0
    stall: float = 3600.0
    cancel: float = 10.0
    crashes: int = 2  # a job whose worker died is run again so often, then fails


@dataclass(frozen=True)
class Options:
    """One server. `folder` holds all it must remember: jobs, blobs, results, keys, logs."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8042
    cert: Path | None = None
    cert_key: Path | None = None
    behind_proxy: bool = False
    devices: tuple[str, ...] = ("auto",)
    hosts: tuple[str, ...] = ()  # further names by which clients may call this server
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    patience: Patience = field(default_factory=Patience)

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK

    @property
    def tls(self) -> bool:
        return self.cert is not None

    def check(self, has_keys: bool) -> None:
        """Refuse to be careless: off loopback only with keys and with TLS, own or a proxy's."""
        if not 0 <= self.port <= 65535:
            raise BadInput(f"The port {self.port} is impossible; give one between 0 and 65535 (0: any free one).")
        if (self.cert is None) != (self.cert_key is None):
            raise BadInput("TLS needs both a certificate and its key; give --cert and --cert-key together.")
        if not all(math.isfinite(n) and n > 0 for n in (self.retention.days, self.retention.bytes)):
            raise BadInput("Results must be kept for some time and in some space; give numbers above 0.")
        if self.loopback and not self.behind_proxy:
            return
        if not has_keys and self.loopback:
            raise BadInput("A server behind a proxy is reached by others and has no key yet; make one first with: "
                           "text2ct serve keys add NAME.")
        if not has_keys:
            raise BadInput(f"A server on {self.host} can be reached by others and has no key yet; make one first with: "
                           "text2ct serve keys add NAME.")
        if not (self.tls or self.behind_proxy):
            raise BadInput(f"A server on {self.host} would send reports and images unprotected; give --cert and "
                           "--cert-key, or --behind-proxy when a proxy in front does TLS.")
