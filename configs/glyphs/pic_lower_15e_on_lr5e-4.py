_base_ = './pic_lower_15e_on.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
