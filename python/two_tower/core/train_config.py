"""The settings of a training run."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from two_tower.core.errors import InputError

# The width of the vectors that are served: halfvec(128).
DIM = 128


class TrainConfig(BaseModel):
    """The hyperparameters of a training run, written to the run's ``config.json``.

    Each field's range is checked. The defaults were chosen on the data sets of docs/quality.md.

    Raises:
        ValidationError: a field is unknown or out of range, or two do not go together.
    """

    model_config = ConfigDict(extra="forbid")

    start: Literal["closed_form", "random"] = Field(
        default="closed_form",
        description="closed_form: towers joined with EASE; random: the towers alone",
    )
    features: Literal["all", "spec"] = Field(
        default="all", description="spec: without histories and video ids, as first specified"
    )
    ridge: float | None = Field(
        default=None, gt=0, description="L2 penalty of EASE, > 0; chosen on fold 0 where not set"
    )
    closed_form_items: int = Field(
        default=4_000, ge=1, description="videos EASE covers, most liked first; time is cubic"
    )
    novelty: float = Field(
        default=0.0, ge=0, le=1, description="0..1: scores are divided by likes to this power"
    )
    new_item_budget: float = Field(
        default=0.006,
        ge=0,
        lt=1,
        description="share of NDCG@100, 0..1, that lists may lose to new videos (was: freshness)",
    )
    loss: Literal["softmax", "bce"] = Field(
        default="softmax", description="softmax over videos, or binary cross-entropy as specified"
    )
    negatives: int = Field(default=3, ge=1, description="bce: negatives sampled a positive, K")
    scale: float = Field(default=5.0, gt=0, description="bce: factor of cosines; 1 as specified")
    temperature: float = Field(
        default=0.2, gt=0, description="softmax: divisor of cosines; half on the longer schedule"
    )
    max_full_softmax_items: int = Field(
        default=20_000, ge=0, description="softmax: videos up to which it is full, else sampled"
    )
    sampled_items: int = Field(
        default=4_096, ge=1, description="sampled softmax: uniform negatives a batch"
    )
    epochs: int = Field(
        default=40, ge=1, description="most passes over the users; twice on the longer schedule"
    )
    steps: int = Field(
        default=320, ge=1, description="steps of the first schedule; the longer has six times them"
    )
    batch_size: int = Field(
        default=128,
        ge=1,
        description="users a step; up to eight times as many where people are many",
    )
    learning_rate: float = Field(
        default=0.02, gt=0, description="Adam's first step size; falls to 0 along half a cosine"
    )
    gradient_clip: float = Field(default=1.0, gt=0, description="largest L2 norm of a gradient")
    identity_dropout: float = Field(
        default=0.3, ge=0, lt=1, description="start=random: share of videos without id in a step"
    )
    profile_dropout: float = Field(
        default=0.5, ge=0, lt=1, description="share of users with histories alone in a step"
    )
    hidden_share: tuple[float, float] = Field(
        default=(0.1, 0.6), description="least and most of a user's reviews hidden, 0..1, uniform"
    )
    validation_users: int = Field(
        default=2_500, ge=1, description="most users ranked when a model is chosen"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="where towers are trained; auto: on a GPU where there is one"
    )
    dim: int = Field(default=DIM, ge=1, description="width of embeddings; the database takes 128")
    seed: int = Field(default=0, ge=0, description="of all random numbers; same seed, same model")

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        rest = dict(values)
        if "freshness" in rest:
            rest["new_item_budget"] = rest.pop("freshness")
        # Runs of version 0.9 and before have it in their config.json: 0 by default.
        if not rest.get("hidden", True):
            del rest["hidden"]
        return rest

    def changed(self, **given: object) -> "TrainConfig":
        """Return these settings with some others.

        Raises:
            InputError: they do not go together.
        """
        try:
            return TrainConfig.model_validate({**self.model_dump(), **given})
        except ValidationError as error:
            problems = "; ".join(str(problem["msg"]) for problem in error.errors())
            raise InputError(
                f"settings of training: {problems}", "see two-tower train --help"
            ) from None
