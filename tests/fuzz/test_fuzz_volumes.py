"""A short run of the volume fuzzer with every test run; the long one is `make fuzz`."""

from __future__ import annotations

from fuzz_volumes import main


def test_damaged_volume_files_are_read_or_refused_with_a_sentence() -> None:
    read = main(2000, 11)
    assert 500 < read < 1500
