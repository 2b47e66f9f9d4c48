"""The settings of a training run."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from two_tower.core.errors import InputError

# The width of the vectors that are served: halfvec(128).
DIM = 128


class TrainConfig(BaseModel):
    """What a training run depends on beside the data. Written to the run's ``config.json``.

    The defaults were compared on MovieLens-100k, one seed each; docs of the fields say what a
    change does.
    """

    model_config = ConfigDict(extra="forbid")

    start: Literal["closed_form", "random"] = Field(
        default="closed_form",
        description="closed_form: the trained towers are joined with a regression of reviews on"
        " histories, which says most of what there is to say; random: the trained towers alone",
    )
    features: Literal["all", "spec"] = Field(
        default="all",
        description="spec: without histories and the videos' own ids, as the first specification",
    )
    ridge: float | None = Field(
        default=None,
        gt=0,
        description="closed form: the penalty of the first history; by default 5, or"
        " another that gains more than chance on the validation fold",
    )
    closed_form_items: int = Field(
        default=4_000,
        ge=1,
        description="closed form: the most liked videos it covers; its time grows with the cube",
    )
    novelty: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="trades popularity for novelty: scores are divided by likes to this power",
    )
    new_item_budget: float = Field(
        default=0.006,
        ge=0,
        lt=1,
        description="how much of their NDCG@100 lists may lose, so that new videos are shown; on"
        " the validation fold, which errs by some of it. Its former name, freshness, is read too",
    )
    loss: Literal["softmax", "bce"] = Field(
        default="softmax", description="softmax over the videos, or the specification's bce"
    )
    negatives: int = Field(default=3, ge=1, description="bce: K, sampled negatives a positive")
    scale: float = Field(
        default=5.0, gt=0, description="bce: cosines are multiplied by it (1: the letter)"
    )
    temperature: float = Field(
        default=0.2,
        gt=0,
        description="softmax: cosines are divided by it; lower is sharper, and half"
        " of it is tried on the longer schedule",
    )
    max_full_softmax_items: int = Field(
        default=20_000,
        ge=0,
        description="softmax: up to so many videos over all of them, else sampled",
    )
    sampled_items: int = Field(
        default=8_192, ge=1, description="sampled softmax: uniform negatives a batch"
    )
    epochs: int = Field(
        default=40,
        ge=1,
        description="at most so many passes over the users; the longer schedule twice as many",
    )
    steps: int = Field(
        default=320,
        ge=1,
        description="optimiser steps of the first schedule tried, in whole epochs; another is"
        " six times as long, at half the temperature, and taken where validation gains",
    )
    batch_size: int = Field(default=128, ge=1, description="users a step")
    learning_rate: float = Field(
        default=0.02,
        gt=0,
        description="Adam's first step size; it falls to zero along a half cosine",
    )
    gradient_clip: float = Field(default=1.0, gt=0, description="largest norm of a step's gradient")
    identity_dropout: float = Field(
        default=0.3,
        ge=0,
        lt=1,
        description="start=random: share of videos whose own id is hidden in a step, so that its"
        " content says enough of a new one; joined towers leave that to a ridge",
    )
    profile_dropout: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="share of users whose features are hidden in a step but for their histories",
    )
    hidden_share: tuple[float, float] = Field(
        default=(0.1, 0.6), description="share of a user's reviews hidden, drawn between these two"
    )
    validation_users: int = Field(
        default=2_500, ge=1, description="at most so many users are ranked after each epoch"
    )
    dim: int = Field(
        default=DIM, ge=1, description="width of the embeddings; the database takes 128"
    )
    hidden: int = Field(default=0, ge=0, description="width of a hidden layer; 0 for linear towers")
    seed: int = Field(default=0, ge=0, description="the same seed and data train the same model")

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, values: object) -> object:
        if isinstance(values, dict) and "freshness" in values:
            rest = {name: value for name, value in values.items() if name != "freshness"}
            return {**rest, "new_item_budget": values["freshness"]}
        return values

    @model_validator(mode="after")
    def _linear(self) -> "TrainConfig":
        if self.hidden and self.start == "closed_form":
            raise ValueError("a hidden layer cannot be joined with the closed form: start=random")
        return self

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
