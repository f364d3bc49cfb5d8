"""The lesion networks before their first step, and the texts that they read.

The networks are the engine's classes, built from the shapes that a choice of widths has;
their first numbers are those that the published classes begin with: PyTorch's own, and
zero for what each block adds. A run may instead begin with the numbers of a file
(fine-tuning), of the published weights or of its own kind.

A small text tower has a vocabulary of its own: the words of the menus, and every whole
number up to `_NUMBERS`, whose first vectors are waves of the number, so that 35 HU begins
near 36 HU and far from 350. These vectors stay as they are; the layers above learn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from text2ct.engines.lesiondiffusion import networks, widths
from text2ct.engines.lesiondiffusion.networks import Settings, TensorFile
from text2ct.engines.lesiondiffusion.organs import V1
from text2ct.engines.lesiondiffusion.text_tower import TextTower
from text2ct.engines.lesiondiffusion.unet import ResBlock, SpatialTransformer, UNet
from text2ct.engines.lesiondiffusion.vocabulary import FIELDS, choices
from text2ct.engines.lesiondiffusion.vq import VQGAN
from text2ct.engines.lesiondiffusion.wordpiece import WordPiece, cleaned, words

from .lesion_settings import LesionNet, LesionText, VQNet
from .turns import State

TOWER = "cond_stage_model.model."
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SIGNS = (",", ".", "-", "+", "/", "(", ")", "hu", "mm", "ml")
_NUMBERS = 1100
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
LONGEST = 48  # word pieces of a text, with its two ends
_WAVES_HU = (4.0, 4000.0)
_LOUD = 2.0  # vectors of small numbers, as PyTorch would begin with, are hardly learned from
_HEARD = 6.0  # how much louder than PyTorch's own the words of a text sound at its first place: only that counts
_TURNED = 2.0  # how much further apart they pull its attention


def vocabulary(place: str) -> tuple[str, ...]:
    """The tokens of a vocab.txt in order, or the small vocabulary."""
    if place:
        ids = WordPiece.read(Path(place)).ids
        return tuple(sorted(ids, key=ids.__getitem__))
    values = [choice.trained for field in FIELDS for choice in choices(field)]
    plain = sorted({word for text in (*values, *V1) for word in words(cleaned(text)) if word.isalpha()})
    letters = (*_LETTERS[:26], *(f"##{c}" for c in _LETTERS))
    listed = (*_SPECIAL, *_SIGNS, *plain, *letters, *map(str, range(_NUMBERS + 1)))
    return tuple(dict.fromkeys(listed))


def pieces(tokens: Sequence[str]) -> WordPiece:
    return WordPiece({token: number for number, token in enumerate(tokens)})


def ids_of(texts: Sequence[str], reads: WordPiece, rows: int) -> Tensor:
    """The texts of a sample as rows of ids, filled up with zeros; a row of zeros is no text."""
    ids = torch.zeros(rows, LONGEST, dtype=torch.int64)
    for row, text in enumerate(texts[:rows]):
        found = reads.encode(text)[:LONGEST]
        ids[row, :len(found)] = torch.tensor(found)
    return ids


class Reader(nn.Module):
    """The text tower on the ids of a batch: a vector for each text, as `sampling.context_of` gives them."""

    def __init__(self, tower: TextTower, empty: Tensor, learned: bool) -> None:
        super().__init__()
        self.tower = tower.requires_grad_(learned)
        self.tower.get_submodule("transformer.embeddings.word_embeddings").requires_grad_(False)
        self.learned = learned
        self.register_buffer("empty", empty, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """(b, n, LONGEST) to (b, longest n, width); texts that a sample lacks are the empty text."""
        longest = int((ids[..., 0] != 0).sum(1).max())
        ids = torch.where(ids[:, :longest, :1] == 0, self.get_buffer("empty"), ids[:, :longest])
        different, where = torch.unique(ids.flatten(0, 1), dim=0, return_inverse=True)
        lengths = (different != 0).sum(1)
        vectors: Tensor | None = None
        with torch.set_grad_enabled(self.learned and torch.is_grad_enabled()):
            for length in lengths.unique().tolist():
                those = (lengths == length).nonzero()[:, 0]
                read = self.tower(different[those, :length]).float()
                vectors = read.new_zeros(len(different), read.shape[1]) if vectors is None else vectors
                vectors = vectors.index_copy(0, those, read)
        assert vectors is not None
        return vectors[where].reshape(*ids.shape[:2], -1)


def reader(text: LesionText, context: int) -> tuple[Reader, WordPiece]:
    """The text tower of a recipe, and what turns words into its ids."""
    tokens = vocabulary(text.vocabulary)
    reads = pieces(tokens)
    if text.weights:
        tower = networks.text_tower(TensorFile.open(Path(text.weights)), Settings(text_heads=text.heads))
    else:
        tower = _new_tower(text, tokens, context)
    return Reader(tower, ids_of([""], reads, 1)[0], text.learned), reads


def _new_tower(text: LesionText, tokens: Sequence[str], context: int) -> TextTower:
    sizes = widths.TowerWidths(text.width, text.inner, text.layers, len(tokens), text.places, text.middle, context)
    tower = TextTower(widths.tower_shapes(sizes), text.heads)
    table = tower.get_submodule("transformer.embeddings.word_embeddings").get_parameter("weight")
    with torch.no_grad():
        for name in ("proj.0", "proj.2"):
            weight = tower.get_submodule(name).get_parameter("weight")
            nn.init.normal_(weight, std=_LOUD / math.sqrt(weight.shape[1]))
        for name, parameter in tower.named_parameters():
            if name.endswith(("self.value.weight", "attention.output.dense.weight")):
                parameter.mul_(math.sqrt(_HEARD))
            if name.endswith(("self.query.weight", "self.key.weight")):
                parameter.mul_(_TURNED)
        for number, token in enumerate(tokens):
            if token.isdecimal():
                table[number] = waves(int(token), text.width)
    return tower


def waves(number: int, width: int) -> Tensor:
    """Sines and cosines of a number, from short waves to long ones."""
    shortest, longest = (math.log10(end) for end in _WAVES_HU)
    lengths = torch.logspace(shortest, longest, width // 2)
    angles = 2 * math.pi * number / lengths
    return torch.cat([angles.sin(), angles.cos()]) * math.sqrt(2)


def denoiser(net: LesionNet, plain: widths.UNetWidths, begin: str) -> UNet:
    """LMNet or LINet; `plain` is the published one of the name. Of a published file the raw weights go on."""
    if begin:
        settings = Settings(head=net.head, groups=net.groups)
        return networks.unet(TensorFile.open(Path(begin)), settings, raw=True).requires_grad_(True)
    sizes = widths.UNetWidths(plain.into, plain.out, net.channels or plain.channels, net.multiples,
                              net.blocks or plain.blocks, net.context)
    unet = UNet(widths.unet_shapes(sizes), net.head, groups=net.groups)
    stem = unet.input_blocks[0][0]  # type: ignore[index]
    bound = 1 / math.sqrt(plain.into * 27)
    for parameter in stem.parameters():
        nn.init.uniform_(parameter, -bound, bound)
    for module in unet.modules():
        if isinstance(module, ResBlock):
            _zeroed(module.out_layers[3])
        elif isinstance(module, SpatialTransformer):
            _zeroed(module.proj_out)
    _zeroed(unet.out[2])
    return unet


def coder(net: VQNet, begin: str) -> VQGAN:
    if begin:
        return networks.vqgan(TensorFile.open(Path(begin)), net.groups).requires_grad_(True)
    sizes = widths.VQWidths(net.channels, net.levels, net.blocks, net.latent, net.codes)
    made = VQGAN(widths.vq_shapes(sizes), net.groups)
    nn.init.uniform_(made.quantize.embedding.weight, -1 / net.codes, 1 / net.codes)
    return made


def finished_denoiser(state: State, first_stage: State | None = None) -> dict[str, Tensor]:
    """A state of a turn under the names of the published files; the averages stand under the plain names."""
    names = {"net.": "model.", "reader.tower.": TOWER}
    made = {new + name[len(old):]: tensor for old, new in names.items() for name, tensor in state.items()
            if name.startswith(old)}
    return {**made, **{f"first_stage_model.{name}": tensor for name, tensor in (first_stage or {}).items()}}


def _zeroed(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
