# PIC's Appendix F: the labels are the classes
_base_ = './pic_12k_5e_all-classes.py'

train_dataloader = dict(dataset=dict(class_of_image='classes.txt'))
clusters = dict(num_classes=62)
