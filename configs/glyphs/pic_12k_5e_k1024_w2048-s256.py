_base_ = './pic_12k_5e_all-classes.py'

model = dict(head=dict(num_negatives=1024))
train_dataloader = dict(sampler=dict(window_size=2048, window_stride=256))
