# digits and capitals of one half of the families; evaluated on small letters, of which it has seen none
_base_ = './pic_12k_10e_all-classes.py'

train_dataloader = dict(dataset=dict(ann_file='train-capitals.txt'))
bank_dataloader = dict(dataset=dict(ann_file='train-lower-2000.txt'))
query_dataloader = dict(dataset=dict(ann_file='test-lower-2000.txt'))
train_cfg = dict(max_epochs=6)
