"""The oracle of the lazy path: the whole table as one parameter of torch.optim.SGD."""
import torch
import torch.nn.functional as F
from torch import Tensor

from pic_plugin.functional.initial_rows import initial_rows


class DenseTable:
    """All N rows in a parameter; classes that are not recent are masked out of the softmax.

    Nothing here is shared with what it is compared with, but the initial values.
    """

    def __init__(self, num_instances: int, num_channels: int, num_negatives: int | None, temperature: float, seed: int,
                 cosine: bool = True) -> None:
        self.weight = torch.nn.Parameter(
            initial_rows(torch.arange(num_instances), num_channels, 0.01, seed, torch.float64))
        self.num_negatives, self.temperature, self.cosine = num_negatives, temperature, cosine
        self.recent: list[int] = []

    def visit(self, ids: list[int]) -> None:
        for i in ids:
            if i in self.recent:
                self.recent.remove(i)
            self.recent.append(i)
        if self.num_negatives is not None:
            self.recent = self.recent[-self.num_negatives:]

    def loss(self, features: Tensor, ids: Tensor, train_rows: bool = True) -> Tensor:
        weight = self.weight if train_rows else self.weight.detach()
        if self.cosine:
            features, weight = F.normalize(features, dim=1), F.normalize(weight, dim=1)
        logits = features @ weight.T / self.temperature
        if self.num_negatives is not None:
            inactive = torch.ones(len(weight), dtype=torch.bool)
            inactive[self.recent] = False
            logits = logits.masked_fill(inactive, -torch.inf)
        return F.cross_entropy(logits, ids)
