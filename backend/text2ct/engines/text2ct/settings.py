"""What a weight set that ships with us says of itself: config.json beside its three files.

Published weights come with sizes and habits that we know. Small weights of our own may have
any, so nothing of them stands in code: the sizes of the networks, the grid they were trained
on, how the flow is best walked, how they are told of a report, and which kinds of finding
they draw. The kinds in `by_rule` they do not draw; these are small lesions that the lesion
engine places better inside the lobe that was generated (`focal`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...diffusion.solvers import SOLVERS
from ...errors import BadRequest, WeightsError
from ...geometry import Triple
from ...plain import from_plain
from ...report.vocabulary import KINDS
from ...weights.package import CONFIG, ShippedFile
from .config import ModelSizes
from .finishing import Finish
from .pipeline import Sampler
from .standard_words import lexicon


@dataclass(frozen=True)
class Settings:
    """One config.json. With the words "standard" the weights read our standard words, else the report itself.

    `finish` is done to what the decoder says (`finishing`).
    """

    sizes: ModelSizes
    shape: tuple[int, int, int]
    spacing: Triple
    sampler: Sampler = field(default_factory=Sampler)
    words: Literal["report", "standard"] = "report"
    kinds: tuple[str, ...] = ()
    by_rule: tuple[str, ...] = ()
    finish: Finish = field(default_factory=Finish)
    files: tuple[ShippedFile, ...] = ()


def read_settings(folder: Path) -> Settings:
    """The settings of the set in this folder, or one sentence that says what is wrong with them."""
    path = folder / CONFIG
    try:
        settings = from_plain(Settings, json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); install text2ct again.") from None
    except (ValueError, BadRequest) as error:
        raise WeightsError(f"{path} does not describe weights: {str(error).rstrip('.')}.") from None
    problem = contradiction(settings)
    if problem:
        raise WeightsError(f"{path} does not describe weights: {problem}.")
    return settings


def contradiction(settings: Settings) -> str:
    """What cannot be together; empty when all is well."""
    unet, vae, text = settings.sizes.unet, settings.sizes.vae, settings.sizes.text
    unknown = [kind for kind in (*settings.kinds, *settings.by_rule) if kind not in KINDS]
    both = [kind for kind in settings.kinds if kind in settings.by_rule]
    multiple = vae.factor * unet.factor
    known = len(lexicon(settings.kinds)) if not unknown else 0
    says = (
        (bool(unknown), f"there is no kind of finding '{unknown[0] if unknown else ''}'"),
        (bool(both), f"'{both[0] if both else ''}' is drawn by the weights and by rule"),
        (settings.words == "report" and bool(settings.by_rule), "findings are drawn by rule, but the weights read all"),
        (settings.sampler.solver not in SOLVERS, f"there is no solver '{settings.sampler.solver}'"),
        ((unet.in_channels, unet.out_channels) != (vae.latent_channels,) * 2, "UNet and VAE differ in latent channels"),
        (unet.context_width != text.projection, "the UNet and the text tower differ in width"),
        (any(n % multiple for n in settings.shape), f"the grid is no multiple of {multiple}"),
        (settings.words == "standard" and (text.vocabulary, text.end) != (known + 3, known + 2),
         f"the standard words of its kinds are {known}, so its vocabulary must be {known + 3} and its end {known + 2}"))
    return next((sentence for wrong, sentence in says if wrong), "")
