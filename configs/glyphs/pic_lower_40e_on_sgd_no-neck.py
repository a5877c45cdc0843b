# no projection: the rows start as the backbone's own features
_base_ = './pic_lower_40e_on_sgd.py'

model = dict(neck=dict(_delete_=True, type='GlobalAveragePooling'))
