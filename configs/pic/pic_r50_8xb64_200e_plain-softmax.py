# inner products instead of cosines: the first row of PIC's Table 1
_base_ = './pic_r50_8xb64_200e.py'

model = dict(head=dict(cosine=False, temperature=1.0))
