"""Ranks do not matter: 1, 2, 3 and 4 of them, on the same global batches."""
import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmpretrain.structures import DataSample

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import PIC
from pic_plugin.sharding import Ranks
from tests.ranks import run_ranks
from tests.tiny import TinyBackbone  # noqa: F401  (registers it)

NUM_INSTANCES, GLOBAL_BATCH, NUM_STEPS = 29, 12, 40  # 29 rows: no number of ranks divides them


def train(rank, world_size, num_negatives, unreadable, smoothing, uniform, margin, of_network):
    torch.manual_seed(0)
    model = PIC(
        backbone=dict(type='mmpretrain.TinyBackbone'),
        head=dict(type='mmpretrain.CosineInstanceHead', in_channels=6, num_negatives=num_negatives, temperature=0.3,
                  label_smoothing=smoothing, num_hard_classes=12, uniform_smoothing=uniform, margin=margin),
        data_preprocessor=dict(type='mmpretrain.SelfSupDataPreprocessor'), num_large_views=1).double()
    wrapped = model if world_size == 1 else MMDistributedDataParallel(model, device_ids=None)
    ranks = Ranks.of_world()
    options = dict(lr=0.3, momentum=0.9, weight_decay=1e-2)
    wrapper = WeightCorrectingOptimWrapper(
        getattr(torch.optim, of_network)(model.parameters(), **(options if of_network == 'SGD' else {})),
        row_optimizer=None if of_network == 'SGD' else dict(type='SGD', **options), accumulative_counts=2,
        clip_grad=dict(max_norm=0.4))
    wrapper.track_rows(model.head.weight, ranks)
    model.head.allocate_rows(NUM_INSTANCES, GLOBAL_BATCH, wrapper, ranks, seed=5)

    generator = torch.Generator().manual_seed(1)
    losses, grads = [], []
    for step in range(NUM_STEPS):
        if step % 10 == 0:
            model.head.find_hard_classes()
        ids = torch.randint(0, NUM_INSTANCES, (GLOBAL_BATCH, ), generator=generator)
        views = torch.randint(0, 256, (2, GLOBAL_BATCH, 1, 8, 8), generator=generator) / 64.0 - 2
        mine = slice(rank, None, world_size)  # every R-th sample of the stream
        samples = []
        for position, i in enumerate(ids.tolist()):
            broken = unreadable and (step + position) % 7 == 0
            samples.append(DataSample(metainfo=dict(sample_idx=i, unreadable='broken' if broken else None)))
        activate = ids.clone()
        broken = torch.tensor([sample.unreadable is not None for sample in samples])
        activate[broken] = -1 - ids[broken]
        model.head.activate(activate[mine])
        with wrapper.optim_context(wrapped):
            loss = wrapped([view[mine] for view in views], samples[mine], mode='loss')['loss']
        losses.append(loss.item())
        wrapper.backward(wrapper.scale_loss(loss))
        if wrapper.should_update():
            grads.append(torch.cat([p.grad.flatten() for p in model.backbone.parameters()]))
            wrapper.step()
            wrapper.zero_grad()
    return torch.tensor(losses), torch.stack(grads), *model.head.gather_rows()


@pytest.mark.parametrize('num_negatives, unreadable, smoothing, uniform, margin, of_network, world_sizes', [
    (14, False, 0.0, 0.0, 0.0, 'SGD', (2, 3, 4)), (14, True, 0.2, 0.3, 0.0, 'AdamW', (3, )),
    (None, False, 0.2, 0.0, 0.35, 'SGD', (3, ))])
def test_loss_gradients_and_rows_are_those_of_one_process(num_negatives, unreadable, smoothing, uniform, margin,
                                                          of_network, world_sizes):
    options = num_negatives, unreadable, smoothing, uniform, margin, of_network
    expected = run_ranks(train, 1, *options)[0]
    for world_size in world_sizes:  # of three ranks none has the 13 rows that are compared
        results = run_ranks(train, world_size, *options)
        for result in results:
            for got, want in zip(result, expected):
                torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
