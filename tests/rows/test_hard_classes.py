import pytest
import torch
import torch.nn.functional as F

from pic_plugin.engine import WeightCorrectingOptimWrapper
from pic_plugin.models import CosineInstanceHead
from pic_plugin.rows import hard_classes as module
from pic_plugin.sharding import Ranks
from tests.ranks import run_ranks

NUM_INSTANCES, CHANNELS, NUM_HARD = 23, 4, 5


def head_of(ranks, num_negatives):
    head = CosineInstanceHead(num_negatives, CHANNELS, label_smoothing=0.2, num_hard_classes=NUM_HARD).double()
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1))
    wrapper.track_rows(head.weight, ranks)
    head.allocate_rows(NUM_INSTANCES, 6, wrapper, ranks, seed=2)
    return head


def on_a_rank(rank, world_size, num_negatives, queries):
    module._QUERIES = queries
    head = head_of(Ranks.of_world(), num_negatives)
    head.find_hard_classes()
    found = []
    for ids in torch.arange(NUM_INSTANCES + 1).view(4, 6) % NUM_INSTANCES:
        head.activate(ids[rank::world_size])
        found.append(classes_of_batch(head).transpose(0, 1).flatten(0, 1)[:, 1:])
    return torch.cat(found), head.gather_rows()[0]


def classes_of_batch(head):
    """``[R, B, 1 + K]``, the ids of the classes that the batch's samples are labelled with, on whichever rank."""
    _, ranks, rows, *_ = head.allocated
    ids = torch.full((len(head.weight), ), -1)
    everything = torch.arange(NUM_INSTANCES)
    here = rows.slots(everything)
    ids[here[here >= 0]] = everything[here >= 0]
    found = ids[head._batch_slots.clamp(min=0)].masked_fill(head._batch_slots < 0, -1)
    return ranks.max_(found)  # one rank has each


def brute_force(weight, ids, candidates):
    directions = F.normalize(weight, dim=1)
    result = []
    for i in ids:
        others = sorted(((float(directions[i] @ directions[j]), j) for j in candidates if j != i), reverse=True)
        result.append([j for _, j in others[:NUM_HARD]] + [-1] * (NUM_HARD - len(others)))
    return result


@pytest.mark.parametrize('num_negatives', [None, 12])
@pytest.mark.parametrize('world_size, queries', [(1, 4), (1, 2048), (3, 6)])
def test_equals_brute_force(monkeypatch, num_negatives, world_size, queries):
    monkeypatch.setattr(module, '_QUERIES', queries)
    stream = [i % NUM_INSTANCES for i in range(NUM_INSTANCES + 1)]
    for found, weight in run_ranks(on_a_rank, world_size, num_negatives, queries):
        for batch in range(4):
            ids = stream[6 * batch:6 * batch + 6]
            # with recent classes: those of this batch and the one before
            candidates = range(NUM_INSTANCES) if num_negatives is None else stream[max(0, 6 * batch - 6):6 * batch + 6]
            assert found[6 * batch:6 * batch + 6].tolist() == brute_force(weight, ids, candidates)


def test_unknown_before_they_are_found():
    head = head_of(Ranks(), None)
    with pytest.raises(RuntimeError, match='the hardest classes are not known yet'):
        head.activate(torch.tensor([1]))


def test_a_rank_without_rows():
    """23 rows on 10 ranks would be 3 each, and none for the last two; here two rows on three ranks."""
    for found in run_ranks(few_rows, 3):
        assert found.tolist() == [[1], [0], [1]]


def few_rows(rank, world_size):
    head = CosineInstanceHead(None, CHANNELS, label_smoothing=0.2, num_hard_classes=1).double()
    wrapper = WeightCorrectingOptimWrapper(torch.optim.SGD(head.parameters(), lr=0.1))
    wrapper.track_rows(head.weight, Ranks.of_world())
    head.allocate_rows(2, 3, wrapper, Ranks.of_world(), seed=2)
    head.find_hard_classes()
    head.activate(torch.tensor([rank % 2]))
    return classes_of_batch(head)[:, 0, 1:]
