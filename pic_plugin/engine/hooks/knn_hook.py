"""Accuracy of nearest neighbours during training: how the features do, without training anything on them."""
from collections.abc import Sequence
from typing import Any, Optional

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from pic_plugin.arguments import check_positive
from pic_plugin.evaluation.features import extract_features
from pic_plugin.evaluation.knn import knn_votes
from pic_plugin.progress import Report
from pic_plugin.registry import HOOKS
from pic_plugin.sharding import Ranks, nearest_rows_of_all_ranks

from ..averaged_network import averaged_network
from .common import unwrapped_model

_CHUNK = 1024  # queries that are compared with the bank at once


@HOOKS.register_module()
class KNNHook(Hook):
    """Weighted kNN accuracy of the backbone's features after every ``interval`` epochs, logged like a metric.

    With ``EMAHook`` they are the averaged network's.  The bank's features stay on the rank that computed them; the
    queries go round in chunks.

    Args:
        bank_dataloader: config of the labelled images that vote, usually the training set without augmentation.
        query_dataloader: config of the labelled images that are classified.
        num_neighbors: each k.
        temperature: tau of the votes.
        interval: in epochs.

    Attributes:
        names (tuple): of what is measured.
        measured (dict): it, after an epoch; empty where it was not due.

    Raises:
        ValueError: if a number is of another kind or not positive, or, when training starts, a k larger than the bank.
    """

    priority = 'LOW'

    def __init__(self,
                 bank_dataloader: dict,
                 query_dataloader: dict,
                 num_neighbors: Sequence[int] = (20, 200),
                 temperature: float = 0.07,
                 interval: int = 1) -> None:
        if not isinstance(num_neighbors, Sequence) or not num_neighbors:
            raise ValueError(f'num_neighbors must be one number or more in brackets, got {num_neighbors!r}')
        for k in num_neighbors:
            check_positive(int, num_neighbors=k)
        check_positive(float, temperature=temperature)
        check_positive(int, interval=interval)
        self._configs = bank_dataloader, query_dataloader
        self.num_neighbors, self.temperature, self.interval = tuple(num_neighbors), temperature, interval
        self.names = tuple(f'knn/top1_k{k}' for k in self.num_neighbors)
        self.measured: dict[str, float] = {}

    def before_train(self, runner: Runner) -> None:
        """Build the loaders."""
        self.ranks = Ranks.of_world()
        seed = self.ranks.broadcast_int(runner.seed)  # by which a sampler shares images out: one for all ranks
        self.bank, self.query = (runner.build_dataloader(config, seed=seed) for config in self._configs)
        if max(self.num_neighbors) > len(self.bank.dataset):
            raise ValueError(f'num_neighbors must be at most the {len(self.bank.dataset)} images of bank_dataloader, '
                             f'got {max(self.num_neighbors)}')

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure, and log."""
        self.measured = {}
        if not (self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner)):
            return
        with averaged_network(runner):
            metrics = self.evaluate(unwrapped_model(runner), runner.logger.info if runner.rank == 0 else None)
        self.measured = metrics
        text = '  '.join(f'{name}: {value:.2f}' for name, value in metrics.items())
        runner.logger.info(f'Epoch(knn) [{runner.epoch + 1}/{runner.max_epochs}]  {text}')
        runner.message_hub.update_scalars({f'val/{name}': value for name, value in metrics.items()})
        runner.visualizer.add_scalars(metrics, step=runner.epoch + 1, file_path=f'{runner.timestamp}.json')

    def evaluate(self, model: Any, report: Optional[Report] = None) -> dict[str, float]:
        """Top-1 accuracy in percent for each k: ``{'knn/top1_k20': ...}``.  Collective."""
        bank, bank_labels = extract_features(model, self.bank, report)
        queries, labels = extract_features(model, self.query, report)
        num_classes = 1 + int(self.ranks.max_(torch.maximum(bank_labels.max(), labels.max())))
        bank, bank_labels = bank[:self._count(self.bank)], bank_labels[:self._count(self.bank)]
        labels[self._count(self.query):] = -1  # never voted for
        correct = torch.zeros(len(self.num_neighbors), device=queries.device)
        for chunk, truth in zip(queries.split(_CHUNK), labels.split(_CHUNK)):
            similarity, neighbours = nearest_rows_of_all_ranks(self.ranks.all_gather(chunk), bank, bank_labels,
                                                               max(self.num_neighbors), self.ranks)
            for i, k in enumerate(self.num_neighbors):
                votes = knn_votes(similarity[:, :k], neighbours[:, :k], num_classes, self.temperature)
                correct[i] += (votes.argmax(1) == truth).sum()
        accuracy = (100 * self.ranks.sum_(correct) / len(self.query.dataset)).tolist()
        return dict(zip(self.names, accuracy))

    def _count(self, loader: Any) -> int:
        """How many of this rank's images count: all but those at the end that a sampler repeats to fill up."""
        return len(range(self.ranks.rank, len(loader.dataset), self.ranks.size))
