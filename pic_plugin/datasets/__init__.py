"""The order of the data, the data set of instances, and what mmpretrain lacks of labelled ones."""
import pic_plugin.registry  # noqa: F401  (before the toolboxes: it has them imported quietly)

from .inaturalist import INaturalist
from .instance_dataset import InstanceDataset
from .labelled_subset import labelled_subset
from .missing_data import check_data, missing_data
from .own_rows import check_own_rows
from .sliding_window_sampler import SlidingWindowSampler
from .transforms import Augment, DecodeCropResize

__all__ = [
    'Augment', 'DecodeCropResize', 'INaturalist', 'InstanceDataset', 'SlidingWindowSampler', 'check_data',
    'check_own_rows', 'labelled_subset', 'missing_data'
]
