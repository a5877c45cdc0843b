_base_ = './simclr_12k_10e.py'

optim_wrapper = dict(optimizer=dict(lr=0.12))
