# 500 small letters of the other half of the families, at the temperature that `pretrain` takes; evaluated with 2,000
# of them as the bank
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(temperature=0.1))
train_dataloader = dict(dataset=dict(ann_file='train-lower-500.txt'))
bank_dataloader = dict(dataset=dict(ann_file='train-lower-2000.txt'))
query_dataloader = dict(dataset=dict(ann_file='test-lower-2000.txt'))
train_cfg = dict(max_epochs=40)
