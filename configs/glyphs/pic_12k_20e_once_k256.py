_base_ = './pic_12k_20e.py'

model = dict(head=dict(num_negatives=256))
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
