_base_ = './pic_1k_40e_k256_w512-s64_tau0.1.py'

train_cfg = dict(max_epochs=10)
