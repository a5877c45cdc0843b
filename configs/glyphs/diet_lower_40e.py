# DIET of the 500 small letters
_base_ = './pic_lower_40e.py'

model = dict(
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(cosine=False, temperature=1.0, uniform_smoothing=0.8))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    row_optimizer=dict(type='SGD', lr=1.0, momentum=0.9, fused=True))
