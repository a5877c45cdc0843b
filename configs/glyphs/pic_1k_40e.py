# 1,000 images, in 40 epochs
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(num_negatives=512))
train_dataloader = dict(
    batch_size=64, sampler=dict(window_size=256, window_stride=64), dataset=dict(ann_file='train-1000.txt'))
train_cfg = dict(max_epochs=40)
