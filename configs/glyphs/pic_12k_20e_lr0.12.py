_base_ = './pic_12k_20e.py'

optim_wrapper = dict(optimizer=dict(lr=0.12))
