_base_ = './pic_1k_40e_k256_w512-s64.py'

model = dict(head=dict(temperature=0.07))
