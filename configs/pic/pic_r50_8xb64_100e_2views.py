# two views of each image per iteration: "2 x 100" in Table 5, 65.0 % top-1
_base_ = './pic_r50_8xb64_200e.py'

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [_base_.param_scheduler[0], {**_base_.param_scheduler[1], 'end': max_epochs}]
train_dataloader = dict(dataset=dict(pipeline=_base_.two_views))
