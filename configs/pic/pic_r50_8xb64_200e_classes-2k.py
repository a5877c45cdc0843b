# PIC's Appendix F, Figure 4: 2,000 classes, 2 clusters of each label; the file is tools/cluster_classes.py's
_base_ = './pic_r50_8xb64_200e.py'

train_dataloader = dict(dataset=dict(class_of_image='classes-2k.txt'))
