"""The only list of engines, weight sets, licences, presets and limits.

The command line, the documents, a server's capabilities and Slicer's menus are all
made from it. Nothing here needs torch. An engine whose code is not in this release
says so by having no runner; its published weights can already be fetched and checked.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import BadInput, Unavailable
from .lesiondiffusion.vocabulary import MENUS as LESION_MENUS
from .terms import Engine, Licence, Limits, Preset, Task, WeightFile, WeightSet

MIT = Licence("MIT", "https://opensource.org/license/mit", "Free for any use, with the notice kept.", commercial=True)
APACHE = Licence("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0",
                 "Ours, as the code: free for any use, with the notice kept.", commercial=True)
CC_BY = Licence("CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/",
                "Free for any use, with the authors named.", commercial=True)
CC_BY_NC_SA = Licence("CC-BY-NC-SA-4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/",
                      "Not for commercial use; name the authors; share what you make under the same terms.",
                      commercial=False)
TEXT2CT_TERMS = Licence(
    "Apache-2.0 with open questions", "https://huggingface.co/dmolino/text2ct-weights",
    "The authors say Apache-2.0. The decoder is NVIDIA's MAISI file, whose own terms apply, and the training data "
    "(CT-RATE) is for non-commercial use: take it as for research only.", commercial=False)

_TEXT2CT = WeightSet(
    "published", "Text2CT, weights of its authors", "hub", TEXT2CT_TERMS, (
        WeightFile("autoencoder", "autoencoder_epoch273.pt", 83_779_588, "text2ct-autoencoder",
                   sha256="1f8a7a056d0ebc00486edc43c26768bf1c12eaa6df9dd172e34598003be95eb3"),
        WeightFile("unet", "unet_rflow_200ep.pt", 870_638_096, "text2ct-unet", wrappers=("unet_state_dict",),
                   scalars=("scale_factor", "num_train_timesteps", "epoch")),
        WeightFile("clip3d", "CLIP3D_Finding_Impression_30ep.pt", 3_143_275_560, "text2ct-clip3d"),
    ), repo="dmolino/text2ct-weights")

_MINI_GRID = ((128, 96, 64), (3.0, 3.0, 5.0))
_TEXT2CT_MINI = WeightSet(
    "mini", "Text2CT, small weights of our own", "package", APACHE, (
        WeightFile("autoencoder", "autoencoder.safetensors"),
        WeightFile("unet", "unet.safetensors", scalars=("scale_factor",)),
        WeightFile("clip3d", "clip3d.safetensors"),
    ), notes="Small weights, trained on drawn phantoms alone: they show how the engine works, not how patients look.",
    presets={
        "draft": Preset(*_MINI_GRID, steps=8, summary="fewest steps, coarser"),
        "standard": Preset(*_MINI_GRID, steps=16, summary="seconds on a CPU"),
        "best": Preset(*_MINI_GRID, steps=30, summary="more steps"),
    }, limits=Limits((256, 256, 256), (16, 16, 16), (0.5, 10.0), base_bytes=400_000_000, bytes_per_voxel=400))

_UNSAMPLED = ("loss.", "first_stage_model.loss.", "lvlb_weights", "logvar")  # of training only
_LESION = WeightSet(
    "published", "LesionDiffusion, weights of its authors", "import", MIT, (
        WeightFile("lmnet", "LMNet.ckpt", 459_111_312, "lesiondiffusion-lmnet", wrappers=("state_dict",),
                   scalars=("epoch", "global_step"), optional=_UNSAMPLED),
        WeightFile("linet", "LINet.ckpt", 1_966_957_156, "lesiondiffusion-linet", wrappers=("state_dict",),
                   scalars=("epoch", "global_step"), optional=_UNSAMPLED),
        WeightFile("vq", "VQ.ckpt", 142_174_452, "lesiondiffusion-vq", wrappers=("state_dict",),
                   scalars=("epoch", "global_step"), optional=("loss.",), spare=True),
    ), notes="The authors share these files by a link in their repository (HengruiTianSJTU/LesionDiffusion); "
             "fetch them there and bring them in with 'text2ct weights import'.")

_LESION_MINI = WeightSet(
    "mini", "LesionDiffusion, small weights of our own", "package", APACHE, (
        WeightFile("lmnet", "lmnet.safetensors"),
        WeightFile("linet", "linet.safetensors"),
    ), notes="Small weights, trained on drawn lesions: they show how the engine works, not how real lesions look.")

_GENERATECT = WeightSet(
    "published", "GenerateCT, weights of its authors", "hub", CC_BY, (
        WeightFile("ctvit", "pretrained_models/ctvit_pretrained.pt", 809_699_624, "generatect-ctvit",
                   sha256="4f94b5a89349576b38e963e095cbacf3f5cadd82b83e3743438d5d3fbac48c7a",
                   optional=("vgg.", "discr.")),
        WeightFile("transformer", "pretrained_models/transformer_pretrained.pt", 351_494_468, "generatect-transformer",
                   sha256="cfe40fb171b564929124829e03b9d8b83fa841f620124847feb21b4fc32a38a5"),
        WeightFile("superres", "pretrained_models/superres_pretrained.pt", 355_850_000, "generatect-superres",
                   sha256="72a9bd00f2a8cbd36d0eabb81ec824b1a9592dceb38ed57e4283604080cd58fb",
                   scalars=("time_elapsed",), optional=("optim0/", "optim1/", "model/")),
    ), repo="generatect/GenerateCT")

_CTCLIP = WeightSet(
    "published", "CT-CLIP and its two fine-tuned versions, weights of their authors", "hub", CC_BY_NC_SA, (
        WeightFile("ctclip", "models/CT-CLIP-Related/CT-CLIP_v2.pt", 1_769_445_992, "ctclip-base"),
        WeightFile("vocabfine", "models/CT-CLIP-Related/CT_VocabFine_v2.pt", 1_769_445_992, "ctclip-vocabfine"),
        WeightFile("lipro", "models/CT-CLIP-Related/CT_LiPro_v2.pt", 1_769_482_928, "ctclip-lipro"),
        WeightFile("radbert", "models/RadBertClassifier.pth", 498_642_008, "ctclip-radbert"),
    ), repo="ibrahimhamamci/CT-RATE", repo_type="dataset", gated=True,
    notes="The repository is gated: accept its terms on the hub and log in with a token first.")

_PHANTOM_PRESETS = {
    "draft": Preset((128, 128, 64), (3.0, 3.0, 5.0), summary="a second or two"),
    "standard": Preset((256, 256, 128), (1.5, 1.5, 2.5), summary="some seconds"),
    "best": Preset((512, 512, 256), (0.75, 0.75, 1.25), summary="about a minute"),
}

_TEXT2CT_GRID = ((512, 512, 128), (0.75, 0.75, 3.0))
_TEXT2CT_PRESETS = {
    "draft": Preset(*_TEXT2CT_GRID, steps=10, summary="a third of the time, coarser"),
    "standard": Preset(*_TEXT2CT_GRID, steps=30, summary="as its authors run it"),
    "best": Preset(*_TEXT2CT_GRID, steps=50, summary="more steps"),
}

ENGINES: Mapping[str, Engine] = {engine.id: engine for engine in (
    Engine("phantom", "Phantom", "Draws a chest from the report by rules, with exact labels. No weights, no GPU.",
           ("generate", "lesion"), "text2ct.engines.phantom.engine:PhantomEngine", presets=_PHANTOM_PRESETS,
           limits=Limits((512, 512, 256), base_bytes=450_000_000, bytes_per_voxel=10),
           lesion_vocabulary={
               "shape": ("round", "oval", "irregular"),
               "margin": ("smooth", "lobulated", "spiculated", "ill-defined"),
               "density": ("solid", "part-solid", "ground glass", "calcified", "cavitary", "hypodense", "hyperdense",
                           "cystic", "fatty"),
               "heterogeneity": ("homogeneous", "heterogeneous"),
               "size": ("full", "medium", "small")}),
    Engine("ledger", "Ledger", "Measures a CT finding by finding against its report. No weights, no GPU.",
           ("score",), "text2ct.engines.ledger.engine:LedgerEngine",
           limits=Limits((1024, 1024, 1024), base_bytes=200_000_000, bytes_per_voxel=20)),
    Engine("text2ct", "Text2CT", "Report to 512 x 512 x 128 chest CT by rectified-flow latent diffusion.",
           ("generate",), "text2ct.engines.text2ct.engine:Text2CTEngine", reference="arXiv 2506.00633", extra="torch",
           weight_sets=(_TEXT2CT, _TEXT2CT_MINI), presets=_TEXT2CT_PRESETS,
           limits=Limits((512, 512, 256), (32, 32, 32), (0.5, 5.0), base_bytes=1_600_000_000, bytes_per_voxel=90)),
    Engine("lesiondiffusion", "LesionDiffusion", "A lesion mask in a box (LMNet), painted into a real CT (LINet).",
           ("lesion",), "text2ct.engines.lesiondiffusion.engine:LesionDiffusionEngine", reference="arXiv 2503.00741",
           extra="torch", weight_sets=(_LESION, _LESION_MINI), limits=Limits((1024, 1024, 1024), base_bytes=600_000_000,
                                                                bytes_per_voxel=8),
           lesion_vocabulary=LESION_MENUS),
    Engine("generatect", "GenerateCT", "Report to CT by a masked token transformer and slice super-resolution.",
           ("generate",), None, reference="arXiv 2305.16037", extra="torch", weight_sets=(_GENERATECT,)),
    Engine("ctclip", "CT-CLIP", "Scores a chest CT against a report by contrastive embedding.",
           ("score",), None, reference="arXiv 2403.17834", extra="torch", weight_sets=(_CTCLIP,)),
    Engine("textxray", "Text-to-X-ray", "Report to chest radiograph. Its authors published no weights.",
           ("xray",), None, extra="torch"),
)}

DEFAULTS: Mapping[Task, str] = {"generate": "phantom", "lesion": "phantom", "score": "ledger"}


def engine(id_: str, task: Task | None = None) -> Engine:
    """The engine called `id_`, able to do `task`; otherwise a sentence with what there is."""
    found = ENGINES.get(id_)
    able = [e for e in ENGINES.values() if task in (None, *e.tasks)]
    if found is None or found not in able:
        what = "no engine" if found is None else f"an engine, but cannot {task}"
        names = ", ".join(e.id for e in able if e.ready) or "none yet"
        raise BadInput(f"'{id_}' is {what}; use one of: {names}.")
    return found


def ready_engine(id_: str, task: Task) -> Engine:
    """Like `engine`, but only one whose code is in this release."""
    found = engine(id_, task)
    if not found.ready:
        others = ", ".join(e.id for e in ENGINES.values() if e.ready and task in e.tasks) or "none yet"
        raise Unavailable(f"The engine {found.title} is not in this release yet; use one of: {others}.")
    return found
