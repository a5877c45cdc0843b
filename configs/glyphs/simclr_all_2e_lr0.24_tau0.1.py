_base_ = './simclr_all_2e_lr0.24.py'

model = dict(head=dict(temperature=0.1))
