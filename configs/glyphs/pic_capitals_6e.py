# digits and capitals of one half of the families, in windows, at the temperature that `pretrain` takes; evaluated on
# small letters, of which it has seen none
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(temperature=0.1, num_negatives=1024))
train_dataloader = dict(
    sampler=dict(window_size=2048, window_stride=256), dataset=dict(ann_file='train-capitals.txt'))
bank_dataloader = dict(dataset=dict(ann_file='train-lower-2000.txt'))
query_dataloader = dict(dataset=dict(ann_file='test-lower-2000.txt'))
train_cfg = dict(max_epochs=6)
