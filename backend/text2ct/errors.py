"""Every failure a person can meet, each with one sentence that helps.

The sentence says what was wrong, with what, and what to do next. Doors (command
line, server, Slicer) print it as it is; `exit_code` is what the command line
returns. Anything that is not a Text2CTError is a defect of ours.
"""

from __future__ import annotations

from typing import ClassVar


class Text2CTError(Exception):
    """A failure with a sentence for the person who met it."""

    exit_code: ClassVar[int] = 1


class BadInput(Text2CTError):
    """A file or an argument that cannot be used as it is."""

    exit_code = 2


class UnknownFormat(BadInput):
    """A file of a kind that is not read here."""


class BadRequest(BadInput):
    """A request whose values do not make sense together."""


class ChangedSinceMade(Text2CTError):
    """A file of ours whose voxels are no longer those that were written."""

    exit_code = 3


class NotOurs(Text2CTError):
    """A file that carries no account of ours."""

    exit_code = 4


class WeightsError(Text2CTError):
    """Weights that are absent, refused, unsafe or not what they claim to be."""

    exit_code = 5


class Unavailable(Text2CTError):
    """Something this machine lacks: a package, a device, memory, disk, a network."""

    exit_code = 6


class Cancelled(Text2CTError):
    """The user asked to stop."""

    exit_code = 130
