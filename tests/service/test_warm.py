"""Which engines stay loaded, and which go when memory is short."""

from __future__ import annotations

import pytest

from text2ct.engines.terms import Engine, Licence, WeightSet
from text2ct.errors import BadInput
from text2ct.service.warm import Warm

TERMS = Licence("MIT", "", "", commercial=True)


def engine(name: str, *weights: str) -> Engine:
    return Engine(name, name, "", ("generate",), "m:C",
                  weight_sets=tuple(WeightSet(w, w, "package", TERMS, ()) for w in weights))


class Machine:
    """Memory in which each loaded runner takes 10 bytes until nothing holds it any more."""

    def __init__(self, size: int = 35) -> None:
        self.size, self.held, self.loads = size, 0, []

    def free(self) -> int:
        return self.size - self.held

    def load(self, entry: Engine) -> Model:
        self.loads.append(entry.id)
        return Model(self)


class Model:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        machine.held += 10

    def __del__(self) -> None:
        self.machine.held -= 10

    def run(self, request, watch):
        raise NotImplementedError


A, B, C = engine("a"), engine("b"), engine("c", "mini", "published")


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def warm(machine):
    return Warm(machine.load, machine.free)


def test_an_engine_is_loaded_once(warm, machine):
    assert warm.runner(A) is warm.runner(A)
    assert machine.loads == ["a"]


def test_each_weight_set_has_a_runner_of_its_own_and_none_means_the_first(warm, machine):
    assert warm.runner(C) is warm.runner(C, "mini")
    assert warm.runner(C, "published") is not warm.runner(C)
    with pytest.raises(BadInput):
        warm.runner(C, "unknown")


def test_nothing_goes_while_there_is_room(warm):
    warm.runner(A)
    warm.runner(B)
    warm.make_room(15, A)
    assert warm.kept == (("a", ""), ("b", ""))


def test_the_least_recently_used_goes_first_and_its_memory_comes_back(warm, machine):
    for entry in (A, B, C, A):
        warm.runner(entry)
    warm.make_room(15, A)
    assert warm.kept == (("c", "mini"), ("a", ""))
    assert machine.free() == 15


def test_the_engine_that_is_needed_goes_last_even_if_it_was_used_longest_ago(warm, machine):
    for entry in (A, B):
        warm.runner(entry)
    warm.make_room(25, A)
    assert warm.kept == (("a", ""),)
    warm.make_room(35, A)
    assert warm.kept == ()


def test_what_cannot_fit_empties_the_house_and_the_run_itself_refuses(warm):
    warm.runner(A)
    warm.make_room(1000, B)
    assert warm.kept == ()


def test_where_the_system_does_not_tell_its_memory_nothing_goes(machine):
    warm = Warm(machine.load, lambda: None)
    warm.runner(A)
    warm.make_room(10**12, B)
    assert warm.kept == (("a", ""),)


def test_a_dropped_runner_is_loaded_anew(warm, machine):
    warm.runner(A)
    warm.drop(A)
    warm.drop(B)
    warm.runner(A)
    assert machine.loads == ["a", "a"]
