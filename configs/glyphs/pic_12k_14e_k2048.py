# as many views as 4 epochs of all images
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(num_negatives=2048))
train_cfg = dict(max_epochs=14)
