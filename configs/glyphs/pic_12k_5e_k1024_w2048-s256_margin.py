# a margin of 0.1 between an image's own class and the others
_base_ = './pic_12k_5e_k1024_w2048-s256.py'

model = dict(head=dict(margin=0.1))
