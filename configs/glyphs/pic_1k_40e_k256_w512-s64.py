_base_ = './pic_1k_40e_w512-s64.py'

model = dict(head=dict(num_negatives=256))
