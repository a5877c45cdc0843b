# two views of each image per iteration: "2 x 200" in Table 5, 67.6 % top-1
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(dataset=dict(pipeline=_base_.two_views))
