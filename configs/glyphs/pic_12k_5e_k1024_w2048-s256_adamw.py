# AdamW for the network, and SGD for the rows
_base_ = './pic_12k_5e_k1024_w2048-s256.py'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=2e-3, weight_decay=0.05, fused=True),
    row_optimizer=_base_.optim_wrapper.optimizer)
