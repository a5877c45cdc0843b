_base_ = './omw_12k_10e.py'

model = dict(head=dict(label_smoothing=0.0))
train_cfg = dict(max_epochs=5)
