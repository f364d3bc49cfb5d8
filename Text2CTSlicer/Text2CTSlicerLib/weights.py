"""Published weights for a user who has no command `text2ct`: what can be downloaded, and the download.

An extension brings the package without its command, so a child process of Slicer's Python
fetches and converts, by the command of the package: the gigabytes are read beside Slicer
and not in it, and what was fetched is kept when it is cancelled. The licence was shown
and accepted before.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from slicer.i18n import tr as _

from . import backends, packages

if TYPE_CHECKING:
    from text2ct.engines.terms import Engine, WeightSet
    from text2ct.requests import CancelToken

_LOOK_S = 0.2


def downloadable() -> list[tuple[Engine, WeightSet]]:
    """The weight sets of engines that work in this release, which are on the hub and not on this machine."""
    from text2ct.engines.catalog import ENGINES
    from text2ct.weights.store import present

    return [(engine, weights) for engine in ENGINES.values() if engine.ready for weights in engine.weight_sets
            if weights.source == "hub" and not present(engine, weights)]


def question(engine: Engine, weights: WeightSet) -> str:
    """What the user is asked: the licence, how much it is, and where it goes."""
    from text2ct.weights.home import set_folder
    from text2ct.weights.licences import licence_text

    return licence_text(engine, weights) + "\n\n" + _(
        "{size:.1f} GB are downloaded and kept in {folder}. Do you accept the licence, and download now?").format(
        size=weights.bytes / 1e9, folder=set_folder(engine.id, weights.id))


def download(engine: Engine, weights: WeightSet) -> Callable[[Callable[[Any], None], CancelToken], None]:
    """The work of fetching a set, for a thread; `question` was answered with yes."""
    command = [backends.python(), "-m", "text2ct", "weights", "download", f"{engine.id}/{weights.id}",
               "--accept-licence", "--quiet", "--progress", "json"]
    environment = {**os.environ, "PYTHONPATH": str(packages.folder())}
    return lambda tell, token: _run(command, environment, tell, token)


def for_slicer(sentence: str) -> str:
    """A sentence of the package with its command as this Slicer has it."""
    said = sentence.replace("text2ct weights ", f"{_command()} weights ")
    if "text2ct weights download" in sentence:
        said += " " + _("Or press 'Download weights...' under 'Where it runs'.")
    return said


def _command() -> str:
    """The command `text2ct` for a terminal on this system."""
    setting = f'set "PYTHONPATH={packages.folder()}" &&' if os.name == "nt" else f"PYTHONPATH='{packages.folder()}'"
    return f'{setting} "{backends.python()}" -m text2ct'


def _run(command: Sequence[str], environment: dict[str, str], tell: Callable[[Any], None], token: CancelToken) -> None:
    """Run the child until it ends or is cancelled; the last thing that it said is the reason of a failure."""
    from text2ct import children
    from text2ct.errors import Cancelled, WeightsError

    said: list[str] = []
    with children.begin(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                        env=environment) as child:
        reader = threading.Thread(target=_hear, args=(child.stderr, tell, said.append), daemon=True)
        reader.start()
        while reader.is_alive() and not token.cancelled:
            reader.join(_LOOK_S)
        if token.cancelled:
            children.kill(child)
        reader.join()
    if token.cancelled:
        raise Cancelled("Cancelled; the next download goes on from here.")
    if child.returncode:
        raise WeightsError(said[-1] if said else f"The download ended with the code {child.returncode}.")


def _hear(stream: IO[bytes], tell: Callable[[Any], None], say: Callable[[str], None]) -> None:
    """Pass on what a child tells: its progress is one JSON object a line, everything else is a sentence."""
    from text2ct.requests import Progress

    for words in filter(None, (line.decode("utf-8", "replace").strip() for line in stream)):
        try:
            tell(Progress(**json.loads(words)))
        except (ValueError, TypeError):
            say(words)
