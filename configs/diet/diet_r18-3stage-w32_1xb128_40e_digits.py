# DIET on the quickstart's digits
_base_ = '../pic/pic_r18-3stage-w32_1xb128_40e_digits.py'

model = dict(
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(in_channels=128, num_negatives=None, cosine=False, temperature=1.0, uniform_smoothing=0.8))
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    row_optimizer=dict(type='SGD', lr=1.0, momentum=0.9, fused=True))
