_base_ = './pic_1k_160e.py'

model = dict(head=dict(temperature=0.1))
