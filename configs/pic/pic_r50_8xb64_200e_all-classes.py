# all classes in the softmax, their rows shared out over the GPUs: the last column of PIC's Table 2
_base_ = './pic_r50_8xb64_200e.py'

model = dict(head=dict(num_negatives=None))
