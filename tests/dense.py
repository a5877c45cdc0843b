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
                 cosine: bool = True, smoothing: float = 0.0, num_hard: int = 0, uniform: float = 0.0,
                 margin: float = 0.0) -> None:
        self.weight = torch.nn.Parameter(
            initial_rows(torch.arange(num_instances), num_channels, 0.01, seed, torch.float64))
        self.num_negatives, self.temperature, self.cosine = num_negatives, temperature, cosine
        self.smoothing, self.num_hard, self.uniform, self.margin = smoothing, num_hard, uniform, margin
        self.recent: list[int] = []
        self.hard: dict[int, list[int]] = {}

    def visit(self, ids: list[int]) -> None:
        for i in ids:
            if i in self.recent:
                self.recent.remove(i)
            self.recent.append(i)
        if self.num_negatives is not None:
            self.recent = self.recent[-self.num_negatives:]

    def find_hard(self, ids: Tensor) -> None:
        """The classes most similar to each of ids: of the recent ones, or of all."""
        directions = F.normalize(self.weight.detach(), dim=1)
        candidates = range(len(directions)) if self.num_negatives is None else self.recent
        for i in ids.tolist():
            others = sorted((float(directions[i] @ directions[j]), j) for j in candidates if j != i)
            self.hard[i] = [j for _, j in others[-self.num_hard:]]

    def loss(self, features: Tensor, ids: Tensor, train_rows: bool = True) -> Tensor:
        weight = self.weight if train_rows else self.weight.detach()
        if self.cosine:
            features, weight = F.normalize(features, dim=1), F.normalize(weight, dim=1)
        cosines = features @ weight.T
        cosines = cosines - self.margin * torch.eye(len(weight), dtype=cosines.dtype)[ids]
        logits = cosines / self.temperature
        if self.num_negatives is not None:
            inactive = torch.ones(len(weight), dtype=torch.bool)
            inactive[self.recent] = False
            logits = logits.masked_fill(inactive, -torch.inf)
        if not self.smoothing and not self.uniform:
            return F.cross_entropy(logits, ids)
        total = logits.new_zeros(())
        for row, i in zip(logits, ids.tolist()):
            active = row[row > -torch.inf]
            labelled = (1 - self.smoothing) * (row[i] - active.max()).exp()
            for j in self.hard[i] if self.smoothing else ():
                labelled = labelled + self.smoothing / self.num_hard * (row[j] - active.max()).exp()
            total = total - (1 - self.uniform) * (labelled / (active - active.max()).exp().sum()).log()
            total = total - self.uniform * active.log_softmax(0).mean()
        return total / len(ids)
