# DIET: plain softmax, no projection, uniform smoothing of 0.8, AdamW; ours is the rows' SGD
_base_ = './pic_12k_5e_all-classes.py'

model = dict(
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(cosine=False, temperature=1.0, uniform_smoothing=0.8))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    row_optimizer=dict(type='SGD', lr=0.06, momentum=0.9, fused=True))
