"""The tiny weight set, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of the learned engine are left out")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    import small_networks

    torch.set_num_threads(1)
    return small_networks.written(Path(tmp_path_factory.mktemp("tiny")))
