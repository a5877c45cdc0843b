import resource

import torch

from pic_plugin.functional.initial_rows import initial_rows
from pic_plugin.rows import MemoryTable, RowState
from pic_plugin.sharding import Block


def test_reads_what_was_written_and_initial_rows_elsewhere():
    table = MemoryTable(Block(10, 20), 4, std=0.01, seed=3, dtype=torch.float64)
    written = RowState(torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64),
                       torch.tensor([5, 0]))
    table.write(torch.tensor([12, 19]), written)
    rows = table.read(torch.tensor([19, 10, 12]))
    assert torch.equal(rows.weight[[2, 0]], written.weight)
    assert torch.equal(rows.momentum[[2, 0]], written.momentum)
    assert torch.equal(rows.weight[1], initial_rows(torch.tensor([10]), 4, 0.01, 3, torch.float64)[0])
    assert rows.momentum[1].tolist() == [0] * 4
    assert rows.clock.tolist() == [0, 0, 5]
    rows.weight.zero_()  # a copy
    assert torch.equal(table.read(torch.tensor([12])).weight, written.weight[:1])


def test_rows_never_visited_take_no_memory():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = MemoryTable(Block(0, 4_000_000), 128, std=0.01, seed=0, dtype=torch.float32)  # 4 GB if it were touched
    table.read(torch.tensor([0, 3_999_999]))
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kb < 200_000  # the clocks are 32 MB
