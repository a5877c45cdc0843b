_base_ = './pic_all_4e.py'

model = dict(head=dict(num_negatives=None))
