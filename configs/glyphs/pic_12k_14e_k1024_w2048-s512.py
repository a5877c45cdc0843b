# a window that goes over the images every fourth epoch
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(num_negatives=1024))
train_dataloader = dict(sampler=dict(window_size=2048, window_stride=512))
train_cfg = dict(max_epochs=14)
