# inner products instead of cosines: the first row of PIC's Table 1
_base_ = './pic_12k_10e_all-classes.py'

model = dict(head=dict(cosine=False, temperature=1.0))
