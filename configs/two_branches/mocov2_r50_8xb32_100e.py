# MoCo v2, 100 epochs: "2 x 100" in PIC's Table 5, 64.1 % top-1
_base_ = './mocov2_r50_8xb32_200e.py'

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [{**_base_.param_scheduler[0], 'T_max': max_epochs, 'end': max_epochs}]
