"""BERT's WordPiece, lower-cased: a text becomes the token ids that the text tower was trained on.

The vocabulary is a text file with one token a line; its line number is the id. Before
that the text is cleaned as the authors' program cleans it: broken encodings mended,
HTML entities resolved, white space collapsed.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import WeightsError

CONTEXT = 256
_LONGEST_WORD = 100
_MAX_BYTES = 5_000_000
_CJK = ((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F))
_STRAIGHT = str.maketrans({**dict.fromkeys("‘’ʼ‛‚", "'"), **dict.fromkeys("“”„‟", '"')})


@dataclass(frozen=True)
class WordPiece:
    """A vocabulary: token to id."""

    ids: Mapping[str, int]

    @classmethod
    def read(cls, path: Path) -> WordPiece:
        """The vocabulary of a vocab.txt, or a sentence that says why it is none."""
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise WeightsError(f"{path} is too large for a vocabulary; give the vocab.txt of the text model.")
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsError(f"The vocabulary {path} cannot be read ({type(error).__name__}); "
                               "fetch it again.") from None
        ids = {line.strip(): number for number, line in enumerate(lines)}
        missing = [token for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if token not in ids]
        if missing:
            raise WeightsError(f"{path} is no vocabulary of BERT: it has no {missing[0]}; give its vocab.txt.")
        return cls(ids)

    def encode(self, text: str) -> list[int]:
        """[CLS] tokens [SEP], no longer than the context, without padding."""
        tokens = [piece for word in words(cleaned(text)) for piece in self._pieces(word)]
        return [self.ids["[CLS]"], *tokens[:CONTEXT - 2], self.ids["[SEP]"]]

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces from the left; a word with a part that is no piece is unknown."""
        unknown = [self.ids["[UNK]"]]
        if len(word) > _LONGEST_WORD:
            return unknown
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = self.ids.get(("##" if start else "") + word[start:end])
                if piece is not None:
                    break
            else:
                return unknown
            found.append(piece)
            start = end
        return found


def cleaned(text: str) -> str:
    """The text with broken encodings, quotes, entities and white space put right."""
    mended = unicodedata.normalize("NFC", _mended(text)).translate(_STRAIGHT)
    return " ".join(html.unescape(html.unescape(mended)).split())


def words(text: str) -> Iterator[str]:
    """Lower-cased words without accents; each mark of punctuation and each Chinese sign is a word of its own."""
    plain = unicodedata.normalize("NFC", "".join(_spaced(c) for c in text))
    for word in plain.split():
        bare = "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn")
        yield from _split(bare)


def _mended(text: str) -> str:
    """UTF-8 that was once read as Latin text, read again as it was meant."""
    for _ in range(3):
        try:
            again = text.encode("cp1252").decode("utf-8")
        except (UnicodeEncodeError, UnicodeDecodeError):
            return text
        if again == text:
            return text
        text = again
    return text


def _spaced(c: str) -> str:
    if c in "\t\n\r" or unicodedata.category(c) == "Zs":
        return " "
    if c in "\0\ufffd" or unicodedata.category(c).startswith("C"):
        return ""
    return f" {c} " if any(low <= ord(c) <= high for low, high in _CJK) else c


def _split(word: str) -> Iterator[str]:
    held = ""
    for c in word:
        if _is_mark(c):
            if held:
                yield held
            held = ""
            yield c
        else:
            held += c
    if held:
        yield held


def _is_mark(c: str) -> bool:
    code = ord(c)
    in_ascii = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return in_ascii or unicodedata.category(c).startswith("P")
