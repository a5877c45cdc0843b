_base_ = './pic_all_4e_once.py'

model = dict(head=dict(temperature=0.1))
