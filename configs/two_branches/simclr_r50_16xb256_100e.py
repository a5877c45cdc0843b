# SimCLR, 100 epochs: "2 x 100" in PIC's Table 5, 64.7 % top-1
_base_ = './simclr_r50_16xb256_200e.py'

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    _base_.param_scheduler[0], {**_base_.param_scheduler[1], 'T_max': max_epochs - 10, 'end': max_epochs}]
