"""Engines that behave badly, or telling. A worker runs them instead of the phantom when told `acting:load`.

What is acted is the first word of the report. Where an engine acts differently the
second time, it leaves a file in the folder named by ACTING_FOLDER.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from text2ct.engines.run import Runner
from text2ct.engines.run import load as load_real
from text2ct.engines.terms import Engine
from text2ct.errors import Unavailable
from text2ct.provenance import Provenance
from text2ct.requests import GenerateCT, Request, Result, Watch
from text2ct.volume import CTVolume

AFFINE = np.diag([3.0, 3.0, 5.0, 1.0])
STEPS = 12


def load(entry: Engine) -> Runner:
    """The real engine, unless the report asks for a play."""
    mark("loaded")
    return Stage(load_real(entry))


def mark(name: str) -> None:
    with (Path(os.environ["ACTING_FOLDER"]) / name).open("a") as stream:
        stream.write(f"{os.getpid()}\n")


def marks(name: str) -> int:
    path = Path(os.environ["ACTING_FOLDER"]) / name
    return len(path.read_text().splitlines()) if path.exists() else 0


class Stage:
    def __init__(self, real: Runner) -> None:
        self._real = real

    def run(self, request: Request, watch: Watch) -> Result:
        word = request.report.split()[0].strip(".").lower() if isinstance(request, GenerateCT) else ""
        play = getattr(self, word, None)
        return play(request, watch) if play else self._real.run(request, watch)

    def samples(self, request: GenerateCT, watch: Watch, dies_at: int = -1) -> Result:
        """Like a sampler: each step changes the state by noise of its own, and the state can be kept."""
        assert request.shape is not None
        first, x = 0, np.zeros(request.shape)
        if watch.resume is not None:
            first = int.from_bytes(watch.resume[:4], "big")
            x = np.frombuffer(watch.resume[4:]).reshape(request.shape).copy()
        for step in range(first, STEPS):
            if step == dies_at and marks("died") == 0:
                mark("died")
                os.kill(os.getpid(), signal.SIGKILL)
            x = np.cos(x) + np.random.default_rng([request.seed, step]).normal(size=x.shape)
            mark("stepped")
            watch.at("sampling", step + 1, STEPS, volume(x))
            if watch.keep is not None:
                watch.keep((step + 1).to_bytes(4, "big") + x.tobytes())
        return made(request, x)

    def dies(self, request: GenerateCT, watch: Watch) -> Result:
        return self.samples(request, watch, dies_at=STEPS // 2)

    def spoils(self, request: GenerateCT, watch: Watch) -> Result:
        """Keeps a state that it cannot go on from."""
        if watch.resume is not None:
            mark("resumed")
            os.kill(os.getpid(), signal.SIGKILL)
        if marks("spoiled") == 0:
            assert watch.keep is not None
            watch.keep(b"spoiled")
            mark("spoiled")
            os.kill(os.getpid(), signal.SIGKILL)
        return self.samples(request, watch)

    def suicide(self, request: GenerateCT, watch: Watch) -> Result:
        mark("suicide")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def crash(self, request: GenerateCT, watch: Watch) -> Result:
        ctypes.string_at(0)
        raise AssertionError

    def quit(self, request: GenerateCT, watch: Watch) -> Result:
        sys.exit(3)

    def steps(self, request: GenerateCT, watch: Watch) -> Result:
        """Without end, but it can be cancelled."""
        for step in range(1_000_000):
            watch.at("stepping", step, 1_000_000)
            mark("stepped")
            time.sleep(0.02)
        raise AssertionError

    def rushes(self, request: GenerateCT, watch: Watch) -> Result:
        for step in range(20_000):
            watch.at("rushing", step, 20_000)
        return made(request, np.zeros(request.shape or (2, 2, 2)))

    def hang(self, request: GenerateCT, watch: Watch) -> Result:
        """Hears nothing, and has a child that would outlive it."""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (Path(os.environ["ACTING_FOLDER"]) / "child").write_text(str(child.pid))
        mark("hanging")
        time.sleep(600)
        raise AssertionError

    def seizes(self, request: GenerateCT, watch: Watch) -> Result:
        """Native code that never lets Python's other threads run."""
        mark("hanging")
        ctypes.PyDLL(None).sleep(600)
        raise AssertionError

    def greedy(self, request: GenerateCT, watch: Watch) -> Result:
        """A real MemoryError, from a real limit."""
        import resource
        used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        np.ones(256 << 20, np.uint8)
        raise AssertionError

    def prints(self, request: GenerateCT, watch: Watch) -> Result:
        print("printed by python")
        os.write(1, b"written to the descriptor\n")
        subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
        assert sys.stdin.read() == ""
        return made(request, np.zeros(request.shape or (2, 2, 2)))

    def breaks(self, request: GenerateCT, watch: Watch) -> Result:
        raise ValueError(f"cannot make anything of {request.report!r} and sigma 7")

    def lacks(self, request: GenerateCT, watch: Watch) -> Result:
        raise Unavailable("The file /srv/models/deep/unet.safetensors lacks a tensor; import it again.")


def volume(x: np.ndarray) -> CTVolume:
    return CTVolume((x * 100).astype(np.int16), AFFINE)


def made(request: GenerateCT, x: np.ndarray) -> Result:
    return Result(Provenance("phantom", request.task, request.seed, sampler="acted"), volume(x))
