# Table 2, first row: a linear projection in place of the MLP; 58.6 % top-1
_base_ = './omw_r50_64xb64_200e.py'

model = dict(
    neck=dict(_delete_=True, type='LinearNeck', in_channels=2048, out_channels=128, gap_dim=2, norm_cfg=None))
