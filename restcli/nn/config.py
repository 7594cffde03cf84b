"""The shape of a REST network in plain numbers, so that weights can be described without torch."""

from __future__ import annotations

from dataclasses import dataclass

from restcli.errors import UsageError

VARIANTS = ("DS", "RS", "RM")


@dataclass(frozen=True)
class RestConfig:
    """Shape and update rule of a REST network; stored with the weights.

    Parameters
    ----------
    n_features : int
        Inputs of one node in one second.
    hidden : int
        Width H of the state.
    members : int
        Networks of this shape side by side, whose logits are averaged: several narrow ones lean less on what a
        simulator got wrong than a wide one does.
    n_types : int
        Seizure types read out beside the probability; 0 for none.
    variant : str
        ``DS`` one update a second, never masked; ``RS`` one masked update; ``RM`` several masked updates.
    fire_rate : float
        Probability p that the random mask lets an update through.
    mask_per : str
        ``entry`` draws the mask for every entry of the state (the paper's code), ``node`` once for a whole node.
    rescale : bool
        Divide the masked update by p, so that its expectation is the full update. The paper does not.
    updates : int
        Updates a second at inference when the variant is ``RM`` (training draws 1 to 9, as the paper does).
    """

    n_features: int
    hidden: int = 32
    n_types: int = 0
    variant: str = "RS"
    fire_rate: float = 0.5
    mask_per: str = "node"
    rescale: bool = True
    updates: int = 1
    members: int = 1

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise UsageError("variant", repr(self.variant), f"one of {', '.join(VARIANTS)}")
        if self.mask_per not in ("entry", "node"):
            raise UsageError("mask_per", repr(self.mask_per), "'entry' or 'node'")
        if self.members < 1 or self.hidden < 1:
            raise UsageError("members", f"{self.members} networks of width {self.hidden}", "at least 1 of each")
        if self.updates < 1 or not 0 < self.fire_rate <= 1:
            found = f"{self.updates} updates at a rate of {self.fire_rate:g}"
            raise UsageError("updates", found, "at least 1, at a rate above 0 and up to 1")

    @property
    def has_intervals(self) -> bool:
        """Whether masked passes mean something: trained under a mask for each node whose updates are rescaled."""
        return self.variant != "DS" and self.mask_per == "node" and self.rescale
