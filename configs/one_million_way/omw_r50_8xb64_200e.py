# on 8 GPUs: an eighth of the batch, and by the linear rule an eighth of the learning rate, 0.48 * 512 / 4096
_base_ = './omw_r50_64xb64_200e.py'

optim_wrapper = dict(optimizer=dict(lr=0.06))
auto_scale_lr = dict(base_batch_size=512)
