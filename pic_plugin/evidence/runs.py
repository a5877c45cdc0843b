"""A run: one training of a config with one seed, and what its features are worth."""
import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from pic_plugin.evaluation.features import extract_features
from pic_plugin.evaluation.probes import Labelled, knn_accuracy, linear_accuracy
from pic_plugin.whole_file import whole_file

from .experiments import MEASURED

PROBES = {'kNN': knn_accuracy, 'linear': linear_accuracy}

_NUM_LOSSES = 40  # of the curve, each the mean of as many iterations
# what a result depends on; the rest says where files lie, what is logged, and what is saved
_DECISIVE = ('model', 'train_dataloader', 'bank_dataloader', 'query_dataloader', 'optim_wrapper', 'param_scheduler',
             'train_cfg', 'custom_hooks')


class Run(NamedTuple):
    """One training."""
    config: Path
    seed: int
    fonts: str  # the hash of the list of fonts

    @property
    def digest(self) -> str:
        """Of all that the result depends on, but the seed and the code."""
        cfg = Config.fromfile(self.config, import_custom_modules=False).to_dict()
        text = json.dumps([self.fonts, {name: cfg.get(name) for name in _DECISIVE}], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Of its result: another one once config or fonts are others."""
        return f'{self.config.stem}-seed{self.seed}-{self.digest}'


def result_of(run: Run, out: Path) -> Any:
    """The result that is in ``out``, None if there is none."""
    path = out / f'{run.name}.json'
    return json.loads(path.read_text()) if path.exists() else None


def make(run: Run, out: Path) -> dict[str, Any]:
    """Train, evaluate the backbone's features, and write the result into ``out``, complete or not at all."""
    torch.set_num_threads(1)
    logging.captureWarnings(True)
    work_dir = out / 'running' / run.name
    cfg = Config.fromfile(run.config)
    # many runs share the screen with how far they are
    cfg.merge_from_dict({'work_dir': str(work_dir), 'experiment_name': run.name, 'randomness.seed': run.seed,
                         'log_level': 'ERROR'})
    cfg.default_hooks.checkpoint = None  # a run that was stopped is made again
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
    with whole_file(out / f'{run.name}.json', replace=True) as partial:
        partial.write_text(json.dumps(result))
    shutil.rmtree(work_dir)
    return result


def _means(losses: list[float]) -> list[float]:
    """Of equal parts, rounded."""
    size = len(losses) / _NUM_LOSSES
    parts = [losses[round(i * size):round((i + 1) * size)] for i in range(_NUM_LOSSES)]
    return [round(sum(part) / len(part), 4) for part in parts if part]
