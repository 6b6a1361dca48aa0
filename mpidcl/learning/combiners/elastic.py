"""Elastic multi-gradient descent: losses fall, each as fast as its factor says (arXiv 2401.01054)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mpidcl.experiment.options import Options
from mpidcl.learning.combiners.averages import Averages
from mpidcl.learning.combiners.base import Combiner, Doubles, Gradients
from mpidcl.learning.combiners.factors import elastic_factors
from mpidcl.learning.combiners.shortest import shortest_step

Mode = Literal["ones", "norm", "ema_norm", "softmax_ema", "loss", "gmc", "gs"]


class Elastic(Combiner):
    """d = sum_i l_i g_i with l = argmin 1/2 l'G l, sigma'l = 1, l >= floor.

    Without a floor <g_i, d> >= sigma_i ||d||^2 for every task: the larger sigma_i the faster. The floor of
    the authors' public code, which is the default, gives that promise up: it keeps a gradient that has become
    tiny, as that of a memorised memory, from taking all of the weight. A gradient of zeros has sigma 0 and
    weight 0: no step changes its loss, and it does not hold the others.
    """

    class Options(Options):
        """How fast each loss should fall."""

        sigma: Mode = Field(
            "softmax_ema",
            description="elastic factors: all 1, length, its running mean m, softmax(m / tau), loss,"
            " softmax of length over own mean (gmc), softmax of the mean cosine with the others (gs)",
        )
        tau: float = Field(5.0, gt=0, description="temperature of the softmax forms")
        ema: float = Field(0.9, ge=0, lt=1, description="share that a running mean keeps at each step")
        sigma_power: float = Field(1.0, description="power of the factors; negative: large ones slow down")
        sigma_norm: Literal["sum1", "mean1"] = Field(
            "sum1", description="sum of the factors: 1 (a step like that of the sum) or n (like the mean)"
        )
        floor: bool | Annotated[float, Field(ge=0, le=1)] | Literal["released"] = Field(
            "released",
            description="least weight under sum1; true or released: 1/(n+1); false: none, and no loss rises",
        )
        safe: bool = Field(False, description="leave the floor out of a step where some loss would increase")

        @field_validator("floor", mode="before")
        @classmethod
        def _floor(cls, value: Any) -> Any:
            number = isinstance(value, int | float) and 0 <= value <= 1
            if number or value == "released":
                return value if isinstance(value, bool | str) else float(value)
            raise ValueError('should be true or "released", for 1/(n+1), or a number between 0 and 1')

    options: Options
    name = "elastic"
    kernels = ("simplex",)

    def __init__(self, options: Options | None = None) -> None:
        super().__init__(options)
        self._lengths = Averages()

    def weights(self, gradients: Gradients) -> Doubles:
        before = self._lengths.before(gradients.tasks, gradients.norms)
        now = self._lengths.update(gradients.tasks, gradients.norms, self.options.ema)
        sigma = elastic_factors(gradients, self.options, before, now)
        weights = shortest_step(gradients.gram, sigma, self._floor(len(gradients)), self.options.safe)
        # Weights under factors c sigma are those under sigma over c, and so is their floor.
        scale = len(gradients) if self.options.sigma_norm == "mean1" else 1
        self.sigma = sigma * scale
        return weights / scale

    def _floor(self, n: int) -> float:
        floor = self.options.floor
        return 1 / (n + 1) if floor is True or floor == "released" else float(floor)

    def state(self) -> dict[str, Any]:
        return self._lengths.state()

    def load(self, state: dict[str, Any]) -> None:
        self._lengths.load(state)
