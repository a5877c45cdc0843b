# Table 5: 50 hard classes, smoothing factor 0.2; 68.0 % top-1
_base_ = './omw_r50_64xb64_200e.py'

model = dict(head=dict(num_hard_classes=50))
