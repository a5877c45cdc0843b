_base_ = './omw_12k_10e.py'

model = dict(head=dict(label_smoothing=0.2, num_hard_classes=20))
