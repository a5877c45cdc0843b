_base_ = './simclr_all_2e.py'

optim_wrapper = dict(optimizer=dict(lr=0.48))
