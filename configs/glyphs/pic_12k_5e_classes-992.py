# PIC's Appendix F: 16 clusters of each label, by the features of the network that was trained on labels
_base_ = './pic_12k_5e_classes-62.py'

clusters = dict(num_classes=992, features_of='pic_12k_5e_classes-62')
