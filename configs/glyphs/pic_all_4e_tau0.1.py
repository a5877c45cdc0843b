_base_ = './pic_all_4e.py'

model = dict(head=dict(temperature=0.1))
