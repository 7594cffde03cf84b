"""The shape of a REST network in plain numbers, so that weights can be described without torch."""

from __future__ import annotations

from dataclasses import dataclass

from restcli.errors import UsageError

VARIANTS = ("DS", "RS", "RM")
WIDEST = 512  # members x width: what the joined network may be
MOST_UPDATES = 32


@dataclass(frozen=True)
class RestConfig:
    """Shape and update rule of a REST network; stored with the weights."""

    n_features: int  # inputs of one node in one second
    hidden: int = 32  # width H of the state
    n_types: int = 0  # seizure types read out beside the probability; 0 for none
    variant: str = "RS"  # DS: one update a second, never masked; RS: one masked update; RM: several masked updates
    fire_rate: float = 0.5  # probability that the random mask lets an update through
    mask_per: str = "node"  # "node" masks whole nodes, "entry" each entry of the state (the paper's code)
    rescale: bool = True  # divide a masked update by fire_rate to keep its expectation; the paper does not
    updates: int = 1  # updates a second at inference for RM; training draws 1 to 9, as in the paper
    members: int = 1  # networks of this shape whose logits are averaged

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise UsageError("variant", repr(self.variant), f"one of {', '.join(VARIANTS)}")
        if self.mask_per not in ("entry", "node"):
            raise UsageError("mask_per", repr(self.mask_per), "'entry' or 'node'")
        if self.members < 1 or self.hidden < 1 or self.members * self.hidden > WIDEST:
            found = f"{self.members} networks of width {self.hidden}"
            raise UsageError("members", found, f"at least 1 of each, together no wider than {WIDEST}")
        if not 1 <= self.updates <= MOST_UPDATES or not 0 < self.fire_rate <= 1:
            found = f"{self.updates} updates at a rate of {self.fire_rate:g}"
            raise UsageError("updates", found, f"1 to {MOST_UPDATES}, at a rate above 0 and up to 1")

    @property
    def has_intervals(self) -> bool:
        """Whether masked passes are meaningful: trained with a rescaled mask for each node."""
        return self.variant != "DS" and self.mask_per == "node" and self.rescale

    @property
    def inference_updates(self) -> int:
        """Updates a second at inference."""
        return self.updates if self.variant == "RM" else 1
