"""What a vision transformer's tensors are called, by those who publish them, and which transformer they are.

=========================  =====================  ==========================================
mmpretrain                 timm, DINOv2           torchvision
=========================  =====================  ==========================================
cls_token, pos_embed       the same               class_token, encoder.pos_embedding
patch_embed.projection     patch_embed.proj       conv_proj
layers.N.ln1, ln2          blocks.N.norm1, norm2  encoder.layers.encoder_layer_N.ln_1, ln_2
layers.N.attn.qkv, proj    the same               …self_attention.in_proj_, out_proj
layers.N.ffn.layers.0.0    blocks.N.mlp.fc1       …mlp.0 (or linear_1)
layers.N.ffn.layers.1      blocks.N.mlp.fc2       …mlp.3 (or linear_2)
layers.N.attn.gamma1       blocks.N.ls1           (none)
layers.N.ffn.gamma2        blocks.N.ls2           (none)
ln1                        norm                   encoder.ln
=========================  =====================  ==========================================
"""
import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

# left out: the classifier, and what DINOv2 puts in place of masked patches
_OTHERS = re.compile(r'(head\.|heads\.|neck\.|mask_token$)')
_RENAMED = [(re.compile(pattern), name) for pattern, name in (
    (r'^class_token$', 'cls_token'), (r'^encoder\.pos_embedding$', 'pos_embed'),
    (r'^(conv_proj|patch_embed\.proj)\.', 'patch_embed.projection.'),
    (r'^(encoder\.layers\.encoder_layer_|blocks\.)(\d+)\.', r'layers.\2.'),
    (r'^(encoder\.ln|norm)\.', 'ln1.'),
    (r'\.(ln_|norm)([12])\.', r'.ln\2.'),
    (r'\.self_attention\.in_proj_', '.attn.qkv.'), (r'\.self_attention\.out_proj\.', '.attn.proj.'),
    (r'\.mlp\.(fc1|0|linear_1)\.', '.ffn.layers.0.0.'), (r'\.mlp\.(fc2|3|linear_2)\.', '.ffn.layers.1.'),
    (r'\.ls1\.gamma$', '.attn.gamma1.weight'), (r'\.ls2\.gamma$', '.ffn.gamma2.weight'),
)]
# the shapes do not tell: by the width, in ViT, DeiT and DINOv2 alike
_NUM_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1536: 24}


def is_vit(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of a transformer with a class token, of any of these libraries."""
    return bool({'cls_token', 'class_token'} & state.keys())


def mmpretrain_vit_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone in mmpretrain's names.

    Args:
        state: in the names of mmpretrain, timm, DINOv2 or torchvision, without a prefix.
    """
    converted = {}
    for name, tensor in state.items():
        if not _OTHERS.match(name):
            for pattern, new in _RENAMED:
                name = pattern.sub(new, name)
            converted[name] = tensor
    return converted


def vit_config(backbone: Mapping[str, Tensor]) -> dict[str, Any]:
    """The config of mmpretrain's ``VisionTransformer`` that has such tensors, as far as these tell.

    Args:
        backbone: as :func:`mmpretrain_vit_names` gives it.

    Raises:
        ValueError: if it has no patches and positions of a square image, or a width of which the number of heads is
            not known.
    """
    patches, positions = backbone.get('patch_embed.projection.weight'), backbone.get('pos_embed')
    if patches is None or positions is None:
        raise ValueError('it is a transformer without patch_embed.projection or pos_embed')
    width, in_channels, patch_size, _ = patches.shape
    if width not in _NUM_HEADS:
        raise ValueError(f'its width is {width}, and the number of heads is known of {", ".join(map(str, _NUM_HEADS))}')
    side = math.isqrt(positions.shape[1] - 1)
    if side**2 != positions.shape[1] - 1:
        raise ValueError(f'it has {positions.shape[1]} positions, which are not those of a square and a class token')
    layers = {name.split('.')[1] for name in backbone if name.startswith('layers.')}
    feed_forward = backbone.get('layers.0.ffn.layers.0.0.weight')
    return dict(
        type='VisionTransformer', img_size=side * patch_size, patch_size=patch_size, in_channels=in_channels,
        arch=dict(embed_dims=width, num_layers=len(layers), num_heads=_NUM_HEADS[width],
                  feedforward_channels=4 * width if feed_forward is None else len(feed_forward)),
        qkv_bias='layers.0.attn.qkv.bias' in backbone,
        layer_scale_init_value=1e-5 if 'layers.0.attn.gamma1.weight' in backbone else 0.0)
