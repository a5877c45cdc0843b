_base_ = './pic_all_4e.py'

optim_wrapper = dict(optimizer=dict(lr=0.48))
