_base_ = './pic_12k_14e_k1024_w2048-s256.py'

model = dict(head=dict(temperature=0.07))
