"""Training of LMNet: a lesion's mask out of noise, given organs, target and box, and what was said of its form.

The published loss is the squared error of the noise, a thousandfold inside the box. A
small network says the mask itself instead ([loss] predicts = "data"): where a few numbers
must say many, the noise is never said well.
"""

from __future__ import annotations

from torch import Tensor

from text2ct.engines.lesiondiffusion import widths
from text2ct.engines.lesiondiffusion.losses import lmnet_losses
from text2ct.engines.lesiondiffusion.unet import UNet
from text2ct.errors import BadInput

from .data import Batch
from .lesion_data import lesion_examples
from .lesion_nets import Reader, denoiser, finished_denoiser, reader
from .lesion_settings import DenoiserLoss
from .recipe import LMNetRecipe
from .turns import State, Task, Turn, Weights


class LMNetTurn(Turn):
    """LMNet, the text tower, and their loss."""

    def __init__(self, net: UNet, reader: Reader, loss: DenoiserLoss) -> None:
        super().__init__()
        self.net, self.reader, self.weights_of_loss = net, reader, loss

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        context = self.reader(batch["ids"])
        found = lmnet_losses(self.net, batch["mask"], batch["condition"], context, batch["time"], batch["noise"],
                             self.weights_of_loss.predicts, self.weights_of_loss.box)
        return {"loss": found.total, "bound": found.bound}

    def finished(self, state: State) -> list[Weights]:
        return [Weights("lmnet", finished_denoiser(state))]


def lmnet_task(recipe: LMNetRecipe) -> Task:
    levels = 2 ** (len(recipe.model.multiples) - 1)
    if any(n % levels for n in recipe.crops.mask):
        raise BadInput(f"The mask crop {list(recipe.crops.mask)} does not fit the model; each size must be a multiple "
                       f"of {levels}.")
    read, pieces = reader(recipe.text, recipe.model.context)
    train, held_out = lesion_examples(recipe.data, recipe.crops, "lmnet", pieces, recipe.run.seed)
    net = denoiser(recipe.model, widths.LMNET, recipe.begin)
    return Task({"lmnet": LMNetTurn(net, read, recipe.loss)}, train, held_out)
