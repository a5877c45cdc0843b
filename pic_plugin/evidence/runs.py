"""A run: one training of a config with one seed, and what its features are worth.

A config may need the backbone of another one's run with the same seed, by one of two keys that no Runner knows:

- ``start_from``, a config's name: ``model.backbone`` starts from it.
- ``clusters``, a dict with ``num_classes`` and, unless the labels are the classes, ``features_of``, a config's name:
  ``train_dataloader.dataset.class_of_image`` are clusters of the bank's images, within labels (PIC, Appendix F).
"""
import hashlib
import json
import logging
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from pic_plugin.checkpoints.convert import save_torch
from pic_plugin.checkpoints.read import load_tensors_only
from pic_plugin.evaluation.features import extract_features
from pic_plugin.evaluation.label_clusters import write_clusters
from pic_plugin.evaluation.probes import Labelled, knn_accuracy, linear_accuracy
from pic_plugin.whole_file import whole_file

from .experiments import MEASURED

PROBES = {'kNN': knn_accuracy, 'linear': linear_accuracy}

_NUM_LOSSES = 40  # of the curve, each the mean of as many iterations
# what a result depends on; the rest says where files lie, what is logged, and what is saved
_DECISIVE = ('model', 'train_dataloader', 'bank_dataloader', 'query_dataloader', 'optim_wrapper', 'param_scheduler',
             'train_cfg', 'custom_hooks')
_OF_ANOTHER = ('start_from', 'clusters')


class Run(NamedTuple):
    """One training."""
    config: Path
    seed: int
    fonts: str  # the hash of the list of fonts

    @property
    def digest(self) -> str:
        """Of all that the result depends on, but the seed and the code."""
        cfg = self._settings
        parts: list[Any] = [self.fonts, {name: cfg.get(name) for name in _DECISIVE}]
        if more := {name: cfg[name] for name in _OF_ANOTHER if name in cfg}:
            parts += [more, self.earlier.digest if self.earlier else None]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def earlier(self) -> Optional['Run']:
        """The run whose backbone this one needs, with the same seed; None if it needs none."""
        cfg = self._settings
        config = cfg.get('start_from') or cfg.get('clusters', {}).get('features_of')
        return self._replace(config=self.config.with_name(f'{config}.py')) if config else None

    @property
    def _settings(self) -> dict[str, Any]:
        return Config.fromfile(self.config, import_custom_modules=False).to_dict()

    @property
    def name(self) -> str:
        """Of its result: another one once config or fonts are others."""
        return f'{self.config.stem}-seed{self.seed}-{self.digest}'


def with_earlier(runs: Iterable[Run]) -> list[Run]:
    """The runs, each behind those whose backbones it needs."""
    wanted: dict[Run, None] = {}
    for run in runs:
        chain = [run]
        while (earlier := chain[-1].earlier) is not None:
            chain.append(earlier)
        wanted.update(dict.fromkeys(reversed(chain)))
    return list(wanted)


def result_of(run: Run, out: Path) -> Any:
    """The result that is in ``out``, None if there is none."""
    path = out / f'{run.name}.json'
    return json.loads(path.read_text()) if path.exists() else None


def backbone_of(run: Run, out: Path) -> Path:
    """Where its backbone is kept, if other runs need it."""
    return out / f'{run.name}.pth'


def make(run: Run, out: Path, keep_backbone: bool = False) -> dict[str, Any]:
    """Train, evaluate the backbone's features, and write the result into ``out``, complete or not at all.

    Args:
        run: whose ``earlier`` has its backbone in ``out``.
        out: the folder of results.
        keep_backbone: whether its own is written there, too, before the result.
    """
    torch.set_num_threads(1)
    logging.captureWarnings(True)
    work_dir = out / 'running' / run.name
    cfg = Config.fromfile(run.config)
    # many runs share the screen with how far they are
    cfg.merge_from_dict({'work_dir': str(work_dir), 'experiment_name': run.name, 'randomness.seed': run.seed,
                         'log_level': 'ERROR'})
    cfg.default_hooks.checkpoint = None  # a run that was stopped is made again
    with DefaultScope.overwrite_default_scope(cfg.default_scope):  # there is no Runner yet
        _use_earlier(run, cfg, out, work_dir)
    runner = Runner.from_cfg(cfg)
    losses: list[float] = []
    if cfg.train_cfg.max_epochs == 0:
        runner._init_model_weights()
    else:
        runner.train()
        losses = runner.message_hub.get_scalar('train/loss').data[0].tolist()
    loaders = [Runner.build_dataloader(cfg[name]) for name in ('bank_dataloader', 'query_dataloader')]
    data = Labelled(*(x for loader in loaders for x in extract_features(runner.model, loader)))
    result = {'config': run.config.stem, 'seed': run.seed, 'digest': run.digest, 'fonts': run.fonts,
              'torch': torch.__version__,
              **{name: round(probe(data, run.seed), 5) for name, probe in PROBES.items()},
              'losses': _means(losses), **runner.message_hub.runtime_info.get(MEASURED, {})}
    if keep_backbone:
        with whole_file(backbone_of(run, out), replace=True) as partial:
            save_torch(runner.model.backbone.state_dict(), partial)
    with whole_file(out / f'{run.name}.json', replace=True) as partial:
        partial.write_text(json.dumps(result))
    shutil.rmtree(work_dir)
    return result


def _use_earlier(run: Run, cfg: Config, out: Path, work_dir: Path) -> None:
    """Put into the config what the run takes from another."""
    earlier = run.earlier
    if 'start_from' in cfg:
        assert earlier is not None
        cfg.model.backbone.init_cfg.checkpoint = str(backbone_of(earlier, out).resolve())
    if 'clusters' in cfg:
        model = None
        if earlier is not None:
            model = MODELS.build(Config.fromfile(earlier.config).model)
            model.backbone.load_state_dict(load_tensors_only(backbone_of(earlier, out)))
        path = (work_dir / 'classes.txt').resolve()
        write_clusters(Runner.build_dataloader(cfg.bank_dataloader), cfg.clusters.num_classes, model, path)
        cfg.train_dataloader.dataset.class_of_image = str(path)


def _means(losses: list[float]) -> list[float]:
    """Of equal parts, rounded."""
    size = len(losses) / _NUM_LOSSES
    parts = [losses[round(i * size):round((i + 1) * size)] for i in range(_NUM_LOSSES)]
    return [round(sum(part) / len(part), 4) for part in parts if part]
