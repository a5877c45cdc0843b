_base_ = './pic_all_4e_lr0.24.py'

model = dict(head=dict(temperature=0.1))
