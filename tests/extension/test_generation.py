"""The child process and its words: progress in pieces, the last sentence, and an end together with the parent."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Text2CTSlicer"))

from Text2CTSlicerLib import backend, generation  # noqa: E402

LINE = json.dumps({"stage": "drawing organs", "step": 3, "total": 9, "seconds": 1.5}).encode() + b"\n"


def test_progress_is_understood_when_its_bytes_come_in_pieces() -> None:
    listener = generation.Listener()
    heard = [listener.hear(LINE[n:n + 7]) for n in range(0, len(LINE), 7)]
    (progress,) = [p for some in heard for p in some]
    assert (progress.stage, progress.step, progress.total, progress.seconds) == ("drawing organs", 3, 9, 1.5)


def test_several_lines_at_once_are_several_steps_and_words_between_them_are_none() -> None:
    listener = generation.Listener()
    assert len(listener.hear(LINE + b"a note\r\n" + LINE + b"\n" + LINE[:5])) == 2


@pytest.mark.parametrize("line", [b"3\n", b"[]\n", b"{}\n", b'{"stage": "x"}\n', b'"stage"\n', b"\xff\xfe{\n",
                                  b"null\n", b'{"stage": "x", "step": null, "total": 1, "seconds": 0}\n'])
def test_a_line_that_is_no_progress_is_taken_as_words(line: bytes) -> None:
    assert generation.Listener().hear(line) == []


def test_the_last_words_of_a_failed_run_are_the_sentence_for_the_user() -> None:
    listener = generation.Listener()
    listener.hear(b"some note\n" + LINE + "The grid is larger than 512 × 512.".encode())
    assert listener.sentence(2) == "The grid is larger than 512 × 512."


def test_a_cancelled_run_says_so_whatever_it_said_before() -> None:
    listener = generation.Listener()
    listener.hear(b"some note\n")
    assert "Cancelled" in listener.sentence(130)


def test_a_silent_crash_still_gives_a_sentence_with_the_exit_code() -> None:
    assert "-11" in generation.Listener().sentence(-11)


def test_the_report_goes_into_a_file_and_never_into_the_arguments(tmp_path: Path) -> None:
    order = generation.Order("Erguß rechts.\nNo pneumothorax.", 7, "draft")
    arguments = generation.prepare(order, tmp_path / "backend", tmp_path)
    assert not any("pneumothorax" in word for word in arguments)
    report = Path(arguments[arguments.index("-i") + 1])
    assert report.read_text(encoding="utf-8") == order.report
    assert arguments[arguments.index("--seed") + 1] == "7"


def test_the_menu_shows_the_presets_of_the_catalog() -> None:
    from text2ct.engines import catalog

    assert [name for name, _ in generation.presets()] == list(catalog.ENGINES["phantom"].presets)


def test_the_required_packages_are_those_of_the_python_package() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = (ROOT / "Text2CTSlicer" / "Resources" / "requirements.txt").read_text(encoding="utf-8").split()
    assert listed == project["dependencies"]


def test_absent_and_outdated_packages_are_missing_and_good_ones_are_not(tmp_path: Path) -> None:
    (tmp_path / "Resources").mkdir()
    (tmp_path / "Resources" / "requirements.txt").write_text("numpy>=1.0\nnumpy>=999\nno-such-package-at-all>=1\n\n")
    assert backend.missing_packages(tmp_path) == ["numpy>=999", "no-such-package-at-all>=1"]


def test_the_package_beside_the_module_wins_over_that_of_the_checkout(tmp_path: Path) -> None:
    module = tmp_path / "module"
    for package in (module / "text2ct", tmp_path / "backend" / "text2ct"):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    assert backend.folder(module) == module
    (module / "text2ct" / "__init__.py").unlink()
    assert backend.folder(module) == tmp_path / "backend"
    (tmp_path / "backend" / "text2ct" / "__init__.py").unlink()
    with pytest.raises(RuntimeError, match="install the extension again"):
        backend.folder(module)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """A package text2ct whose command line says that it started and works on, and may be deaf to interruption."""
    folder = tmp_path / "stand-in" / "text2ct" / "cli"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "__init__.py").touch()
    (folder / "main.py").write_text(
        "import sys, time\n"
        "def main(arguments):\n"
        "    while True:\n"
        "        try:\n"
        "            print('started', *arguments, 'é', file=sys.stderr)\n"
        "            while True:\n"
        "                time.sleep(0.02)\n"
        "        except KeyboardInterrupt:\n"
        "            if arguments == ['heeds']:\n"
        "                print('tidied up', file=sys.stderr)\n"
        "                return 130\n", encoding="utf-8")
    return folder.parent.parent


def worker(folder: Path, *arguments: str, launcher: bool = False) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(generation.WORKER), str(folder), *arguments]
    if launcher:
        command = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))", *command]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Standard input and standard error of a child."""
    assert child.stdin is not None
    assert child.stderr is not None
    return child.stdin, child.stderr


def test_closing_its_input_interrupts_the_child(stand_in: Path) -> None:
    with worker(stand_in, "heeds") as child:
        stdin, stderr = pipes(child)
        assert stderr.readline().decode("utf-8").strip() == "started heeds é"
        stdin.close()
        assert child.wait(20) == generation.CANCELLED
        assert stderr.read().strip() == b"tidied up"


def test_a_child_that_does_not_heed_the_interruption_is_ended_all_the_same(stand_in: Path) -> None:
    with worker(stand_in, "is deaf") as child:
        stdin, stderr = pipes(child)
        stderr.readline()
        stdin.close()
        assert child.wait(30) == generation.CANCELLED


def test_killing_the_launcher_ends_the_run_behind_it(stand_in: Path) -> None:
    with worker(stand_in, "heeds", launcher=True) as launcher:
        stdin, stderr = pipes(launcher)
        stderr.readline()
        launcher.kill()
        stdin.close()
        assert stderr.read().strip() == b"tidied up"  # ends only when the real child, who holds it too, is gone


def test_the_child_runs_on_while_its_input_stays_open(stand_in: Path) -> None:
    with worker(stand_in, "heeds") as child:
        stdin, stderr = pipes(child)
        stderr.readline()
        time.sleep(0.3)
        assert child.poll() is None
        stdin.close()


def test_a_draft_generated_through_the_worker_is_read_back_with_its_account(tmp_path: Path) -> None:
    order = generation.Order("Moderate right pleural effusion. No pneumothorax.", 5, "draft")
    arguments = generation.prepare(order, ROOT / "backend", tmp_path)
    with subprocess.Popen([sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as child:
        _, stderr = pipes(child)
        listener = generation.Listener()
        steps = [progress for line in stderr for progress in listener.hear(line)]
        assert child.wait(60) == 0, listener.sentence(1)
    made = generation.read(tmp_path)
    assert steps
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(steps))
    assert (made.provenance.engine, made.provenance.seed) == ("phantom", 5)
    assert made.ct.shape == (128, 128, 64)
    assert made.layers[0].same_grid(made.ct)
    assert any(layer.segments for layer in made.layers)
