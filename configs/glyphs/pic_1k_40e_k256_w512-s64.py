_base_ = './pic_1k_40e.py'

model = dict(head=dict(num_negatives=256))
train_dataloader = dict(sampler=dict(window_size=512, window_stride=64))
