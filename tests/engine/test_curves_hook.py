import sys
from types import SimpleNamespace

import cv2
import pytest
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from pic_plugin import visualization
from pic_plugin.engine import CurvesHook
from pic_plugin.engine.hooks import curves_hook
from tests.tiny import tiny_config, write_images


def train(folder):
    images = write_images(folder / 'images', 22)
    Runner.from_cfg(tiny_config(images, folder / 'run', **{'default_hooks.curves': dict(type='CurvesHook')})).train()


def test_there_is_a_picture_after_training(tmp_path):
    train(tmp_path)
    assert cv2.imread(str(tmp_path / 'run/curves.png')) is not None


def test_what_cannot_be_drawn_does_not_stop_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'pic_plugin.visualization', None)  # what importing matplotlib would raise
    train(tmp_path)
    out = capsys.readouterr().out
    assert out.count('curves.png cannot be drawn, and training goes on without it (ModuleNotFoundError') == 1, out
    assert (tmp_path / 'run/epoch_4.pth').exists() and not (tmp_path / 'run/curves.png').exists()


@pytest.fixture
def hook(monkeypatch, tmp_path):
    """A hook whose drawings take two seconds each, and the moments at which it draws."""
    hook, now, drawn, warnings = CurvesHook(), [0.0], [], []
    fail = []

    def plot(work_dir, out):
        if fail:
            raise fail[0]
        drawn.append(now[0])
        now[0] += 2

    monkeypatch.setattr(curves_hook.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(visualization, 'plot_curves', plot)
    runner = SimpleNamespace(rank=0, iter=0, work_dir=str(tmp_path), logger=SimpleNamespace(warning=warnings.append))
    hook.before_train(runner)
    return SimpleNamespace(hook=hook, runner=runner, now=now, drawn=drawn, fail=fail, warnings=warnings)


def test_drawing_takes_a_hundredth_of_the_time(hook):
    for moment in (1, 5, 100, 202, 203, 300, 404, 405, 600):
        hook.now[0] = moment
        hook.hook.after_train_epoch(hook.runner)
    assert hook.drawn == [1, 203, 405]
    hook.hook.after_train(hook.runner)
    assert hook.drawn == [1, 203, 405, 600]


def test_by_iterations_it_draws_after_as_many_as_an_epoch_has(hook):
    hook.runner.train_dataloader = range(6)
    for kind, drawn in ((EpochBasedTrainLoop, []), (IterBasedTrainLoop, [6, 1012])):
        hook.runner.train_loop = kind.__new__(kind)
        for moment in range(13):
            hook.runner.iter, hook.now[0] = moment, 1000 * (moment // 6) + moment + 1
            hook.hook.after_train_iter(hook.runner, moment)
        assert [round(at) for at in hook.drawn] == drawn


def test_other_ranks_do_not_draw(hook):
    hook.runner.rank = 1
    hook.hook.after_train_epoch(hook.runner)
    hook.hook.after_train(hook.runner)
    assert hook.drawn == []


def test_as_long_as_nothing_is_logged_nothing_is_said(hook):
    hook.fail.append(ValueError('no log of a loss'))
    hook.hook.after_train_epoch(hook.runner)
    assert not hook.warnings
    hook.hook.after_train(hook.runner)
    assert len(hook.warnings) == 1 and 'ValueError: no log of a loss' in hook.warnings[0]
    assert "dict(type='LocalVisBackend') in visualizer.vis_backends" in hook.warnings[0]


def test_a_full_disk_is_said_once(hook):
    hook.fail.append(OSError(28, 'No space left on device'))
    for _ in range(3):
        hook.hook.after_train_epoch(hook.runner)
    assert len(hook.warnings) == 1 and 'No space left on device' in hook.warnings[0]
