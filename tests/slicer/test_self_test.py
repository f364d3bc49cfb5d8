"""The module's own test runs by itself, both as a build of Slicer runs it and from the button "Reload and Test"."""

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def source(module: Callable[[str], Any]) -> Any:
    return module("Text2CTSlicer").source


@pytest.fixture
def without_numpy(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source.packages, "_is_installed", lambda requirement: requirement.name != "numpy")


@pytest.fixture
def said(source: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the module's test showed."""
    lines: list[str] = []
    monkeypatch.setattr(source.Text2CTSlicerTest, "delayDisplay", lambda test, message: lines.append(message))
    return lines


def run_as_a_build_does() -> unittest.TestResult:
    """As slicer.testing.runUnitTest: unittest finds the tests by the name of the module."""
    suite, result = unittest.TestLoader().loadTestsFromName("Text2CTSlicer"), unittest.TestResult()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="It is deprecated to return a value", category=DeprecationWarning)
        suite.run(result)
    return result


def test_each_flow_is_a_test_of_a_build(source: Any) -> None:
    result = run_as_a_build_does()
    assert (result.failures, result.errors, result.skipped) == ([], [], [])
    assert result.testsRun == 3  # both flows, and the empty test of the class they come from


def test_where_packages_are_missing_the_tests_of_a_build_are_skipped(source: Any, without_numpy: None) -> None:
    result = run_as_a_build_does()
    assert result.wasSuccessful()
    assert [reason for _, reason in result.skipped] == ["Slicer's Python lacks numpy>=1.26."] * 2


def test_the_button_runs_both_flows(source: Any, said: list[str]) -> None:
    source.Text2CTSlicerTest().runTest()
    assert said.count("Painting a lesion") == 1
    assert said[-1] == "Test passed"


def test_where_packages_are_missing_the_button_says_so(source: Any, said: list[str], without_numpy: None) -> None:
    source.Text2CTSlicerTest().runTest()
    assert said == ["Skipped: Slicer's Python lacks numpy>=1.26."]
