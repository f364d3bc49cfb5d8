"""A short run of the DICOM fuzzer with every test run; the long one is started by hand."""

from __future__ import annotations

from fuzz_dicom import main


def test_damaged_dicom_files_are_read_or_refused_with_a_sentence() -> None:
    outcomes = main(300, 7)
    assert outcomes["read"] > 20
    assert outcomes["refused"] > 100
