# inner products instead of cosines: the first row of PIC's Table 1
_base_ = './pic_12k_20e.py'

model = dict(head=dict(num_negatives=None, cosine=False, temperature=1.0))
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
