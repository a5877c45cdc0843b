_base_ = './pic_lower_40e_on.py'

optim_wrapper = dict(optimizer=dict(lr=5e-4))
