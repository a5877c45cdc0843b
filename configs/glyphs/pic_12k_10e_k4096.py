_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(num_negatives=4096))
