_base_ = './pic_1k_40e.py'

optim_wrapper = dict(row_optimizer=dict(_base_.optim_wrapper.optimizer, lr=0.015))
