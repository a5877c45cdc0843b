# all classes in the softmax, each image once per epoch
_base_ = './pic_all_4e.py'

model = dict(head=dict(num_negatives=None))
train_dataloader = dict(sampler=dict(window_size=None, window_stride=None))
