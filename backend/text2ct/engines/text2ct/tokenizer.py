"""Report text to the token numbers that the CLIP text tower was trained on, offline and without a package for it.

Text is cleaned, cut into words, and each word is put together from bytes by 48,894 merges
in their order (byte-pair encoding). The published program cleans in one of two ways,
depending on what happened to be installed, and the numbers differ: "ftfy" repairs broken
encodings and typographic signs and keeps runs of punctuation together; "basic" strips accents
and cuts each punctuation sign off. The weights were most likely trained with "ftfy".
"""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Literal

from ...errors import Unavailable

Cleaning = Literal["ftfy", "basic"]
START, END = 49406, 49407
_MERGES = Path(__file__).with_name("clip_merges.txt.gz")
_MARKS = {"<|startoftext|>": START, "<|endoftext|>": END}
_SHORT = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")
_PLAIN = re.compile(r"[\t\n\r\x20-\x25\x27-\x7e]*\Z")  # printable ASCII but "&": ftfy has nothing to do


@dataclass(frozen=True)
class Tokens:
    """Token numbers of a fixed length. `dropped` counts those that did not fit."""

    ids: tuple[int, ...]
    dropped: int

    @property
    def end(self) -> int:
        """Where the text ends: the first end mark, whose state the tower reads out."""
        return self.ids.index(END)


def tokens(text: str, length: int = 512, cleaning: Cleaning = "ftfy") -> Tokens:
    """Start mark, the text, end mark, then end marks to the full length; what does not fit is cut off."""
    clean = _fixed(text) if cleaning == "ftfy" else _basic(text)
    ids = [number for word in _words(clean) for number in _numbers(word)]
    kept = ids[:length - 2]
    padded = [START, *kept, END] + [END] * (length - 2 - len(kept))
    return Tokens(tuple(padded), len(ids) - len(kept))


def _fixed(text: str) -> str:
    """Repaired by ftfy, spaces made single, lower case. Plain ASCII needs no repair, and no ftfy."""
    if not _PLAIN.match(text):
        try:
            from ftfy import fix_text
        except ImportError:
            raise Unavailable("The report holds signs outside plain ASCII, and reading them as the weights were "
                              "trained needs the package ftfy; install it with: pip install ftfy.") from None
        text = fix_text(text)
    return " ".join(text.split()).lower()


def _basic(text: str) -> str:
    """Control signs out, lower case, accents off, each punctuation sign on its own; marks stay as they are."""
    pieces = re.split("(" + "|".join(map(re.escape, _MARKS)) + ")", text)
    return " ".join(piece if piece in _MARKS else " ".join(_basic_words(piece)) for piece in pieces)


def _basic_words(text: str) -> Iterator[str]:
    kept = "".join(" " if sign.isspace() else f" {sign} " if _chinese(sign) else sign
                   for sign in text if sign in "\t\n\r" or not _control(sign))
    for word in kept.split():
        bare = "".join(sign for sign in unicodedata.normalize("NFD", word.lower())
                       if unicodedata.category(sign) != "Mn")
        yield from "".join(f" {sign} " if _punctuation(sign) else sign for sign in bare).split()


def _control(sign: str) -> bool:
    return sign in "\0\ufffd" or unicodedata.category(sign).startswith("C")


def _chinese(sign: str) -> bool:
    return any(low <= ord(sign) <= high for low, high in (
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)))


def _punctuation(sign: str) -> bool:
    """All signs of ASCII that are neither letter, digit nor space, and what Unicode calls punctuation."""
    return ("!" <= sign <= "~" and not sign.isalnum()) or unicodedata.category(sign).startswith("P")


def _words(text: str) -> Iterator[str]:
    """Marks, short forms such as 's, runs of letters, single digits, runs of anything else that is no space."""
    at = 0
    while at < len(text):
        special = next((mark for mark in (*_MARKS, *_SHORT) if text[at:at + len(mark)].lower() == mark), None)
        kind = _kind(text[at])
        end = at + len(special) if special else at + 1
        while not special and kind in "LX" and end < len(text) and _kind(text[end]) == kind:
            end += 1
        if kind != " ":
            yield text[at:end]
        at = end


def _kind(sign: str) -> str:
    """L letter, N number, blank, or X anything else."""
    category = unicodedata.category(sign)[0]
    return category if category in "LN" else " " if sign.isspace() else "X"


def _numbers(word: str) -> Sequence[int]:
    """The tokens of one word, by joining the pair with the earliest merge until none is left."""
    if word.lower() in _MARKS:
        return [_MARKS[word.lower()]]
    return _merged(word)


@lru_cache(maxsize=4096)
def _merged(word: str) -> tuple[int, ...]:
    ranks, numbers = _vocabulary()
    signs = [_byte_signs()[byte] for byte in word.encode("utf-8")]
    parts = [*signs[:-1], signs[-1] + "</w>"]
    while len(parts) > 1:
        best = min(pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        parts = list(_joined(parts, best))
    return tuple(numbers[part] for part in parts)


def _joined(parts: Sequence[str], pair: tuple[str, str]) -> Iterator[str]:
    at = 0
    while at < len(parts):
        if tuple(parts[at:at + 2]) == pair:
            yield parts[at] + parts[at + 1]
            at += 2
        else:
            yield parts[at]
            at += 1


@lru_cache(maxsize=1)
def _byte_signs() -> tuple[str, ...]:
    """A printable sign for each byte: itself where it is one, else one from beyond Latin-1."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return tuple(chr(byte) if byte in printable else chr(256 + others.index(byte)) for byte in range(256))


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[Mapping[tuple[str, str], int], Mapping[str, int]]:
    """The rank of each merge, and the number of each token."""
    with gzip.open(_MERGES, "rt", encoding="utf-8") as file:
        merges = [(first, second) for first, second in (line.split() for line in file)]
    signs = sorted(_byte_signs(), key=lambda sign: (ord(sign) >= 256, ord(sign)))
    names = [*signs, *(sign + "</w>" for sign in signs), *(first + second for first, second in merges)]
    return {pair: rank for rank, pair in enumerate(merges)}, {name: number for number, name in enumerate(names)}
