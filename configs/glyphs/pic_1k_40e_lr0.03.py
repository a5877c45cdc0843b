_base_ = './pic_1k_40e.py'

optim_wrapper = dict(optimizer=dict(lr=0.03))
