# AdamW for the network, with settings that are usual for transformers and ConvNeXt; biases and norms do not decay
by_adamw = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.05, fused=True),
    paramwise_cfg=dict(
        flat_decay_mult=0.0,
        custom_keys=dict(
            cls_token=dict(decay_mult=0.0),
            pos_embed=dict(decay_mult=0.0),
            relative_position_bias_table=dict(decay_mult=0.0))),
    clip_grad=dict(max_norm=5.0))
