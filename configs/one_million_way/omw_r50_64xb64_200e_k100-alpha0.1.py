# Table 5: 100 hard classes, smoothing factor 0.1; 67.7 % top-1
_base_ = './omw_r50_64xb64_200e.py'

model = dict(head=dict(label_smoothing=0.1))
